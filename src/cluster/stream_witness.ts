// What tells one state of a log from another. A log that has lost its end is found out also once it has grown beyond it
// again, by the newest record of which it is known which it was: where another stands in its place, all that came before has
// to be taken for lost. And what is said of a log can come late: epochs that are over are known.

/** Epochs that are remembered. */
const OVER_MAX = 64;

export class StreamWitness {
  /** 0 for none. */
  #sequence = 0;
  #id = "";
  readonly #over = new Set<string>();

  note(sequence: number, id: string): void {
    if (sequence <= this.#sequence) return;
    this.#sequence = sequence;
    this.#id = id;
  }

  /** The log gives sequences a second time, in another epoch. */
  renewed(former: string, epoch: string): void {
    this.#sequence = 0;
    this.#over.delete(epoch);
    this.#over.add(former);
    for (const oldest of this.#over) if (this.#over.size > OVER_MAX) this.#over.delete(oldest);
  }

  isOver(epoch: string): boolean {
    return this.#over.has(epoch);
  }

  /**
   * Whether the record is there as it was; one that is gone may have been let go of.
   * @param idOf the id of the record that stands somewhere, null for none
   */
  async isThere(idOf: (sequence: number) => Promise<string | null>): Promise<boolean> {
    const sequence = this.#sequence, id = this.#id;
    if (sequence === 0) return true;
    const found = await idOf(sequence);
    return found === null || found === id || sequence !== this.#sequence;
  }
}
