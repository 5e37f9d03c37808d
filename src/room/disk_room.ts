// A room whose messages are on disk before anybody hears of them, so that no offset is ever given twice: a message is
// numbered when it is committed, and goes to the members then. What is read back comes a page at a time.

import { Frame, LANE, withOffset } from "../protocol/frame.ts";
import type { HistoryBounds } from "./history.ts";
import { type Budgeted, type HistoryBudget, ROOM_BYTES } from "./history_budget.ts";
import { CountedRoom, type HistoryCounts } from "./history_counts.ts";
import {
  type KeptRoom,
  KEY_REUSED,
  type Missed,
  NOT_STORED,
  type Page,
  type Published,
  type Range,
  type Recovered,
  type SenderKey,
  type Stored,
  type Wish,
} from "./kept_room.ts";
import { BUSY } from "../cluster/bus.ts";
import { REPLAY_MAX, within } from "./memory_room.ts";

/** What is kept of a room. */
export interface DiskMeta {
  readonly epoch: string;
  readonly first: number;
  readonly last: number;
  readonly bytes: number;
}

/** A message that is to be kept. */
export interface DiskMessage {
  /** An envelope without an offset, in JSON. */
  readonly text: string;
  readonly key: SenderKey | null;
  /** The epoch that members of a room were told of which nothing is kept: it holds for the first message. Else null. */
  readonly epoch: string | null;
  readonly bounds: HistoryBounds;
  /** What comes behind this offset is still being read, and must stay; infinite for nothing. */
  readonly keepAfter: number;
}

/** One that is, or that was before under the same key. */
export interface DiskStored extends DiskMeta {
  readonly offset: number;
  readonly duplicate: boolean;
}

/**
 * A tenant's rooms on disk. What changes something MUST resolve only once that is committed; all calls of one room MUST take
 * effect, and resolve, in their order. They reject where the disk fails, and then nothing has happened.
 */
export interface HistoryDisk {
  /** What is kept of a room. Of one of which nothing is, nothing is written either: offset 0, and an epoch for a first message. */
  open(room: string, bounds: HistoryBounds): Promise<DiskMeta>;
  /** @returns "reused" where its key stands for another message */
  append(room: string, message: DiskMessage): Promise<DiskStored | "reused">;
  /** Messages as `[offset, text]`, oldest first. */
  read(
    room: string,
    range: Range,
  ): Promise<DiskMeta & { readonly rows: readonly (readonly [number, string])[] }>;
  /** Lets go of what is too old. */
  trim(room: string, bounds: HistoryBounds, keepAfter: number): Promise<DiskMeta>;
  /** All of it goes, and a new epoch begins. */
  clear(room: string): Promise<DiskMeta>;
}

export interface DiskRoomOptions {
  readonly name: string;
  readonly bounds: HistoryBounds;
  readonly disk: HistoryDisk;
  readonly now: () => number;
  readonly budget: HistoryBudget;
  readonly counts: HistoryCounts;
  /** Hands a frame to all members, however many wait for them already: it is committed, and so to be heard. */
  readonly deliver: (frame: Frame, except: string | null) => number;
  /** Whether so much waits for members that nothing more is to be stored for now. */
  readonly isFull: () => boolean;
  readonly sent: (key: SenderKey, epoch: string, offset: number) => void;
  readonly renewed: () => void;
  /** All rooms together take too much memory. @returns whether this one was removed; one with members is not */
  readonly giveUp: () => boolean;
}

/** Messages on their way to the disk, and their payload bytes: as much as may wait for the members afterwards. */
const UNDER_WAY_MAX = 4096;
const UNDER_WAY_BYTES_MAX = 4_194_304;
const PAGE = 100;
/** Between two times that what is too old is let go of, and that the room is noted as used. */
const TRIM_MS = 5000;
const PAGE_BYTES = 262_144;
const NOTHING: DiskMeta = { epoch: "", first: 1, last: 0, bytes: 0 };

