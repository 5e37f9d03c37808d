// All that rooms keep in memory, whatever their tenant, within one bound. Above it, the room that was idle longest loses
// what it kept, and with it its epoch.

/** What is counted of a room besides its messages: it exists. */
export const ROOM_BYTES = 512;

/** A room's messages in memory. */
export interface Budgeted {
  /** All of it goes; the room begins anew with its next use. */
  evict(): void;
}

export class HistoryBudget {
  readonly #maxBytes: () => number;
  /** Those that were idle longest first. */
  readonly #rooms = new Set<Budgeted>();
  #bytes = 0;

  /** @param maxBytes that which holds now; 0: any number */
  constructor(maxBytes: () => number) {
    this.#maxBytes = maxBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

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
      idlest.evict();
    }
  }

  /** A room keeps so many bytes more, or fewer, without having been used. */
  count(bytes: number): void {
    this.#bytes += bytes;
  }

  /** A room is gone, and with it so many bytes. */
  remove(room: Budgeted, bytes: number): void {
    if (this.#rooms.delete(room)) this.#bytes -= bytes;
  }
}
