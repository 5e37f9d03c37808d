// Every code a client can meet, one row each: errors travel in `sys.error`, close codes end a session.
// A reason is at most 123 bytes, the WebSocket protocol's bound (RFC 6455, section 5.5).

/** Every `data.code` of a `sys.error`, and `code` of an HTTP refusal. */
export const ERROR_CODES = [
  "BAD_REQUEST",
  "AUTH_FAILED",
  "RATE_LIMITED",
  "PAYLOAD_TOO_LARGE",
  "NOT_ALLOWED",
  "RESOURCE_EXHAUSTED",
  "UNSUPPORTED_VERSION",
  "INTERNAL",
  "TOO_MANY_SESSIONS",
  "TIMEOUT",
  "NOT_FOUND",
  "UNAVAILABLE",
  "DRAINING",
  "SUSPENDED",
] as const;

/** One of `ERROR_CODES`. */
export type ErrorCode = (typeof ERROR_CODES)[number];

/** A row of the close table. */
export interface CloseCode {
  readonly code: number;
  readonly name: string;
  readonly reason: string;
  /** Whether a client should come back on its own. */
  readonly retry: boolean;
}

function row(code: number, name: string, reason: string): CloseCode {
  return { code, name, reason, retry: code < 4500 };
}

/** Every close that the gateway itself starts. */
export const CLOSE = {
  normal: row(1000, "normal", "normal closure"),
  draining: row(1001, "draining", "gateway is draining"),
  slowConsumer: row(4000, "slow_consumer", "too slow to read reliable messages"),
  idleTimeout: row(4001, "idle_timeout", "nothing heard within the idle timeout"),
  overloaded: row(4002, "overloaded", "gateway is at a capacity limit"),
  internal: row(4003, "internal", "internal error"),
  ticketExpired: row(4004, "ticket_expired", "ticket expired"),
  rateLimited: row(4005, "rate_limited", "far above the rate limit"),
  authFailed: row(4500, "auth_failed", "authentication failed"),
  kicked: row(4501, "kicked", "kicked"),
  replaced: row(4502, "replaced", "replaced by a newer session with the same sid"),
  tooManySessions: row(4503, "too_many_sessions", "too many sessions of this user"),
  banned: row(4504, "banned", "banned"),
  badMessage: row(4505, "bad_message", "message could not be read"),
  unsupportedVersion: row(4506, "unsupported_version", "protocol version is not supported"),
  policyViolation: row(4507, "policy_violation", "policy violation"),
  messageTooLarge: row(4508, "message_too_large", "message is larger than the tenant allows"),
  suspended: row(4509, "suspended", "tenant is suspended"),
} as const satisfies Record<string, CloseCode>;

/** An expected refusal: what the client is told, and whether its session ends. Refusals are shared constants. */
export interface Refusal {
  readonly ok: false;
  readonly code: ErrorCode;
  readonly msg: string;
  /** Set: the session is closed after the `sys.error`. */
  readonly close?: CloseCode;
  /** The check or rule that refused, where there is one. */
  readonly ruleId?: string;
}

/** Makes a refusal; call it at module level, so that a refusal costs nothing when it happens. */
export function refusal(code: ErrorCode, msg: string, close?: CloseCode): Refusal {
  return close === undefined ? { ok: false, code, msg } : { ok: false, code, msg, close };
}

/** Longest `msg` of a refusal in somebody else's words, in characters. */
const FOREIGN_MSG_CHARS_MAX = 256;

/** A refusal as an extension or a backend words it; null where that is not what a client may be told. */
export function foreignRefusal(code: unknown, msg: unknown): Refusal | null {
  const known = ERROR_CODES.find((one) => one === code);
  if (known === undefined || typeof msg !== "string") return null;
  return refusal(known, msg.slice(0, FOREIGN_MSG_CHARS_MAX));
}
