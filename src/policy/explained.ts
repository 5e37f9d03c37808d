// An explanation as plain values, with the lines of the file: what the command line prints as JSON and the admin API answers.

import { formatPath, type Path } from "../config/places.ts";
import type { Explanation, Step, StepVerdict } from "./explain.ts";

/** One check, for somebody who has only the file before them. */
export interface PlainStep {
  readonly check: string;
  readonly verdict: StepVerdict;
  /** Where the configuration has it; null for what it has nowhere. */
  readonly path: string | null;
  /** Null where the file does not say it: a default holds. */
  readonly line: number | null;
  readonly why?: string;
  readonly code?: string;
  readonly action?: string;
  readonly retry_after_ms?: number;
  /** The close code that ends the session. */
  readonly close?: number;
}

/** What becomes of a message, and why. */
export interface PlainExplanation {
  readonly allowed: boolean;
  /** The check or rule that denies; null where none does. */
  readonly rule_id: string | null;
  readonly steps: readonly PlainStep[];
}

/** The places that an explanation names, each of which has a line or none. */
export function placesOf({ steps }: Explanation): Path[] {
  return steps.map(({ at }) => at).filter(({ length }) => length > 0);
}

/** @param lineOf the line of a place; null for what the file does not say */
export function plainly(
  { allowed, steps }: Explanation,
  lineOf: (path: Path) => number | null,
): PlainExplanation {
  const plain = steps.map((step) => plainStep(step, lineOf));
  return { allowed, rule_id: allowed ? null : steps.at(-1)!.check, steps: plain };
}

function plainStep(
  { check, verdict, at, denial, why }: Step,
  lineOf: (path: Path) => number | null,
): PlainStep {
  const nowhere = at.length === 0;
  return {
    check,
    verdict,
    path: nowhere ? null : formatPath(at),
    line: nowhere ? null : lineOf(at),
    ...(why === "" ? {} : { why }),
    ...(denial === null ? {} : {
      code: denial.refusal.code,
      action: denial.action,
      ...(denial.waitMs > 0 ? { retry_after_ms: Math.ceil(denial.waitMs) } : {}),
      ...(denial.refusal.close === undefined ? {} : { close: denial.refusal.close.code }),
    }),
  };
}
