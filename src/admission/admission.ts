// Who may connect. The checks run from cheap to dear: draining, limiter, tenant, capacity, and only then
// the ticket. A refusal is an HTTP answer with a JSON body, given before the upgrade.

import type { Log } from "../log.ts";
import { Counts, type TenantMetrics } from "../metrics.ts";
import type { ErrorCode } from "../protocol/codes.ts";
import { NAME_PATTERN, NAME_RULE, SUBPROTOCOL_CBOR, SUBPROTOCOL_JSON } from "../protocol/limits.ts";
import { Session } from "../session/session.ts";
import type { Tenant } from "../session/tenant.ts";
import type { UpgradeAnswer, UpgradeRequest } from "../transport/port.ts";
import type { AddressFinder } from "./address.ts";
import type { HandshakeLimiter } from "./limiter.ts";
import { devUser, findTicket } from "./ticket.ts";

/** Where clients connect. */
export const WS_PATH = "/v1/ws";

/** After a capacity refusal: come back no sooner, milliseconds. */
const CAPACITY_RETRY_MS = 1000;

export interface AdmissionOptions {
  readonly tenants: ReadonlyMap<string, Tenant>;
  readonly limiter: HandshakeLimiter;
  readonly addresses: AddressFinder;
  readonly log: Log;
  readonly now: () => number;
  /** A new name for a session or a trace, unique in this process. */
  readonly newId: () => string;
  /** Whether dev tickets are accepted. */
  readonly dev: boolean;
  /** Milliseconds a refused client should stay away while the gateway drains. */
  readonly drainRetryMs: number;
}

interface Denial {
  readonly status: number;
  readonly code: ErrorCode;
  readonly msg: string;
  /** As metrics name it. */
  readonly reason: string;
  readonly retryAfterMs?: number;
}

export class Admission {
  /** Refusals before the tenant was known, by `reason`. */
  readonly strayRejections = new Counts();
  readonly #options: AdmissionOptions;
  #draining = false;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** From now on every handshake is answered with 503. */
  drain(): void {
    this.#draining = true;
  }

  /** Answers a handshake: with a session for its link, or with a refusal. */
  answer(request: UpgradeRequest): UpgradeAnswer {
    const { limiter, addresses, now, tenants, drainRetryMs } = this.#options;
    const at = request.target.indexOf("?");
    const path = at < 0 ? request.target : request.target.slice(0, at);
    const query = readQuery(at < 0 ? "" : request.target.slice(at + 1));
    const tenantId = query?.get("tenant") ?? "";
    const tenant = tenants.get(tenantId);
    const address = addresses.find(request.remoteAddress, (name) => request.header(name));
    const deny = (denial: Denial) => this.#deny(denial, tenant?.metrics, address);

    if (path !== WS_PATH) {
      return deny({
        status: 404,
        code: "NOT_FOUND",
        msg: `WebSockets are served at ${WS_PATH}`,
        reason: "path",
      });
    }
    if (this.#draining) {
      const msg = "gateway is draining";
      return deny({ status: 503, code: "DRAINING", msg, reason: "draining", retryAfterMs: drainRetryMs });
    }
    const limited = limiter.take(address, now());
    if (limited !== null) {
      const { reason, waitMs } = limited;
      return deny({
        status: 429,
        code: "RATE_LIMITED",
        msg: "too many handshakes",
        reason,
        retryAfterMs: Math.ceil(waitMs),
      });
    }
    if (query === null) {
      const msg = "query must be percent-encoded UTF-8 that names nothing twice";
      return deny({ status: 400, code: "BAD_REQUEST", msg, reason: "bad_query" });
    }
    if (tenant === undefined) {
      const msg = tenantId === "" ? "query needs tenant=<id>" : "no such tenant";
      return deny({ status: 400, code: "BAD_REQUEST", msg, reason: "unknown_tenant" });
    }
    const sid = query.get("sid") ?? this.#options.newId();
    if (!NAME_PATTERN.test(sid)) {
      return deny({ status: 400, code: "BAD_REQUEST", msg: `sid must be ${NAME_RULE}`, reason: "bad_sid" });
    }
    const full = tenant.registry.capacityRefusal(address);
    if (full !== null) {
      return deny({
        status: 503,
        code: full.code,
        msg: full.msg,
        reason: "capacity",
        retryAfterMs: CAPACITY_RETRY_MS,
      });
    }
    const offered = subprotocolsOf(request);
    const ticket = findTicket(request.header("authorization"), offered, query);
    const user = ticket !== null && this.#options.dev ? devUser(ticket) : null;
    if (user === null) {
      const msg = ticket === null ? "a ticket is required" : "ticket is not valid";
      return deny({
        status: 401,
        code: "AUTH_FAILED",
        msg,
        reason: ticket === null ? "no_ticket" : "bad_ticket",
      });
    }
    tenant.metrics.upgrades.add({ status: "ok" });
    const protocol = offered.find((name) => name === SUBPROTOCOL_JSON || name === SUBPROTOCOL_CBOR) ?? null;
    const { newId } = this.#options;
    const session = new Session(tenant, {
      user,
      sid,
      session: newId(),
      traceId: newId(),
      address,
      cbor: protocol === SUBPROTOCOL_CBOR,
    });
    return { accept: session, protocol };
  }

  #deny(denial: Denial, metrics: TenantMetrics | undefined, address: string): UpgradeAnswer {
    const { status, code, msg, reason, retryAfterMs } = denial;
    (metrics?.handshakeRejections ?? this.strayRejections).add({ reason });
    metrics?.upgrades.add({ status: String(status) });
    this.#options.log.debug("handshake refused", { status, code, reason, address });
    const headers: Record<string, string> = { "content-type": "application/json" };
    if (retryAfterMs !== undefined) {
      headers["retry-after"] = String(Math.max(1, Math.ceil(retryAfterMs / 1000)));
    }
    const body = retryAfterMs === undefined ? { code, msg } : { code, msg, retry_after_ms: retryAfterMs };
    return { refuse: { status, headers, body: JSON.stringify(body) } };
  }
}

function subprotocolsOf(request: UpgradeRequest): readonly string[] {
  const header = request.header("sec-websocket-protocol");
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
