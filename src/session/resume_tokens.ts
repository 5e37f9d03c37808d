// By what a client comes back to its session. A token is good for one return, which brings the next one; the former stays
// good until the client's end has answered for the new one, or a cut at the wrong moment would lose the session. Tokens are
// kept as digests, so that what is looked up tells nothing of what would have been found. Of sessions that are gone the
// reason is kept for a while, for clients that come too late.

import { createHash } from "node:crypto";

/** Why a token leads to no session. */
export type ResumeFailure = "expired" | "unknown" | "overflow" | "ended";

interface Gone {
  readonly reason: ResumeFailure;
  readonly until: number;
}

/** Of a token, what nobody guesses: two ids. */
const SECRET_CHARS = 32;
/** Reasons that are kept; the oldest is forgotten first. */
const GONE_MAX = 100_000;

export class ResumeTokens<S> {
  readonly #newId: () => string;
  readonly #now: () => number;
  readonly #node: string;
  readonly #sessions = new Map<string, S>();
  readonly #gone = new Map<string, Gone>();

  /**
   * @param newId ids of 64 bits or more that are hard to guess
   * @param node behind each token, where there are several nodes: who has the session
   */
  constructor(newId: () => string, now: () => number, node = "") {
    this.#newId = newId;
    this.#now = now;
    this.#node = node;
  }

  /** Tokens that are good. */
  get size(): number {
    return this.#sessions.size;
  }

  issue(session: S): ResumeToken {
    const token = this.#newId() + this.#newId() + this.#node;
    const digest = digestOf(token);
    this.#sessions.set(digest, session);
    return { digest, token };
  }

  find(token: string): S | ResumeFailure {
    return this.findDigest(digestOf(token));
  }

  /** The token of this digest, which another node has given, leads to this session. */
  adopt(digest: string, session: S): void {
    this.#sessions.set(digest, session);
  }

  findDigest(digest: string): S | ResumeFailure {
    const session = this.#sessions.get(digest);
    if (session !== undefined) return session;
    const gone = this.#gone.get(digest);
    return gone === undefined || gone.until <= this.#now() ? "unknown" : gone.reason;
  }

  /** A token that was used leads nowhere any more. */
  revoke(digest: string): void {
    this.#sessions.delete(digest);
  }

  /** Its session is gone. @param keepMs how long the reason is told */
  end(digest: string, reason: ResumeFailure, keepMs: number): void {
    if (!this.#sessions.delete(digest)) return;
    const now = this.#now();
    for (const [oldest, { until }] of this.#gone) {
      if (until > now && this.#gone.size < GONE_MAX) break;
      this.#gone.delete(oldest);
    }
    this.#gone.set(digest, { reason, until: now + keepMs });
  }
}

/** What the client is given, and what is kept of it. */
export interface ResumeToken {
  readonly token: string;
  readonly digest: string;
}

/** The node that has given a token, where there are several nodes and they say so; null otherwise. */
export function nodeOf(token: string): string | null {
  return token.length > SECRET_CHARS ? token.slice(SECRET_CHARS) : null;
}

/** What is kept of a token. */
export function digestOf(token: string): string {
  return createHash("sha256").update(token).digest("base64url");
}
