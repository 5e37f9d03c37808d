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

/** Which messages are read; `isPinned`: also those that are kept no more, but that somebody was promised. */
export type DiskRange = Range & { readonly isPinned?: boolean };

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
    range: DiskRange,
  ): Promise<DiskMeta & { readonly rows: readonly (readonly [number, string])[] }>;
  /**
   * Lets go of what is too old. A message MUST still be read by who is promised it until two trims have come that did not
   * want it kept; the second is asked for only when the first is answered.
   */
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
/** Messages after which that is done before its time. */
const TRIM_MESSAGES = 512;
const PAGE_BYTES = 262_144;
const NOTHING: DiskMeta = { epoch: "", first: 1, last: 0, bytes: 0 };

export class DiskRoom implements KeptRoom, Budgeted {
  readonly storesFirst = true;
  readonly #options: DiskRoomOptions;
  #bounds: HistoryBounds;
  #meta = NOTHING;
  #ready: Promise<void> | null = null;
  #failed = false;
  #usedAt: number;
  #trimmedAt = 0;
  #isTrimming = false;
  #sinceTrim = 0;
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
    void this.#open();
  }

  get ready(): Promise<void> | null {
    // What failed is tried again by the next who comes.
    if (this.#failed) void this.#open();
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
    const { epoch } = this.#meta;
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
        const { rows, ...found } = await disk.read(name, {
          after: pin.after,
          limit,
          maxBytes: PAGE_BYTES,
          isPinned: true,
        });
        const next = rows.filter(([offset]) => offset <= upTo);
        if (found.epoch !== epoch || next[0]?.[0] !== pin.after + 1) {
          // Cleared meanwhile. Whoever was promised it has to hear of that: see `Backlog`.
          stop();
          throw new Error(`Cannot read ${name} behind ${pin.after}: it is not there any more`);
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

  clear(): Promise<void> {
    const { disk, name } = this.#options;
    // What is said from now on belongs to the next epoch, which nobody knows yet: who joins waits for it.
    const former = this.#meta;
    this.#set(NOTHING);
    const cleared = this.#begin(disk.clear(name));
    cleared.catch(() => {
      // Nothing has happened, and all is as it was known.
      if (former === NOTHING || this.#meta !== NOTHING || this.#ready !== cleared) return;
      this.#set(former);
      this.#isKnown();
    });
    return cleared;
  }

  #isKnown(): void {
    this.#failed = false;
    this.#ready = null;
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
    const { now } = this.#options;
    if (this.#ready === null && this.#meta.last > 0 && now() - this.#trimmedAt > TRIM_MS) this.#trim();
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

  #trim(): void {
    if (this.#isTrimming) return;
    const { disk, name, now } = this.#options;
    this.#isTrimming = true;
    this.#trimmedAt = now();
    this.#sinceTrim = 0;
    disk.trim(name, this.#bounds, this.#keepAfter).then((meta) => this.#learn(meta), () => {}).then(() => {
      this.#isTrimming = false;
    });
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
    const { disk, name } = this.#options;
    this.#failed = false;
    return this.#begin(disk.open(name, this.#bounds));
  }

  /** What is kept is known once this resolves. */
  #begin(known: Promise<DiskMeta>): Promise<void> {
    const begun = known.then((meta) => {
      this.#set(meta);
      if (this.#ready === begun) this.#ready = null;
      // Who is a member already hears all that comes from here on.
      this.#options.renewed();
    });
    // Whoever waits for it is told; perhaps nobody does.
    begun.catch(() => void (this.#failed = true));
    return this.#ready = begun;
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
    if (former.epoch === meta.epoch) counts.trimmed.bounds += Math.max(0, meta.first - former.first);
    counts.stored++;
    if (++this.#sinceTrim >= TRIM_MESSAGES) this.#trim();
    // Opening it has failed, and this tells all that there is to know.
    const isOpened = this.#failed && former === NOTHING;
    if (isOpened) this.#isKnown();
    if (isOpened || former.epoch !== "" && former.epoch !== meta.epoch) {
      // Members have missed nothing before this one.
      this.#set({ ...meta, last: offset - 1 });
      renewed();
    }
    this.#set(meta);
    const deliveries = deliver(this.#removed ? frame : withOffset(frame, offset), except);
    if (key !== null) sent(key, meta.epoch, offset);
    return { deliveries, offset, epoch: meta.epoch, duplicate: false };
  }
}

function frameOf([offset, text]: readonly [number, string]): Frame {
  return withOffset(new Frame(text, LANE.reliable, 0), offset);
}
