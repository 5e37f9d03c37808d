// What rooms of tests keep: nothing, or what some classes say, in memory or on a disk that the test has.

import type { HistoryDisk } from "../../src/room/disk_room.ts";
import type { HistoriesOptions } from "../../src/room/histories.ts";
import { HistoryBudget } from "../../src/room/history_budget.ts";
import { RoomClasses, type RoomClassSpec } from "../../src/room/room_class.ts";

export interface Keeping {
  readonly disk?: HistoryDisk;
  /** Of all of it; none when absent. */
  readonly maxBytes?: number;
  readonly now?: () => number;
  readonly classes?: () => RoomClasses;
}

export function keeping(specs: readonly RoomClassSpec[] = [], more: Keeping = {}): HistoriesOptions {
  const classes = new RoomClasses(specs);
  let epochs = 0;
  return {
    classes: more.classes ?? (() => classes),
    budget: new HistoryBudget(() => more.maxBytes ?? 0),
    disk: more.disk ?? null,
    now: more.now ?? (() => 0),
    streams: null,
    unixMs: () => 0,
    wait: () => new Promise(() => {}),
    newEpoch: () => `e${++epochs}`,
  };
}

const BOUNDS = { max_messages: 100_000, max_bytes: 100_000_000, max_age_ms: 300_000 };

/** A class of all rooms whose names begin with `k`. */
export function keepsAll(store: "memory" | "disk", bounds: Partial<typeof BOUNDS> = {}): RoomClassSpec {
  return { match: "k*", history: { ...BOUNDS, ...bounds, store }, presence: false };
}
