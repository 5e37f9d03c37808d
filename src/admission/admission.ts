// Who may connect, over whatever transport. The checks run from cheap to dear: draining, the limiter, tenant, origin,
// capacity, and only then the ticket. The answer to a bad ticket comes a moment later.

import type { Log } from "../log.ts";
import type { Counts } from "../metrics/metrics.ts";
import { NAME_PATTERN, NAME_RULE } from "../protocol/limits.ts";
import type { AccessLog } from "../session/access_log.ts";
import { Connection, type ConnectionUser } from "../session/connection.ts";
import type { Grant, Identity } from "../session/grant.ts";
import type { ResumeFailure } from "../session/resume_tokens.ts";
import { Session } from "../session/session.ts";
import type { Comer, Fetched, Tenant } from "../session/tenant.ts";
import type { Tracer } from "../tracing/tracer.ts";
import type { AddressFinder } from "./address.ts";
import type { Delay } from "./delay.ts";
import { traceHandshake } from "./handshake_trace.ts";
import type { Handshake, HandshakeAnswer } from "./handshake.ts";
import type { HandshakeLimiter } from "./limiter.ts";
import type { OriginRule } from "./origin.ts";
import { type Caller, CAPACITY_RETRY_MS, Refusals } from "./refusals.ts";
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

/** Who asks, once its tenant was looked for. */
interface SomeCaller extends Caller {
  readonly entry: TenantEntry | null;
}

/** Who knocks at a tenant that there is. */
interface KnownCaller extends SomeCaller {
  readonly entry: TenantEntry;
}

/** Who passed all but the ticket. */
interface AdmissibleCaller extends KnownCaller {
  /** What the client asked for. */
  readonly sid: string | null;
  readonly traceId: string;
  readonly cbor: boolean;
  readonly resume: Identity["resume"];
}

