// What makes a session outlive its connection: its tokens, the count of messages taken from its client, and the time for
// which nobody has been there. What its client has yet to be sent is its backlog's business.

import type { Frame } from "../protocol/frame.ts";
import type { Authed } from "../protocol/sys.ts";
import { sysResumed } from "../protocol/sys.ts";
import type { Context } from "../service/service.ts";
import type { Backlog } from "./backlog.ts";
import type { Connection } from "./connection.ts";
import type { ResumableSession } from "./resumable_session.ts";
import { digestOf, type ResumeFailure, type ResumeToken } from "./resume_tokens.ts";
import type { ResumeSettings } from "./settings.ts";
import type { Tenant } from "./tenant.ts";

/** What a greeting says to a client that may come back. */
export interface ResumeOffer {
  readonly token: string;
  readonly window_ms: number;
}

/** The session. */
export interface ResumptionOwner extends ResumableSession, Context {
  /** More waits for its client than may be kept. MUST end it. */
  overflow(): void;
}

/**
 * A client's own close code for "I will be back": a page that is put away must close its WebSocket, and browsers let it say
 * nothing below 3000 but the goodbye.
 */
const AWAY = 4006;

/** Close codes by which a client, or what lies between, tells of a lost connection rather than of a wish to go. */
const LOSSES: ReadonlySet<number> = new Set([1001, 1006, 1011, 1012, 1013, 1014, AWAY]);

/** How long it is told why a session ended, at the least; as long as its window otherwise. */
const REASON_MS_MIN = 60_000;

/** How the connection goes of a client that comes back before its loss was noticed. */
export const TAKEN_OVER: LostConnection = { code: 1006, reason: "connection_replaced" };

/** Of one session. */
export class Resumption {
  /** Ext messages taken from the client, on all its connections. */
  taken = 0;
  /** What is told to a client that comes back after the end. */
  failure: ResumeFailure = "ended";
  readonly #tenant: Tenant;
  readonly #owner: ResumptionOwner;
  /** Those that held when last looked at: they go on for who is there when a reload takes resuming away. */
  #settings: ResumeSettings;
  /** When its connection was lost, by the gateway's monotonic clock; null while it has one. */
  #detachedAt: number | null = null;
  #current: ResumeToken;
  /** The token that the client came back with, until its end has answered for the current one. */
  #former: string | null = null;

  constructor(tenant: Tenant, owner: ResumptionOwner, settings: ResumeSettings) {
    this.#tenant = tenant;
    this.#owner = owner;
    this.#settings = settings;
    this.#current = tenant.resumeTokens.issue(owner);
  }

