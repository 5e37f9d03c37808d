// Plain requests begin a few at a time, so that whoever pipelines hundreds of them holds the loop for none but a moment: the
// others' messages are read between two turns. In the order in which they came, whichever connection they came on.

/** Requests that begin in one turn of the loop. */
const PER_TURN = 4;

export class RequestTurns {
  readonly #afterTurn: (task: () => void) => void;
  readonly #waiting: (() => void)[] = [];
  #begun = 0;
  #scheduled = false;

  constructor(afterTurn: (task: () => void) => void) {
    this.#afterTurn = afterTurn;
  }

  /** Resolves when a request may begin; null for at once. */
  enter(): Promise<void> | null {
    this.#schedule();
    if (this.#begun < PER_TURN && this.#waiting.length === 0) {
      this.#begun++;
      return null;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#afterTurn(() => {
      this.#scheduled = false;
      const begin = this.#waiting.splice(0, PER_TURN);
      this.#begun = begin.length;
      if (begin.length > 0) this.#schedule();
      for (const resolve of begin) resolve();
    });
  }
}
