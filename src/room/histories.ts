// The rooms of a tenant that keep what is said in them, found by their class, and the keys by which nothing is said twice.

import type { Frame } from "../protocol/frame.ts";
import type { HistoryBudget } from "./history_budget.ts";
import { DiskRoom, type HistoryDisk } from "./disk_room.ts";
import type { KeptRoom, Published, SenderKey } from "./kept_room.ts";
import type { LossReason } from "./history.ts";
import type { HistoryStreams } from "./history_stream.ts";
import { MemoryRoom } from "./memory_room.ts";
import type { RoomClass, RoomClasses } from "./room_class.ts";
import { KEY_MEMORY_MS, SentKeys } from "./sent_keys.ts";
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

/** What histories need of rooms. */
export interface HistoriesRooms {
  /** Hands a frame to all members of a room, wherever they are. @returns how many are on this node, or `BUSY` */
  deliver(name: string, frame: Frame, except: string | null): number;
  /** The same, and never `BUSY`. */
  deliverAnyway(name: string, frame: Frame, except: string | null): number;
  /** A room has something that it keeps from now on, or nothing any more. */
  keep(name: string, kept: KeptRoom | null): void;
  /** Members on this node, but for a session. */
  members(name: string, except: string | null): number;
  /** Tells members on this node that they did not hear everything before what they hear next. */
  tellLoss(name: string, reason: LossReason): void;
}

interface Kept {
  readonly room: KeptRoom & { sweep(): boolean; remove(): void };
  class: RoomClass;
}

export class Histories {
  readonly #options: HistoriesOptions;
  readonly #rooms: HistoriesRooms;
  readonly #kept = new Map<string, Kept>();
  readonly #keys = new SentKeys(KEYS_MAX);
  #sweeping: Iterator<[string, Kept]> | null = null;
  /** Messages that were kept. */
  stored = 0;

  constructor(rooms: HistoriesRooms, options: HistoriesOptions) {
    this.#rooms = rooms;
    this.#options = options;
  }

  /** Rooms that keep something. */
  get size(): number {
    return this.#kept.size;
  }

  find(name: string): KeptRoom | null {
    return this.#kept.get(name)?.room ?? null;
  }

  /** What a room of this name is, and what it keeps; both null where it is like any other. */
  of(name: string): { readonly class: RoomClass | null; readonly kept: KeptRoom | null } {
    const known = this.#kept.get(name);
    if (known !== undefined) return { class: known.class, kept: known.room };
    const found = this.#options.classes().of(name);
    return { class: found, kept: found === null ? null : this.#begin(name, found) };
  }

  /**
   * Publishes a reliable message in a room that keeps it, or one that has a key.
   * @returns null where it is neither: then nothing has happened
   */
  publish(name: string, frame: Frame, except: string | null, key: SenderKey | null): Published | null {
    if (key === null && this.#kept.size === 0 && this.#options.classes().isEmpty) return null;
    if (key !== null) {
      const sent = this.#keys.find(key.sender, key.key, this.#options.now());
      if (sent !== null) {
        return { deliveries: 0, offset: sent.offset || null, epoch: sent.epoch || null, duplicate: true };
      }
    }
    const { kept } = this.of(name);
    if (kept !== null) {
      this.stored++;
      return kept.publish(frame, except, key);
    }
    if (key === null) return null;
    const deliveries = this.#rooms.deliver(name, frame, except);
    if (deliveries < 0) return deliveries;
    this.#sent(name, key, "", 0);
    return { deliveries, offset: null, epoch: null, duplicate: false };
  }

  /** Other classes hold from now on, or the first: what is kept is kept by them, or not any more. */
  apply(): void {
    this.#applyStreams();
    for (const [name, kept] of [...this.#kept]) {
      const next = this.#options.classes().of(name);
      const { class: { store, match } } = kept;
      const isOther = next === null || next.store !== store || store === "nats" && next.match !== match;
      if (isOther || next.history === null) this.#end(name, kept);
      else {
        kept.class = next;
        kept.room.apply(next.history);
      }
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
  #applyStreams(): void {
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

  #begin(name: string, found: RoomClass): KeptRoom | null {
    const { history } = found;
    if (history === null) return null;
    const { disk, streams, budget, now, unixMs, wait, newEpoch } = this.#options;
    const common = {
      bounds: history,
      now,
      sent: (key: SenderKey, epoch: string, offset: number) => this.#sent(name, key, epoch, offset),
      renewed: () => this.#rooms.keep(name, room),
    };
    const room = found.store === "nats" && streams !== null
      ? new StreamRoom({
        ...common,
        name,
        stream: streams.of(found.match, history),
        budget,
        unixMs,
        wait,
        newId: newEpoch,
        deliver: (frame, except) => this.#rooms.deliverAnyway(name, frame, except),
        members: (except) => this.#rooms.members(name, except),
        lost: (reason) => this.#rooms.tellLoss(name, reason),
      })
      : found.store === "disk" && disk !== null
      ? new DiskRoom({
        ...common,
        name,
        disk,
        deliver: (frame, except) => this.#rooms.deliverAnyway(name, frame, except),
      })
      : new MemoryRoom({
        ...common,
        budget,
        newEpoch,
        deliver: (frame, except) => this.#rooms.deliver(name, frame, except),
      });
    this.#kept.set(name, { room, class: found });
    this.#rooms.keep(name, room);
    return room;
  }

  #end(name: string, { room }: Kept): void {
    this.#kept.delete(name);
    room.remove();
    this.#rooms.keep(name, null);
  }

  #sent(room: string, { sender, key }: SenderKey, epoch: string, offset: number): void {
    this.#keys.add(sender, key, { room, epoch, offset }, this.#options.now() + KEY_MEMORY_MS);
  }
}
