// A room that keeps what is said in it, in memory, on disk or in a log that nodes share: the same to whoever publishes, joins or reads.

import type { Frame } from "../protocol/frame.ts";
import type { Cursor, HistoryBounds, LossReason } from "./history.ts";

/** What became of a message that is kept, or that has a key. */
export interface Stored {
  /** Members on this node to whom it goes. */
  readonly deliveries: number;
  /** Null in a room that keeps nothing. */
  readonly offset: number | null;
  readonly epoch: string | null;
  /** It was published before, under the same key, and is not published again. */
  readonly duplicate: boolean;
}

/** Said instead of a number of deliveries: the room's store cannot take it, and nobody was given it. */
export const NOT_STORED = -2;

/**
 * What became of a message: deliveries on this node, `BUSY` or `NOT_STORED`, or more where it is kept; later where it has to
 * be on disk first. Never rejects.
 */
export type Published = number | Stored | Promise<number | Stored>;

/** Some messages of a room, oldest first, and where they stand in it. */
export interface Page {
  readonly epoch: string;
  /** Offsets of the oldest and the newest message that are kept. */
  readonly first: number;
  readonly last: number;
  readonly frames: readonly Frame[];
  /** Whether there are more in the direction in which was read. */
  readonly more: boolean;
}

/** Which messages are wanted. */
export type Range = ({ readonly after: number } | { readonly before: number }) & {
  readonly limit: number;
  /** Payload bytes above which no further message comes. */
  readonly maxBytes: number;
};

/** Messages of a room, a page at a time, for one who missed them. */
export interface Missed {
  /** Messages that are still to come. */
  readonly left: number;
  /** The next page, null after the last. */
  next(): readonly Frame[] | null | Promise<readonly Frame[] | null>;
  /** Nobody wants the rest. */
  stop(): void;
}

/** What somebody is given that joins: what it missed, and whether that is proven to be all of it. */
export interface Recovered {
  readonly epoch: string;
  /** The offset after which it hears everything live. */
  readonly offset: number;
  readonly recovered: boolean;
  readonly reason: LossReason | null;
  /** The offset after which messages are replayed. */
  readonly after: number;
}

/** From where somebody wants to be brought up to date: from a cursor, or with the newest messages. */
export type Wish = { readonly since: Cursor } | { readonly last: number };

/** A room that keeps its messages. */
export interface KeptRoom {
  /** Resolves once it is known what is kept; null where that is known already. Rejects when it cannot be read. */
  readonly ready: Promise<void> | null;
  /**
   * Makes sure that `recover` knows about this wish. Resolves then; null where it does already. Rejects when it cannot be
   * known now.
   */
  prepare(wish: Wish | null): Promise<void> | null;
  readonly epoch: string;
  /** The offset of the newest message, 0 for none. */
  readonly last: number;
  readonly bytes: number;
  /** Messages that are kept. */
  readonly size: number;
  /** @param except a session that is left out @param key the sender's own name and its key, null for none */
  publish(frame: Frame, except: string | null, key: SenderKey | null): Published;
  recover(wish: Wish): Recovered;
  /** Messages behind one offset up to another, which `recover` has just told of. */
  missed(after: number, upTo: number): Missed;
  page(range: Range): Page | Promise<Page>;
  apply(bounds: HistoryBounds): void;
  /** All that is kept is gone; a new epoch begins. */
  clear(): void | Promise<void>;
}

/** By what a message is known when its sender says it again. */
export interface SenderKey {
  readonly sender: string;
  readonly key: string;
}
