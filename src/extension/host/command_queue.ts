// A worker's turns: commands are carried out a few at a time, so that a turn stays short however many wait, and each turn is
// counted from its begin to the macrotask after it.

import { setImmediate } from "node:timers";
import type { TurnMeter } from "./turn_meter.ts";

/** Commands of one turn, which may each go on in its microtasks. */
const COMMANDS_MAX = 64;
/** No further command is begun in a turn that has lasted so long, in milliseconds. */
const SLICE_MS = 2;
/** A turn as short as this lets the next one have twice as many orders; one as long as that makes it have one. */
const SHORT_MS = 1;
const LONG_MS = 8;
/** How often the size of the heap is told, in milliseconds. */
const HEAP_MS = 50;

export interface CommandQueueOptions<Command> {
  readonly meter: TurnMeter;
  /** Bytes of the worker's heap. */
  readonly heapBytes: () => number;
  /** Commands of one turn, where they are to be fewer than usual. */
  readonly commandsMax?: number;
  /** Carries out a command. MUST NOT throw. */
  readonly execute: (command: Command) => void;
}

export class CommandQueue<Command> {
  readonly #options: CommandQueueOptions<Command>;
  #commands: Command[] = [];
  #next = 0;
  #most = 1;
  #beganMs = 0;
  #isOpen = false;
  #isAwaitingEnd = false;
  #isWhole = false;
  #heapToldMs = 0;

  constructor(options: CommandQueueOptions<Command>) {
    this.#options = options;
  }

  /** Takes commands, to be carried out in their order. */
  take(commands: readonly Command[]): void {
    for (const command of commands) this.#commands.push(command);
    if (!this.#isAwaitingEnd) this.#slice();
  }

  /** Runs foreign code that is no order's: a timer's. Call it at the begin of a macrotask. MUST NOT throw. */
  run(task: () => void): void {
    this.#begin();
    task();
  }

  /** Runs foreign code that goes on over several macrotasks, such as what a runtime compiles; all of it is one turn. */
  async whole(task: () => Promise<void>): Promise<void> {
    this.#isWhole = true;
    this.#begin();
    try {
      await task();
    } finally {
      this.#isWhole = false;
      this.#begin();
    }
  }

  #slice(): void {
    this.#begin();
    const { execute } = this.#options;
    const end = Math.min(this.#commands.length, this.#next + this.#most);
    while (this.#next < end) {
      execute(this.#commands[this.#next++]!);
      if (performance.now() - this.#beganMs > SLICE_MS) break;
    }
    if (this.#next === this.#commands.length) {
      this.#commands = [];
      this.#next = 0;
    }
  }

  #begin(): void {
    // A macrotask that begins while another's end is awaited says that the other has ended.
    if (this.#isOpen && !this.#isWhole) this.#options.meter.end();
    this.#isOpen = true;
    this.#beganMs = performance.now();
    this.#options.meter.begin();
    if (this.#isAwaitingEnd) return;
    this.#isAwaitingEnd = true;
    setImmediate(() => this.#end());
  }

  #end(): void {
    this.#isAwaitingEnd = false;
    if (this.#isWhole) return;
    this.#isOpen = false;
    this.#options.meter.end();
    const now = performance.now();
    const lastedMs = now - this.#beganMs;
    if (lastedMs > LONG_MS) this.#most = 1;
    else if (lastedMs < SHORT_MS) {
      this.#most = Math.min(this.#options.commandsMax ?? COMMANDS_MAX, this.#most * 2);
    }
    if (now - this.#heapToldMs > HEAP_MS) {
      this.#heapToldMs = now;
      this.#options.meter.tellHeap(this.#options.heapBytes());
    }
    if (this.#next < this.#commands.length) this.#slice();
  }
}
