// What the schema is built from: a value with its range, default and meaning.

import * as z from "zod";
import { NAME_PATTERN, NAME_RULE } from "../protocol/limits.ts";

/** Largest rate or burst. */
const RATE_MAX = 1_000_000_000;

export function whole(min: number, max: number, preset: number, description: string) {
  return z.int().min(min).max(max).default(preset).meta({ description });
}

/** A count where 0 stands for no limit. */
export function limit(description: string, preset = 0) {
  return whole(0, Number.MAX_SAFE_INTEGER, preset, `${description} 0: no limit.`);
}

export function rate(preset: number, description: string) {
  return whole(1, RATE_MAX, preset, description);
}

export function flag(preset: boolean, description: string) {
  return z.boolean().default(preset).meta({ description });
}

export function name(description: string) {
  return z.string().regex(NAME_PATTERN).meta({ description, wish: NAME_RULE });
}

export function text(good: (value: string) => boolean, meta: { description: string; wish: string }) {
  return z.string().refine(good).meta(meta);
}

/** A text that no message shows. */
export function secret(description: string) {
  return z.string().min(1).meta({ description, wish: "a text", secret: true });
}
