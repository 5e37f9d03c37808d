// Who may connect. The checks run from cheap to dear: draining, the limiter, tenant, origin, capacity, and only then
// the ticket. A refusal is an HTTP answer with a JSON body, given before the upgrade; that to a bad ticket comes a
// moment later.

import type { Log } from "../log.ts";
import { Counts } from "../metrics/metrics.ts";
import type { ErrorCode, Refusal } from "../protocol/codes.ts";
import { NAME_PATTERN, NAME_RULE, SUBPROTOCOL_CBOR, SUBPROTOCOL_JSON } from "../protocol/limits.ts";
import { Connection, type ConnectionUser } from "../session/connection.ts";
import type { Grant, Identity } from "../session/grant.ts";
import type { ResumeFailure } from "../session/resume_tokens.ts";
import { Session } from "../session/session.ts";
import type { Tenant } from "../session/tenant.ts";
import type { UpgradeAnswer, UpgradeRequest } from "../transport/port.ts";
import type { AddressFinder } from "./address.ts";
import type { Delay } from "./delay.ts";
import type { HandshakeLimiter } from "./limiter.ts";
import type { OriginRule } from "./origin.ts";
import { RefusalLog } from "./refusal_log.ts";
import { readResume, Return } from "./resume_request.ts";
import { type Retry, SPREAD_MS } from "./retry.ts";
import type { Outcome, TenantAuth } from "./tenant_auth.ts";
import { findTicket } from "./ticket.ts";
import { pick, readQuery, subprotocolsOf } from "./upgrade_parts.ts";
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

/** Where clients connect. */
export const WS_PATH = "/v1/ws";

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

interface Denial {
  readonly status: number;
  readonly code: ErrorCode;
  readonly msg: string;
  /** As metrics name it. */
  readonly reason: string;
  readonly retryAfterMs?: number | undefined;
  /** The rule behind it. */
  readonly ruleId?: string | undefined;
}

/** A handshake as far as it is understood. */
interface Handshake {
  readonly address: string;
  readonly addressGroup: string;
  /** Null before the tenant is known. */
  readonly entry: TenantEntry | null;
}

/** A handshake that passed all but the ticket. */
interface AdmissibleHandshake extends Handshake {
  readonly entry: TenantEntry;
  /** What the client asked for. */
  readonly sid: string | null;
  readonly traceId: string;
  /** The subprotocol to select. */
  readonly protocol: string | null;
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
  mayAsk(remoteAddress: string, header: UpgradeRequest["header"]): number {
    const { requestLimiter, now } = this.#options;
    const { addresses } = this.#config;
    const addressGroup = addresses.group(addresses.find(remoteAddress, header));
    return requestLimiter.take(addressGroup, now())?.waitMs ?? 0;
  }

