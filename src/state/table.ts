// What survives a restart, as those see it who keep something: tables of texts by key. Where there is no `state_dir`
// the same tables are in memory.

/** One row. */
export interface Entry {
  readonly key: string;
  readonly value: string;
  /** Unix time in milliseconds at which it goes, null for never. */
  readonly expiresMs: number | null;
}

/** What a table may hold. */
export interface TableLimits {
  /** Bytes of keys and values, as UTF-8. */
  readonly maxBytes: number;
}

/** Which rows are wanted, in the order of their keys. */
export interface Range {
  readonly prefix: string;
  /** Only keys behind this one; "" for all. */
  readonly after: string;
  readonly limit: number;
}

/** A table. What changes it resolves once that is committed, and rejects when it cannot be. */
export interface Table {
  get(key: string): Promise<Entry | null>;
  list(range: Range): Promise<readonly Entry[]>;
  /** @returns false when the table is full; then it is as before */
  put(entry: Entry): Promise<boolean>;
  /**
   * Adds to a row that is a number, at once with reading it; a row that is not there counts as 0.
   * @returns the sum, null when the row is no number or the table is full
   */
  increment(key: string, by: number, expiresMs: number | null): Promise<number | null>;
  /** @returns whether it was there */
  delete(key: string): Promise<boolean>;
}

/** Tables by name; the same name is the same table. */
export interface State {
  table(name: string, limits: TableLimits): Table;
}
