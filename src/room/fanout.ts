// Fan-out in slices. Handing a frame to a member costs some 50 ns, so a turn has a budget of deliveries; what is over it
// waits for the next turns, while reading and timers go on. Messages of one line go out one after the other, each to all
// who were in its audience when it was published, so that all of these see one order. Deliveries are counted here.
//
// Members of a room are handed the very same frames one after the other, and flushed in that order: a transport that
// writes bytes itself can join a turn's frames once and give the joined run to every link whose batch holds the same
// frames. Nothing here has to know.

import { BUSY } from "../cluster/bus.ts";
import type { Frame } from "../protocol/frame.ts";

/** Deliveries in one turn, about 5 ms of work. */
const TURN_DELIVERIES = 100_000;
/** Messages of one line that may wait for later turns, and the bytes of their payloads and of lists of members. */
const WAITING_MAX = 4096;
const WAITING_BYTES_MAX = 4_194_304;
const BYTES_PER_MEMBER = 8;

/** Whom frames are handed to. */
export interface Receiver {
  /** Its name, unique in this process. */
  readonly session: string;
  /** MUST only queue: no member may join, leave or end inside it. */
  receive(frame: Frame): void;
}

/** A receiver's place in an audience. */
export interface Place {
  readonly subscriber: Receiver;
  /** -1 once left. */
  readonly index: number;
}

/** Payload bytes that subscribers were given: of a message to many, once for each of them. */
export interface Delivered {
  bytes: number;
}

/** Messages that must not overtake each other share one. */
export interface Line {
  /** Where its deliveries are counted. */
  readonly delivered: Delivered;
}

/** Who gets a message. */
export interface Audience {
  readonly line: Line;
  readonly members: readonly Place[];
  /** Another number after each change of `members`. */
  readonly version: number;
}

/** A message on its way. */
interface Job {
  readonly frame: Frame;
  /** The session that is left out. */
  readonly except: string | null;
  readonly audience: Audience;
  readonly version: number;
  /** Who was in the audience when it was published. */
  readonly members: readonly Place[];
  /** The first of them that is still to be served. */
  next: number;
  /** Counted towards the backlog's bound. */
  readonly bytes: number;
}

/** The messages of one line that wait. */
class Backlog {
  readonly jobs: Job[] = [];
  head = 0;
  bytes = 0;
}

const NOTHING: Pick<Backlog, "jobs" | "head"> = { jobs: [], head: 0 };

export class Fanout {
  readonly #wake: () => void;
  readonly #backlogs = new Map<Line, Backlog>();
  readonly #turnDeliveries: number;
  #budget: number;

  /**
   * @param wake has `advance` called when this event-loop turn is over
   * @param turnDeliveries deliveries in one turn
   */
  constructor(wake: () => void, turnDeliveries = TURN_DELIVERIES) {
    this.#wake = wake;
    this.#budget = this.#turnDeliveries = turnDeliveries;
  }

  /** Lines with messages that wait. */
  get size(): number {
    return this.#backlogs.size;
  }

