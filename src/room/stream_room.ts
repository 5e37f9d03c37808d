// A room whose messages go through a log that all nodes share: nobody hears a message before the log has taken it. What is
// given to those who missed something stands in memory too, so that a crowd that comes back asks NATS for nothing.

import { BUSY } from "../cluster/bus.ts";
import type { Frame } from "../protocol/frame.ts";
import type { HistoryBounds } from "./history.ts";
import { type Budgeted, type HistoryBudget, ROOM_BYTES } from "./history_budget.ts";
import { CountedRoom, type HistoryCounts } from "./history_counts.ts";
import { offsetOf, recordId } from "./history_stream.ts";
import type { KeptRoom, Missed, Page, Published, Range, Recovered, SenderKey, Wish } from "./kept_room.ts";
import { KEY_REUSED, NOT_STORED } from "./kept_room.ts";
import { REPLAY_MAX, within } from "./memory_room.ts";
import { StreamFollower, type StreamFollowerOptions } from "./stream_follower.ts";

/** Messages of one page of a replay. */
const PAGE = 100;
/** How long a room is listened to that nobody is in and nothing is said in. */
const LINGER_MS = 30_000;

export interface StreamRoomOptions
  extends Omit<StreamFollowerOptions, "origin" | "bounds" | "changed" | "isOccupied"> {
  readonly bounds: HistoryBounds;
  readonly budget: HistoryBudget;
  readonly counts: HistoryCounts;
  readonly newId: () => string;
  /** Whether so much waits for members here that nothing more is to be stored for now. */
  readonly isFull: () => boolean;
  /** All rooms together take too much memory. @returns whether this one was removed; one with members is not */
  readonly giveUp: () => boolean;
  /** Members here, but for a session. */
  readonly members: (except: string | null) => number;
  readonly sent: (key: SenderKey, epoch: string, offset: number) => void;
}

export class StreamRoom implements KeptRoom, Budgeted {
  readonly storesFirst = true;
  readonly #options: StreamRoomOptions;
  readonly #follower: StreamFollower;
  #bounds: HistoryBounds;
  readonly #counted: CountedRoom;
  #budgeted = 0;
  #removed = false;
  #usedAt: number;

