// Members of a room that want presence events. Their messages stand in the room's line.

import type { Audience, Line, Place } from "./fanout.ts";

/** A member, as far as its place among the observers goes. */
export interface Observing extends Place {
  /** Place among the members that are told of others joining and leaving; -1 for none. */
  observerIndex: number;
}

export class Observers<M extends Observing> implements Audience {
  readonly line: Line;
  readonly members: M[] = [];
  version = 0;

  constructor(line: Line) {
    this.line = line;
  }

  add(membership: M): void {
    membership.observerIndex = this.members.push(membership) - 1;
    this.version++;
  }

  remove(membership: M): void {
    const last = this.members.pop()!;
    if (last !== membership) {
      last.observerIndex = membership.observerIndex;
      this.members[last.observerIndex] = last;
    }
    membership.observerIndex = -1;
    this.version++;
  }
}
