// The signals of a gateway's process, from the first moment on: by themselves they would end it, or as process 1 be lost.
// What comes before anybody listens is remembered.

import process from "node:process";
import { isatty } from "node:tty";
import { EXIT } from "./exit.ts";

export class ProcessSignals {
  /** Resolves with what ends the gateway: SIGTERM, SIGINT, or SIGHUP where it was started on a terminal. */
  readonly ended: Promise<string>;
  /** Whether `ended` has resolved, or is about to. */
  isOver = false;
  #end: (why: string) => void = () => {};
  #hungUp = false;
  #reload: (() => void) | null = null;

  /** Takes the signals over from the runtime. */
  constructor() {
    this.ended = new Promise((resolve) => this.#end = resolve);
    // Whoever starts it on a terminal and closes that means to end it. Without one, SIGHUP is a daemon's word for "reload".
    const onTerminal = [0, 1, 2].some((descriptor) => isatty(descriptor));
    const stop = (signal: string) => {
      if (this.isOver) process.exit(EXIT.failed);
      this.end(signal);
    };
    process.on("SIGTERM", stop);
    process.on("SIGINT", stop);
    process.on("SIGHUP", () => {
      // A terminal that closes sends it more than once: from the kernel, and from the shell.
      if (onTerminal) return this.end("SIGHUP");
      this.#hungUp = true;
      this.#reload?.();
    });
  }

  /** As the first signal would; does nothing after it. */
  end(why: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#end(why);
  }

  /** Calls it at each SIGHUP that means "reload", and at once when one came already. */
  onReload(reload: () => void): void {
    this.#reload = reload;
    if (this.#hungUp) reload();
  }
}
