// Time and chance of a gateway, in one place, so that tests can bring their own.

import { randomBytes } from "node:crypto";
import type { Every } from "../service/service.ts";

/** Time and chance. */
export interface Clock {
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Unix time in milliseconds. */
  readonly unixMs: () => number;
  readonly every: Every;
  /** Resolves so many milliseconds later. */
  readonly wait: (ms: number) => Promise<void>;
  /** A new id, hard to guess, 16 characters of hexadecimal. */
  readonly newId: () => string;
  /** 0 up to, not including, 1; need not be hard to guess. */
  readonly random: () => number;
}

export const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  unixMs: () => Date.now(),
  every: (ms, task) => {
    const timer = setInterval(task, ms);
    return () => clearInterval(timer);
  },
  wait: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  newId: () => randomBytes(8).toString("hex"),
  random: () => Math.random(),
};
