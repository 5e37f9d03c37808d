// How deep JSON is nested, counted over its bytes before anything is built of it: an engine's parser and its writer need
// quadratic time, or all of the stack, for what is nested some ten thousand levels deep.

import { JSON_DEPTH_MAX } from "../protocol/json_scan.ts";

/** Levels of lists and objects within each other beyond which a host's words are garbage, whatever they are about. */
export const WORD_DEPTH_MAX = 2 * JSON_DEPTH_MAX;
/** Levels of what an extension returns, sends, publishes or keeps: as much as any tenant may allow. */
export const VALUE_DEPTH_MAX = JSON_DEPTH_MAX;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Whether a text is nested deeper than it may be; linear, whatever the bytes are. */
export function isTooDeep(bytes: Uint8Array, levelsMax: number): boolean {
  // Each level is two bytes at least, or one where the text ends before it does, and then it is no JSON.
  if (bytes.length <= levelsMax) return false;
  let level = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte === QUOTE) {
      for (at++; at < bytes.length && bytes[at] !== QUOTE; at++) if (bytes[at] === BACKSLASH) at++;
    } else if (byte === 0x5b || byte === 0x7b) {
      if (++level > levelsMax) return true;
    } else if (byte === 0x5d || byte === 0x7d) level--;
  }
  return false;
}