  /**
   * Hands a frame to an audience, but for the session of this name, now or in the next turns.
   * @param isDue it waits in its place however much waits already; whoever says so MUST bound how often
   * @returns to how many; `BUSY` when too much waits in its line already, and then the frame went to nobody
   */
  publish(to: Audience, frame: Frame, except: string | null, isDue = false): number {
    const { members, line } = to;
    const count = members.length;
    if (count === 0) return 0;
    if (count > this.#budget || this.#backlogs.size > 0 && this.#backlogs.has(line)) {
      return this.#defer(to, frame, { except, isDue });
    }
    if (this.#budget === this.#turnDeliveries) this.#wake();
    this.#budget -= count;
    let served = count;
    if (except === null) { for (let i = 0; i < count; i++) members[i]!.subscriber.receive(frame); }
    else {
      for (let i = 0; i < count; i++) {
        const { subscriber } = members[i]!;
        if (subscriber.session === except) served--;
        else subscriber.receive(frame);
      }
    }
    line.delivered.bytes += frame.bytes * served;
    return served;
  }

  /** Whether so much waits in a line that nothing more is taken. */
  isFull(line: Line): boolean {
    const backlog = this.#backlogs.get(line);
    if (backlog === undefined) return false;
    return backlog.jobs.length - backlog.head >= WAITING_MAX || backlog.bytes >= WAITING_BYTES_MAX;
  }

  /** What waits in a line for one receiver, in its order: for one that leaves before it is served. */
  due(line: Line, session: string): Frame[] {
    const { jobs, head } = this.#backlogs.get(line) ?? NOTHING;
    return jobs.slice(head).flatMap(({ frame, except, members, next }) => {
      const place = except === session
        ? -1
        : members.findIndex(({ subscriber }) => subscriber.session === session);
      return place >= next && members[place]!.index >= 0 ? [frame] : [];
    });
  }

  /** Forgets what waits in a line that is no more. */
  forget(line: Line): void {
    this.#backlogs.delete(line);
  }

  /** A new turn: goes on with what waits. @returns whether more is left */
  advance(): boolean {
    this.#budget = this.#turnDeliveries;
    if (this.#backlogs.size === 0) return false;
    for (const [line, backlog] of this.#backlogs) {
      // Moved to the end, so that each line is first once.
      this.#backlogs.delete(line);
      this.#advance(backlog);
      if (backlog.head < backlog.jobs.length) this.#backlogs.set(line, backlog);
      if (this.#budget <= 0) break;
    }
    return this.#backlogs.size > 0;
  }

  #defer(
    audience: Audience,
    frame: Frame,
    { except, isDue }: { readonly except: string | null; readonly isDue: boolean },
  ): number {
    const { members, version, line } = audience;
    let backlog = this.#backlogs.get(line);
    if (backlog === undefined) this.#backlogs.set(line, backlog = new Backlog());
    const waiting = backlog.jobs.length - backlog.head;
    if (waiting >= WAITING_MAX && !isDue) return BUSY;
    const before = backlog.jobs.at(-1);
    // Members rarely change between two messages of one turn: then both share the copy.
    const same = before !== undefined && before.audience === audience && before.version === version;
    const bytes = frame.bytes + (same ? 0 : members.length * BYTES_PER_MEMBER);
    if (backlog.bytes + bytes > WAITING_BYTES_MAX && waiting > 0 && !isDue) return BUSY;
    const list = same ? before.members : [...members];
    backlog.jobs.push({ frame, except, audience, version, members: list, next: 0, bytes });
    backlog.bytes += bytes;
    this.#wake();
    // Counted when it is taken, and not turns later: whoever has caused it is charged for it now.
    const isLeftOut = except !== null && list.some(({ subscriber }) => subscriber.session === except);
    const served = list.length - (isLeftOut ? 1 : 0);
    line.delivered.bytes += frame.bytes * served;
    return served;
  }

  #advance(backlog: Backlog): void {
    while (backlog.head < backlog.jobs.length && this.#budget > 0) {
      const job = backlog.jobs[backlog.head]!;
      const { frame, except, members } = job;
      const until = Math.min(members.length, job.next + this.#budget);
      this.#budget -= until - job.next;
      for (let i = job.next; i < until; i++) {
        const { index, subscriber } = members[i]!;
        // Whoever has left since then gets nothing more of this room.
        if (index >= 0 && subscriber.session !== except) subscriber.receive(frame);
      }
      job.next = until;
      if (until < members.length) break;
      backlog.bytes -= job.bytes;
      backlog.head++;
    }
    // Here too when a message is left half served: a room that always has some waiting must not keep the served ones.
    if (backlog.head >= 64) {
      backlog.jobs.splice(0, backlog.head);
      backlog.head = 0;
    }
  }
}
