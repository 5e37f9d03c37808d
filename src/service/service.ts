// The two ports of the business side. An ext service gets checked envelopes and answers them, at once
// or later; a hot service gets checked frames and is native and synchronous. Both see a `Context`, which
// is one session's say in its own tenant.

import { type Refusal, refusal } from "../protocol/codes.ts";
import type { Envelope } from "../protocol/envelope.ts";
import { HOT_AT } from "../protocol/hot.ts";
import type { AckData } from "../protocol/sys.ts";
import { KEY_REUSED, type Missed, NO_MORE_ROOMS, NOT_STORED, type Published } from "../room/kept_room.ts";
import { type Membership, type Subscriber, TOO_MANY_ROOMS } from "../room/rooms.ts";

/** A session as services see it. Valid until it ends; afterwards every method does nothing. */
export interface Context extends Subscriber {
  readonly tenant: string;
  /** What the session's ticket says beyond what the gateway reads itself. MUST NOT be changed. */
  readonly claims: Readonly<Record<string, unknown>>;
  /** The room joined last, as long as it is not left: where hot frames go. */
  readonly active: Membership | null;
  /** By what its client is connected: "websocket", "tcp", "webtransport" or "sse". */
  readonly transport: string;
  /** Rooms joined, by name. */
  readonly memberships: ReadonlyMap<string, Membership>;
  membership(room: string): Membership | undefined;
  /** Joins, or makes a room joined before the active one again. */
  join(room: string): Membership | Refusal;
  leave(membership: Membership): void;
  /** Brings messages that the session missed before anything that it is sent from now on. */
  recover(missed: Missed): void;
  /** Whether policy lets the session send this message itself. */
  mayExt(svc: string, type: string): boolean;
}

/** What became of an ext message. */
export type Answer = Done | Refusal;

/** A message was taken. */
export interface Done {
  readonly ok: true;
  /** Goes to the sender as `type: "reply"`. */
  readonly reply?: unknown;
  /** Goes to the sender with the ack that it asked for. */
  readonly ack?: AckData;
  /**
   * What becomes of it turns out later, as of what has to be on disk first; the service takes the sender's next message
   * meanwhile. Never rejects, and later ones never come before earlier ones.
   */
  readonly later?: Promise<Answer>;
}

/** A message taken, with nothing to say. */
export const DONE: Answer = { ok: true };

/** A message of which the sender is to hear nothing at all, not even that it was taken. */
export const SILENCE: Answer = { ok: true };

/** Ext lane port. MUST NOT throw for anything a client can send; what it throws becomes `INTERNAL`. */
export interface ExtService {
  handle(context: Context, message: Envelope): Answer | Promise<Answer>;
}

/**
 * Hot lane port: native, synchronous, no allocation that a benchmark has not paid for. Construction has no effects: at a
 * reload, a service may be made and never used.
 */
export interface HotService {
  /** @returns null when the frame was taken. `frame` is checked and MAY be kept. */
  handle(context: Context, frame: Uint8Array): Refusal | null;
  /** A member has missed hot messages of its room: what still holds MAY be told again. */
  resumed?(membership: Membership): void;
  /** Releases timers; nothing is handled afterwards. */
  stop(): void;
}

/** Repeats `task` every `ms` milliseconds until the returned function is called. */
export type Every = (ms: number, task: () => void) => () => void;

/** What a sender's frame is the newest state of: its service and opcode, of this sender in one room only. */
export function conflationKey(sender: Membership | null, frame: Uint8Array): number {
  const kind = frame[HOT_AT.svcId]! * 256 + frame[HOT_AT.opcode]!;
  return (sender === null ? 0 : sender.id * 65_536) + kind;
}

/** What became of a message that a service has published. */
export function published(outcome: Published): Answer {
  if (typeof outcome === "number") return outcome < 0 ? unpublished(outcome) : DONE;
  if (outcome instanceof Promise) return { ok: true, later: outcome.then(published) };
  const { offset, epoch, duplicate } = outcome;
  const where = offset === null || epoch === null ? {} : { offset, epoch };
  if (duplicate) return { ok: true, ack: { ...where, duplicate } };
  return offset === null ? DONE : { ok: true, ack: where };
}

/** Why a message went to nobody, by the number that `Published` says for it. */
export function unpublished(outcome: number): Refusal {
  switch (outcome) {
    case NOT_STORED:
      return UNSTORED;
    case KEY_REUSED:
      return KEY_TAKEN;
    case NO_MORE_ROOMS:
      return TOO_MANY_ROOMS;
    default:
      return ROOM_BUSY;
  }
}

/** The disk takes no message for now. */
export const UNSTORED = refusal("UNAVAILABLE", "message cannot be kept now");
export const KEY_TAKEN = refusal("RESOURCE_EXHAUSTED", "key was used for another message already");
/** A room has more to fan out than it may hold back (see room/fanout.ts). */
export const ROOM_BUSY = refusal("UNAVAILABLE", "room has too much to deliver already");
export const TENANT_BUSY = refusal("UNAVAILABLE", "tenant has too much to deliver already");
export const UNKNOWN_TYPE = refusal("NOT_FOUND", "service has no such message type");
export const UNKNOWN_SERVICE = refusal("NOT_FOUND", "tenant has no such service");
