// What a process says, line by line.

import { createInterface } from "node:readline";

/** The lines of a stream, of which the last are kept until they are asked for; the pipe is read in any case. */
export class Lines {
  readonly #last: string[] = [];
  #kept: string[] = [];
  #ended = false;
  #wake = () => {};

  constructor(stream: NodeJS.ReadableStream) {
    const lines = createInterface({ input: stream });
    lines.on("line", (line) => {
      // Bun ends what it says about an error with its version.
      if (line.trim() !== "" && !line.startsWith("Bun v")) this.#last.push(line.trim());
      if (this.#last.length > 6) this.#last.shift();
      this.#kept.push(line);
      if (this.#kept.length > 1000) this.#kept.shift();
      this.#wake();
    });
    lines.on("close", () => {
      this.#ended = true;
      this.#wake();
    });
  }

  /** The end of what was written, for an error. */
  get last(): string {
    return this.#last.join(" ");
  }

  /** @throws when the stream ends before there is such a line */
  async next(wanted: (line: string) => boolean): Promise<string> {
    for (;;) {
      const found = this.#kept.findIndex(wanted);
      if (found >= 0) return this.#kept.splice(0, found + 1).at(-1)!;
      if (this.#ended) throw new Error(`Cannot go on: the process has ended. ${this.last}`);
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}
