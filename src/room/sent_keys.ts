// Sending once: who says a message again under the same key within five minutes is told what became of the first one.
// Keys are a sender's own; nobody's key meets another's.

/** How long a key is known. */
export const KEY_MEMORY_MS = 300_000;

/** Where a message with a key went. */
export interface SentAs {
  readonly room: string;
  readonly epoch: string;
  readonly offset: number;
}

interface Entry {
  readonly sent: SentAs;
  readonly untilMs: number;
}

export class SentKeys {
  readonly #max: number;
  /** By sender and key, in the order in which they came, which is that in which they end. */
  readonly #entries = new Map<string, Entry>();

  /** @param max keys that are known at the same time; the oldest is forgotten first */
  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#entries.size;
  }

  find(sender: string, key: string, now: number): SentAs | null {
    const entry = this.#entries.get(nameOf(sender, key));
    return entry === undefined || entry.untilMs <= now ? null : entry.sent;
  }

  /** @param untilMs when it is forgotten, by the clock of `now`; never earlier than that of the entry before */
  add(sender: string, key: string, sent: SentAs, untilMs: number): void {
    const name = nameOf(sender, key);
    this.#entries.delete(name);
    this.#entries.set(name, { sent, untilMs });
    if (this.#entries.size > this.#max) this.#entries.delete(this.#entries.keys().next().value!);
  }

  /** Forgets what is over; call it now and then. */
  sweep(now: number): void {
    for (const [name, { untilMs }] of this.#entries) {
      if (untilMs > now) return;
      this.#entries.delete(name);
    }
  }
}

/** A key has no space in it, so that two pairs never make one name. */
function nameOf(sender: string, key: string): string {
  return `${key} ${sender}`;
}
