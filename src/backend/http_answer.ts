// What an HTTP service answered: a reply and actions, a refusal for the client, or something that is neither. Foreign
// JSON is read here; nothing of it is believed before.

import type { HttpResponse } from "../outbound/http1.ts";
import type { NoAnswer } from "../outbound/wire.ts";
import { foreignRefusal, type Refusal } from "../protocol/codes.ts";
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
  if (value === undefined) return bad("the answer is no JSON object");
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
  const { code, msg } = json(response) ?? {};
  return foreignRefusal(code, msg);
}

function bad(msg: string): Failure {
  return { failed: "bad_answer", msg };
}

function json(response: HttpResponse): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(response.body));
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? value as Record<string, unknown>
      : undefined;
  } catch {
    return undefined;
  }
}
