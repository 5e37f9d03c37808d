// Time and chance, so that tests can have their own.

/** Where this library gets all its time from. */
export interface Clock {
  /** Milliseconds of a clock that nobody sets. */
  now(): number;
  /** Unix time in milliseconds. */
  unixMs(): number;
  setTimeout(run: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
}

/** The clock of the runtime. */
export const systemClock: Clock = {
  now: () => performance.now(),
  unixMs: () => Date.now(),
  setTimeout: (run, ms) => setTimeout(run, ms),
  clearTimeout: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout>),
};
