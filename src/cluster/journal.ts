// What a node tells the others of its sessions and of their rooms: a list of changes, each with its number, published a turn
// of the event loop at a time. Who has missed some asks for what all of it comes to.

import type { Link } from "./nats_link.ts";
import type { Subjects } from "./subjects.ts";
import { encode, KIND } from "./wire.ts";

/** What a change is, as its first field. */
export const CHANGE = {
  /** `[tenant, session, user, sid, trace_id, opened_ms]` */
  opened: 1,
  /** `[tenant, session]` */
  closed: 2,
  /** `[tenant, session, room, member]` */
  joined: 3,
  /** `[tenant, session, room]` */
  left: 4,
  /** `[tenant, session, incarnation]`: it goes on at that node, which tells of it next. */
  moved: 5,
} as const;

export type Change = readonly [number, ...(readonly (string | number)[])];

export interface JournalOptions {
  readonly incarnation: string;
  readonly link: Link;
  readonly subjects: Subjects;
  /** Runs a task once, so many milliseconds later. */
  readonly later: (ms: number, task: () => void) => void;
  /** All that the changes so far come to. While it is read, others MAY be made. */
  readonly state: () => Iterable<Change>;
}

/** Changes that go together. */
const BATCH = 500;
/** Changes of a snapshot that are read in one go. */
const PAGE = 500;
/** Snapshots that are told at the same time; who asks beyond that asks again. */
const TELLING_MAX = 16;

export class Journal {
  readonly #options: JournalOptions;
  #batch: Change[] = [];
  /** The number of the first change in the batch. */
  #from = 0;
  #waiting = false;
  readonly #telling = new Set<string>();

  constructor(options: JournalOptions) {
    this.#options = options;
  }

  /** Changes so far, those among them that are not published yet. */
  get length(): number {
    return this.#from + this.#batch.length;
  }

  /** Changes published so far. */
  get published(): number {
    return this.#from;
  }

  add(change: Change): void {
    this.#batch.push(change);
    if (this.#batch.length >= BATCH) return this.flush();
    if (this.#waiting) return;
    this.#waiting = true;
    // As soon as its client is told, for who is told there may come here next.
    queueMicrotask(() => {
      this.#waiting = false;
      this.flush();
    });
  }

  /** Publishes what waits. What NATS does not take is missed by all, and asked for. */
  flush(): void {
    if (this.#batch.length === 0) return;
    const { link, subjects, incarnation } = this.#options;
    link.publish(subjects.all, encode(KIND.journal, incarnation, this.#from, this.#batch));
    this.#from += this.#batch.length;
    this.#batch = [];
  }

  /** Tells a node all that the changes come to, a page at a time; what changes meanwhile it hears as well. */
  tell(asker: string, round: number): void {
    if (this.#telling.has(asker) || this.#telling.size >= TELLING_MAX) return;
    this.#telling.add(asker);
    this.flush();
    const { link, subjects, incarnation, state, later } = this.#options;
    const from = this.#from, changes = state()[Symbol.iterator]();
    const next = (): void => {
      const page: Change[] = [];
      let done = false;
      while (page.length < PAGE && !done) {
        const step = changes.next();
        if (step.done === true) done = true;
        else page.push(step.value);
      }
      const said = encode(KIND.snapshot, incarnation, round, from, page, done);
      if (!link.publish(subjects.node(asker), said) || done) return void this.#telling.delete(asker);
      later(1, next);
    };
    next();
  }
}
