// The rooms of a tenant that keep what is said in them, by their classes, and the keys by which nothing is said twice. How a
// room keeps it is a store's business (see `KeptRoom`); which store, is its class's.

import type { Frame } from "../protocol/frame.ts";
import { HistoryBudget } from "./history_budget.ts";
import { HistoryCounts } from "./history_counts.ts";
import { DiskRoom, type HistoryDisk } from "./disk_room.ts";
import { type KeptRoom, KEY_REUSED, type Published, type SenderKey } from "./kept_room.ts";
import type { LossReason } from "./history.ts";
import type { HistoryStreams } from "./history_stream.ts";
import { MemoryRoom } from "./memory_room.ts";
import type { RoomClass, RoomClasses } from "./room_class.ts";
import { nameOf, SentKeys } from "./sent_keys.ts";
import { StreamRoom } from "./stream_room.ts";

/** Keys that are known of one tenant at the same time. */
const KEYS_MAX = 100_000;
/** Rooms that one sweep looks at. */
const SWEEP_MAX = 1000;

export interface HistoriesOptions {
  /** Those that hold now. */
  readonly classes: () => RoomClasses;
  readonly budget: HistoryBudget;
  /** Where rooms of durable classes are kept; null where nothing can be. */
  readonly disk: HistoryDisk | null;
  /** Logs that all nodes share; null for a gateway that is alone. */
  readonly streams: HistoryStreams | null;
  readonly now: () => number;
  readonly unixMs: () => number;
  readonly wait: (ms: number) => Promise<void>;
  readonly newEpoch: () => string;
}

/** Members did not hear everything that came before what they hear next. */
export interface Loss {
  readonly reason: LossReason;
  /** What they hear next comes behind this. */
  readonly offset: number;
  readonly traceId: string;
}

/** What histories need of rooms. */
export interface HistoriesRooms {
  /**
   * Hands a frame to all members of a room, wherever they are, in the order of the calls. Where the room's store stores
   * first, it is never refused. @returns how many are on this node, or `BUSY`
   */
  deliver(name: string, frame: Frame, except: string | null): number;
  /** Hands a frame to the members on this node alone: the room's store has the others hear it. */
  deliverHere(name: string, frame: Frame, except: string | null): number;
  /** Whether so much waits for a room's members here that it takes nothing more. */
  isFull(name: string): boolean;
  /** A room has something that it keeps from now on, or nothing any more. */
  keep(name: string, kept: KeptRoom | null): void;
  /** Members on this node, but for a session. */
  members(name: string, except: string | null): number;
  /** Tells members on this node of a loss, before anything that comes behind it. */
  tellLoss(name: string, loss: Loss): void;
}

interface Kept {
  readonly room: KeptRoom;
  class: RoomClass;
}

/** To whom a message is not said, and under which key. */
interface Saying {
  readonly except: string | null;
  readonly key: SenderKey | null;
}

export class Histories {
  readonly counts = new HistoryCounts();
  readonly #options: HistoriesOptions;
  readonly #rooms: HistoriesRooms;
  readonly #kept = new Map<string, Kept>();
  readonly #keys = new SentKeys(KEYS_MAX);
  /** Keys of messages that are on their way to the disk. */
  readonly #saying = new Map<string, Promise<void>>();
  #sweeping: Iterator<[string, Kept]> | null = null;

  constructor(rooms: HistoriesRooms, options: HistoriesOptions) {
    this.#rooms = rooms;
    this.#options = options;
  }

  /** Whether any room can keep something, or has. */
  get isUsed(): boolean {
    return !this.#options.classes().isEmpty || this.counts.stored > 0;
  }

  /** Rooms that keep something. */
  get size(): number {
    return this.#kept.size;
  }

  /** What a room of this name is; null where it is like any other. It costs: a room that exists knows its own. */
  classOf(name: string): RoomClass | null {
    const classes = this.#options.classes();
    return classes.isEmpty ? null : classes.of(name);
  }

  /** Has a room keep what is said in it, where its class has a history and nothing is kept yet. */
  begin(name: string, found: RoomClass | null): KeptRoom | null {
    if (found === null || found.history === null) return null;
    return this.#kept.get(name)?.room ?? this.#begin(name, found);
  }

  /**
   * A room's history for one who only wants to look. It begins no room: of a name that nobody has used there is none, but
   * for what a durable store may have of it.
   */
  look(name: string): KeptRoom | null {
    const known = this.#kept.get(name);
    if (known !== undefined) return known.room;
    const found = this.classOf(name);
    if (found === null || found.history === null || found.store === "memory") return null;
    // One that is followed has to be let go of, as those in use are.
    if (found.store === "nats") return this.begin(name, found);
    return this.#make(name, found, { isListed: false });
  }

