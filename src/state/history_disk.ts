// A tenant's rooms that are kept on disk, as rooms see them: jobs of the state's thread.

import type { DiskMessage, DiskRange, HistoryDisk } from "../room/disk_room.ts";
import type { HistoryBounds } from "../room/history.ts";
import { nameOf } from "../room/sent_keys.ts";
import type { JobName, Jobs } from "./state_messages.ts";
import type { StateStore } from "./state_store.ts";

/** @param store opened when something is to be kept */
export function historyDisk(tenant: string, store: () => StateStore): HistoryDisk {
  // All of them resolve one step behind the state's answer, so that those of one room go on in the order of their calls.
  const ask = <N extends JobName, T>(
    job: { readonly name: N } & Jobs[N]["job"],
    of: (result: Jobs[N]["result"]) => T,
  ): Promise<T> => store().ask(job).then(of);
  const same = <T>(result: T): T => result;
  return {
    open: (room: string, bounds: HistoryBounds) => ask({ name: "historyOpen", tenant, room, bounds }, same),
    append(room: string, { key, ...rest }: DiskMessage) {
      const known = key === null ? null : { name: nameOf(key), digest: key.digest, forMs: key.forMs };
      const message = { ...rest, key: known };
      return ask({ name: "historyAppend", tenant, room, message }, (stored) => {
        if (stored === "full") throw new Error("the disk has no room for it");
        return stored;
      });
    },
    read(room: string, range: DiskRange) {
      const { limit, maxBytes, isPinned = false } = range;
      const from = "after" in range
        ? { after: range.after, before: Number.MAX_SAFE_INTEGER }
        : { after: null, before: range.before };
      return ask({ name: "historyRead", tenant, room, range: { ...from, limit, maxBytes, isPinned } }, same);
    },
    trim: (room: string, bounds: HistoryBounds, keepAfter: number) =>
      ask({ name: "historyTrim", tenant, room, bounds, keepAfter }, same),
    clear: (room: string) => ask({ name: "historyClear", tenant, room }, same),
  };
}
