// A service that is an extension: a message is a call of its `onMessage`, and what that returns is the reply.

import { foreignRefusal, type Refusal, refusal } from "../protocol/codes.ts";
import type { Envelope } from "../protocol/envelope.ts";
import { writeObject } from "../protocol/json.ts";
import { isData } from "../service/action.ts";
import { type Answer, type Context, DONE, type ExtService, UNKNOWN_TYPE } from "../service/service.ts";
import type { Outcome } from "./calls.ts";
import type { Extension } from "./extension.ts";
import type { MessageInput } from "../program/messages.ts";

const FAILED = refusal("INTERNAL", "the extension failed on this message");
const TOO_LATE = refusal("TIMEOUT", "the extension did not answer in time");
const GONE = refusal("UNAVAILABLE", "the extension was ended");
const NOT_THERE = refusal("UNAVAILABLE", "the extension is not available now");
const TOO_BUSY = refusal("UNAVAILABLE", "the extension has too much to do");
const TOO_DEEP = refusal("BAD_REQUEST", "data is nested too deep");

export class ExtensionService implements ExtService {
  readonly #extension: Extension;

  constructor(extension: Extension) {
    this.#extension = extension;
  }

  handle(context: Context, message: Envelope): Answer | Promise<Answer> {
    const input = messageInput(message);
    if (typeof input !== "string") return input;
    let settle: (answer: Answer) => void;
    const answer = new Promise<Answer>((resolve) => settle = resolve);
    const now = this.#extension.call("onMessage", input, context, (outcome) => settle(answerOf(outcome)));
    return now === null ? answer : answerOf(now);
  }
}

/** A message as hooks are given it, as JSON; refused where JavaScript, which reads it, would change its data. */
export function messageInput({ svc, type, room, seq, data }: Envelope): string | Refusal {
  const read = data?.read();
  if (read?.ok === false) return refusal("BAD_REQUEST", `data ${read.why}, which no extension can read`);
  return writeObject({ svc, type, room, seq, data: data ?? null } satisfies MessageInput);
}

function answerOf(outcome: Outcome): Answer {
  if (outcome.kind !== "value") return outcome.kind === "none" ? UNKNOWN_TYPE : refusalOf(outcome);
  const { value } = outcome;
  if (value === undefined) return DONE;
  return isData(value) ? { ok: true, reply: value } : FAILED;
}

/** What the sender is told of a call that brought no value. */
export function refusalOf(outcome: Exclude<Outcome, { readonly kind: "value" | "none" }>): Refusal {
  switch (outcome.kind) {
    case "thrown":
      return foreignRefusal(outcome.code, outcome.msg) ?? FAILED;
    case "timeout":
      return TOO_LATE;
    case "lost":
      return GONE;
    case "down":
      return NOT_THERE;
    case "shed":
      return TOO_BUSY;
    case "unwritable":
      return TOO_DEEP;
  }
}
