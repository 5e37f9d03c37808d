// Ends many sessions one after the other, spread over a time, so that they do not arrive elsewhere, or try again, all at
// once: at a drain, and when a tenant is suspended or removed.

import { CLOSE, type Refusal } from "../protocol/codes.ts";
import { sysRefused } from "../protocol/sys.ts";
import type { SessionHandle } from "../session/session_handle.ts";
import type { Clock } from "./clock.ts";

/** Between two looks at whose turn it is. */
const STEP_MS = 50;

export interface StaggeredCloseOptions {
  readonly sessions: readonly SessionHandle[];
  /** Time until the last one ends, in milliseconds. */
  readonly overMs: number;
  /** Ends a session; it MAY have ended already. */
  readonly end: (session: SessionHandle) => void;
  /** Whether all have left already, by themselves perhaps. */
  readonly isEmpty: () => boolean;
  readonly clock: Pick<Clock, "now" | "every">;
}

export class StaggeredClose {
  readonly #options: StaggeredCloseOptions;
  #cancelled = false;

  constructor(options: StaggeredCloseOptions) {
    this.#options = options;
  }

  /** When the session at `index` ends, in milliseconds from the start. */
  endsAfter(index: number): number {
    const { sessions, overMs } = this.#options;
    return overMs * (index + 1) / sessions.length;
  }

  /** Begins. Resolves with whether all have gone; otherwise it was cancelled. */
  async start(): Promise<boolean> {
    const { sessions, end, isEmpty, clock } = this.#options;
    const since = clock.now();
    let next = 0;
    await poll(clock, () => {
      const elapsed = clock.now() - since;
      while (!this.#cancelled && next < sessions.length && this.endsAfter(next) <= elapsed) {
        end(sessions[next++]!);
      }
      return this.#cancelled || next === sessions.length || isEmpty();
    });
    return !this.#cancelled;
  }

  /** Whoever is still there stays. */
  cancel(): void {
    this.#cancelled = true;
  }
}

/** Asks now and then until the answer is yes. */
export function poll(clock: Pick<Clock, "every">, isDone: () => boolean): Promise<void> {
  if (isDone()) return Promise.resolve();
  return new Promise((resolve) => {
    const stop = clock.every(STEP_MS, () => {
      if (!isDone()) return;
      stop();
      resolve();
    });
  });
}

/** Ends a session with the refusal that is to blame. */
export function endRefused(session: SessionHandle, refused: Refusal): void {
  session.end(refused.close ?? CLOSE.policyViolation, sysRefused(session.traceId, refused, { seq: null }));
}
