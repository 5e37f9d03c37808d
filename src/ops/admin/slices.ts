// Long work on the loop that serves everybody: done in slices, between which sockets are read and written.

import type { AdminHouse } from "./house.ts";

/** Milliseconds of work after which others have their turn. */
const SLICE_MS = 4;

/** Does something to each item, in their order. What an item is by then may have changed: `each` MUST bear it. */
export async function inSlices<T>(
  items: readonly T[],
  each: (item: T) => void,
  { now, turn }: Pick<AdminHouse, "now" | "turn">,
): Promise<void> {
  let since = now();
  for (const item of items) {
    each(item);
    if (now() - since < SLICE_MS) continue;
    await turn();
    since = now();
  }
}
