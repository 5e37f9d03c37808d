// Plain requests begin a few at a time, so that whoever pipelines hundreds of them holds the loop for none but a moment: the
// others' messages are read between two turns. In the order in which they came, whichever connection they came on.

import type { HttpRefusal } from "./handshake.ts";

/** Requests that begin in one turn of the loop. */
const PER_TURN = 2;
/** Requests that may wait; one more is told to come again. */
const WAITING_MAX = 1024;

/** The answer where there is no room to wait. */
export const TOO_BUSY: HttpRefusal = {
  status: 503,
  headers: { "retry-after": "1" },
  body: JSON.stringify({ code: "UNAVAILABLE", msg: "too many requests wait", retry_after_ms: 1000 }),
};

export class RequestTurns {
  readonly #afterTurn: (task: () => void) => void;
  readonly #waiting: (() => void)[] = [];
  #begun = 0;
  #scheduled = false;

  constructor(afterTurn: (task: () => void) => void) {
    this.#afterTurn = afterTurn;
  }

  /** Whether there is no room for one more to wait. */
  get isFull(): boolean {
    return this.#waiting.length >= WAITING_MAX;
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
