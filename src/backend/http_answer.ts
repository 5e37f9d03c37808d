// What an HTTP service answered: a reply and actions, a refusal for the client, or something that is neither. Foreign
// JSON is read here; nothing of it is believed before.

import type { HttpResponse } from "../outbound/http1.ts";
import type { NoAnswer } from "../outbound/wire.ts";
import { foreignRefusal, type Refusal } from "../protocol/codes.ts";
import { readForeign } from "../protocol/json.ts";
import { JSON_DEPTH_MAX } from "../protocol/json_scan.ts";
import { type Action, readActions } from "../service/action.ts";

/** A good answer. `reply` is undefined where there is none. */
export interface Told {
  readonly ok: true;
  readonly reply: unknown;
  readonly actions: readonly Action[];
}

/** No answer that anybody can use; it counts against the backend. */
export interface Failure {
  readonly failed: "timeout" | "unreachable" | "broken" | "bad_answer" | "bad_status";
  /** In words, for the log. */
  readonly msg: string;
}

/** Reads an answer; a refusal is the client's. */
export function readAnswer(response: HttpResponse | NoAnswer): Told | Refusal | Failure {
  if (!response.ok) {
    return { failed: response.reason === "unreadable" ? "bad_answer" : response.reason, msg: response.msg };
  }
  const { status } = response;
  if (status >= 200 && status < 300) return readTold(response);
  if (status >= 400 && status < 500) {
    const refused = readRefusal(response);
    if (refused !== null) return refused;
  }
  return { failed: "bad_status", msg: `status ${status}` };
}

function readTold(response: HttpResponse): Told | Failure {
  if (response.body.length === 0) return { ok: true, reply: undefined, actions: [] };
  const value = json(response);
  if (typeof value === "string") return bad(`the answer ${value}`);
  for (const key of Object.keys(value)) {
    if (key !== "reply" && key !== "actions") {
      return bad(`the answer has ${JSON.stringify(key.slice(0, 40))} beside reply and actions`);
    }
  }
  const actions = readActions(value["actions"]);
  if (typeof actions === "string") return bad(actions);
  return { ok: true, reply: value["reply"], actions };
}

/** What else stands beside `code` and `msg` is the backend's own business. */
function readRefusal(response: HttpResponse): Refusal | null {
  const value = json(response);
  return typeof value === "string" ? null : foreignRefusal(value["code"], value["msg"]);
}

function bad(msg: string): Failure {
  return { failed: "bad_answer", msg };
}

/** Levels of an answer around its `data`, and those of `data` that a tenant may allow at most. */
const DEPTH_MAX = 4 + JSON_DEPTH_MAX;

/** What clients are told goes on as it came: the reply, and the data of actions. */
const raw = (key: string, level: number) => key === "reply" && level === 1 || key === "data" && level === 3;

/** The answer's object, or what is wrong with it. */
function json({ body }: HttpResponse): Readonly<Record<string, unknown>> | string {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch {
    return "is not UTF-8";
  }
  const read = readForeign(text, DEPTH_MAX, { raw });
  if (!read.ok) return read.why;
  const { value } = read;
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Record<string, unknown>
    : "is no JSON object";
}
