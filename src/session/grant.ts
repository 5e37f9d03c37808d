// What a ticket gives a session, and the port through which a session that lives has a new ticket verified. Who
// verifies is admission's business.

import type { Narrowing } from "../policy/narrowing.ts";
import type { Json } from "../protocol/json.ts";
import { type Refusal, refusal } from "../protocol/codes.ts";
import type { ResumeFailure } from "./resume_tokens.ts";

/** What a ticket says beyond what the gateway itself reads, for services. */
export type Claims = Readonly<Record<string, unknown>>;

/** A verified ticket. */
export interface Grant {
  readonly ok: true;
  readonly user: string;
  readonly claims: Claims;
  readonly narrowing: Narrowing;
  /** Unix time in milliseconds at which the right ends, null for never. */
  readonly expiresAtMs: number | null;
  /** The ticket's own name (`jti`), by which it can be revoked. */
  readonly ticketId: string | null;
  /** Unix time in milliseconds at which the ticket was issued, null where nobody says. */
  readonly issuedAtMs: number | null;
}

/** Who a session belongs to, settled before the upgrade. */
export interface Identity {
  /** Who it is and what for, as its ticket says. */
  readonly grant: Grant;
  readonly sid: string;
  /** Unique in this process. */
  readonly session: string;
  readonly traceId: string;
  /** The client's address, as far as the gateway can tell. */
  readonly address: string;
  /** The address that limits count: IPv6 by its network. */
  readonly addressGroup: string;
  /** Ext envelopes travel as CBOR. */
  readonly cbor: boolean;
  /** What its client said of coming back: nothing, that it may want to, or that it came and why it could not. */
  readonly resume: "no" | "asked" | ResumeFailure;
}

/** Why a ticket was not taken. */
export interface Rejection extends Refusal {
  readonly retryAfterMs?: number;
}

/** Who asks for a ticket to be verified. */
export interface Renewal {
  readonly ticket: string;
  readonly user: string;
  readonly address: string;
  readonly addressGroup: string;
}

/** Verifies the tickets of one tenant. MUST NOT throw or reject. */
export interface Authenticator {
  /** How long before its right ends a session is told, in milliseconds; 0 for not at all. */
  readonly expiryWarningMs: number;
  renew(renewal: Renewal): Grant | Rejection | Promise<Grant | Rejection>;
}

export const BAD_AUTH = refusal("BAD_REQUEST", "sys.auth takes data {ticket: string}");
export const OTHER_USER = refusal("AUTH_FAILED", "ticket is another user's");
export const OTHER_SID = refusal("AUTH_FAILED", "ticket is for another sid");
/** Between two attempts of one session to renew its right. */
export const RENEWAL_MS = 1000;
export const RENEWAL_LIMITED = refusal("RATE_LIMITED", "too many sys.auth: one at a time, and one a second");

/**
 * When a right ends, and when its holder is told so, on the gateway's clock; infinite for never.
 * @param warningMs how long before, 0 for not at all
 */
export function rightOf(
  { expiresAtMs }: Grant,
  clock: { now(): number; unixMs(): number },
  warningMs: number,
): { readonly endsAt: number; readonly warnAt: number } {
  const never = Number.POSITIVE_INFINITY;
  if (expiresAtMs === null) return { endsAt: never, warnAt: never };
  const endsAt = clock.now() + expiresAtMs - clock.unixMs();
  return { endsAt, warnAt: warningMs > 0 ? endsAt - warningMs : never };
}

/** The ticket in the data of a `sys.auth`, or null. */
export function ticketIn(json: Json | undefined): string | null {
  const read = json?.read();
  const data = read?.ok ? read.value : null;
  if (typeof data !== "object" || data === null || !Object.hasOwn(data, "ticket")) return null;
  const { ticket } = data as { ticket: unknown };
  return typeof ticket === "string" && ticket !== "" ? ticket : null;
}
