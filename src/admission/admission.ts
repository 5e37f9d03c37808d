// Who may connect, over whatever transport. The checks run from cheap to dear: draining, the limiter, tenant, origin,
// capacity, and only then the ticket. The answer to a bad ticket comes a moment later.

import type { Log } from "../log.ts";
import { Counts } from "../metrics/metrics.ts";
import type { Refusal } from "../protocol/codes.ts";
import { NAME_PATTERN, NAME_RULE } from "../protocol/limits.ts";
import type { AccessLog } from "../session/access_log.ts";
import { Connection, type ConnectionUser } from "../session/connection.ts";
import type { Grant, Identity } from "../session/grant.ts";
import type { ResumeFailure } from "../session/resume_tokens.ts";
import { Session } from "../session/session.ts";
import type { Tenant } from "../session/tenant.ts";
import type { Tracer } from "../tracing/tracer.ts";
import type { AddressFinder } from "./address.ts";
import type { Delay } from "./delay.ts";
import { traceHandshake } from "./handshake_trace.ts";
import type { Handshake, HandshakeAnswer, HandshakeRefusal } from "./handshake.ts";
import type { HandshakeLimiter } from "./limiter.ts";
import type { OriginRule } from "./origin.ts";
import { RefusalLog } from "./refusal_log.ts";
import { Return } from "./resume_request.ts";
import { type Retry, SPREAD_MS } from "./retry.ts";
import type { Outcome, TenantAuth } from "./tenant_auth.ts";
import { TicketWait, type TicketWaits } from "./ticket_wait.ts";
import {
  BAD_TICKET,
  banned,
  type Bearer,
  isBad,
  NO_TICKET,
  QUERY_TICKET,
  type Unverified,
  WRONG_SID,
} from "./verifier.ts";

/** After a capacity refusal: come back no sooner, milliseconds. */
const CAPACITY_RETRY_MS = 1000;

/** A tenant, seen from outside; a reload changes all but the tenant itself. */
export interface TenantEntry {
  readonly tenant: Tenant;
  auth: TenantAuth;
  origins: OriginRule;
  /** Null where every client must bring its ticket along. */
  waits: TicketWaits | null;
}

export interface AdmissionOptions {
  readonly entries: ReadonlyMap<string, TenantEntry>;
  readonly limiter: HandshakeLimiter;
  /** For requests that are no handshake. */
  readonly requestLimiter: HandshakeLimiter;
  readonly delay: Delay;
  readonly retry: Retry;
  readonly log: Log;
  readonly access: AccessLog;
  /** Null where nothing is traced. */
  readonly tracer: Tracer | null;
  readonly now: () => number;
  /** A new name for a session or a trace, unique in this process. */
  readonly newId: () => string;
  readonly config: HandshakeConfig;
}

/** What the configuration says of every handshake, whoever it is for. */
export interface HandshakeConfig {
  readonly addresses: AddressFinder;
  /** Milliseconds a refused client should stay away while the gateway drains. */
  readonly drainRetryMs: number;
}

/** Who asks, as far as that is understood. */
interface Caller {
  readonly address: string;
  readonly addressGroup: string;
  /** Null before the tenant is known. */
  readonly entry: TenantEntry | null;
}

/** Who passed all but the ticket. */
interface AdmissibleCaller extends Caller {
  readonly entry: TenantEntry;
  /** What the client asked for. */
  readonly sid: string | null;
  readonly traceId: string;
  readonly cbor: boolean;
  readonly resume: Identity["resume"];
}

const DRAINING_MSG = "gateway is draining";

