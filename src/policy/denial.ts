// What policy says to a message that it does not let pass, and the names of its own checks. Whoever called it does what
// the denial says: tells the client, counts, logs, closes.

import { CLOSE, type Refusal, refusal } from "../protocol/codes.ts";

/** Names of the built-in checks; a tenant's rules have their own. */
export const CHECK = {
  size: "size",
  session: "quota.session",
  decode: "decode",
  allowlist: "allowlist",
  ticket: "ticket",
  activeRoom: "active-room",
  room: "room",
  user: "quota.user",
  outbound: "quota.outbound",
  tenant: "quota.tenant",
  gateway: "quota.gateway",
  pending: "pending",
} as const;

/** Why a message was refused, as the metric of decisions names it. */
export type DenyReason =
  | "size"
  | "session_rate"
  | "user_rate"
  | "tenant_rate"
  | "outbound_rate"
  | "gateway_rate"
  | "allowlist"
  | "no_active_room"
  | "rule";

/** What is done: with `observe` nothing but counting. */
export type Action = "observe" | "reject" | "drop" | "mute" | "close" | "ban";

/** A message that does not pass, or would not. */
export interface Denial {
  /** A built-in check's name (`CHECK`) or a rule's id. */
  readonly ruleId: string;
  readonly reason: DenyReason;
  readonly action: Action;
  /** What the client is told; with `close`, its session ends. */
  readonly refusal: Refusal;
  /** How often: at each such message, at the first in a second, or not at all. */
  readonly told: "each" | "first" | "never";
  /** When trying again can help, in milliseconds from now; 0 where waiting does not. */
  readonly waitMs: number;
  /** How long the user is banned for, in milliseconds; 0 for not. */
  readonly banMs: number;
  /** It is only counted and logged; the message passes. */
  readonly dryRun: boolean;
}

const plain = { waitMs: 0, banMs: 0, dryRun: false } as const;

function rejected(ruleId: string, reason: DenyReason, told: Refusal): Denial {
  return { ruleId, reason, action: "reject", refusal: told, told: "each", ...plain };
}

export const TOO_LARGE: Denial = {
  ruleId: CHECK.size,
  reason: "size",
  action: "close",
  refusal: refusal(
    "PAYLOAD_TOO_LARGE",
    "message is larger than the tenant's max_frame_bytes",
    CLOSE.messageTooLarge,
  ),
  told: "each",
  ...plain,
};
export const NOT_ALLOWED_EXT = rejected(
  CHECK.allowlist,
  "allowlist",
  refusal("NOT_ALLOWED", "svc and type are not in the tenant's ext_allowlist"),
);
export const NOT_ALLOWED_HOT = rejected(
  CHECK.allowlist,
  "allowlist",
  refusal("NOT_ALLOWED", "service and opcode are not in the tenant's hot_allowlist"),
);
export const NOT_IN_TICKET = rejected(
  CHECK.ticket,
  "allowlist",
  refusal("NOT_ALLOWED", "the session's ticket is not for this service and type"),
);
export const NO_ACTIVE_ROOM = rejected(
  CHECK.activeRoom,
  "no_active_room",
  refusal("BAD_REQUEST", "no active room: join one before sending on the hot lane"),
);
/** Of a room that the session's ticket does not name. */
export const ROOM_NOT_ALLOWED: Refusal = {
  ...refusal("NOT_ALLOWED", "the session's ticket is not for this room"),
  ruleId: CHECK.room,
};
/** For whoever goes on sending far above a quota. */
export const FLOODING = refusal("RATE_LIMITED", "went on far above the quota", CLOSE.rateLimited);

const TOO_MANY = refusal("RATE_LIMITED", "too many messages");
const TOO_MANY_BYTES = refusal("RATE_LIMITED", "too many bytes");
const TOO_MANY_OUT = refusal("RATE_LIMITED", "too many bytes to deliver");

/** A message above a quota; the client is told at the first in a second. */
export function overQuota(
  ruleId: string,
  reason: DenyReason,
  over: { readonly unit: "messages" | "bytes" | "outbound"; readonly waitMs: number },
): Denial {
  const told = over.unit === "messages" ? TOO_MANY : over.unit === "bytes" ? TOO_MANY_BYTES : TOO_MANY_OUT;
  return { ruleId, reason, action: "drop", refusal: told, told: "first", ...plain, waitMs: over.waitMs };
}

/** Whether a denial is for sending too much, as opposed to the wrong thing. */
export function isOverQuota({ ruleId }: Denial): boolean {
  return ruleId.startsWith("quota.");
}