export class DiskRoom implements KeptRoom, Budgeted {
  readonly storesFirst = true;
  readonly #options: DiskRoomOptions;
  #bounds: HistoryBounds;
  #meta = NOTHING;
  #ready: Promise<void> | null;
  #failed = false;
  #usedAt: number;
  #trimmedAt = 0;
  /** Offsets behind which somebody still reads. */
  readonly #pins = new Set<{ after: number }>();
  readonly #underWay = { messages: 0, bytes: 0 };
  readonly #counted: CountedRoom;
  #removed = false;

  constructor(options: DiskRoomOptions) {
    this.#options = options;
    this.#bounds = options.bounds;
    this.#usedAt = options.now();
    this.#counted = new CountedRoom(options.counts);
    options.budget.use(this, ROOM_BYTES);
    this.#ready = this.#open();
  }

  get ready(): Promise<void> | null {
    // What failed is tried again by the next who comes.
    if (this.#failed) this.#ready = this.#open();
    return this.#ready;
  }

  prepare(): Promise<void> | null {
    return this.ready;
  }

  get epoch(): string {
    return this.#meta.epoch;
  }

  get last(): number {
    return this.#meta.last;
  }

  get bytes(): number {
    return this.#meta.bytes;
  }

  get size(): number {
    return this.#meta.last - this.#meta.first + 1;
  }

  publish(frame: Frame, except: string | null, key: SenderKey | null): Published {
    const { disk, name, counts, isFull } = this.#options;
    this.touch();
    const way = this.#underWay;
    if (way.messages >= UNDER_WAY_MAX || way.bytes >= UNDER_WAY_BYTES_MAX || isFull()) return BUSY;
    way.messages++;
    way.bytes += frame.bytes;
    const { epoch, last } = this.#meta;
    const message = {
      text: frame.payload as string,
      key,
      epoch: epoch !== "" && last === 0 ? epoch : null,
      bounds: this.#bounds,
      keepAfter: this.#keepAfter,
    };
    return disk.append(name, message).then((stored) => {
      this.#landed(frame);
      return stored === "reused" ? KEY_REUSED : this.#stored(stored, frame, { except, key });
    }, () => {
      this.#landed(frame);
      counts.refused++;
      return NOT_STORED;
    });
  }

  recover(wish: Wish): Recovered {
    const { epoch, first, last } = this.#meta;
    const newest = Math.max(first - 1, last - REPLAY_MAX);
    if ("last" in wish) {
      return {
        epoch,
        offset: last,
        recovered: true,
        reason: null,
        after: Math.max(newest, last - wish.last),
      };
    }
    const { since } = wish;
    const reason = since.epoch !== epoch
      ? "epoch"
      : since.offset > last
      ? "ahead"
      : since.offset < first - 1
      ? "trimmed"
      : since.offset < newest
      ? "too_many"
      : null;
    const after = reason === null ? since.offset : newest;
    this.#options.counts.recoveries[reason ?? "recovered"]++;
    return { epoch, offset: last, recovered: reason === null, reason, after };
  }

  missed(after: number, upTo: number): Missed {
    const { disk, name } = this.#options;
    const pin = { after };
    this.#pins.add(pin);
    const stop = () => void this.#pins.delete(pin);
    return {
      get left() {
        return upTo - pin.after;
      },
      stop,
      next: async () => {
        if (pin.after >= upTo || !this.#pins.has(pin)) {
          stop();
          return null;
        }
        const limit = Math.min(PAGE, upTo - pin.after);
        const { rows } = await disk.read(name, { after: pin.after, limit, maxBytes: PAGE_BYTES });
        const next = rows.filter(([offset]) => offset <= upTo);
        if (next.length === 0) {
          stop();
          return null;
        }
        pin.after = next.at(-1)![0];
        return next.map(frameOf);
      },
    };
  }

  async page(range: Range): Promise<Page> {
    const { disk, name } = this.#options;
    const { rows, ...meta } = await disk.read(name, range);
    this.#learn(meta);
    const { frames, more } = within(rows.map(frameOf), range.maxBytes, "after" in range);
    const { first, last } = meta;
    // Of a room of which nothing is kept, members were told an epoch that the disk knows only with the first message.
    const epoch = last === 0 && this.#meta.last === 0 ? this.#meta.epoch || meta.epoch : meta.epoch;
    const offsets = rows.map(([offset]) => offset);
    const beyond = "after" in range
      ? (offsets.at(-1) ?? last) < last
      : offsets.length > 0 && offsets[0]! > first;
    return { epoch, first, last, frames, more: more || beyond };
  }

  apply(bounds: HistoryBounds): void {
    this.#bounds = bounds;
  }

  async clear(): Promise<void> {
    const { disk, name, renewed } = this.#options;
    this.#set(await disk.clear(name));
    renewed();
  }

  touch(): void {
    const { now, budget } = this.#options;
    this.#usedAt = now();
    if (!this.#removed) budget.use(this, 0);
  }

  evict(): void {
    if (!this.#isBusy) this.#options.giveUp();
  }

  /** @returns whether it can be forgotten here; on disk it stays as long as it is to */
  sweep(): boolean {
    const { disk, name, now } = this.#options;
    const { last } = this.#meta;
    if (this.#ready === null && last > 0 && now() - this.#trimmedAt > TRIM_MS && this.#pins.size === 0) {
      this.#trimmedAt = now();
      void disk.trim(name, this.#bounds, this.#keepAfter).then((meta) => this.#learn(meta), () => {});
    }
    return now() - this.#usedAt > this.#bounds.maxAgeMs && !this.#isBusy;
  }

  remove(): void {
    if (this.#removed) return;
    this.#removed = true;
    this.#options.budget.remove(this, ROOM_BYTES);
    this.#counted.set(0, 0);
  }

  /** Whether somebody reads, or something is on its way to the disk: another one of this name would not know of it. */
  get #isBusy(): boolean {
    return this.#pins.size > 0 || this.#underWay.messages > 0;
  }

  #landed(frame: Frame): void {
    this.#underWay.messages--;
    this.#underWay.bytes -= frame.bytes;
  }

  #set(meta: DiskMeta): void {
    this.#meta = meta;
    if (!this.#removed) this.#counted.set(this.size, meta.bytes);
  }

  /** What was read may be ahead of what members were given: only `#stored` tells of new messages. */
  #learn({ epoch, first, bytes }: DiskMeta): void {
    const known = this.#meta;
    if (epoch !== known.epoch || first <= known.first) return;
    this.#options.counts.trimmed.bounds += first - known.first;
    this.#set({ ...known, first: Math.min(first, known.last + 1), bytes });
  }

  get #keepAfter(): number {
    let least = Number.POSITIVE_INFINITY;
    for (const { after } of this.#pins) least = Math.min(least, after);
    return least;
  }

  #open(): Promise<void> {
    const { disk, name, renewed } = this.#options;
    this.#failed = false;
    const opened = disk.open(name, this.#bounds).then((meta) => {
      this.#set(meta);
      this.#ready = null;
      // Who is a member already hears all that comes from here on.
      renewed();
    });
    // Whoever waits for it is told; perhaps nobody does.
    opened.catch(() => void (this.#failed = true));
    return opened;
  }

  #stored(
    stored: DiskStored,
    frame: Frame,
    { except, key }: { readonly except: string | null; readonly key: SenderKey | null },
  ): Stored {
    const { offset, duplicate, ...meta } = stored;
    const { deliver, sent, counts, renewed } = this.#options;
    if (duplicate) {
      counts.duplicates++;
      return { deliveries: 0, offset, epoch: stored.epoch, duplicate: true };
    }
    const former = this.#meta;
    if (former.epoch === meta.epoch) counts.trimmed.bounds += meta.first - former.first;
    counts.stored++;
    this.#set(meta);
    if (former.epoch !== "" && former.epoch !== meta.epoch) renewed();
    const deliveries = deliver(this.#removed ? frame : withOffset(frame, offset), except);
    if (key !== null) sent(key, meta.epoch, offset);
    return { deliveries, offset, epoch: meta.epoch, duplicate: false };
  }
}

function frameOf([offset, text]: readonly [number, string]): Frame {
  return withOffset(new Frame(text, LANE.reliable, 0), offset);
}
