// The pace of all replays. A crowd that comes back at once must not take the machine from those who never left: a turn
// hands out so many bytes and messages, and so many sessions at most are being served, because what they are given waits
// in their sockets. The others wait in line.

/** Somebody for whom messages wait. */
export interface Replaying {
  readonly isEmpty: boolean;
  /** @returns bytes that were given, 0 when its connection takes no more for now */
  give(maxBytes: number): number;
}

/** Bytes of all replays in one turn, some milliseconds of work. */
const TURN_BYTES_MAX = 262_144;
/** Of one of them. */
const SHARE_BYTES = 16_384;
/** What one of them may have on its way: its outbox and its socket. */
export const REPLAY_IN_FLIGHT = 131_072;

export class ReplayPump {
  readonly #maxBytes: () => number;
  readonly #wake: () => void;
  /** Served now. Those whose socket is full have no turn until they are added again. */
  readonly #active = new Set<Replaying>();
  readonly #ready = new Set<Replaying>();
  readonly #line = new Set<Replaying>();

  /**
   * @param maxBytes what all of them may have on their way, as it is now
   * @param wake has `advance` called at the end of this turn
   */
  constructor(maxBytes: () => number, wake: () => void) {
    this.#maxBytes = maxBytes;
    this.#wake = wake;
  }

  /** Those who are being served, and those who wait for it. */
  get size(): number {
    return this.#active.size + this.#line.size;
  }

  /** It has messages, and a connection that may take some. */
  add(one: Replaying): void {
    if (!this.#active.has(one)) {
      if (this.#active.size >= this.#slots()) return void this.#line.add(one);
      this.#active.add(one);
    }
    this.#ready.add(one);
    this.#wake();
  }

  /** It has no connection any more, or nothing left. */
  remove(one: Replaying): void {
    this.#line.delete(one);
    this.#ready.delete(one);
    if (this.#active.delete(one)) this.#admit();
  }

  /** Hands out this turn's share. @returns whether more can be handed out in the next one */
  advance(): boolean {
    let left = TURN_BYTES_MAX;
    for (const one of this.#ready) {
      if (left <= 0) break;
      // Behind the others for its next share.
      this.#ready.delete(one);
      const given = one.give(Math.min(SHARE_BYTES, left));
      left -= given;
      if (one.isEmpty) this.remove(one);
      else if (given > 0) this.#ready.add(one);
    }
    return this.#ready.size > 0;
  }

  #slots(): number {
    return Math.max(1, Math.floor(this.#maxBytes() / REPLAY_IN_FLIGHT));
  }

  #admit(): void {
    for (const one of this.#line) {
      if (this.#active.size >= this.#slots()) return;
      this.#line.delete(one);
      this.#active.add(one);
      this.#ready.add(one);
      this.#wake();
    }
  }
}
