// What comes from an extension host, read: JSON whose every event has one of the shapes in messages.ts, or it is nothing
// that a host of ours would say. What an event means is judged by whoever acts on it.

import { Buffer } from "node:buffer";
import { parseJson } from "../protocol/json.ts";
import { isTooDeep, WORD_DEPTH_MAX } from "./depth.ts";
import { type Hook, HOOKS, type HostEvent, type LogLevel, type WorkerEvent } from "../program/messages.ts";

/** A request as it came: an object of which only `op` is known. */
export interface RawRequest {
  readonly op: string;
  readonly [field: string]: unknown;
}

/** A worker's event, checked. */
export type ReadEvent =
  | Exclude<WorkerEvent, { readonly kind: "request" }>
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
export function readWorkerEvents(body: Uint8Array): readonly ReadEvent[] | null {
  return readEvents(body, isWorkerEvent) as readonly ReadEvent[] | null;
}

/** Reads a chunk of the host itself; null when it is none. */
export function readHostEvents(body: Uint8Array): readonly HostEvent[] | null {
  return readEvents(body, isHostEvent) as readonly HostEvent[] | null;
}

function readEvents(body: Uint8Array, good: (event: Fields) => boolean): readonly unknown[] | null {
  if (isTooDeep(body, WORD_DEPTH_MAX)) return null;
  let events: unknown;
  try {
    events = parseJson(Buffer.from(body.buffer, body.byteOffset, body.length).toString());
  } catch { // SyntaxError, or RangeError where it is nested too deep
    return null;
  }
  return Array.isArray(events) && events.every((event) => isMap(event) && good(event)) ? events : null;
}

type Fields = Readonly<Record<string, unknown>>;

function isWorkerEvent(event: Fields): boolean {
  switch (event["kind"]) {
    case "result":
      return isId(event["id"]);
    case "request":
      return isId(event["id"]) && isIdOrNull(event["call"]) && isMap(event["request"]) &&
        typeof event["request"]["op"] === "string";
    case "thrown":
      return isId(event["id"]) && isText(event["error"], TEXT_CHARS_MAX) &&
        (event["code"] === undefined || isText(event["code"], 64)) &&
        (event["msg"] === undefined || isText(event["msg"], TEXT_CHARS_MAX));
    case "log":
      return LEVELS.includes(event["level"] as string) && isText(event["text"], TEXT_CHARS_MAX) &&
        isIdOrNull(event["call"]);
    case "ready":
      return Array.isArray(event["hooks"]) && event["hooks"].length <= HOOKS.length &&
        event["hooks"].every((hook) => HOOKS.includes(hook as Hook));
    case "failed":
      return isText(event["error"], TEXT_CHARS_MAX);
    case "stopped":
      return true;
    default:
      return false;
  }
}

function isHostEvent(event: Fields): boolean {
  switch (event["kind"]) {
    case "report":
      return isSize(event["rssBytes"]) && Array.isArray(event["workers"]) &&
        event["workers"].length <= SLOTS_MAX &&
        event["workers"].every((worker) =>
          isMap(worker) && isId(worker["slot"]) && isSize(worker["busyMs"]) && isSize(worker["heapBytes"])
        );
    case "hello": {
      const { walls } = event;
      return isMap(walls) &&
        ["permissions", "landlock", "seccomp"].every((wall) => isText(walls[wall], WHY_CHARS_MAX));
    }
    case "unsafe":
      return isText(event["why"], WHY_CHARS_MAX);
    case "gone":
      return isId(event["slot"]) && isText(event["why"], TEXT_CHARS_MAX);
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
