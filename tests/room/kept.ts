// What rooms of tests keep: nothing, or what some classes say, in memory.

import type { HistoriesOptions } from "../../src/room/histories.ts";
import { HistoryBudget } from "../../src/room/history_budget.ts";
import { RoomClasses, type RoomClassSpec } from "../../src/room/room_class.ts";

export function keeping(specs: readonly RoomClassSpec[] = []): HistoriesOptions {
  const classes = new RoomClasses(specs);
  let epochs = 0;
  return {
    classes: () => classes,
    budget: new HistoryBudget(() => 0),
    disk: null,
    streams: null,
    now: () => 0,
    unixMs: () => 0,
    wait: () => new Promise(() => {}),
    newEpoch: () => `e${++epochs}`,
  };
}
