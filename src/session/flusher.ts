// When outboxes write. Messages of one event-loop turn gather in their outboxes; then every outbox that has
// any is flushed once. That, and not the writing itself, is what fan-out speed comes from: a write
// per message manages a thirtieth of it. A turn's work is bounded: what is left has its turn next, in the same
// order, after reading, pings and timers had theirs.

import type { Frame } from "../protocol/frame.ts";

/** What the flusher sees of an outbox. */
export interface Flushable {
  /** @returns its share of a turn's work: 1 for what a write costs */
  flush(): number;
  /** Called every 100 ms or so while watched. MAY end its session. */
  look(now: number): void;
  /** Bytes that wait for its full socket. */
  readonly heldBytes: number;
  /** Drops what may be dropped. */
  shed(): void;
  /** Ends its session. */
  evict(): void;
}

export interface FlusherOptions {
  /** Runs a task once this turn's readable sockets were read (see `Transport.afterTurn`). */
  readonly afterTurn: (task: () => void) => void;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Work to do before the flush of each turn. @returns whether more of it is left */
  readonly prepare: () => boolean;
  /** Bytes that may wait for full sockets, all sessions together; 0: any number. */
  readonly maxHeldBytes: () => number;
}

/** Outboxes flushed in one turn: at some 10 µs for each write, about 10 ms. */
const TURN_FLUSHES_MAX = 1024;
/** Shedding goes on until this share of the bound is reached, so that it is not due again at once. */
const SHED_TO = 0.9;

export class Flusher {
  /** A list to hand to links, shared by all flushes, so that none of them allocates. */
  readonly batch: Frame[] = [];
  /** Bytes gathered in `batch`. */
  batchBytes = 0;
  readonly now: () => number;
  readonly #options: FlusherOptions;
  readonly #run = () => this.#turn();
  readonly #watched = new Set<Flushable>();
  #dirty: Flushable[] = [];
  #head = 0;
  #scheduled = false;
  #heldBytes = 0;

  constructor(options: FlusherOptions) {
    this.#options = options;
    this.now = options.now;
  }

  /** Bytes that wait for full sockets, all sessions together. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Flushes an outbox when this turn is over. Add it once, until it was flushed. */
  add(outbox: Flushable): void {
    this.#dirty.push(outbox);
    if (!this.#scheduled) this.wake();
  }

  /** Has this turn end with a flush, even if no outbox asks for one. */
  wake(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#options.afterTurn(this.#run);
  }

  /** Looks at an outbox now and then, until `unwatch`. */
  watch(outbox: Flushable): void {
    this.#watched.add(outbox);
  }

  unwatch(outbox: Flushable): void {
    this.#watched.delete(outbox);
  }

  get watchedCount(): number {
    return this.#watched.size;
  }

  /** Looks at all watched outboxes; call it every 100 ms or so. */
  look(): void {
    if (this.#watched.size === 0) return;
    const now = this.now();
    for (const outbox of this.#watched) outbox.look(now);
  }

  /** Bytes that came to wait for full sockets, or that do no more. */
  count(bytes: number): void {
    this.#heldBytes += bytes;
    if (bytes <= 0) return;
    const maxHeldBytes = this.#options.maxHeldBytes();
    if (maxHeldBytes > 0 && this.#heldBytes > maxHeldBytes) this.wake();
  }

  #turn(): void {
    this.#scheduled = false;
    let more = this.#options.prepare();
    const maxHeldBytes = this.#options.maxHeldBytes();
    if (maxHeldBytes > 0 && this.#heldBytes > maxHeldBytes) this.#shed(maxHeldBytes * SHED_TO);
    // What a flush makes dirty waits for the next turn, behind all that waits already.
    const end = this.#dirty.length;
    for (let left = TURN_FLUSHES_MAX; this.#head < end && left > 0;) {
      left -= this.#dirty[this.#head++]!.flush();
    }
    if (this.#head === this.#dirty.length) {
      if (this.#head > TURN_FLUSHES_MAX) this.#dirty = [];
      else this.#dirty.length = 0;
      this.#head = 0;
    } else {
      more = true;
      if (this.#head >= 4 * TURN_FLUSHES_MAX) {
        this.#dirty.splice(0, this.#head);
        this.#head = 0;
      }
    }
    if (more) this.wake();
  }

  /** Those who hold most give first: what may be dropped, and if that is not enough, their sessions. */
  #shed(toBytes: number): void {
    const largestFirst = () => [...this.#watched].sort((a, b) => b.heldBytes - a.heldBytes);
    for (const outbox of largestFirst()) {
      if (this.#heldBytes <= toBytes) return;
      outbox.shed();
    }
    for (const outbox of largestFirst()) {
      if (this.#heldBytes <= toBytes) return;
      outbox.evict();
    }
  }
}
