// A room whose messages are kept in memory, as long as the gateway lives and there is room for them.

import type { Frame } from "../protocol/frame.ts";
import { withOffset } from "../protocol/frame.ts";
import { type HistoryBounds, RoomHistory } from "./history.ts";
import { type Budgeted, type HistoryBudget, ROOM_BYTES } from "./history_budget.ts";
import { CountedRoom, type HistoryCounts, type TrimReason } from "./history_counts.ts";
import type { KeptRoom, Missed, Page, Published, Range, Recovered, SenderKey, Wish } from "./kept_room.ts";

/** Messages that one who joins is given at most. */
export const REPLAY_MAX = 10_000;
/** Messages of a page. */
const PAGE = 100;

export interface MemoryRoomOptions {
  readonly bounds: HistoryBounds;
  readonly budget: HistoryBudget;
  readonly counts: HistoryCounts;
  readonly now: () => number;
  readonly newEpoch: () => string;
  /** Hands a frame to all members. @returns how many, or `BUSY` */
  readonly deliver: (frame: Frame, except: string | null) => number;
  /** A message was published under a key. */
  readonly sent: (key: SenderKey, epoch: string, offset: number) => void;
  /** A new epoch has begun: whoever is a member has heard all of it. */
  readonly renewed: () => void;
  /** All rooms together keep too much. @returns whether this one was removed; one with members is not */
  readonly giveUp: () => boolean;
}

export class MemoryRoom implements KeptRoom, Budgeted {
  readonly ready = null;
  readonly storesFirst = false;
  readonly #options: MemoryRoomOptions;
  #bounds: HistoryBounds;
  #history: RoomHistory;
  readonly #counted: CountedRoom;
  #budgeted = 0;
  /** Up to where messages are known to have gone, and counted. */
  #goneTo = 0;
  #usedAt = 0;

  constructor(options: MemoryRoomOptions) {
    this.#options = options;
    this.#counted = new CountedRoom(options.counts);
    this.#bounds = options.bounds;
    this.#history = new RoomHistory(options.newEpoch(), options.bounds);
    this.#recount(true);
  }

  prepare(): null {
    return null;
  }

  get epoch(): string {
    return this.#history.epoch;
  }

  get last(): number {
    return this.#history.last;
  }

  get bytes(): number {
    return this.#history.bytes;
  }

  get size(): number {
    return this.#history.size;
  }

  publish(frame: Frame, except: string | null, key: SenderKey | null): Published {
    const { now, deliver, sent } = this.#options;
    const history = this.#history;
    const offset = history.last + 1;
    const numbered = withOffset(frame, offset);
    const deliveries = deliver(numbered, except);
    if (deliveries < 0) return deliveries;
    history.append(numbered, now());
    this.#options.counts.stored++;
    this.#recount(true);
    if (key !== null) sent(key, history.epoch, offset);
    return { deliveries, offset, epoch: history.epoch, duplicate: false };
  }

  recover(wish: Wish): Recovered {
    const history = this.#history;
    history.trim(this.#options.now());
    this.#recount(false);
    const { epoch, last } = history;
    if ("last" in wish) {
      const after = Math.max(history.first - 1, last - Math.min(wish.last, REPLAY_MAX));
      return { epoch, offset: last, recovered: true, reason: null, after };
    }
    const found = history.recover(wish.since, REPLAY_MAX);
    const reason = found.recovered ? null : found.reason;
    this.#options.counts.recoveries[reason ?? "recovered"]++;
    return { epoch, offset: last, recovered: found.recovered, reason, after: found.after };
  }

  missed(after: number, upTo: number): Missed {
    // Held by what they are, and not by their place: what is trimmed meanwhile is told all the same.
    const frames = this.#history.after(after, upTo - after).frames;
    let at = 0;
    return {
      get left() {
        return frames.length - at;
      },
      next: () => at >= frames.length ? null : frames.slice(at, at += PAGE),
      stop: () => void (at = frames.length),
    };
  }

  page(range: Range): Page {
    const history = this.#history;
    history.trim(this.#options.now());
    this.#recount(false);
    const { limit, maxBytes } = range;
    const found = "after" in range ? history.after(range.after, limit) : history.before(range.before, limit);
    const { frames, more } = within(found.frames, maxBytes, "after" in range);
    const { epoch, first, last } = history;
    return { epoch, first, last, frames, more: more || found.more };
  }

  apply(bounds: HistoryBounds): void {
    this.#bounds = bounds;
    this.#history.apply(bounds, this.#options.now());
    this.#recount(false);
  }

  clear(): void {
    this.#goneTo = 0;
    this.#history = new RoomHistory(this.#options.newEpoch(), this.#bounds);
    this.#recount(false);
    this.#options.renewed();
  }

  evict(): void {
    this.#lose("budget", this.#history.size);
    if (!this.#options.giveUp()) this.clear();
  }

  touch(): void {
    this.#recount(true);
  }

  /** Lets go of what is too old. @returns whether nothing is left, and nothing has come for as long as messages are kept */
  sweep(): boolean {
    const now = this.#options.now();
    this.#history.trim(now);
    this.#recount(false);
    return this.#history.size === 0 && now - this.#usedAt > this.#bounds.maxAgeMs;
  }

  /** It is no more. */
  remove(): void {
    this.#options.budget.remove(this, this.#budgeted);
    this.#budgeted = 0;
    this.#counted.set(0, 0);
  }

  #lose(reason: TrimReason, messages: number): void {
    this.#options.counts.trimmed[reason] += messages;
  }

  /** @param used somebody has published, joined or left; else it goes on being idle */
  #recount(used: boolean): void {
    const { first, size } = this.#history;
    this.#lose("bounds", first - 1 - this.#goneTo);
    this.#goneTo = first - 1;
    this.#counted.set(size, this.#history.bytes);
    const bytes = this.#history.bytes + ROOM_BYTES;
    const more = bytes - this.#budgeted;
    this.#budgeted = bytes;
    if (used) {
      this.#usedAt = this.#options.now();
      this.#options.budget.use(this, more);
    } else this.#options.budget.count(more);
  }
}

/** As many of some messages as have room: from their old end, or from their new one. */
export function within(
  frames: readonly Frame[],
  maxBytes: number,
  fromOldest: boolean,
): { readonly frames: readonly Frame[]; readonly more: boolean } {
  let bytes = 0, count = 0;
  for (; count < frames.length; count++) {
    bytes += frames[fromOldest ? count : frames.length - 1 - count]!.bytes;
    if (bytes > maxBytes && count > 0) break;
  }
  if (count === frames.length) return { frames, more: false };
  return { frames: fromOldest ? frames.slice(0, count) : frames.slice(frames.length - count), more: true };
}
