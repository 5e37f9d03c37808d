// Time as the state counts it: milliseconds that go on by a monotonic clock while the gateway runs, and over a restart by
// the machine's time since boot. So what waits gets older by the time that has really passed, whatever the wall clock is
// set to meanwhile.

import { readFileSync } from "node:fs";
import { uptime } from "node:os";
import type { StateDb } from "./state_db.ts";
import { type Steadiness, SteadyUnix } from "./steady_unix.ts";

/** The clocks of a machine. */
export interface Clocks {
  /** Unix time in milliseconds. */
  readonly unixMs: () => number;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Which boot this is, and milliseconds since then; null where nobody says. */
  readonly boot: () => Boot | null;
}

/** A boot of the machine. */
export interface Boot {
  /** "" where nobody says. */
  readonly id: string;
  readonly upMs: number;
}

/** After a boot the wall clock is all there is to tell how long the gateway was away, and it may be wrong: so much counts. */
const UNKNOWN_MS_MAX = 3_600_000;
const KEY = "time";

interface Saved extends Steadiness {
  readonly atMs: number;
  readonly unixMs: number;
  readonly boot: Boot | null;
}

export const SYSTEM_CLOCKS: Clocks = { unixMs: () => Date.now(), now: () => performance.now(), boot };

export class StateTime {
  readonly #clocks: Clocks;
  readonly #db: StateDb;
  /** What is added to the monotonic clock. */
  readonly #base: number;
  readonly steady: SteadyUnix;

  constructor(db: StateDb, clocks: Clocks) {
    this.#db = db;
    this.#clocks = clocks;
    const saved = read(db.meta(KEY));
    const unixMs = clocks.unixMs();
    this.#base = (saved === null ? unixMs : saved.atMs + awayMs(saved, clocks.boot(), unixMs)) - clocks.now();
    this.steady = new SteadyUnix(clocks.unixMs, () => this.now(), saved);
  }

  /** Milliseconds; where they start means nothing. */
  now(): number {
    return this.#base + this.#clocks.now();
  }

  /** Has the next start go on from here. */
  save(): void {
    const { unixMs, boot } = this.#clocks;
    const saved: Saved = {
      ...this.steady.steadiness,
      atMs: this.now(),
      unixMs: unixMs(),
      boot: boot(),
    };
    this.#db.setMeta(KEY, JSON.stringify(saved));
  }
}

/** How long nobody counted. */
function awayMs(saved: Saved, boot: Boot | null, unixMs: number): number {
  // Without ids it may be another boot; then it was longer, and what waits is kept longer.
  if (boot !== null && saved.boot?.id === boot.id && boot.upMs >= saved.boot.upMs) {
    return boot.upMs - saved.boot.upMs;
  }
  return Math.min(UNKNOWN_MS_MAX, Math.max(0, unixMs - saved.unixMs));
}

function read(text: string | null): Saved | null {
  if (text === null) return null;
  const saved = JSON.parse(text) as Saved;
  const isGood = [saved.atMs, saved.unixMs, saved.skewMs].every((value) => Number.isFinite(value));
  if (!isGood) throw new Error(`it is damaged: its time is ${text.slice(0, 100)}`);
  return saved;
}

function boot(): Boot | null {
  try {
    return { id: bootId(), upMs: uptime() * 1000 };
  } catch {
    return null; // Deno without --allow-sys=osUptime
  }
}

/** Linux says which boot it is; elsewhere, and on Deno, which keeps /proc for itself, nobody does. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}
