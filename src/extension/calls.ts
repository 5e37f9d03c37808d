// Calls of an extension that are under way, in the order in which they were made, which is that of their deadlines. One
// look finds those whose time is over; no call has a timer.

import type { Context } from "../service/service.ts";
import type { Hook } from "../program/messages.ts";

/** What became of a call. */
export type Outcome =
  /** @property value what the hook returned, undefined for nothing */
  | { readonly kind: "value"; readonly value: unknown }
  /** The hook threw; with a code it was meant for the client. */
  | { readonly kind: "thrown"; readonly code: string | undefined; readonly msg: string }
  /** No answer in time. */
  | { readonly kind: "timeout" }
  /** Its worker has ended. */
  | { readonly kind: "lost" }
  /** There is no worker now. */
  | { readonly kind: "down" }
  /** Too many calls wait already. */
  | { readonly kind: "shed" }
  /** Its input cannot be written. */
  | { readonly kind: "unwritable" }
  /** The extension does not have this hook. */
  | { readonly kind: "none" };

/** Outcomes that have nothing more to say. */
export const OUTCOME = {
  timeout: { kind: "timeout" },
  lost: { kind: "lost" },
  down: { kind: "down" },
  shed: { kind: "shed" },
  unwritable: { kind: "unwritable" },
  none: { kind: "none" },
} as const satisfies Readonly<Record<string, Outcome>>;

export type Settle = (outcome: Outcome) => void;

export interface Call {
  readonly id: number;
  readonly hook: Hook;
  /** Whose call it is; null where no session called. */
  readonly context: Context | null;
  readonly startedAt: number;
  readonly deadline: number;
  /** Null where nobody waits for the outcome. */
  readonly settle: Settle | null;
}

export class Calls {
  readonly #calls = new Map<number, Call>();
  #lastId = 0;
  /** Calls that were given up; the worker may answer them yet. */
  #late = 0;

  get size(): number {
    return this.#calls.size;
  }

  nextId(): number {
    return ++this.#lastId;
  }

  add(call: Call): void {
    this.#calls.set(call.id, call);
  }

  find(id: number): Call | undefined {
    return this.#calls.get(id);
  }

  /** The call that is answered now; "late" for one that was given up, null for one that there never was. */
  take(id: number): Call | "late" | null {
    const call = this.#calls.get(id);
    if (call !== undefined) {
      this.#calls.delete(id);
      return call;
    }
    if (this.#late === 0 || id > this.#lastId) return null;
    this.#late--;
    return "late";
  }

  /** Gives up those whose time is over. */
  *expired(now: number): Generator<Call> {
    for (const call of this.#calls.values()) {
      if (call.deadline > now) return;
      this.#calls.delete(call.id);
      this.#late++;
      yield call;
    }
  }

  /** Gives up all of them. @param workerLives whether it may answer them yet */
  lose(workerLives: boolean): readonly Call[] {
    const lost = [...this.#calls.values()];
    this.#calls.clear();
    this.#late = workerLives ? this.#late + lost.length : 0;
    return lost;
  }
}