  /**
   * Publishes a reliable message in a room that keeps it, or one that has a key. While one with the same key is on its way to
   * the disk, the next waits for what becomes of it.
   */
  publish(
    name: string,
    frame: Frame,
    { kept, except, key }: Saying & { readonly kept: KeptRoom | null },
  ): Published {
    const { counts } = this;
    if (key !== null) {
      const sent = this.#keys.find(key.sender, key.key, this.#options.now());
      if (sent !== null) {
        if (sent.digest !== key.digest) return KEY_REUSED;
        counts.duplicates++;
        return { deliveries: 0, offset: sent.offset || null, epoch: sent.epoch || null, duplicate: true };
      }
      const before = this.#saying.get(nameOf(key));
      if (before !== undefined) {
        return before.then(() => {
          const now = this.#kept.get(name)?.room ?? null;
          return this.publish(name, frame, { kept: now, except, key });
        });
      }
    }
    if (kept !== null) {
      const outcome = kept.publish(frame, except, key);
      if (key !== null && outcome instanceof Promise) this.#await(key, outcome);
      return outcome;
    }
    const deliveries = this.#rooms.deliver(name, frame, except);
    if (deliveries < 0 || key === null) return deliveries;
    this.#sent(name, key, { epoch: "", offset: 0 });
    return { deliveries, offset: null, epoch: null, duplicate: false };
  }

  /** A room is of another class from now on: what it keeps is kept by that, or not any more. */
  apply(name: string, next: RoomClass | null): void {
    const kept = this.#kept.get(name);
    if (kept === undefined) {
      if (this.#rooms.members(name, null) > 0) this.begin(name, next);
      return;
    }
    const { store, match } = kept.class;
    // Each class has a log of its own.
    const isOther = next?.store !== store || store === "nats" && next.match !== match;
    if (next === null || next.history === null || isOther) {
      this.#end(name, kept);
      if (this.#rooms.members(name, null) > 0) this.begin(name, next);
    } else {
      kept.class = next;
      kept.room.apply(next.history);
    }
  }

  /** Lets go of what is too old, of some rooms at a time; call it each second or so. */
  sweep(): void {
    this.#keys.sweep(this.#options.now());
    for (let left = SWEEP_MAX; left > 0; left--) {
      this.#sweeping ??= this.#kept.entries();
      const { done, value } = this.#sweeping.next();
      if (done) {
        this.#sweeping = null;
        return;
      }
      const [name, kept] = value;
      if (kept.room.sweep() && this.#rooms.members(name, null) === 0) this.#end(name, kept);
    }
  }

  /** The tenant is gone. */
  stop(): void {
    for (const [name, kept] of [...this.#kept]) this.#end(name, kept);
    this.#options.streams?.stop();
  }

  /** A stream is made, or made other, when its class comes, and not when the first message does. */
  applyStreams(): void {
    const { streams, classes } = this.#options;
    if (streams === null) return;
    const wanted = new Set<string>();
    for (const { match, store, history } of classes().all) {
      if (store !== "nats" || history === null || wanted.has(match)) continue;
      wanted.add(match);
      streams.of(match, history);
    }
    streams.keepOnly(wanted);
  }

  #begin(name: string, found: RoomClass): KeptRoom {
    const room = this.#make(name, found, { isListed: true });
    this.#kept.set(name, { room, class: found });
    this.#rooms.keep(name, room);
    return room;
  }

  /** @param isListed it is one of these from now on, and takes of their budget */
  #make(name: string, found: RoomClass, { isListed }: { readonly isListed: boolean }): KeptRoom {
    const { disk, streams, budget, now, unixMs, wait, newEpoch } = this.#options;
    const isThis = () => this.#kept.get(name)?.room === room;
    const common = {
      bounds: found.history!,
      now,
      budget: isListed ? budget : new HistoryBudget(() => 0),
      counts: isListed ? this.counts : new HistoryCounts(),
      sent: (key: SenderKey, epoch: string, offset: number) => this.#sent(name, key, { epoch, offset }),
      deliver: (frame: Frame, except: string | null) => this.#rooms.deliver(name, frame, except),
      renewed: () => {
        if (isThis()) this.#rooms.keep(name, room);
      },
      giveUp: () => {
        const isUnused = isThis() && this.#rooms.members(name, null) === 0;
        if (isUnused) this.#end(name, this.#kept.get(name)!);
        return isUnused;
      },
    };
    const isFull = () => this.#rooms.isFull(name);
    const room: KeptRoom = found.store === "disk" && disk !== null
      ? new DiskRoom({ ...common, name, disk, isFull })
      : found.store === "nats" && streams !== null
      ? new StreamRoom({
        ...common,
        name,
        stream: streams.of(found.match, common.bounds),
        isFull,
        deliver: (frame, except) => this.#rooms.deliverHere(name, frame, except),
        members: (except) => this.#rooms.members(name, except),
        lost: (reason, offset) => this.#rooms.tellLoss(name, { reason, offset, traceId: newEpoch() }),
        unixMs,
        wait,
        newId: newEpoch,
      })
      : new MemoryRoom({ ...common, newEpoch });
    return room;
  }

  #await(key: SenderKey, outcome: Promise<unknown>): void {
    const name = nameOf(key);
    const settled = outcome.then(() => {
      if (this.#saying.get(name) === settled) this.#saying.delete(name);
    });
    this.#saying.set(name, settled);
  }

  #end(name: string, { room }: Kept): void {
    this.#kept.delete(name);
    room.remove();
    this.#rooms.keep(name, null);
  }

  #sent(
    room: string,
    { sender, key, digest, forMs }: SenderKey,
    at: { epoch: string; offset: number },
  ): void {
    this.#keys.add(sender, key, { room, ...at, digest }, this.#options.now() + forMs);
  }
}
