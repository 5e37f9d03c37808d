// Pages of lists that change while they are read: the items with the smallest keys above the last one seen. Whatever is
// there all the time is seen exactly once, and nothing has to be kept between two pages.

import { inSlices, type Slices } from "./slices.ts";

export interface Page<T, K> {
  readonly items: readonly T[];
  /** Where the next page goes on; null when there is none. */
  readonly next: K | null;
}

export interface PageOptions<T, K> {
  /** Unique among the items. */
  readonly keyOf: (item: T) => K;
  readonly limit: number;
}

/** The first page of items in the order of their keys. Looks at no more of them than it shows, and one. */
export function pageOf<T, K>(items: Iterable<T>, { keyOf, limit }: PageOptions<T, K>): Page<T, K> {
  const found: T[] = [];
  for (const item of items) {
    if (found.length === limit) return { items: found, next: keyOf(found[limit - 1]!) };
    found.push(item);
  }
  return { items: found, next: null };
}

/** A page of items in any order. Looks once at each of them, in slices, and holds twice the page at most: those that come or go meanwhile MAY be among them. */
export async function pageAmong<T, K extends string | number>(
  items: Iterable<T>,
  { keyOf, after, limit }: PageOptions<T, K> & { /** Null from the start. */ readonly after: K | null },
  slices: Slices,
): Promise<Page<T, K>> {
  // One more tells whether there is another page.
  const wanted = limit + 1;
  let found: { readonly item: T; readonly key: K }[] = [];
  let below: K | null = null;
  await inSlices(items, (item) => {
    const key = keyOf(item);
    if (after !== null && key <= after || below !== null && key >= below) return;
    found.push({ item, key });
    if (found.length < 2 * wanted) return;
    found = smallest(found, wanted);
    below = found[wanted - 1]!.key;
  }, slices);
  return pageOf(smallest(found, wanted).map(({ item }) => item), { keyOf, limit });
}

function smallest<F extends { readonly key: string | number }>(found: F[], count: number): F[] {
  return found.sort((a, b) => a.key < b.key ? -1 : 1).slice(0, count);
}
