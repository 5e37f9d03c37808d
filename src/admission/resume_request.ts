// What a handshake says of coming back to a session: nothing, that its client may want to, or with which token and how much
// it has heard. In the query, or as a subprotocol, where neither logs nor pages see it.

import type { Connection, ConnectionUser } from "../session/connection.ts";
import { CLOSE, refusal } from "../protocol/codes.ts";
import { SUBPROTOCOL_RESUME } from "../protocol/limits.ts";
import { sysRefused } from "../protocol/sys.ts";
import type { ResumableSession, ReturnRequest } from "../session/resumable_session.ts";

export type ResumeRequest =
  | { readonly kind: "no" }
  | { readonly kind: "asked" }
  | { readonly kind: "token"; readonly token: string; readonly heard: number }
  | { readonly kind: "bad" };

const NO: ResumeRequest = { kind: "no" };
const BAD: ResumeRequest = { kind: "bad" };

/** What subprotocols as they were offered say, else the query. */
export function resumeOf(offered: readonly string[], query: URLSearchParams): ResumeRequest {
  for (const name of offered) {
    if (name === SUBPROTOCOL_RESUME) return { kind: "asked" };
    if (!name.startsWith(`${SUBPROTOCOL_RESUME}.`)) continue;
    const [token = "", heard = ""] = name.slice(SUBPROTOCOL_RESUME.length + 1).split(".");
    return tokenOf(token, heard);
  }
  return readResume(query.get("resume"), query.get("heard"));
}

/** @param resume "1", or a token with what was `heard` */
export function readResume(resume: string | null, heard: string | null): ResumeRequest {
  if (resume === null) return heard === null ? NO : BAD;
  if (resume === "1") return heard === null ? { kind: "asked" } : BAD;
  return tokenOf(resume, heard ?? "");
}

function tokenOf(token: string, heard: string): ResumeRequest {
  const count = Number(heard);
  const good = /^[A-Za-z0-9_-]{16,128}$/.test(token) && /^(0|[1-9][0-9]{0,15})$/.test(heard) &&
    Number.isSafeInteger(count);
  return good ? { kind: "token", token, heard: count } : BAD;
}

const GONE = refusal("UNAVAILABLE", "session has ended meanwhile", CLOSE.internal);

export interface ReturnOptions extends ReturnRequest {
  readonly session: ResumableSession;
}

/** What a connection does from its handshake to its session, to which its client comes back. */
export class Return implements ConnectionUser {
  readonly traceId: string;
  readonly replay = null;
  readonly #options: ReturnOptions;

  constructor(options: ReturnOptions) {
    this.#options = options;
    this.traceId = options.session.traceId;
  }

  opened(connection: Connection): void {
    const { session } = this.#options;
    if (session.comeBack(this.#options)) return connection.handTo(session);
    connection.send(sysRefused(this.traceId, GONE, { seq: null }));
    connection.close(CLOSE.internal, true);
  }

  // It hands on, or closes, at once.

  text(): void {}
  binary(): void {}
  control(): void {}
  ponged(): void {}
  drained(): void {}
  timedOut(): void {}
  tooSlow(): void {}
  lost(): void {}
}
