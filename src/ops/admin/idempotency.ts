// Remembers what became of requests that bear a key of their own, so that a client which heard no answer can ask again
// without doing it twice.

/** Requests remembered per tenant; the oldest is forgotten for one more. */
const REMEMBERED_MAX = 10_000;
/** For how long. */
export const REMEMBERED_MS = 600_000;

interface Remembered<T> {
  readonly digest: string;
  readonly outcome: T;
  readonly at: number;
}

export class Idempotency<T> {
  readonly #now: () => number;
  /** The oldest first. */
  readonly #entries = new Map<string, Remembered<T>>();

  constructor(now: () => number) {
    this.#now = now;
  }

  get size(): number {
    return this.#entries.size;
  }

  /**
   * What became of the request with this name; null when it is not known.
   * @param digest what it asks for, in short; another one under the same name is "other"
   */
  recall(name: string, digest: string): T | null | "other" {
    const known = this.#entries.get(name);
    if (known === undefined || this.#now() - known.at >= REMEMBERED_MS) return null;
    return known.digest === digest ? known.outcome : "other";
  }

  remember(name: string, digest: string, outcome: T): void {
    const at = this.#now();
    this.#entries.delete(name);
    this.#entries.set(name, { digest, outcome, at });
    for (const [oldest, entry] of this.#entries) {
      if (this.#entries.size <= REMEMBERED_MAX && at - entry.at < REMEMBERED_MS) break;
      this.#entries.delete(oldest);
    }
  }
}
