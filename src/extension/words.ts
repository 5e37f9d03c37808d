// What comes from an extension host, read: JSON whose every word has one of the shapes in messages.ts, or it is nothing
// that a host of ours would say. What a word means is judged by whoever acts on it.

import { Buffer } from "node:buffer";
import { parseJson } from "../protocol/json.ts";
import { isTooDeep, WORD_DEPTH_MAX } from "./depth.ts";
import { type Hook, HOOKS, type HostWord, type LogLevel, type WorkerWord } from "./messages.ts";

/** A request as it came: an object of which only `op` is known. */
export interface RawRequest {
  readonly op: string;
  readonly [field: string]: unknown;
}

/** A worker's word, checked. */
export type ReadWord =
  | Exclude<WorkerWord, { readonly kind: "request" }>
  | {
    readonly kind: "request";
    readonly id: number;
    readonly call: number | null;
    readonly request: RawRequest;
  };

/** Longest text of a log line or an error, in characters; what is more was not bounded in the worker. */
const TEXT_CHARS_MAX = 65_536;
const WHY_CHARS_MAX = 1024;
const SLOTS_MAX = 65_536;

const LEVELS: readonly string[] = ["debug", "info", "warn", "error"] satisfies readonly LogLevel[];

/** Reads the chunk of a worker; null when it is none. */
export function readWorkerWords(body: Uint8Array): readonly ReadWord[] | null {
  return readWords(body, isWorkerWord) as readonly ReadWord[] | null;
}

/** Reads a chunk of the host itself; null when it is none. */
export function readHostWords(body: Uint8Array): readonly HostWord[] | null {
  return readWords(body, isHostWord) as readonly HostWord[] | null;
}

function readWords(body: Uint8Array, good: (word: Fields) => boolean): readonly unknown[] | null {
  if (isTooDeep(body, WORD_DEPTH_MAX)) return null;
  let words: unknown;
  try {
    words = parseJson(Buffer.from(body.buffer, body.byteOffset, body.length).toString());
  } catch { // SyntaxError, or RangeError where it is nested too deep
    return null;
  }
  return Array.isArray(words) && words.every((word) => isMap(word) && good(word)) ? words : null;
}

type Fields = Readonly<Record<string, unknown>>;

function isWorkerWord(word: Fields): boolean {
  switch (word["kind"]) {
    case "result":
      return isId(word["id"]);
    case "request":
      return isId(word["id"]) && isIdOrNull(word["call"]) && isMap(word["request"]) &&
        typeof word["request"]["op"] === "string";
    case "thrown":
      return isId(word["id"]) && isText(word["error"], TEXT_CHARS_MAX) &&
        (word["code"] === undefined || isText(word["code"], 64)) &&
        (word["msg"] === undefined || isText(word["msg"], TEXT_CHARS_MAX));
    case "log":
      return LEVELS.includes(word["level"] as string) && isText(word["text"], TEXT_CHARS_MAX) &&
        isIdOrNull(word["call"]);
    case "ready":
      return Array.isArray(word["hooks"]) && word["hooks"].length <= HOOKS.length &&
        word["hooks"].every((hook) => HOOKS.includes(hook as Hook));
    case "failed":
      return isText(word["error"], TEXT_CHARS_MAX);
    case "stopped":
      return true;
    default:
      return false;
  }
}

function isHostWord(word: Fields): boolean {
  switch (word["kind"]) {
    case "report":
      return isSize(word["rssBytes"]) && Array.isArray(word["workers"]) &&
        word["workers"].length <= SLOTS_MAX &&
        word["workers"].every((worker) =>
          isMap(worker) && isId(worker["slot"]) && isSize(worker["busyMs"]) && isSize(worker["heapBytes"])
        );
    case "hello": {
      const { walls } = word;
      return isMap(walls) &&
        ["permissions", "landlock", "seccomp"].every((wall) => isText(walls[wall], WHY_CHARS_MAX));
    }
    case "unsafe":
      return isText(word["why"], WHY_CHARS_MAX);
    case "gone":
      return isId(word["slot"]) && isText(word["why"], TEXT_CHARS_MAX);
    default:
      return false;
  }
}

function isMap(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isId(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isIdOrNull(value: unknown): boolean {
  return value === null || isId(value);
}

function isSize(value: unknown): boolean {
  return typeof value === "number" && value >= 0;
}

function isText(value: unknown, charsMax: number): boolean {
  return typeof value === "string" && value.length <= charsMax;
}
