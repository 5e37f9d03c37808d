// What tells that a log has lost its end, also once it has grown beyond it again: the newest record of which is known which
// it was. Where another stands in its place, all that came before has to be taken for lost.

export class StreamWitness {
  /** 0 for none. */
  #sequence = 0;
  #id = "";

  note(sequence: number, id: string): void {
    if (sequence <= this.#sequence) return;
    this.#sequence = sequence;
    this.#id = id;
  }

  /** The log gives sequences a second time, and that is known. */
  forget(): void {
    this.#sequence = 0;
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