  constructor(options: StreamRoomOptions) {
    this.#options = options;
    this.#bounds = options.bounds;
    this.#counted = new CountedRoom(options.counts);
    this.#usedAt = options.now();
    this.#follower = new StreamFollower({
      ...options,
      origin: this,
      bounds: () => this.#bounds,
      isOccupied: () => options.members(null) > 0,
      changed: () => this.#recount(true),
    });
    this.#recount(true);
  }

  get ready(): Promise<void> | null {
    return this.#follower.ready;
  }

  get epoch(): string {
    return this.#follower.epoch;
  }

  get last(): number {
    return this.#follower.window.last;
  }

  get bytes(): number {
    return this.#follower.window.bytes;
  }

  get size(): number {
    return this.#follower.window.size;
  }

  /** A cursor that is not known here may be ahead of what this node was told: then the log is asked. */
  prepare(wish: Wish | null): Promise<void> | null {
    const follower = this.#follower;
    this.#usedAt = this.#options.now();
    const { ready } = follower;
    if (ready !== null || wish === null) return ready;
    if (
      !("last" in wish) && wish.since.epoch === follower.epoch && follower.window.knows(wish.since.offset)
    ) {
      return null;
    }
    if (follower.isCold) return follower.reload();
    return "last" in wish ? null : follower.look();
  }

  publish(frame: Frame, except: string | null, key: SenderKey | null): Published {
    const { stream, name, now, newId, sent, members, counts, isFull } = this.#options;
    const follower = this.#follower;
    this.#usedAt = now();
    if (isFull()) return BUSY;
    // A key is its sender's own; so is what it is stored under.
    const id = key === null ? newId() : recordId(`${key.key} ${key.sender}`);
    const text = frame.payload as string;
    const digest = key?.digest ?? null;
    // What was said under the key on another node is known in the log alone.
    const isSame = (sequence: number) =>
      stream.digestOf(sequence).then((first) => first === digest, () => true);
    const placing = stream.append(name, { kind: "message", text, id, except, life: follower.life, digest });
    if (placing === "full") return BUSY;
    return placing.then(async (place) => {
      if (place === null) {
        counts.refused++;
        return NOT_STORED;
      }
      const duplicate = key !== null && place.duplicate;
      if (duplicate && digest !== null && !await isSame(place.sequence)) return KEY_REUSED;
      if (duplicate) counts.duplicates++;
      else counts.stored++;
      // Stored it is, whether this node can read the room or not.
      await follower.ready?.catch(() => {});
      // Members here have heard it before its sender is told, as in any other room.
      await follower.reached(place.sequence);
      const epoch = follower.epochIn(place.epoch);
      const offset = offsetOf(place.sequence, id);
      if (key !== null && !duplicate) sent(key, epoch, offset);
      return { deliveries: duplicate ? 0 : members(except), offset, epoch, duplicate };
    });
  }

  recover(wish: Wish): Recovered {
    const { window, epoch } = this.#follower;
    window.trim(this.#options.now());
    this.#recount(true);
    const offset = window.last;
    if ("last" in wish) {
      const after = window.afterNewest(Math.min(wish.last, REPLAY_MAX));
      return { epoch, offset, recovered: true, reason: null, after };
    }
    const { since } = wish;
    const reason = since.epoch === epoch ? window.lossOf(since) : "epoch";
    const after = reason === null ? since.offset : window.first - 1;
    this.#options.counts.recoveries[reason ?? "recovered"]++;
    return { epoch, offset, recovered: reason === null, reason, after };
  }

  missed(after: number, upTo: number): Missed {
    // Held by what they are: what is cut off meanwhile is told all the same.
    const entries = this.#follower.window.after(after, Number.MAX_SAFE_INTEGER);
    const frames = entries.filter(({ offset }) => offset <= upTo).map(({ frame }) => frame);
    let at = 0;
    return {
      get left() {
        return frames.length - at;
      },
      next: () => at >= frames.length ? null : frames.slice(at, at += PAGE),
      stop: () => void (at = frames.length),
    };
  }

  page(range: Range): Page | Promise<Page> {
    const follower = this.#follower;
    const preparing = follower.ready ?? (follower.isCold ? follower.reload() : null);
    return preparing === null ? this.#page(range) : preparing.then(() => this.#page(range));
  }

  apply(bounds: HistoryBounds): void {
    this.#bounds = bounds;
    this.#follower.window.apply(bounds, this.#options.now());
    this.#recount(false);
  }

  async clear(): Promise<void> {
    const { stream, name, newId } = this.#options;
    await this.ready;
    const life = newId().slice(0, 8);
    const place = await stream.append(name, {
      kind: "clear",
      text: "",
      id: newId(),
      except: null,
      life,
      digest: null,
    });
    if (place === null || place === "full") throw new Error("the log has not taken it");
    await this.#follower.check();
    await stream.purge(name, place.sequence);
  }

  touch(): void {
    this.#usedAt = this.#options.now();
    this.#recount(true);
  }

  evict(): void {
    if (this.#options.giveUp()) return;
    const { window } = this.#follower;
    this.#options.counts.trimmed.budget += window.size;
    window.empty();
    this.#follower.isCold = true;
    this.#recount(false);
  }

  /** @returns whether it need not be listened to any more; in the log it stays as long as it is to */
  sweep(): boolean {
    const { now, members } = this.#options;
    this.#follower.window.trim(now());
    this.#recount(false);
    if (members(null) > 0) this.#usedAt = now();
    return now() - this.#usedAt > LINGER_MS;
  }

  remove(): void {
    if (this.#removed) return;
    this.#removed = true;
    this.#follower.stop();
    this.#options.budget.remove(this, this.#budgeted);
    this.#counted.set(0, 0);
  }

  #page(range: Range): Page {
    const { window, epoch } = this.#follower;
    window.trim(this.#options.now());
    this.#recount(true);
    const { limit, maxBytes } = range;
    const isForward = "after" in range;
    const entries = isForward ? window.after(range.after, limit) : window.before(range.before, limit);
    const { frames, more } = within(entries.map(({ frame }) => frame), maxBytes, isForward);
    const { first, last } = window;
    const end = isForward ? entries.at(-1) : entries[0];
    const isBeyond = end !== undefined && (isForward ? end.offset < last : end.offset > first);
    return { epoch, first, last, frames, more: more || isBeyond };
  }

  #recount(used: boolean): void {
    if (this.#removed) return;
    const { window } = this.#follower;
    this.#counted.set(window.size, window.bytes);
    const bytes = window.bytes + ROOM_BYTES;
    const more = bytes - this.#budgeted;
    this.#budgeted = bytes;
    if (used) this.#options.budget.use(this, more);
    else this.#options.budget.count(more);
  }
}
