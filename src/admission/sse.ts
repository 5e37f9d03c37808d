// Streams of events, as admission sees them: what their request says, which pages may ask, and what a message is.

import type { Refusal } from "../protocol/codes.ts";
import { decodeJson } from "../protocol/envelope.ts";
import type {
  EventsAnswer,
  EventsHandler,
  PageRule,
  ReadMessage,
  UpgradeRequest,
} from "../transport/port.ts";
import type { Admission, TenantEntry } from "./admission.ts";
import type { Handshake, HandshakeAnswer } from "./handshake.ts";
import { readResume } from "./resume_request.ts";
import { httpRefusal, readRequest } from "./upgrade.ts";

/** How our own errors begin, with the number of the message that they are about. */
const ERROR = /^\{"v":1,"svc":"sys","type":"error","seq":(\d+),/;

const BAD_HOT = 'hot must be "1" where it is there';

export class SseAdmission implements EventsHandler {
  readonly #admission: Admission;
  readonly #entries: ReadonlyMap<string, TenantEntry>;

  constructor(admission: Admission, entries: ReadonlyMap<string, TenantEntry>) {
    this.#admission = admission;
    this.#entries = entries;
  }

  open(request: UpgradeRequest): EventsAnswer | Promise<EventsAnswer> {
    const { query, ...read } = readRequest(request);
    const hot = query.get("hot");
    const handshake: Handshake = {
      ...read,
      cbor: false,
      fault: read.fault ?? (hot === null || hot === "1" ? null : BAD_HOT),
      resume: lastEvent(request.header("last-event-id")) ?? read.resume,
    };
    const wanted = { tenant: read.tenant, hot: hot === "1" };
    const answer = this.#admission.answer(handshake);
    return answer instanceof Promise
      ? answer.then((settled) => this.#answered(settled, wanted))
      : this.#answered(answer, wanted);
  }

  #answered(answer: HandshakeAnswer, { tenant, hot }: { tenant: string; hot: boolean }): EventsAnswer {
    if ("refuse" in answer) return { refuse: httpRefusal(answer.refuse) };
    return {
      accept: answer.accept,
      hot,
      pages: this.#pagesOf(tenant),
      mayResume: (token) => {
        const home = this.#entries.get(tenant)?.tenant;
        return home !== undefined && home.settings.resume !== null &&
          typeof home.resumeTokens.find(token) !== "string";
      },
    };
  }

  pages(request: UpgradeRequest): PageRule {
    return this.#pagesOf(readRequest(request).tenant);
  }

  read(message: string): ReadMessage | { readonly refuse: string } {
    const envelope = decodeJson(message);
    if (envelope.ok) return { key: envelope.key, seq: envelope.seq };
    const { code, msg }: Refusal = envelope.refusal;
    return { refuse: JSON.stringify({ code, msg }) };
  }

  refusedBy(message: string): number | null {
    const seq = ERROR.exec(message)?.[1];
    return seq === undefined ? null : Number(seq);
  }

  stranger({ remoteAddress, header }: UpgradeRequest): number {
    return this.#admission.mayAsk(remoteAddress, header);
  }

  /** The rule as it is when somebody asks: a reload may change it. */
  #pagesOf(tenant: string): PageRule {
    return {
      headers: ({ header }) => {
        const origin = header("origin");
        if (origin === null) return {};
        const rule = this.#entries.get(tenant)?.origins;
        if (rule === undefined || !rule.allows(origin, header("host"))) return null;
        // A page of anybody's comes without what the browser knows of its user.
        if (rule.allowsAny) return { "access-control-allow-origin": "*" };
        return {
          "access-control-allow-origin": origin,
          "access-control-allow-credentials": "true",
          vary: "origin",
        };
      },
    };
  }
}

/** What a browser's `EventSource` says when it comes back: the id of the last event, `<token>.<count>`. */
function lastEvent(id: string | null): Handshake["resume"] | null {
  const dot = id?.lastIndexOf(".") ?? -1;
  if (id === null || dot < 0) return null;
  const asked = readResume(id.slice(0, dot), id.slice(dot + 1));
  return asked.kind === "token" ? asked : null;
}
