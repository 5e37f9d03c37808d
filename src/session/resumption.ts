// What makes a session outlive its connection: its tokens, the count of messages taken from its client, and the time for
// which nobody has been there. What its client has yet to be sent is its backlog's business.

import type { ConnectionUser } from "./connection.ts";
import type { Identity } from "./grant.ts";
import type { ResumeFailure, ResumeToken, ResumeTokens } from "./resume_tokens.ts";

/** What a greeting says to a client that may come back. */
export interface ResumeOffer {
  readonly token: string;
  readonly window_ms: number;
}

/** A session to which a client can come back. */
export interface ResumableSession extends ConnectionUser {
  readonly cbor: boolean;
  readonly addressGroup: string;
  /**
   * Its client is about to come back, and has heard so many of its messages.
   * @returns null when it may; "bad" for a number that cannot be
   */
  mayResume(heard: number): "overflow" | "bad" | null;
  /**
   * Its client is back, over a connection that is handed to it next; one that it has yet is left.
   * @returns false when it has ended since it was found
   */
  comeBack(heard: number, from: Pick<Identity, "address" | "addressGroup">): boolean;
  /** Nobody has come back within the time for that, or others need its place. */
  expire(): void;
}

/** Of one session. */
export class Resumption {
  /** Ext messages taken from the client, on all its connections. */
  taken = 0;
  /** When its connection was lost, by the gateway's monotonic clock; null while it has one. */
  detachedAt: number | null = null;
  /** What is told to a client that comes back after the end. */
  failure: ResumeFailure = "ended";
  readonly #tokens: ResumeTokens<ResumableSession>;
  readonly #session: ResumableSession;
  #current: ResumeToken;
  /** The token that the client came back with, until its end has answered for the current one. */
  #former: ResumeToken | null = null;

  constructor(tokens: ResumeTokens<ResumableSession>, session: ResumableSession) {
    this.#tokens = tokens;
    this.#session = session;
    this.#current = tokens.issue(session);
  }

  get token(): string {
    return this.#current.token;
  }

  /** The client came back, and is given another token. */
  renew(): void {
    // A client that comes back twice with the same one has never seen the other.
    if (this.#former === null) this.#former = this.#current;
    else this.#tokens.revoke(this.#current.digest);
    this.#current = this.#tokens.issue(this.#session);
  }

  /** The client's end has answered since it was given its token. */
  confirm(): void {
    if (this.#former === null) return;
    this.#tokens.revoke(this.#former.digest);
    this.#former = null;
  }

  /** The session is gone. @param keepMs how long the reason is told */
  end(keepMs: number): void {
    this.#tokens.end(this.#current.digest, this.failure, keepMs);
    if (this.#former !== null) this.#tokens.end(this.#former.digest, this.failure, keepMs);
  }
}