  /** Answers a handshake: with a session for its link, or with a refusal. */
  answer(request: UpgradeRequest): UpgradeAnswer | Promise<UpgradeAnswer> {
    const { limiter, now, entries, retry } = this.#options;
    const { addresses } = this.#config;
    const at = request.target.indexOf("?");
    const path = at < 0 ? request.target : request.target.slice(0, at);
    const query = readQuery(at < 0 ? "" : request.target.slice(at + 1));
    const tenantId = query?.get("tenant") ?? "";
    const entry = entries.get(tenantId) ?? null;
    const address = addresses.find(request.remoteAddress, (name) => request.header(name));
    const addressGroup = addresses.group(address);
    const handshake: Handshake = { address, addressGroup, entry };

    if (path !== WS_PATH) {
      const msg = `WebSockets are served at ${WS_PATH}`;
      return this.#deny({ status: 404, code: "NOT_FOUND", msg, reason: "path" }, handshake);
    }
    if (this.#draining) return this.#denyDraining(handshake);
    if (this.#waiting) return this.#denyWaiting(handshake);
    const limited = limiter.take(addressGroup, now());
    if (limited !== null) {
      const { reason, waitMs } = limited;
      const retryAfterMs = retry.after(waitMs, reason === "global_rate" ? SPREAD_MS.all : SPREAD_MS.one);
      const msg = "too many handshakes";
      return this.#deny({ status: 429, code: "RATE_LIMITED", msg, reason, retryAfterMs }, handshake);
    }
    if (query === null) {
      const msg = "query must be percent-encoded UTF-8 that names nothing twice";
      return this.#deny({ status: 400, code: "BAD_REQUEST", msg, reason: "bad_query" }, handshake);
    }
    if (entry === null) {
      const msg = tenantId === "" ? "query needs tenant=<id>" : "no such tenant";
      return this.#deny({ status: 400, code: "BAD_REQUEST", msg, reason: "unknown_tenant" }, handshake);
    }
    const { closed } = entry.tenant.registry;
    if (closed !== null) return this.#denyClosed(closed, handshake);
    const sid = query.get("sid");
    if (sid !== null && !NAME_PATTERN.test(sid)) {
      const msg = `sid must be ${NAME_RULE}`;
      return this.#deny({ status: 400, code: "BAD_REQUEST", msg, reason: "bad_sid" }, handshake);
    }
    const origin = request.header("origin");
    if (origin !== null && !entry.origins.allows(origin, request.header("host"))) {
      this.#refusals.origin(entry.tenant.id, origin);
      const msg = "pages of this origin may not connect";
      return this.#deny({ status: 403, code: "NOT_ALLOWED", msg, reason: "origin" }, handshake);
    }
    const offered = subprotocolsOf(request);
    const protocol = offered.find((name) => name === SUBPROTOCOL_JSON || name === SUBPROTOCOL_CBOR) ?? null;
    const asked = readResume(offered, query);
    if (asked.kind === "bad") return this.#denyResume(handshake);
    const resumed = asked.kind === "token" ? this.#resume(asked, { handshake, entry, protocol }) : asked.kind;
    if (typeof resumed !== "string") return resumed;
    const full = this.#denyFull(handshake, entry);
    if (full !== null) return full;
    const admissible: AdmissibleHandshake = {
      ...handshake,
      entry,
      sid,
      protocol,
      traceId: this.#options.newId(),
      resume: resumed,
    };
    const { auth } = entry;
    const headers = pick(auth.headers, request);
    const found = findTicket(request.header("authorization"), offered, query);
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

  #settle(outcome: Outcome, handshake: AdmissibleHandshake): UpgradeAnswer | Promise<UpgradeAnswer> {
    if (!outcome.ok) return this.#refuse(outcome, handshake);
    const { entry } = handshake;
    // Verifying may have taken its time.
    if (this.#draining) return this.#denyDraining(handshake);
    const { closed } = entry.tenant.registry;
    if (closed !== null) return this.#denyClosed(closed, handshake);
    const full = this.#denyFull(handshake, entry);
    if (full !== null) return full;
    const session = this.#session(outcome, handshake);
    if ("ok" in session) return this.#refuse(session, handshake);
    entry.tenant.metrics.upgrades.add({ status: "ok" });
    return accept(session, handshake);
  }

  /** Takes in a client that will send its ticket as its first message. */
  #letWait(waits: TicketWaits, handshake: AdmissibleHandshake, bearer: Bearer): UpgradeAnswer {
    const { entry, addressGroup, traceId } = handshake;
    const { tenant } = entry;
    if (waits.isFull(addressGroup)) {
      const msg = "too many connections await their ticket";
      const retryAfterMs = this.#options.retry.after(CAPACITY_RETRY_MS, SPREAD_MS.one);
      return this.#deny(
        { status: 503, code: "RESOURCE_EXHAUSTED", msg, reason: "pending", retryAfterMs },
        handshake,
      );
    }
    tenant.metrics.upgrades.add({ status: "ok" });
    const wait = new TicketWait({
      waits,
      addressGroup,
      traceId,
      check: (ticket) => entry.auth.check({ ...bearer, ticket }, "message", addressGroup),
      admit: (grant) => this.#session(grant, handshake),
    });
    return accept(wait, handshake);
  }

  #session(grant: Grant, handshake: AdmissibleHandshake): Session | Unverified {
    const { entry, sid, address, addressGroup, traceId, protocol, resume } = handshake;
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
      cbor: protocol === SUBPROTOCOL_CBOR,
      resume,
    });
  }

  /** The connection on which a client comes back to its session, or why it cannot. */
  #resume(
    { token, heard }: { token: string; heard: number },
    { handshake, entry, protocol }: { handshake: Handshake; entry: TenantEntry; protocol: string | null },
  ): UpgradeAnswer | ResumeFailure {
    const { tenant } = entry;
    const { address, addressGroup } = handshake;
    const found = tenant.settings.resume === null ? "unknown" : tenant.resumeTokens.find(token);
    if (typeof found === "string") return this.#noReturn(found, tenant);
    const fault = found.mayResume(heard);
    if (fault === "bad" || found.cbor !== (protocol === SUBPROTOCOL_CBOR)) return this.#denyResume(handshake);
    if (fault === "overflow") return this.#noReturn("overflow", tenant);
    const full = addressGroup === found.addressGroup ? null : tenant.registry.addressRefusal(addressGroup);
    if (full !== null) return this.#denyCapacity(full, handshake);
    tenant.metrics.upgrades.add({ status: "ok" });
    const user = new Return({ session: found, token, heard, address, addressGroup });
    return { accept: new Connection(tenant, user, found.cbor), protocol };
  }

  #noReturn(failure: ResumeFailure, tenant: Tenant): ResumeFailure {
    tenant.metrics.resumes.add({ outcome: failure });
    return failure;
  }

  /** A client without a ticket that comes back too late, or with a token that never was: guessing costs as with tickets. */
  #denyReturn(
    failure: ResumeFailure,
    handshake: AdmissibleHandshake,
  ): UpgradeAnswer | Promise<UpgradeAnswer> {
    const { auth } = handshake.entry;
    auth.refuse({ ...BAD_TICKET, msg: failure, reason: "resume" }, "none", handshake.addressGroup);
    const answer = this.#deny(
      { status: 401, code: "AUTH_FAILED", msg: failure, reason: "resume" },
      handshake,
    );
    return this.#options.delay.after(auth.config.failure_delay_ms, answer);
  }

  #denyResume(handshake: Handshake): UpgradeAnswer {
    const msg =
      "resume takes a token, and heard a number of messages heard on that session in the same encoding";
    return this.#deny({ status: 400, code: "BAD_REQUEST", msg, reason: "bad_resume" }, handshake);
  }

  #refuse(refused: Unverified, handshake: AdmissibleHandshake): UpgradeAnswer | Promise<UpgradeAnswer> {
    const { code, msg, reason, retryAfterMs, ruleId } = refused;
    const { delay, retry } = this.#options;
    if (isBad(refused)) {
      const answer = this.#deny({ status: 401, code, msg, reason }, handshake);
      return delay.after(handshake.entry.auth.config.failure_delay_ms, answer);
    }
    if (reason === "banned") {
      return this.#deny({ status: 403, code, msg, reason, retryAfterMs, ruleId }, handshake);
    }
    const wait = retry.after(retryAfterMs ?? CAPACITY_RETRY_MS, SPREAD_MS.all);
    return this.#deny({ status: 503, code, msg, reason, retryAfterMs: wait }, handshake);
  }

  #denyDraining(handshake: Handshake): UpgradeAnswer {
    const retryAfterMs = this.#options.retry.after(this.#config.drainRetryMs, SPREAD_MS.all);
    return this.#deny(
      { status: 503, code: "DRAINING", msg: DRAINING_MSG, reason: "draining", retryAfterMs },
      handshake,
    );
  }

  #denyWaiting(handshake: Handshake): UpgradeAnswer {
    const retryAfterMs = this.#options.retry.after(CAPACITY_RETRY_MS, SPREAD_MS.all);
    const msg = "gateway waits for its cluster";
    return this.#deny({ status: 503, code: "UNAVAILABLE", msg, reason: "waiting", retryAfterMs }, handshake);
  }

  #denyClosed({ code, msg }: Refusal, handshake: Handshake): UpgradeAnswer {
    return this.#deny({ status: 403, code, msg, reason: "suspended" }, handshake);
  }

  #denyFull(handshake: Handshake, { tenant }: TenantEntry): UpgradeAnswer | null {
    const full = tenant.registry.capacityRefusal(handshake.addressGroup);
    return full === null ? null : this.#denyCapacity(full, handshake);
  }

  #denyCapacity(full: Refusal, handshake: Handshake): UpgradeAnswer {
    const retryAfterMs = this.#options.retry.after(CAPACITY_RETRY_MS, SPREAD_MS.all);
    return this.#deny(
      { status: 503, code: full.code, msg: full.msg, reason: "capacity", retryAfterMs },
      handshake,
    );
  }

  #deny(denial: Denial, { entry, address }: Handshake): UpgradeAnswer {
    const { status, code, msg, reason, retryAfterMs, ruleId } = denial;
    const metrics = entry?.tenant.metrics;
    (metrics?.handshakeRejections ?? this.strayRejections).add({ reason });
    metrics?.upgrades.add({ status: String(status) });
    this.#refusals.refused({ tenant: entry?.tenant.id ?? null, status, code, reason, address });
    const headers: Record<string, string> = { "content-type": "application/json" };
    if (status === 401) headers["www-authenticate"] = "Bearer";
    if (retryAfterMs !== undefined) {
      headers["retry-after"] = String(Math.max(1, Math.ceil(retryAfterMs / 1000)));
    }
    // What is undefined is left out.
    const body = { code, msg, rule_id: ruleId, retry_after_ms: retryAfterMs };
    return { refuse: { status, headers, body: JSON.stringify(body) } };
  }
}

/** A connection that serves this user first. */
function accept(user: ConnectionUser, { entry, protocol }: AdmissibleHandshake): UpgradeAnswer {
  return { accept: new Connection(entry.tenant, user, protocol === SUBPROTOCOL_CBOR), protocol };
}
