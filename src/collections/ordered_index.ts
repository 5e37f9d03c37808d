// Items by their keys, in the order of these, so that a page of a long list costs what the page costs and not what the list
// does: a B+ tree. Text is compared as JavaScript does.

import * as sorted from "sorted-btree";

type Tree<T> = sorted.default<string, T>;
type TreeClass = new <T>(entries: undefined, compare: (a: string, b: string) => number) => Tree<T>;

// It is CommonJS: Deno gives the module for its default export, Bun the default export itself.
const wrapped = sorted.default as unknown as TreeClass & { readonly default?: TreeClass };
const BTree = wrapped.default ?? wrapped;

export class OrderedIndex<T> {
  readonly #tree: Tree<T> = new BTree<T>(undefined, compare);

  get size(): number {
    return this.#tree.size;
  }

  /** Puts an item in the place of the one with its key. */
  set(key: string, item: T): void {
    this.#tree.set(key, item);
  }

  /** @returns whether there was one */
  delete(key: string): boolean {
    return this.#tree.delete(key);
  }

  /** The items whose keys come behind this one, null for all. Nothing may change while they are read. */
  *behind(key: string | null): Generator<T> {
    for (const [found, item] of this.#tree.entries(key ?? undefined)) if (found !== key) yield item;
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
