// The port behind which each mode of `auth` verifies tickets, and the words for what can be wrong with one.
// Tickets are secrets: none is logged, echoed or put into an error.

import type { Ban } from "../policy/bans.ts";
import { CLOSE, type Refusal, refusal } from "../protocol/codes.ts";
import type { Rejection } from "../session/grant.ts";

/** A ticket, and what is known of who brings it. */
export interface Bearer {
  /** Null where other headers speak for the client. At most `TICKET_CHARS_MAX` characters. */
  readonly ticket: string | null;
  readonly address: string;
  /** Null for clients that are no browsers, and when a session is renewed. */
  readonly origin: string | null;
  /** The headers that the tenant's backend wants to see. */
  readonly headers: Readonly<Record<string, string>>;
  /** The user whose session is to be renewed; null at the door. */
  readonly renews: string | null;
}

/** What a ticket says, before any of it is believed to be well-formed. */
export interface Verified {
  readonly ok: true;
  readonly user: unknown;
  readonly claims: Readonly<Record<string, unknown>>;
  /** Unix time in milliseconds, null for never. */
  readonly expiresAtMs: number | null;
  readonly ticketId: unknown;
  /** Unix time in milliseconds, null where nobody says. */
  readonly issuedAtMs: number | null;
}

/** Why not, as metrics name it, and how long the client should stay away. */
export interface Unverified extends Rejection {
  readonly reason: AuthReason;
}

export type AuthReason =
  | "no_ticket"
  | "query_ticket"
  | "bad_ticket"
  | "expired_ticket"
  | "bad_claims"
  | "denied"
  | "revoked_ticket"
  | "banned"
  | "resume"
  | "busy"
  | "unavailable";

export type Verdict = Verified | Unverified;

/** Verifies tickets of one tenant. MUST NOT throw or reject. */
export interface Verifier {
  /** Headers that `Bearer.headers` should have, in lower case. */
  readonly headers: readonly string[];
  verify(bearer: Bearer): Verdict | Promise<Verdict>;
  /** It is asked no more; what is under way is still answered. */
  stop(): void;
}

/** Tickets longer than this are refused unread. */
export const TICKET_CHARS_MAX = 8192;

function rejection(reason: AuthReason, msg: string): Unverified {
  return { ...refusal("AUTH_FAILED", msg, CLOSE.authFailed), reason };
}

export const NO_TICKET = rejection("no_ticket", "a ticket is required");
export const QUERY_TICKET = rejection(
  "query_ticket",
  "tickets are not taken from the query: send it as Authorization: Bearer, or as the subprotocol " +
    "wsprism.ticket.<base64url of the ticket>",
);
export const BAD_TICKET = rejection("bad_ticket", "ticket is not valid");
export const EXPIRED_TICKET = rejection("expired_ticket", "ticket has expired");
export const BAD_CLAIMS = rejection("bad_claims", "ticket has a claim that cannot be read");
export const WRONG_SID = rejection("bad_claims", "ticket is for another sid");
export const REVOKED = rejection("revoked_ticket", "ticket was revoked");
export const DENIED = rejection("denied", "ticket was refused");

const BUSY: Refusal = refusal("UNAVAILABLE", "too many tickets are being verified", CLOSE.overloaded);
const UNAVAILABLE: Refusal = refusal("UNAVAILABLE", "tickets cannot be verified now", CLOSE.overloaded);

/** Too many tickets at the same time: none of them is at fault. */
export function busy(retryAfterMs: number): Unverified {
  return { ...BUSY, reason: "busy", retryAfterMs };
}

/** Whoever could tell cannot be asked: the ticket may be good. */
export function unavailable(retryAfterMs: number): Unverified {
  return { ...UNAVAILABLE, reason: "unavailable", retryAfterMs };
}

const BANNED: Refusal = refusal("NOT_ALLOWED", "user is banned", CLOSE.banned);

/** The ticket is good, and its user is kept out. */
export function banned({ untilMs, by }: Ban, nowMs: number): Unverified {
  return { ...BANNED, ruleId: by, reason: "banned", retryAfterMs: untilMs - nowMs };
}

/** Whether a refusal says that the ticket, rather than the gateway or the backend, was at fault. */
export function isBad({ code }: Unverified): boolean {
  return code === "AUTH_FAILED";
}

/** Longest user name in characters. */
const USER_CHARS_MAX = 128;

/** Whether a name can be a user's. It is shown to others and stands in logs: no control characters, no lone surrogates. */
export function isUserName(name: unknown): name is string {
  return typeof name === "string" && name.length > 0 && name.length <= USER_CHARS_MAX &&
    !/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(name);
}
