// A session that moves to another node, because its client has come there: what is handed over of it, and what it hears on
// its new node before it is there whole. The former node goes on keeping messages for it while the new one listens
// already, so both hear some of them: each message has a name that is the same on all nodes (`nameOf`), and the former
// node tells the names of what it has kept since. What the new one heard beyond these comes behind.

import type { Frame } from "../protocol/frame.ts";
import type { Membership } from "../room/rooms.ts";
import type { Claims } from "./grant.ts";

/** Who is moving, as its new node has to know before it can listen. */
export interface Mover {
  readonly session: string;
  readonly user: string;
  readonly sid: string;
  readonly traceId: string;
  /** Unix time in milliseconds. */
  readonly openedMs: number;
  readonly expiresAtMs: number | null;
  readonly issuedAtMs: number | null;
  readonly ticketId: string | null;
  readonly claims: Claims;
  /** What its ticket takes away, as claims say it. */
  readonly narrowing: Readonly<Record<string, unknown>>;
  readonly rooms: readonly MoverRoom[];
}

/** A room that it is in. */
export interface MoverRoom {
  readonly name: string;
  /** Its number there, which it keeps. */
  readonly member: number;
  /** It is told of others who come and go. */
  readonly presence: boolean;
  readonly isActive: boolean;
  /** In a room that all nodes keep: what it has been given. */
  readonly cursor: { readonly epoch: string; readonly offset: number } | null;
}

/** What its former node has of it in the moment in which it leaves there. */
export interface Parting {
  readonly rooms: readonly MoverRoom[];
  /** Ext messages taken from its client. */
  readonly taken: number;
  /** Ext messages sent to its client. */
  readonly sentCount: number;
  /** The newest of those, and what waits to be sent, oldest first. */
  readonly sent: readonly Frame[];
  readonly waiting: readonly Frame[];
  /** Names of what came since it was asked for. */
  readonly names: readonly string[];
  /** How long its client has been away, in milliseconds. */
  readonly detachedMs: number;
}

/** What came for a session before it was whole. */
export class Arrivals {
  readonly #frames: Frame[] = [];
  #bytes = 0;
  readonly #maxBytes: number;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** More came than may wait: some of it is lost. */
  get hasOverflowed(): boolean {
    return this.#bytes > this.#maxBytes;
  }

  add(frame: Frame): void {
    if (!frame.isExt || this.hasOverflowed) return;
    this.#frames.push(frame);
    this.#bytes += frame.bytes;
  }

  /** Oldest first. */
  get frames(): readonly Frame[] {
    return this.#frames;
  }
}

/** A session that is there whole. */
export interface Arrived {
  readonly parting: Parting;
  /** On this gateway's clock. */
  readonly openedAt: number;
  /** Of the token by which its client comes back. */
  readonly digest: string;
  /** In the rooms that it is in, entered and not yet counted. */
  readonly memberships: readonly Membership[];
  readonly active: Membership | null;
}
