// An extension's timers: bounded in number, each of them a turn of its own.

import { clearTimeout, setInterval, setTimeout } from "node:timers";

type Task = (...args: readonly unknown[]) => unknown;
type Handle = ReturnType<typeof setTimeout>;

/** The longest delay that runtimes know; a longer one would be none. */
const DELAY_MAX_MS = 2_147_483_647;

export interface TimersOptions {
  readonly max: number;
  /** Runs foreign code as a turn of its own. */
  readonly run: (task: () => void) => void;
  readonly failed: (error: unknown) => void;
}

/** What scripts have of them. */
export type TimerFunctions = Pick<Timers, "setTimeout" | "setInterval" | "clear">;

export class Timers {
  readonly #options: TimersOptions;
  readonly #running = new Map<number, Handle>();
  #lastId = 0;

  constructor(options: TimersOptions) {
    this.#options = options;
  }

  readonly setTimeout = (task: unknown, ms?: unknown, ...args: readonly unknown[]): number => {
    const callback = this.#checked(task);
    const id = ++this.#lastId;
    const due = () => {
      this.#running.delete(id);
      this.#run(callback, args);
    };
    this.#running.set(id, setTimeout(due, delayOf(ms)));
    return id;
  };

  readonly setInterval = (task: unknown, ms?: unknown, ...args: readonly unknown[]): number => {
    const callback = this.#checked(task);
    const id = ++this.#lastId;
    this.#running.set(id, setInterval(() => this.#run(callback, args), Math.max(1, delayOf(ms))));
    return id;
  };

  readonly clear = (id?: unknown): void => {
    const handle = this.#running.get(id as number);
    if (handle === undefined) return;
    this.#running.delete(id as number);
    clearTimeout(handle); // stops an interval as well
  };

  #checked(task: unknown): Task {
    if (typeof task !== "function") throw new TypeError("a timer needs a function");
    const { max } = this.#options;
    if (this.#running.size >= max) throw new RangeError(`${max} timers run already`);
    return task as Task;
  }

  #run(task: Task, args: readonly unknown[]): void {
    const { run, failed } = this.#options;
    run(() => {
      try {
        const result = task(...args);
        // An async task's failure is told like a synchronous one's.
        if (result instanceof Promise) void settled(result, failed);
      } catch (error) {
        failed(error);
      }
    });
  }
}

async function settled(result: Promise<unknown>, failed: (error: unknown) => void): Promise<void> {
  try {
    await result;
  } catch (error) {
    failed(error);
  }
}

function delayOf(ms: unknown): number {
  return typeof ms === "number" && ms > 0 ? Math.min(ms, DELAY_MAX_MS) : 0;
}
