// Pages of lists that change while they are read: the items with the smallest keys above the last one seen. Whatever is
// there all the time is seen exactly once, and nothing has to be kept between two pages.

export interface PageOptions<T, K> {
  /** Unique among the items. */
  readonly keyOf: (item: T) => K;
  /** Null from the start. */
  readonly after: K | null;
  readonly limit: number;
}

export interface Page<T, K> {
  readonly items: readonly T[];
  /** Where the next page goes on; null when there is none. */
  readonly next: K | null;
}

/** One page. Looks once at each item, and holds twice the page at most. */
export function page<T, K extends string | number>(
  items: Iterable<T>,
  { keyOf, after, limit }: PageOptions<T, K>,
): Page<T, K> {
  // One more tells whether there is another page.
  const wanted = limit + 1;
  let found: { readonly item: T; readonly key: K }[] = [];
  let below: K | null = null;
  for (const item of items) {
    const key = keyOf(item);
    if (after !== null && key <= after || below !== null && key >= below) continue;
    found.push({ item, key });
    if (found.length < 2 * wanted) continue;
    found = smallest(found, wanted);
    below = found[wanted - 1]!.key;
  }
  found = smallest(found, wanted);
  const more = found.length > limit;
  if (more) found.length = limit;
  return { items: found.map(({ item }) => item), next: more ? found[limit - 1]!.key : null };
}

function smallest<F extends { readonly key: string | number }>(found: F[], count: number): F[] {
  return found.sort((a, b) => a.key < b.key ? -1 : 1).slice(0, count);
}
