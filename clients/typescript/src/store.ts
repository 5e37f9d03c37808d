// A value that changes, in the form in which UI frameworks take one; and functions by name.

/** A value to read and to follow. Its methods are bound: they can be passed on as they are. */
export interface Readable<T> {
  /** The value now; the same object until it changes. */
  readonly get: () => T;
  /**
   * Calls `run` with the value at once and with each later one, until the returned function is called. That is Svelte's
   * store contract, and fits React's `useSyncExternalStore(store.subscribe, store.get)`. The same function twice is one.
   */
  readonly subscribe: (run: (value: T) => void) => () => void;
}

/** A `Readable` that its owner sets. */
export interface Store<T> extends Readable<T> {
  readonly set: (value: T) => void;
}

export function storeOf<T>(value: T): Store<T> {
  const runs = new Set<(value: T) => void>();
  return {
    get: () => value,
    subscribe: (run) => {
      runs.add(run);
      guarded(run, value);
      return () => void runs.delete(run);
    },
    set: (next) => {
      value = next;
      for (const run of runs) guarded(run, next);
    },
  };
}

/** Calls somebody's function. What it throws is reported as an event handler's would be, and disturbs nothing here. */
export function guarded<A extends readonly unknown[]>(run: (...args: A) => void, ...args: A): void {
  try {
    run(...args);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/** A function that is told of something. What it takes, its caller knows. */
export type Run = (...args: readonly never[]) => void;

/** Functions by name. */
export interface Handlers {
  /** @returns what takes it away again */
  on(name: string, run: Run): () => void;
  emit(name: string, ...args: readonly unknown[]): void;
  clear(): void;
}

export function handlersByName(): Handlers {
  const byName = new Map<string, Set<Run>>();
  return {
    on(name, run) {
      const runs = byName.get(name) ?? new Set();
      byName.set(name, runs.add(run));
      return () => {
        runs.delete(run);
      };
    },
    emit(name, ...args) {
      for (const run of byName.get(name) ?? []) guarded(run, ...args as readonly never[]);
    },
    clear: () => byName.clear(),
  };
}
