// When outboxes write. Messages of one event-loop turn gather in their outboxes; then every outbox that has
// any is flushed once. That, and not the writing itself, is what fan-out speed comes from: a write
// per message manages a thirtieth of it.

import type { Frame } from "../protocol/frame.ts";

/** What the flusher sees of an outbox. */
export interface Flushable {
  flush(): void;
  /** Called now and then while the socket does not take what it was given. */
  checkStall(now: number): void;
}

export interface FlusherOptions {
  /** Runs a task once this turn's readable sockets were read (see `Transport.afterTurn`). */
  readonly afterTurn: (task: () => void) => void;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
}

export class Flusher {
  /** A list to hand to links, shared by all flushes, so that none of them allocates. */
  readonly batch: Frame[] = [];
  readonly now: () => number;
  readonly #afterTurn: (task: () => void) => void;
  readonly #run = () => this.flushAll();
  readonly #blocked = new Set<Flushable>();
  #dirty: Flushable[] = [];
  #spare: Flushable[] = [];

  constructor(options: FlusherOptions) {
    this.now = options.now;
    this.#afterTurn = options.afterTurn;
  }

  /** Flushes an outbox when this turn is over. Add it once a turn. */
  add(outbox: Flushable): void {
    if (this.#dirty.push(outbox) === 1) this.#afterTurn(this.#run);
  }

  flushAll(): void {
    const dirty = this.#dirty;
    // What a flush makes dirty, by ending a session for one, waits for the next turn.
    this.#dirty = this.#spare;
    for (let i = 0; i < dirty.length; i++) dirty[i]!.flush();
    dirty.length = 0;
    this.#spare = dirty;
  }

  /** Watches an outbox whose socket is full, until `unblock`. */
  block(outbox: Flushable): void {
    this.#blocked.add(outbox);
  }

  unblock(outbox: Flushable): void {
    this.#blocked.delete(outbox);
  }

  get blockedCount(): number {
    return this.#blocked.size;
  }

  /** Looks after full sockets; call it every 100 ms or so. */
  checkStalls(): void {
    if (this.#blocked.size === 0) return;
    const now = this.now();
    for (const outbox of this.#blocked) outbox.checkStall(now);
  }
}
