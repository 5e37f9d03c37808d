// What a rule does about violations: the nth within its window takes the nth step, the last step repeats. A escalation that
// ends sessions is climbed by users, or whoever is shown out would begin anew at the next connection.

import type { RuleConfig } from "../config/schema.ts";
import { CLOSE, type CloseCode } from "../protocol/codes.ts";
import type { Action } from "./denial.ts";

/** One step, compiled. */
export interface Step {
  readonly action: Action;
  /** How long the session is muted for; 0 for not. */
  readonly muteMs: number;
  readonly banMs: number;
  /** How the session ends; null where it does not. */
  readonly close: CloseCode | null;
}

/** When the last violations were, the oldest first; no more than the escalation has steps. */
export type Violations = number[];

export class Escalation {
  /** Whether the violations of all sessions of a user are counted together. */
  readonly perUser: boolean;
  readonly #windowMs: number;
  readonly #steps: readonly Step[];

  constructor({ then, window_ms: windowMs, rate }: Pick<RuleConfig, "then" | "window_ms" | "rate">) {
    this.#windowMs = windowMs;
    this.#steps = then.map(compile);
    this.perUser = rate?.per === "user" || this.#steps.some(({ close }) => close !== null);
  }

  /** From when on violations count. */
  since(now: number): number {
    return now - this.#windowMs;
  }

  /** Enters a violation. @returns what it leads to */
  step(violations: Violations, now: number): Step {
    const steps = this.#steps, since = this.since(now);
    let past = 0;
    while (past < violations.length && violations[past]! <= since) past++;
    // The last step repeats, so that no more violations than there are steps need to be remembered.
    const surplus = violations.length - past + 1 - steps.length;
    violations.splice(0, past + Math.max(0, surplus));
    violations.push(now);
    return steps[violations.length - 1]!;
  }
}

/** Ladders looked at for each new one: more than come, so that those which are over do not pile up. */
const LOOKS = 2;

/** The violations of many users, forgotten once none of them counts any more. Their number is bounded. */
export class UserViolations {
  readonly #max: number;
  /** In the order in which they were last looked at. */
  readonly #of = new Map<string, Violations>();

  /** @param max how many users are remembered at most; beyond it, the oldest are forgotten early */
  constructor(max = 100_000) {
    this.#max = max;
  }

  get size(): number {
    return this.#of.size;
  }

  /** Those of one user, to be written to. @param since from when on violations count */
  of(user: string, since: number): Violations {
    let violations = this.#of.get(user);
    if (violations !== undefined) return violations;
    this.#forget(since);
    this.#of.set(user, violations = []);
    return violations;
  }

  clear(): void {
    this.#of.clear();
  }

  #forget(since: number): void {
    for (let i = 0; i < LOOKS && this.#of.size > 0; i++) {
      const [user, violations] = this.#of.entries().next().value!;
      this.#of.delete(user);
      // Some count still: it goes behind all others, and the next look is at another one.
      if ((violations.at(-1) ?? since) > since && this.#of.size < this.#max - 1) {
        this.#of.set(user, violations);
      }
    }
  }
}

function compile(step: RuleConfig["then"][number]): Step {
  const none = { muteMs: 0, banMs: 0, close: null };
  if (typeof step === "string") return { action: step, ...none };
  if ("mute_ms" in step) return { action: "mute", ...none, muteMs: step.mute_ms };
  if ("ban_ms" in step) return { action: "ban", ...none, banMs: step.ban_ms, close: CLOSE.banned };
  const close = Object.values(CLOSE).find(({ code }) => code === step.close);
  return { action: "close", ...none, close: close ?? CLOSE.policyViolation };
}