  /**
   * It goes on here as it was on another node, its client away for so long.
   * @param digest of the token that the client has
   */
  arrive(taken: number, detachedMs: number, digest: string): void {
    const { gateway, metrics, detached, resumeTokens } = this.#tenant;
    this.taken = taken;
    this.#detachedAt = gateway.now() - detachedMs;
    this.#former = digest;
    resumeTokens.adopt(digest, this.#owner);
    metrics.detached++;
    detached.add(this.#owner);
  }

  /** It goes on at another node. */
  depart(): void {
    const { metrics, detached, resumeTokens } = this.#tenant;
    resumeTokens.revoke(this.#current.digest);
    if (this.#former !== null) resumeTokens.revoke(this.#former);
    if (detached.delete(this.#owner)) metrics.detached--;
    this.#detachedAt = null;
  }

  /** Digests of the tokens that lead to it. */
  get digests(): readonly string[] {
    return this.#former === null ? [this.#current.digest] : [this.#current.digest, this.#former];
  }

  /** What may be kept and for how long, as it is now. */
  get settings(): ResumeSettings {
    return this.#settings = this.#tenant.settings.resume ?? this.#settings;
  }

  get offer(): ResumeOffer {
    return { token: this.#current.token, window_ms: this.settings.windowMs };
  }

  get detachedMs(): number | null {
    return this.#detachedAt === null ? null : this.#tenant.gateway.now() - this.#detachedAt;
  }

  /** Until when the client may come back, on the gateway's clock; infinite while it is there. */
  get awayUntil(): number {
    const { resume } = this.#tenant.settings;
    if (this.#detachedAt === null) return Number.POSITIVE_INFINITY;
    return this.#detachedAt + (resume?.windowMs ?? 0);
  }

  /** Whether a connection that ended so leaves a session behind. */
  survives(code: number): boolean {
    return LOSSES.has(code) && this.#tenant.settings.resume !== null;
  }

  /**
   * The connection is gone, and the session waits for its client.
   * @param unwritten ext frames that it never wrote; null where some were lost
   * @param backlog the session's
   */
  detach(backlog: Backlog, unwritten: readonly Frame[] | null, { code, reason }: LostConnection): void {
    const { gateway, metrics, watchers, detached, id } = this.#tenant;
    const owner = this.#owner;
    this.#detachedAt = gateway.now();
    metrics.sessions--;
    metrics.detached++;
    detached.add(owner);
    const fits = backlog.detach(unwritten ?? []);
    if (!fits || unwritten === null) return owner.overflow();
    owner.schedule();
    const { user, session, traceId } = owner;
    gateway.access.line("session detached", { tenant: id, user, session, trace_id: traceId, code, reason });
    for (const watcher of watchers) watcher.detached(owner, { code, reason });
    // The client of one that was taken over is here: nobody goes for its sake.
    if (reason !== TAKEN_OVER.reason) this.#tenant.boundDetached();
  }

  /** The client is back, over this connection, and hears first how far both sides are. */
  resumed(backlog: Backlog, connection: Connection, greeting: () => Authed): void {
    const { gateway, metrics, watchers, detached, id, settings: { dispatcher } } = this.#tenant;
    const owner = this.#owner;
    const detachedMs = Math.round(this.detachedMs!);
    this.#detachedAt = null;
    detached.delete(owner);
    metrics.detached--;
    metrics.sessions++;
    metrics.resumes.add({ outcome: "ok" });
    const { user, session, traceId } = owner;
    const who = { tenant: id, user, session, trace_id: traceId };
    gateway.access.line("session resumed", { ...who, detached_ms: detachedMs });
    for (const watcher of watchers) watcher.resumed(owner, detachedMs);
    connection.attached();
    connection.resumable(this.#current.token, owner.replay!.sentCount);
    const told = { ...greeting(), heard: this.taken, replay: backlog.count };
    connection.send(sysResumed(traceId, told));
    // Once the peer's end has answered, its former token is of no use any more.
    connection.ping();
    // On some runtimes a write finds a dead connection inside the call: then the session waits again already.
    if (this.#detachedAt !== null) return;
    backlog.attach(connection);
    owner.schedule();
    for (const membership of owner.memberships.values()) dispatcher.resumed(membership);
  }

  /** An ext message is taken from the client. */
  count(): void {
    this.taken++;
    if (this.#former !== null) this.confirm();
  }

  /** The client's end has answered since it was given its token. */
  confirm(): void {
    if (this.#former === null) return;
    this.#tenant.resumeTokens.revoke(this.#former);
    this.#former = null;
  }

  /** The session is gone, and the reason is told for a while to who comes too late. */
  end(): void {
    const { resumeTokens, settings } = this.#tenant;
    const keepMs = settings.resume === null ? 0 : Math.max(settings.resume.windowMs, REASON_MS_MIN);
    resumeTokens.end(this.#current.digest, this.failure, keepMs);
    if (this.#former !== null) resumeTokens.end(this.#former, this.failure, keepMs);
  }

  /**
   * The client comes back with this token, and another takes its place; it stays good itself until the client's end
   * has answered for the other.
   * @returns false when it is not good any more
   */
  accept(token: string): boolean {
    const { resumeTokens } = this.#tenant;
    const digest = digestOf(token);
    if (digest === this.#current.digest) {
      this.confirm();
      this.#former = digest;
    } else if (digest !== this.#former) return false;
    // It has never seen the current one.
    else resumeTokens.revoke(this.#current.digest);
    this.#current = resumeTokens.issue(this.#owner);
    return true;
  }
}

/** How a connection went. */
export interface LostConnection {
  readonly code: number;
  readonly reason: string;
}
