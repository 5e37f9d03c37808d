// A RunJoiner that lets go of what it has joined when the event loop's turn is over, and what a turn's end is on each runtime.

import { runtimeName } from "../runtime_name.ts";
import type { WireFrame } from "../port.ts";
import { RunJoiner, type WireOf } from "./run_joiner.ts";

export class TurnJoiner {
  readonly #joiner: RunJoiner;
  #forgets = false;
  #turns = 0;

  constructor(wireOf: WireOf) {
    this.#joiner = new RunJoiner(wireOf);
  }

  /** As `Transport.afterTurn`. */
  afterTurn(task: () => void): void {
    // See node.ts: on Deno immediates alone starve reading.
    if (runtimeName() !== "bun" && ++this.#turns % 5 === 0) setTimeout(task, 0);
    else setImmediate(task);
  }

  readonly join = (frames: readonly WireFrame[], count: number): Uint8Array => {
    // What was joined in a turn is of no use after it.
    if (count > 1 && !this.#forgets) {
      this.#forgets = true;
      this.afterTurn(this.#forget);
    }
    return this.#joiner.join(frames, count);
  };

  readonly #forget = (): void => {
    this.#forgets = false;
    this.#joiner.forget();
  };
}
