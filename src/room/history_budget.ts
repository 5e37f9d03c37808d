// All that rooms keep in memory, whatever their tenant, within one bound. Above it, the room that was idle longest gives up
// what it kept, and with it its epoch. A room that nobody is in goes as a whole, so that the number of rooms is bounded too.

/** What is counted of a room besides its messages: it exists. */
export const ROOM_BYTES = 512;

/** A room, as far as it takes memory. */
export interface Budgeted {
  /** All goes that can go. It is not asked again before its next use. MUST NOT use another room. */
  evict(): void;
}

export class HistoryBudget {
  readonly #maxBytes: () => number;
  /** Those that have something to give, the one that was idle longest first. */
  readonly #rooms = new Set<Budgeted>();
  #bytes = 0;

  /** @param maxBytes that which holds now; 0: any number */
  constructor(maxBytes: () => number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Rooms that can be asked to give something up. */
  get rooms(): number {
    return this.#rooms.size;
  }

  /** A room was used, and keeps so many bytes more than before. */
  use(room: Budgeted, moreBytes: number): void {
    this.#rooms.delete(room);
    this.#rooms.add(room);
    this.count(moreBytes);
    const max = this.#maxBytes();
    if (max === 0) return;
    for (const idlest of this.#rooms) {
      if (this.#bytes <= max || idlest === room) return;
      // Taken out: what is still there afterwards has members, and nothing to give. Else each use would ask all of these.
      this.#rooms.delete(idlest);
      idlest.evict();
    }
  }

  /** A room keeps so many bytes more, or fewer, without having been used. */
  count(bytes: number): void {
    this.#bytes += bytes;
  }

  /** A room is gone, and with it so many bytes. */
  remove(room: Budgeted, bytes: number): void {
    this.#rooms.delete(room);
    this.#bytes -= bytes;
  }
}