export class Admission {
  #config: HandshakeConfig;
  readonly #options: AdmissionOptions;
  readonly #refusals: Refusals;
  #draining = false;
  #waiting = false;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#refusals = new Refusals(options, () => this.#config.drainRetryMs);
  }

  /** Refusals before the tenant was known, by `reason`. */
  get strayRejections(): Counts {
    return this.#refusals.stray;
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
    const { entry, addressGroup } = caller;
    if (this.#draining) return this.#refusals.draining(caller);
    if (this.#waiting) return this.#refusals.waiting(caller);
    const limited = limiter.take(addressGroup, now());
    if (limited !== null) {
      const { reason, waitMs } = limited;
      const retryAfterMs = retry.after(waitMs, reason === "global_rate" ? SPREAD_MS.all : SPREAD_MS.one);
      const msg = "too many handshakes";
      return this.#refusals.deny({ status: 429, code: "RATE_LIMITED", msg, reason, retryAfterMs }, caller);
    }
    if (handshake.fault !== null) {
      return this.#refusals.deny(
        { status: 400, code: "BAD_REQUEST", msg: handshake.fault, reason: "bad_query" },
        caller,
      );
    }
    if (entry === null) {
      const msg = tenant === "" ? "query needs tenant=<id>" : "no such tenant";
      return this.#refusals.deny({ status: 400, code: "BAD_REQUEST", msg, reason: "unknown_tenant" }, caller);
    }
    const { closed } = entry.tenant.registry;
    if (closed !== null) return this.#refusals.closed(closed, caller);
    if (sid !== null && !NAME_PATTERN.test(sid)) {
      const msg = `sid must be ${NAME_RULE}`;
      return this.#refusals.deny({ status: 400, code: "BAD_REQUEST", msg, reason: "bad_sid" }, caller);
    }
    const origin = handshake.header("origin");
    if (origin !== null && !entry.origins.allows(origin, handshake.header("host"))) {
      this.#refusals.origin(entry.tenant.id, origin);
      const msg = "pages of this origin may not connect";
      return this.#refusals.deny({ status: 403, code: "NOT_ALLOWED", msg, reason: "origin" }, caller);
    }
    const { resume: asked } = handshake;
    if (asked.kind === "bad") return this.#refusals.badResume(caller);
    const known: KnownCaller = { ...caller, entry };
    if (asked.kind !== "token") return this.#admit(handshake, known, asked.kind);
    const resumed = this.#resume(asked, known, cbor);
    const go = (on: HandshakeAnswer | ResumeFailure): HandshakeAnswer | Promise<HandshakeAnswer> =>
      typeof on === "string" ? this.#admit(handshake, known, on) : on;
    return resumed instanceof Promise ? resumed.then(go) : go(resumed);
  }

  /** Lets in who brings a ticket. */
  #admit(
    handshake: Handshake,
    caller: KnownCaller,
    resumed: Identity["resume"],
  ): HandshakeAnswer | Promise<HandshakeAnswer> {
    const { sid, cbor } = handshake, { entry, address, addressGroup } = caller;
    const origin = handshake.header("origin");
    const full = this.#denyFull(caller, entry);
    if (full !== null) return full;
    const traceId = this.#options.newId();
    const admissible: AdmissibleCaller = { ...caller, sid, cbor, traceId, resume: resumed };
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
    return this.#refusals.deny(
      { status: 404, code: "NOT_FOUND", msg, reason: "path" },
      this.#callerOf(handshake),
    );
  }

  #callerOf({ remoteAddress, header, tenant }: Handshake): SomeCaller {
    const { addresses } = this.#config;
    const address = addresses.find(remoteAddress, header);
    const entry = this.#options.entries.get(tenant) ?? null;
    return { address, addressGroup: addresses.group(address), entry };
  }

  #settle(outcome: Outcome, caller: AdmissibleCaller): HandshakeAnswer | Promise<HandshakeAnswer> {
    if (!outcome.ok) return this.#refuse(outcome, caller);
    const { entry } = caller;
    // Verifying may have taken its time.
    if (this.#draining) return this.#refusals.draining(caller);
    const { closed } = entry.tenant.registry;
    if (closed !== null) return this.#refusals.closed(closed, caller);
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
      return this.#refusals.deny(
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
    caller: KnownCaller,
    cbor: boolean,
  ): HandshakeAnswer | ResumeFailure | Promise<HandshakeAnswer | ResumeFailure> {
    const { tenant } = caller.entry, { address, addressGroup } = caller;
    const comer = { token, heard, address, addressGroup, cbor };
    const found = tenant.settings.resume === null ? "unknown" : tenant.resumeTokens.find(token);
    const fetching = found === "unknown" ? tenant.elsewhere?.fetch(tenant, comer) ?? null : null;
    if (fetching === null) return this.#return(found, caller, comer);
    return fetching.then((fetched) => {
      if (this.#draining) return this.#refusals.draining(caller);
      return this.#return(fetched, caller, comer);
    });
  }

  /** Brings a client to its session, once that is found or it is known why there is none. */
  #return(
    found: Fetched,
    caller: KnownCaller,
    { token, heard, cbor }: Comer,
  ): HandshakeAnswer | ResumeFailure {
    const { entry: { tenant }, address, addressGroup } = caller;
    if (found === "bad") return this.#refusals.badResume(caller);
    if (typeof found === "string") return this.#noReturn(found, tenant);
    if ("ok" in found) return this.#refusals.capacity(found, caller);
    const fault = found.mayResume(heard);
    if (fault === "bad" || found.cbor !== cbor) return this.#refusals.badResume(caller);
    if (fault === "overflow") return this.#noReturn("overflow", tenant);
    const full = addressGroup === found.addressGroup ? null : tenant.registry.addressRefusal(addressGroup);
    if (full !== null) return this.#refusals.capacity(full, caller);
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
    const answer = this.#refusals.deny(
      { status: 401, code: "AUTH_FAILED", msg: failure, reason: "resume" },
      caller,
    );
    return this.#options.delay.after(auth.config.failure_delay_ms, answer);
  }

  #refuse(refused: Unverified, caller: AdmissibleCaller): HandshakeAnswer | Promise<HandshakeAnswer> {
    const { code, msg, reason, retryAfterMs, ruleId } = refused;
    const { delay, retry } = this.#options;
    if (isBad(refused)) {
      const answer = this.#refusals.deny({ status: 401, code, msg, reason }, caller);
      return delay.after(caller.entry.auth.config.failure_delay_ms, answer);
    }
    if (reason === "banned") {
      return this.#refusals.deny({ status: 403, code, msg, reason, retryAfterMs, ruleId }, caller);
    }
    const wait = retry.after(retryAfterMs ?? CAPACITY_RETRY_MS, SPREAD_MS.all);
    return this.#refusals.deny({ status: 503, code, msg, reason, retryAfterMs: wait }, caller);
  }

  #denyFull(caller: Caller, { tenant }: TenantEntry): HandshakeAnswer | null {
    const full = tenant.registry.capacityRefusal(caller.addressGroup);
    return full === null ? null : this.#refusals.capacity(full, caller);
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
