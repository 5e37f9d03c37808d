// A handshake that comes as an HTTP request: what its path, query and headers say, and how a refusal looks as an answer.

import { SUBPROTOCOL_CBOR, SUBPROTOCOL_JSON } from "../protocol/limits.ts";
import type { HttpRefusal, UpgradeAnswer, UpgradeRequest } from "../transport/port.ts";
import type { Admission } from "./admission.ts";
import type { Handshake, HandshakeAnswer, HandshakeRefusal } from "./handshake.ts";
import { resumeOf } from "./resume_request.ts";
import { findTicket } from "./ticket.ts";

/** Where WebSockets connect. */
export const WS_PATH = "/v1/ws";

const BAD_QUERY = "query must be percent-encoded UTF-8 that names nothing twice";
const NO_QUERY = new URLSearchParams();

/** A request as the handshake it stands for, and what it was read from. */
export interface ReadRequest extends Handshake {
  readonly path: string;
  readonly query: URLSearchParams;
  /** Subprotocols, in its order. */
  readonly offered: readonly string[];
}

/** What an upgrade request asks for; `fault` where its query cannot be read. */
export function readRequest(request: UpgradeRequest): ReadRequest {
  const { target, remoteAddress } = request;
  const at = target.indexOf("?");
  const readable = readQuery(at < 0 ? "" : target.slice(at + 1));
  const query = readable ?? NO_QUERY;
  const header = (name: string) => request.header(name);
  const offered = subprotocolsOf(header("sec-websocket-protocol"));
  return {
    path: at < 0 ? target : target.slice(0, at),
    query,
    offered,
    remoteAddress,
    header,
    fault: readable === null ? BAD_QUERY : null,
    tenant: query.get("tenant") ?? "",
    sid: query.get("sid"),
    ticket: findTicket(header("authorization"), offered, query),
    cbor: encodingOf(offered) === SUBPROTOCOL_CBOR,
    resume: resumeOf(offered, query),
  };
}

/** Answers the upgrade to a WebSocket. */
export function answerUpgrade(
  admission: Admission,
  request: UpgradeRequest,
): UpgradeAnswer | Promise<UpgradeAnswer> {
  const read = readRequest(request);
  const { path, offered } = read;
  const answer = path === WS_PATH
    ? admission.answer(read)
    : admission.noSuchPath(read, `WebSockets are served at ${WS_PATH}`);
  const protocol = encodingOf(offered);
  return answer instanceof Promise
    ? answer.then((settled) => asUpgrade(settled, protocol))
    : asUpgrade(answer, protocol);
}

function asUpgrade(answer: HandshakeAnswer, protocol: string | null): UpgradeAnswer {
  return "accept" in answer
    ? { accept: answer.accept, protocol, compression: answer.compression }
    : { refuse: httpRefusal(answer.refuse) };
}

/** A refusal as an HTTP answer with a JSON body. */
export function httpRefusal(
  { status, code, msg, retryAfterMs, ruleId }: HandshakeRefusal,
): HttpRefusal {
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (status === 401) headers["www-authenticate"] = "Bearer";
  if (retryAfterMs !== undefined) {
    headers["retry-after"] = String(Math.max(1, Math.ceil(retryAfterMs / 1000)));
  }
  // What is undefined is left out.
  const body = { code, msg, rule_id: ruleId, retry_after_ms: retryAfterMs };
  return { status, headers, body: JSON.stringify(body) };
}

function encodingOf(offered: readonly string[]): string | null {
  return offered.find((name) => name === SUBPROTOCOL_JSON || name === SUBPROTOCOL_CBOR) ?? null;
}

function subprotocolsOf(header: string | null): readonly string[] {
  return header === null ? [] : header.split(",").map((name) => name.trim());
}

/** A query's parameters, or null when it says something twice or cannot be decoded. */
function readQuery(text: string): URLSearchParams | null {
  try {
    decodeURIComponent(text);
  } catch {
    return null;
  }
  const query = new URLSearchParams(text);
  return new Set(query.keys()).size === query.size ? query : null;
}
