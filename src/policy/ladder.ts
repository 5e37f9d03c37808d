// What a rule does about violations: the nth within its window takes the nth step, the last step repeats.

import type { RuleConfig } from "../config/schema.ts";
import { CLOSE, type CloseCode } from "../protocol/codes.ts";
import type { Action } from "./denial.ts";
import type { RuleStanding } from "./matter.ts";

/** One step, compiled. */
export interface Step {
  readonly action: Action;
  /** How long the session is muted for; 0 for not. */
  readonly muteMs: number;
  readonly banMs: number;
  /** How the session ends; null where it does not. */
  readonly close: CloseCode | null;
}

export class Ladder {
  readonly #windowMs: number;
  readonly #steps: readonly Step[];

  constructor({ then, window_ms: windowMs }: Pick<RuleConfig, "then" | "window_ms">) {
    this.#windowMs = windowMs;
    this.#steps = then.map(compile);
  }

  /** Enters a violation. @returns what it leads to */
  step({ violations }: RuleStanding, now: number): Step {
    const steps = this.#steps, since = now - this.#windowMs;
    let past = 0;
    while (past < violations.length && violations[past]! <= since) past++;
    // The last step repeats, so that no more violations than there are steps need to be remembered.
    const surplus = violations.length - past + 1 - steps.length;
    violations.splice(0, past + Math.max(0, surplus));
    violations.push(now);
    return steps[violations.length - 1]!;
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
