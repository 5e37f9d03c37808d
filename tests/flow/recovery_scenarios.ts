// The scenarios of tests/vectors/recovery.json, as a test walks through them; docs/recovery.md says what each step is.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./gateway_process.ts";

export interface Step {
  readonly who?: string;
  readonly connect?: "authed" | "resumed" | "refused";
  readonly ticket?: boolean;
  readonly taken?: number;
  readonly replay?: number;
  readonly reason?: string;
  readonly join?: string;
  readonly say?: readonly string[];
  readonly sayLater?: readonly string[];
  readonly hear?: readonly string[];
  readonly unhear?: number;
  readonly ping?: number;
  readonly cut?: boolean;
  readonly close?: number;
  readonly wait_ms?: number;
}

export interface Scenario {
  readonly name: string;
  readonly steps: readonly Step[];
}

export const SCENARIOS = JSON.parse(
  readFileSync(join(ROOT, "tests/vectors/recovery.json"), "utf8"),
) as readonly Scenario[];
