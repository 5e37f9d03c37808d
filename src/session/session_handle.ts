// A session, as the registry, the message handler and administrators see it: what services see of it, who it is, and its
// end. Rooms see a `Subscriber` and services a `Context`; there is no further view.

import type { Narrowing } from "../policy/narrowing.ts";
import type { TenantPolicy } from "../policy/policy.ts";
import { type CloseCode, refusal } from "../protocol/codes.ts";
import type { Frame } from "../protocol/frame.ts";
import type { Json } from "../protocol/json.ts";
import type { Membership } from "../room/rooms.ts";
import type { Context } from "../service/service.ts";
import type { Pressure, SessionLook } from "./session_look.ts";

/** A session of a tenant's registry. */
export interface SessionHandle extends Context {
  /** The address that it is counted under: IPv6 by its network. */
  readonly addressGroup: string;
  readonly address: string;
  /** The name of its ticket, by which it can be found; null for a ticket without one. */
  readonly ticketId: string | null;
  /** When its ticket was issued, Unix time in milliseconds; null where nobody says. */
  readonly issuedAtMs: number | null;
  /** When it was opened, in milliseconds of the gateway's monotonic clock. */
  readonly openedAt: number;
  /** The tenant's policy, narrowed by the ticket. */
  readonly policy: TenantPolicy;
  /** From its greeting to its end, with a connection or without one. */
  readonly isOpen: boolean;
  /** Its ext messages may arrive as CBOR. */
  readonly cbor: boolean;
  /** How long its client has been away, in milliseconds; null while it is there. */
  readonly detachedMs: number | null;
  /** Ext messages taken from its client; null where it cannot be resumed. */
  readonly taken: number | null;
  /** What its ticket takes away. */
  readonly narrowing: Narrowing;
  /** How its connection gets on; null where nothing waits and nothing was dropped. `now` as of `openedAt`. */
  pressure(now: number): Pressure | null;
  /** What there is to see of it. */
  look(now: number): SessionLook;
  /** Its client has heard so many ext messages. @returns false when there were never so many */
  hasHeard(count: number): boolean;
  /**
   * Ends it, now: it is in no room and no index when this returns. What it was sent reliably goes out before the close,
   * a farewell, null for none, first of all.
   */
  end(code: CloseCode, farewell: Frame | null): void;
  /** Ends its connection, for its client to come back to another node; where it cannot be resumed, it ends itself. */
  letGo(code: CloseCode): void;
  /** Reads nothing more until this time, as far as the transport can: who sends on meets TCP's own flow control. */
  throttle(until: number): void;
  /** Its client has sent a new ticket. */
  renew(data: Json | undefined, seq: number | null): void;
}

/** What a session answers when it has ended. */
export const SESSION_ENDED = refusal("UNAVAILABLE", "session has ended");

/** The rooms of a session that has never joined one. */
export const NO_MEMBERSHIPS: ReadonlyMap<string, Membership> = new Map();
