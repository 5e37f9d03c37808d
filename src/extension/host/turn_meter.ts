// How long a worker's present turn has been going on, seen from another thread: the worker counts its turns up in shared
// memory as they begin and end. A turn ends in the macrotask after the one that began it, so what runs in microtasks is
// part of it. Whoever breaks out of the compartment could lie here; the gateway's time limit on calls still holds.

const BEGUN = 0;
const ENDED = 1;
/** Megabytes of heap, times 1024. */
const HEAP_KIB = 2;
const FIELDS = 3;

/** What worker and watcher share. */
export function sharedMeter(): SharedArrayBuffer {
  return new SharedArrayBuffer(FIELDS * Int32Array.BYTES_PER_ELEMENT);
}

/** The worker's side. */
export class TurnMeter {
  readonly #fields: Int32Array;
  #turn = 0;

  constructor(shared: SharedArrayBuffer) {
    this.#fields = new Int32Array(shared);
  }

  begin(): void {
    this.#turn = (this.#turn + 1) | 0;
    Atomics.store(this.#fields, BEGUN, this.#turn);
  }

  end(): void {
    Atomics.store(this.#fields, ENDED, this.#turn);
  }

  tellHeap(bytes: number): void {
    Atomics.store(this.#fields, HEAP_KIB, Math.ceil(bytes / 1024));
  }
}

/** The watcher's side. */
export class TurnWatch {
  readonly #fields: Int32Array;
  #turn = 0;
  #sinceMs = 0;

  constructor(shared: SharedArrayBuffer) {
    this.#fields = new Int32Array(shared);
  }

  /** For how long the present turn has been seen; 0 when there is none. To be called every few milliseconds. */
  busyMs(nowMs: number): number {
    const begun = Atomics.load(this.#fields, BEGUN);
    if (begun === Atomics.load(this.#fields, ENDED)) {
      this.#turn = begun;
      this.#sinceMs = nowMs;
      return 0;
    }
    if (begun !== this.#turn) {
      this.#turn = begun;
      this.#sinceMs = nowMs;
    }
    return nowMs - this.#sinceMs;
  }

  get heapBytes(): number {
    return Atomics.load(this.#fields, HEAP_KIB) * 1024;
  }
}
