// `--claim name=value`, for verbs that need a ticket's claims.

import { Option } from "commander";
import { readForeign } from "../protocol/json.ts";
import { JSON_DEPTH } from "../protocol/json_scan.ts";

/** The option, which may be repeated; its value is a list of texts. */
export function claimOption(description: string): Option {
  return new Option("--claim <name=value>", description)
    .argParser((value: string, before: readonly string[]) => [...before, value])
    .default([], "none");
}

/** Reads what was given; a text is what is wrong with it. */
export function readClaims(texts: readonly string[]): Record<string, unknown> | string {
  const claims: [string, unknown][] = [];
  for (const text of texts) {
    const at = text.indexOf("=");
    if (at < 1) return `--claim must be name=value, got "${text}"`;
    claims.push([text.slice(0, at), valueOf(text.slice(at + 1))]);
  }
  return Object.fromEntries(claims);
}

function valueOf(text: string): unknown {
  const read = readForeign(text, JSON_DEPTH, { wide: true });
  return read.ok ? read.value : text;
}
