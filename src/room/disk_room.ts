// A room whose messages are on disk before anybody hears of them, so that no offset is ever given twice: a message is
// numbered when it is committed, and goes to the members then. What is read back comes a page at a time.

import { Frame, LANE, withOffset } from "../protocol/frame.ts";
import type { HistoryBounds } from "./history.ts";
import {
  type KeptRoom,
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
  readonly bounds: HistoryBounds;
  /** What comes behind this offset is still being read, and must stay; infinite for nothing. */
  readonly keepAfter: number;
}

/** One that is, or that was before under the same key. */
export interface DiskStored extends DiskMeta {
  readonly offset: number;
  readonly duplicate: boolean;
}

/** A tenant's rooms on disk. Whatever changes something resolves when that is committed, in the order of the calls. */
export interface HistoryDisk {
  open(room: string, bounds: HistoryBounds): Promise<DiskMeta>;
  append(room: string, message: DiskMessage): Promise<DiskStored>;
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
  /** Hands a frame to all members, however many wait for them already: it is committed, and so to be heard. */
  readonly deliver: (frame: Frame, except: string | null) => number;
  readonly sent: (key: SenderKey, epoch: string, offset: number) => void;
  readonly renewed: () => void;
}

const PAGE = 100;
/** Between two times that what is too old is let go of, and that the room is noted as used. */
const TRIM_MS = 5000;
const PAGE_BYTES = 262_144;
const NOTHING: DiskMeta = { epoch: "", first: 1, last: 0, bytes: 0 };

export class DiskRoom implements KeptRoom {
  readonly #options: DiskRoomOptions;
  #bounds: HistoryBounds;
  #meta = NOTHING;
  #ready: Promise<void> | null;
  #failed = false;
  #usedAt: number;
  #trimmedAt = 0;
  /** Offsets behind which somebody still reads. */
  readonly #pins = new Set<{ after: number }>();

  constructor(options: DiskRoomOptions) {
    this.#options = options;
    this.#bounds = options.bounds;
    this.#usedAt = options.now();
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
    const { disk, name, now } = this.#options;
    this.#usedAt = now();
    const message = { text: frame.payload as string, key, bounds: this.#bounds, keepAfter: this.#keepAfter };
    return disk.append(name, message).then(
      (stored) => this.#stored(stored, frame, except, key),
      () => NOT_STORED,
    );
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
    this.#meta = meta;
    const { frames, more } = within(rows.map(frameOf), range.maxBytes, "after" in range);
    const { epoch, first, last } = meta;
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
    this.#meta = await disk.clear(name);
    renewed();
  }

  /** @returns whether it can be forgotten here; on disk it stays as long as it is to */
  sweep(): boolean {
    const { disk, name, now } = this.#options;
    if (this.#ready === null && now() - this.#trimmedAt > TRIM_MS && this.#pins.size === 0) {
      this.#trimmedAt = now();
      void disk.trim(name, this.#bounds, this.#keepAfter).then((meta) => void (this.#meta = meta), () => {});
    }
    return now() - this.#usedAt > this.#bounds.maxAgeMs && this.#pins.size === 0;
  }

  remove(): void {}

  get #keepAfter(): number {
    let least = Number.POSITIVE_INFINITY;
    for (const { after } of this.#pins) least = Math.min(least, after);
    return least;
  }

  #open(): Promise<void> {
    const { disk, name, renewed } = this.#options;
    this.#failed = false;
    const opened = disk.open(name, this.#bounds).then((meta) => {
      this.#meta = meta;
      this.#ready = null;
      // Who is a member already hears all that comes from here on.
      renewed();
    });
    // Whoever waits for it is told; perhaps nobody does.
    opened.catch(() => void (this.#failed = true));
    return opened;
  }

  #stored(stored: DiskStored, frame: Frame, except: string | null, key: SenderKey | null): Stored {
    const { offset, duplicate, ...meta } = stored;
    const { deliver, sent } = this.#options;
    if (duplicate) return { deliveries: 0, offset, epoch: stored.epoch, duplicate: true };
    const isNew = this.#meta.epoch !== "" && this.#meta.epoch !== meta.epoch;
    this.#meta = meta;
    if (isNew) this.#options.renewed();
    const deliveries = deliver(withOffset(frame, offset), except);
    if (key !== null) sent(key, meta.epoch, offset);
    return { deliveries, offset, epoch: meta.epoch, duplicate: false };
  }
}

function frameOf([offset, text]: readonly [number, string]): Frame {
  return withOffset(new Frame(text, LANE.reliable, 0), offset);
}
