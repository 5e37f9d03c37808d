// What a reload replaces. Each is one frozen value behind one reference: a reload makes another and puts it in place in
// one assignment, so that nobody sees some of both. A session notices with its next message.

import type { TenantPolicy } from "../policy/policy.ts";
import type { RoomClasses } from "../room/room_class.ts";
import type { RoomLimits } from "../room/rooms.ts";
import type { AnyDispatcher } from "../service/dispatcher.ts";
import type { Compression } from "../transport/port.ts";
import type { Authenticator } from "./grant.ts";
import type { OutboxLimits } from "./outbox_limits.ts";
import type { SessionLimits } from "./registry.ts";

/** What holds for a tenant's sessions and rooms, made from its configuration. */
export interface TenantSettings {
  readonly policy: TenantPolicy;
  readonly dispatcher: AnyDispatcher;
  readonly authenticator: Authenticator;
  /** Ext messages of one session that may wait for services. */
  readonly maxPending: number;
  readonly outbox: OutboxLimits;
  readonly sessions: SessionLimits;
  readonly rooms: RoomLimits;
  readonly roomClasses: RoomClasses;
  /** Null where a session ends with its connection. */
  readonly resume: ResumeSettings | null;
  /** Null where nothing is deflated. */
  readonly compression: Compression | null;
}

/** `resume` of a tenant that has it. */
export interface ResumeSettings {
  readonly windowMs: number;
  readonly maxBytes: number;
  readonly maxMessages: number;
  readonly maxDetached: number;
}

/** What holds for all connections of the gateway. */
export interface GatewaySettings {
  readonly pingIntervalMs: number;
  /** For links that can ping; the others' runtime watches for silence. */
  readonly idleTimeoutMs: number;
  /** Sessions of all tenants; 0: any number. */
  readonly maxSessions: number;
  /** Bytes that may wait for full sockets, all sessions together; 0: any number. */
  readonly maxHeldBytes: number;
  /** Bytes of replays that may be on their way, all sessions together. */
  readonly maxReplayBytes: number;
  /** Who comes and goes is logged at info. */
  readonly accessLog: boolean;
}
