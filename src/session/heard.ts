// How far a client says it is, in the data of a ping.

import type { Json } from "../protocol/json.ts";

/** @returns how many ext messages it has heard; undefined where it does not say, null where what it says is no number */
export function heardIn(data: Json | undefined): number | null | undefined {
  if (data === undefined || !data.text.startsWith("{")) return undefined;
  const read = data.read();
  // What cannot be read is not to be taken for silence: it may well have said something else.
  if (!read.ok) return data.text.includes("heard") ? null : undefined;
  if (!Object.hasOwn(read.value as object, "heard")) return undefined;
  const { heard } = read.value as { heard: unknown };
  return typeof heard === "number" && Number.isSafeInteger(heard) && heard >= 0 ? heard : null;
}
