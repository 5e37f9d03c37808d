// Requests begin a few at a time, so that whoever pipelines hundreds of them, or a crowd that comes back at once, holds the
// loop for none but a moment: the others' messages are read between two turns. In the order in which they came, whichever
// connection they came on.

import type { HttpRefusal } from "./handshake.ts";

/** How many may begin in one turn of the loop, and how many may wait: one more is told to come again. */
interface Pace {
  readonly perTurn: number;
  readonly waitingMax: number;
}

/** Plain requests, of which a route may make much work. */
export const PLAIN: Pace = { perTurn: 2, waitingMax: 1024 };
/** Handshakes, at some 30 µs each with the session that they begin. */
export const UPGRADES: Pace = { perTurn: 8, waitingMax: 16_384 };

/** The answer where there is no room to wait. */
export const TOO_BUSY: HttpRefusal = {
  status: 503,
  headers: { "retry-after": "1" },
  body: JSON.stringify({ code: "UNAVAILABLE", msg: "too many requests wait", retry_after_ms: 1000 }),
};

export class RequestTurns {
  readonly #afterTurn: (task: () => void) => void;
  readonly #waiting: (() => void)[] = [];
  readonly #pace: Pace;
  #begun = 0;
  #scheduled = false;

  constructor(afterTurn: (task: () => void) => void, pace: Pace) {
    this.#afterTurn = afterTurn;
    this.#pace = pace;
  }

  /** Whether there is no room for one more to wait. */
  get isFull(): boolean {
    return this.#waiting.length >= this.#pace.waitingMax;
  }

  /** Resolves when a request may begin; null for at once. */
  enter(): Promise<void> | null {
    this.#schedule();
    if (this.#begun < this.#pace.perTurn && this.#waiting.length === 0) {
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
      const begin = this.#waiting.splice(0, this.#pace.perTurn);
      this.#begun = begin.length;
      if (begin.length > 0) this.#schedule();
      for (const resolve of begin) resolve();
    });
  }
}
