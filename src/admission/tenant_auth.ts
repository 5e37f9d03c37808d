// One tenant's authentication: a ticket goes in, and a grant or the reason why not comes out, whatever mode verifies
// it and whether it came at the door, in a first message or to renew a session. Every ticket is counted here, and
// every bad one is charged to the address that it came from.

import type { AuthConfig } from "../config/schema.ts";
import type { TenantMetrics } from "../metrics/metrics.ts";
import { NARROWING_CLAIMS, readNarrowing, UNNARROWED } from "../policy/narrowing.ts";
import type { Authenticator, Claims, Grant, Renewal } from "../session/grant.ts";
import { REGISTERED_CLAIMS } from "./jwt.ts";
import type { Revocations } from "./revocations.ts";
import type { TicketWay } from "./ticket.ts";
import {
  BAD_CLAIMS,
  BAD_TICKET,
  type Bearer,
  busy,
  isBad,
  isUserName,
  REVOKED,
  TICKET_CHARS_MAX,
  type Unverified,
  type Verdict,
  type Verified,
  type Verifier,
} from "./verifier.ts";

/** Tickets of one tenant that are verified at the same time; further ones are told to come again. */
const VERIFYING_MAX = 1024;
/** How soon. */
const BUSY_RETRY_MS = 1000;
/** Longest ticket id in characters. */
const TICKET_ID_CHARS_MAX = 256;

export type Outcome = Grant | Unverified;

/** Claims that services do not see: the gateway has read them. */
const TAKEN_CLAIMS = new Set([...REGISTERED_CLAIMS, ...NARROWING_CLAIMS]);
const NO_CLAIMS: Claims = Object.freeze({});

export interface TenantAuthOptions {
  readonly verifier: Verifier;
  readonly config: Pick<
    AuthConfig,
    | "allow_query_ticket"
    | "first_message"
    | "max_pending"
    | "max_pending_per_ip"
    | "expiry_warning_ms"
    | "failure_delay_ms"
  >;
  readonly metrics: TenantMetrics;
  readonly revocations: Revocations;
  /** Unix time in milliseconds. */
  readonly unixMs: () => number;
  /** Takes note of a bad ticket from this address. */
  readonly charge: (addressGroup: string) => void;
}

export class TenantAuth implements Authenticator {
  readonly config: TenantAuthOptions["config"];
  readonly #options: TenantAuthOptions;
  #verifying = 0;

  constructor(options: TenantAuthOptions) {
    this.#options = options;
    this.config = options.config;
  }

  get expiryWarningMs(): number {
    return this.config.expiry_warning_ms;
  }

  /** Headers of a handshake that its verifier wants to see. */
  get headers(): readonly string[] {
    return this.#options.verifier.headers;
  }

  /** Whether a client that brings no ticket may be known by these headers. */
  speaksFor(headers: Readonly<Record<string, string>>): boolean {
    return headers["cookie"] !== undefined || headers["authorization"] !== undefined;
  }

  /** Verifies a ticket; never rejects. */
  check(bearer: Bearer, way: TicketWay, addressGroup: string): Outcome | Promise<Outcome> {
    const { verifier } = this.#options;
    const { ticket } = bearer;
    if (ticket !== null && (ticket === "" || ticket.length > TICKET_CHARS_MAX)) {
      return this.#settle(BAD_TICKET, way, addressGroup);
    }
    if (this.#verifying >= VERIFYING_MAX) return this.#settle(busy(BUSY_RETRY_MS), way, addressGroup);
    const verdict = verifier.verify(bearer);
    if (!(verdict instanceof Promise)) return this.#settle(verdict, way, addressGroup);
    this.#verifying++;
    return verdict.then((settled) => {
      this.#verifying--;
      return this.#settle(settled, way, addressGroup);
    });
  }

  /** Takes note of somebody who brought no ticket that could be verified. */
  refuse(refused: Unverified, way: TicketWay, addressGroup: string): Unverified {
    this.#options.metrics.tickets.add({ way, outcome: refused.reason });
    if (isBad(refused)) this.#options.charge(addressGroup);
    return refused;
  }

  renew({ ticket, user, address, addressGroup }: Renewal): Outcome | Promise<Outcome> {
    return this.check({ ticket, address, origin: null, headers: {}, renews: user }, "renewal", addressGroup);
  }

  #settle(verdict: Verdict, way: TicketWay, addressGroup: string): Outcome {
    const outcome = verdict.ok ? grantOf(verdict) : verdict;
    if (!outcome.ok) return this.refuse(outcome, way, addressGroup);
    const { revocations, unixMs } = this.#options;
    if (revocations.has(outcome, unixMs())) return this.refuse(REVOKED, way, addressGroup);
    this.#options.metrics.tickets.add({ way, outcome: "ok" });
    return outcome;
  }
}

/** Reads what a verified ticket says; what cannot be read refuses it. */
export function grantOf({ user, claims, expiresAtMs, ticketId, issuedAtMs }: Verified): Outcome {
  if (!isUserName(user)) return BAD_CLAIMS;
  if (ticketId !== null && (typeof ticketId !== "string" || ticketId.length > TICKET_ID_CHARS_MAX)) {
    return BAD_CLAIMS;
  }
  const others = Object.entries(claims);
  if (others.length === 0) {
    return { ok: true, user, claims: NO_CLAIMS, narrowing: UNNARROWED, expiresAtMs, ticketId, issuedAtMs };
  }
  const narrowing = readNarrowing(claims);
  if (typeof narrowing === "string") return BAD_CLAIMS;
  const kept = others.filter(([name]) => !TAKEN_CLAIMS.has(name));
  return {
    ok: true,
    user,
    // From entries, as an assignment to `__proto__` would be something else.
    claims: kept.length === 0 ? NO_CLAIMS : Object.freeze(Object.fromEntries(kept)),
    narrowing,
    expiresAtMs,
    ticketId,
    issuedAtMs,
  };
}
