// A room that keeps what is said in it: the same to whoever publishes, joins or reads, wherever the messages are kept.

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
/** The same, because its key stands for another message. */
export const KEY_REUSED = -3;
/** The same, because it would begin a room and the tenant has as many as it may. */
export const NO_MORE_ROOMS = -4;

/**
 * What became of a message: deliveries on this node, `BUSY` or one of the numbers above, or more where it is kept; later
 * where it has to be on disk first. Never rejects.
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
  /** Messages that are still to come; at most so many where offsets have holes. */
  readonly left: number;
  /** The next page, null after the last. */
  next(): readonly Frame[] | null | Promise<readonly Frame[] | null>;
  /** Nobody wants the rest. */
  stop(): void;
  /** Whether a message that is live is not to be heard now, because it is among what is still to come. */
  hides?(frame: Frame): boolean;
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

/** By what a message is known when its sender says it again. */
export interface SenderKey {
  readonly sender: string;
  readonly key: string;
  /** What is said, in short: the key with another one is refused. Null: whatever comes under the key is the same. */
  readonly digest: string | null;
  /** How long it is known. */
  readonly forMs: number;
}

/**
 * A store of one room's history: the port that each kind of store fills (memory_room.ts, disk_room.ts).
 *
 * A store MUST
 * - give each message an offset above all earlier ones of its epoch, and write it into the frame (`withOffset`) before
 *   any member is given it;
 * - hand messages to members in the order of their offsets, by `HistoriesRooms.deliver`, each once;
 * - answer `publish` with an offset only when the message is kept as safely as the store promises;
 * - begin another epoch whenever an offset could be given a second time, or kept messages may have been lost at their new
 *   end; an epoch is never empty;
 * - tell of `last` only what it has handed to members: whoever joins is given the messages up to `last` from the history,
 *   and all later ones live;
 * - say `recovered` only when every message after the cursor is still there; in doubt it says why not;
 * - not trim what a `Missed` has yet to tell, or hold it;
 * - call `renewed` once an epoch begins, so that whoever is a member has missed nothing of it;
 * - stay within the bounds of its class, read a page at a time, and bound what is under way.
 *
 * It MUST NOT throw, nor reject but from `ready`, `page`, `clear` and `Missed.next`, whose callers say that the history cannot
 * be read now. Offsets may have holes, where the store says so in the documentation: nobody here counts by them.
 */
export interface KeptRoom {
  /** Resolves once it is known what is kept; null where that is known already. Rejects when it cannot be read. */
  readonly ready: Promise<void> | null;
  /**
   * Makes sure that `recover` knows about this wish. Resolves then; null where it does already. Rejects when it cannot be
   * known now.
   */
  prepare(wish: Wish | null): Promise<void> | null;
  /**
   * Whether messages are stored before members are given them. Then they go out however much waits for the room already,
   * as they cannot be refused any more; the store bounds how many these may be, and says `BUSY` before it stores more.
   */
  readonly storesFirst: boolean;
  readonly epoch: string;
  /** The offset of the newest message that members were given, 0 for none. */
  readonly last: number;
  /** Payload bytes that are kept. */
  readonly bytes: number;
  /** Messages that are kept; at most so many where offsets have holes. */
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
  /** Its first member has come, or its last has left: it is idle from now on at the earliest. */
  touch(): void;
  /** Lets go of what is too old; called now and then. @returns whether it may be removed, as long as it has no members */
  sweep(): boolean;
  /** It is no more, here; what a durable store keeps stays there. */
  remove(): void;
}