export class Admission {
  /** Refusals before the tenant was known, by `reason`. */
  readonly strayRejections = new Counts();
  #config: HandshakeConfig;
  readonly #options: AdmissionOptions;
  readonly #refusals: RefusalLog;
  #draining = false;
  #waiting = false;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#refusals = new RefusalLog(options);
  }

  /** Another configuration holds for handshakes from now on. */
  apply(config: HandshakeConfig): void {
    this.#config = config;
  }

  /** Whether every handshake is answered with 503 for now: what the gateway needs is not there yet. */
  hold(waiting: boolean): void {
    this.#waiting = waiting;
  }

  /** From now on every handshake is answered with 503, and who has not brought a ticket yet is sent elsewhere. */
  drain(): void {
    this.#draining = true;
    const { entries, retry } = this.#options;
    const { drainRetryMs } = this.#config;
    for (const { waits } of entries.values()) waits?.drain(() => retry.after(drainRetryMs, SPREAD_MS.all));
  }

  /**
   * Whether a plain request may be answered: its bounds are those of handshakes, in buckets of their own, so that neither
   * costs the other.
   * @returns the milliseconds to wait, 0 for none
   */
  mayAsk(remoteAddress: string, header: Handshake["header"]): number {
    const { requestLimiter, now } = this.#options;
    const { addresses } = this.#config;
    const addressGroup = addresses.group(addresses.find(remoteAddress, header));
    return requestLimiter.take(addressGroup, now())?.waitMs ?? 0;
  }

  /** Answers a handshake: with the handler of its link, or with why there is none. */
  answer(handshake: Handshake): HandshakeAnswer | Promise<HandshakeAnswer> {
    const { tracer } = this.#options;
    if (tracer === null) return this.#answer(handshake);
    return traceHandshake(tracer, handshake, () => this.#answer(handshake));
  }

  #answer(handshake: Handshake): HandshakeAnswer | Promise<HandshakeAnswer> {
    const { limiter, now, retry } = this.#options;
    const { tenant, sid, cbor } = handshake;
    const caller = this.#callerOf(handshake);
    const { entry, address, addressGroup } = caller;
    if (this.#draining) return this.#denyDraining(caller);
    if (this.#waiting) return this.#denyWaiting(caller);
    const limited = limiter.take(addressGroup, now());
    if (limited !== null) {
      const { reason, waitMs } = limited;
      const retryAfterMs = retry.after(waitMs, reason === "global_rate" ? SPREAD_MS.all : SPREAD_MS.one);
      const msg = "too many handshakes";
      return this.#deny({ status: 429, code: "RATE_LIMITED", msg, reason, retryAfterMs }, caller);
    }
    if (handshake.fault !== null) {
      return this.#deny(
        { status: 400, code: "BAD_REQUEST", msg: handshake.fault, reason: "bad_query" },
        caller,
      );
    }
    if (entry === null) {
      const msg = tenant === "" ? "query needs tenant=<id>" : "no such tenant";
      return this.#deny({ status: 400, code: "BAD_REQUEST", msg, reason: "unknown_tenant" }, caller);
    }
    const { closed } = entry.tenant.registry;
    if (closed !== null) return this.#denyClosed(closed, caller);
    if (sid !== null && !NAME_PATTERN.test(sid)) {
      const msg = `sid must be ${NAME_RULE}`;
      return this.#deny({ status: 400, code: "BAD_REQUEST", msg, reason: "bad_sid" }, caller);
    }
    const origin = handshake.header("origin");
    if (origin !== null && !entry.origins.allows(origin, handshake.header("host"))) {
      this.#refusals.origin(entry.tenant.id, origin);
      const msg = "pages of this origin may not connect";
      return this.#deny({ status: 403, code: "NOT_ALLOWED", msg, reason: "origin" }, caller);
    }
    const { resume: asked } = handshake;
    if (asked.kind === "bad") return this.#denyResume(caller);
    const resumed = asked.kind === "token" ? this.#resume(asked, { caller, entry, cbor }) : asked.kind;
    if (typeof resumed !== "string") return resumed;
    const full = this.#denyFull(caller, entry);
    if (full !== null) return full;
    const traceId = this.#options.newId();
    const admissible: AdmissibleCaller = { ...caller, entry, sid, cbor, traceId, resume: resumed };
    const { auth } = entry;
    const headers = pick(auth.headers, handshake);
    const { ticket: found } = handshake;
    if (found?.way === "query" && !auth.config.allow_query_ticket) {
      return this.#refuse(auth.refuse(QUERY_TICKET, "query", addressGroup), admissible);
    }
    const bearer: Bearer = { ticket: found?.ticket ?? null, address, origin, headers, renews: null };
    if (found === null && !auth.speaksFor(headers)) {
      if (resumed !== "no" && resumed !== "asked") return this.#denyReturn(resumed, admissible);
      if (entry.waits !== null) return this.#letWait(entry.waits, admissible, bearer);
      return this.#refuse(auth.refuse(NO_TICKET, "none", addressGroup), admissible);
    }
    const outcome = auth.check(bearer, found?.way ?? "none", addressGroup);
    return outcome instanceof Promise
      ? outcome.then((settled) => this.#settle(settled, admissible))
      : this.#settle(outcome, admissible);
  }

  /** Answers a handshake that knocked at no door. */
  noSuchPath(handshake: Handshake, msg: string): HandshakeAnswer {
    return this.#deny({ status: 404, code: "NOT_FOUND", msg, reason: "path" }, this.#callerOf(handshake));
  }

  #callerOf({ remoteAddress, header, tenant }: Handshake): Caller {
    const { addresses } = this.#config;
    const address = addresses.find(remoteAddress, header);
    const entry = this.#options.entries.get(tenant) ?? null;
    return { address, addressGroup: addresses.group(address), entry };
  }

  #settle(outcome: Outcome, caller: AdmissibleCaller): HandshakeAnswer | Promise<HandshakeAnswer> {
    if (!outcome.ok) return this.#refuse(outcome, caller);
    const { entry } = caller;
    // Verifying may have taken its time.
    if (this.#draining) return this.#denyDraining(caller);
    const { closed } = entry.tenant.registry;
    if (closed !== null) return this.#denyClosed(closed, caller);
    const full = this.#denyFull(caller, entry);
    if (full !== null) return full;
    const session = this.#session(outcome, caller);
    if ("ok" in session) return this.#refuse(session, caller);
    entry.tenant.metrics.upgrades.add({ status: "ok" });
    return accept(session, caller);
  }

  /** Takes in a client that will send its ticket as its first message. */
  #letWait(waits: TicketWaits, caller: AdmissibleCaller, bearer: Bearer): HandshakeAnswer {
    const { entry, addressGroup, traceId } = caller;
    const { tenant } = entry;
    if (waits.isFull(addressGroup)) {
      const msg = "too many connections await their ticket";
      const retryAfterMs = this.#options.retry.after(CAPACITY_RETRY_MS, SPREAD_MS.one);
      return this.#deny(
        { status: 503, code: "RESOURCE_EXHAUSTED", msg, reason: "pending", retryAfterMs },
        caller,
      );
    }
    tenant.metrics.upgrades.add({ status: "ok" });
    const wait = new TicketWait({
      waits,
      addressGroup,
      traceId,
      check: (ticket) => entry.auth.check({ ...bearer, ticket }, "message", addressGroup),
      admit: (grant) => this.#session(grant, caller),
    });
    return accept(wait, caller);
  }

  #session(grant: Grant, caller: AdmissibleCaller): Session | Unverified {
    const { entry, sid, address, addressGroup, traceId, cbor, resume } = caller;
    const { sid: granted } = grant.narrowing;
    if (sid !== null && granted !== null && sid !== granted) return WRONG_SID;
    const nowMs = entry.tenant.gateway.unixMs();
    const ban = entry.tenant.bans.find(grant.user, nowMs);
    if (ban !== null) return banned(ban, nowMs);
    const session = this.#options.newId();
    return new Session(entry.tenant, {
      grant,
      // A client that names none has one text for both.
      sid: granted ?? sid ?? session,
      session,
      traceId,
      address,
      addressGroup,
      cbor,
      resume,
    });
  }

  /** The connection on which a client comes back to its session, or why it cannot. */
  #resume(
    { token, heard }: { token: string; heard: number },
    { caller, entry, cbor }: { caller: Caller; entry: TenantEntry; cbor: boolean },
  ): HandshakeAnswer | ResumeFailure {
    const { tenant } = entry;
    const { address, addressGroup } = caller;
    const found = tenant.settings.resume === null ? "unknown" : tenant.resumeTokens.find(token);
    if (typeof found === "string") return this.#noReturn(found, tenant);
    const fault = found.mayResume(heard);
    if (fault === "bad" || found.cbor !== cbor) return this.#denyResume(caller);
    if (fault === "overflow") return this.#noReturn("overflow", tenant);
    const full = addressGroup === found.addressGroup ? null : tenant.registry.addressRefusal(addressGroup);
    if (full !== null) return this.#denyCapacity(full, caller);
    tenant.metrics.upgrades.add({ status: "ok" });
    const user = new Return({ session: found, token, heard, address, addressGroup });
    return accepted(tenant, user, cbor);
  }

  #noReturn(failure: ResumeFailure, tenant: Tenant): ResumeFailure {
    tenant.metrics.resumes.add({ outcome: failure });
    return failure;
  }

  /** A client without a ticket that comes back too late, or with a token that never was: guessing costs as with tickets. */
  #denyReturn(
    failure: ResumeFailure,
    caller: AdmissibleCaller,
  ): HandshakeAnswer | Promise<HandshakeAnswer> {
    const { auth } = caller.entry;
    auth.refuse({ ...BAD_TICKET, msg: failure, reason: "resume" }, "none", caller.addressGroup);
    const answer = this.#deny(
      { status: 401, code: "AUTH_FAILED", msg: failure, reason: "resume" },
      caller,
    );
    return this.#options.delay.after(auth.config.failure_delay_ms, answer);
  }

  #denyResume(caller: Caller): HandshakeAnswer {
    const msg =
      "resume takes a token, and heard a number of messages heard on that session in the same encoding";
    return this.#deny({ status: 400, code: "BAD_REQUEST", msg, reason: "bad_resume" }, caller);
  }

  #refuse(refused: Unverified, caller: AdmissibleCaller): HandshakeAnswer | Promise<HandshakeAnswer> {
    const { code, msg, reason, retryAfterMs, ruleId } = refused;
    const { delay, retry } = this.#options;
    if (isBad(refused)) {
      const answer = this.#deny({ status: 401, code, msg, reason }, caller);
      return delay.after(caller.entry.auth.config.failure_delay_ms, answer);
    }
    if (reason === "banned") {
      return this.#deny({ status: 403, code, msg, reason, retryAfterMs, ruleId }, caller);
    }
    const wait = retry.after(retryAfterMs ?? CAPACITY_RETRY_MS, SPREAD_MS.all);
    return this.#deny({ status: 503, code, msg, reason, retryAfterMs: wait }, caller);
  }

  #denyDraining(caller: Caller): HandshakeAnswer {
    const retryAfterMs = this.#options.retry.after(this.#config.drainRetryMs, SPREAD_MS.all);
    return this.#deny(
      { status: 503, code: "DRAINING", msg: DRAINING_MSG, reason: "draining", retryAfterMs },
      caller,
    );
  }

  #denyWaiting(caller: Caller): HandshakeAnswer {
    const retryAfterMs = this.#options.retry.after(CAPACITY_RETRY_MS, SPREAD_MS.all);
    const msg = "gateway waits for its cluster";
    return this.#deny({ status: 503, code: "UNAVAILABLE", msg, reason: "waiting", retryAfterMs }, caller);
  }

  #denyClosed({ code, msg }: Refusal, caller: Caller): HandshakeAnswer {
    return this.#deny({ status: 403, code, msg, reason: "suspended" }, caller);
  }

  #denyFull(caller: Caller, { tenant }: TenantEntry): HandshakeAnswer | null {
    const full = tenant.registry.capacityRefusal(caller.addressGroup);
    return full === null ? null : this.#denyCapacity(full, caller);
  }

  #denyCapacity(full: Refusal, caller: Caller): HandshakeAnswer {
    const retryAfterMs = this.#options.retry.after(CAPACITY_RETRY_MS, SPREAD_MS.all);
    return this.#deny(
      { status: 503, code: full.code, msg: full.msg, reason: "capacity", retryAfterMs },
      caller,
    );
  }

  #deny(refuse: HandshakeRefusal, { entry, address }: Caller): HandshakeAnswer {
    const { status, code, reason } = refuse;
    const metrics = entry?.tenant.metrics;
    (metrics?.handshakeRejections ?? this.strayRejections).add({ reason });
    metrics?.upgrades.add({ status: String(status) });
    this.#refusals.refused({ tenant: entry?.tenant.id ?? null, status, code, reason, address });
    return { refuse };
  }
}

/** A connection that serves this user first. */
function accept(user: ConnectionUser, { entry, cbor }: AdmissibleCaller): HandshakeAnswer {
  return accepted(entry.tenant, user, cbor);
}

function accepted(tenant: Tenant, user: ConnectionUser, cbor: boolean): HandshakeAnswer {
  return { accept: new Connection(tenant, user, cbor), compression: tenant.settings.compression };
}

/** These headers of a handshake, as far as they are there. */
function pick(names: readonly string[], { header }: Handshake): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of names) {
    const value = header(name);
    if (value !== null) headers[name] = value;
  }
  return headers;
}
