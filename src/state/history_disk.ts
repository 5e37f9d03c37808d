// A tenant's rooms that are kept on disk, as rooms see them: jobs of the state's thread.

import type { DiskMessage, HistoryDisk } from "../room/disk_room.ts";
import type { HistoryBounds } from "../room/history.ts";
import type { Range } from "../room/kept_room.ts";
import type { StateStore } from "./state_store.ts";

/** @param store opened when something is to be kept */
export function historyDisk(tenant: string, store: () => StateStore): HistoryDisk {
  return {
    open: (room: string, bounds: HistoryBounds) => store().ask({ name: "historyOpen", tenant, room, bounds }),
    async append(room: string, { key, ...rest }: DiskMessage) {
      const known = key === null
        ? null
        : { name: `${key.key} ${key.sender}`, digest: key.digest, forMs: key.forMs };
      const message = { ...rest, key: known };
      const stored = await store().ask({ name: "historyAppend", tenant, room, message });
      if (stored === "full") throw new Error("the disk has no room for it");
      return stored;
    },
    read(room: string, range: Range) {
      const { limit, maxBytes } = range;
      const from = "after" in range
        ? { after: range.after, before: Number.MAX_SAFE_INTEGER }
        : { after: null, before: range.before };
      return store().ask({ name: "historyRead", tenant, room, range: { ...from, limit, maxBytes } });
    },
    trim: (room: string, bounds: HistoryBounds, keepAfter: number) =>
      store().ask({ name: "historyTrim", tenant, room, bounds, keepAfter }),
    clear: (room: string) => store().ask({ name: "historyClear", tenant, room }),
  };
}
