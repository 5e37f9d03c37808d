// Fan-out in slices. Handing a frame to a member costs some 50 ns, so a turn has a budget of deliveries; what is
// over it waits for the next turns, while reading and timers go on. Each room's messages go out one after
// the other and to everyone who was a member when they were published, so all members see one order.

import type { Frame } from "../protocol/frame.ts";

/** Deliveries in one turn, about 5 ms of work. */
const TURN_DELIVERIES = 100_000;
/** Messages of one room that may wait for later turns, and the bytes of their payloads and of member lists. */
const WAITING_MAX = 4096;
const WAITING_BYTES_MAX = 4_194_304;
const BYTES_PER_MEMBER = 8;

/** Whom a room's frames are handed to. */
export interface Receiver {
  /** MUST only queue: no member may join, leave or end inside it. */
  receive(frame: Frame): void;
}

/** A receiver's place in a room. */
export interface Place {
  readonly subscriber: Receiver;
  /** -1 once left. */
  readonly index: number;
}

/** A message on its way through a room. */
interface Job {
  readonly frame: Frame;
  readonly except: Receiver | null;
  /** Who was a member when it was published. */
  readonly members: readonly Place[];
  /** How many of them, counted from the end, are still to be served. */
  left: number;
  /** Of the list of members. */
  readonly version: number;
  /** Counted towards the backlog's bound. */
  readonly bytes: number;
}

/** The messages of one room that wait. */
class Backlog {
  readonly jobs: Job[] = [];
  head = 0;
  bytes = 0;
}

/** A room, as fan-out sees it. */
export interface Audience {
  readonly members: readonly Place[];
  /** Another number after each change of `members`. */
  readonly version: number;
}

export class Fanout {
  readonly #wake: () => void;
  readonly #backlogs = new Map<Audience, Backlog>();
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

  /** Rooms with messages that wait. */
  get size(): number {
    return this.#backlogs.size;
  }

  /**
   * Hands a frame to all members but `except`, now or in the next turns.
   * @returns false when the room has too many messages waiting, and this one went to nobody
   */
  publish(room: Audience, frame: Frame, except: Receiver | null): boolean {
    const { members } = room;
    const backlog = this.#backlogs.get(room);
    if (backlog === undefined && members.length <= this.#budget) {
      if (this.#budget === this.#turnDeliveries) this.#wake();
      this.#budget -= members.length;
      // Backwards: should a delivery end the member it goes to, the last one takes its place, and was served.
      for (let i = members.length - 1; i >= 0; i--) {
        const to = members[i]!.subscriber;
        if (to !== except) to.receive(frame);
      }
      return true;
    }
    return this.#defer(room, frame, except);
  }

  /** Forgets what waits for a room that is no more. */
  forget(room: Audience): void {
    this.#backlogs.delete(room);
  }

  /** A new turn: goes on with what waits. @returns whether more is left */
  advance(): boolean {
    this.#budget = this.#turnDeliveries;
    if (this.#backlogs.size === 0) return false;
    for (const [room, backlog] of this.#backlogs) {
      // Moved to the end, so that each room is first once.
      this.#backlogs.delete(room);
      this.#advance(backlog);
      if (backlog.head < backlog.jobs.length) this.#backlogs.set(room, backlog);
      if (this.#budget <= 0) break;
    }
    return this.#backlogs.size > 0;
  }

  #defer(room: Audience, frame: Frame, except: Receiver | null): boolean {
    const { members, version } = room;
    let backlog = this.#backlogs.get(room);
    if (backlog === undefined) this.#backlogs.set(room, backlog = new Backlog());
    const waiting = backlog.jobs.length - backlog.head;
    if (waiting >= WAITING_MAX) return false;
    const before = backlog.jobs.at(-1);
    // Members rarely change between two messages of one turn: then both share the copy.
    const same = before !== undefined && before.version === version;
    const bytes = frame.bytes + (same ? 0 : members.length * BYTES_PER_MEMBER);
    if (backlog.bytes + bytes > WAITING_BYTES_MAX && waiting > 0) return false;
    const list = same ? before.members : [...members];
    backlog.jobs.push({ frame, except, members: list, version, left: members.length, bytes });
    backlog.bytes += bytes;
    this.#wake();
    return true;
  }

  #advance(backlog: Backlog): void {
    while (backlog.head < backlog.jobs.length && this.#budget > 0) {
      const job = backlog.jobs[backlog.head]!;
      const until = Math.max(0, job.left - this.#budget);
      this.#budget -= job.left - until;
      for (let i = job.left - 1; i >= until; i--) {
        const member = job.members[i]!;
        // Who has left since then gets nothing more of this room.
        if (member.index >= 0 && member.subscriber !== job.except) member.subscriber.receive(job.frame);
      }
      job.left = until;
      if (until > 0) break;
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
