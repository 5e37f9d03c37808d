// A state in memory whose disk fails when told, and which is as slow as a test wants.

import type { Entry, State, Table } from "../../src/state/table.ts";

export class FakeState implements State {
  /** Rows by table. */
  readonly tables = new Map<string, Map<string, Entry>>();
  /** Whether nothing can be written. */
  fails = false;
  /** Whether every table is full. */
  full = false;
  /** Keys of each write that was tried. */
  readonly tried: string[] = [];
  /** Holds writes up until it resolves. */
  gate: Promise<void> = Promise.resolve();

  /** What is in a table. */
  rows(table: string): readonly Entry[] {
    return [...this.tables.get(table)?.values() ?? []];
  }

  table(name: string): Table {
    let rows = this.tables.get(name);
    if (rows === undefined) this.tables.set(name, rows = new Map());
    const all = rows;
    const write = async <T>(key: string, change: () => T): Promise<T> => {
      this.tried.push(key);
      await this.gate;
      if (this.fails) throw new Error("Cannot write the state: the disk is full");
      return change();
    };
    return {
      get: (key) => Promise.resolve(all.get(key) ?? null),
      list: ({ prefix, after, limit }) => {
        const keys = [...all.keys()].sort().filter((key) => key.startsWith(prefix) && key > after);
        return Promise.resolve(keys.slice(0, limit).map((key) => all.get(key)!));
      },
      put: (entry) =>
        write(entry.key, () => {
          if (!this.full) all.set(entry.key, entry);
          return !this.full;
        }),
      increment: () => Promise.resolve(null),
      delete: (key) => write(key, () => all.delete(key)),
    };
  }
}
