// Sending once: who says a message again under the same key within five minutes is told what became of the first one.
// Keys are a sender's own; nobody's key meets another's.

import type { SenderKey } from "./kept_room.ts";

/** How long a client's or a service's key is known. */
export const KEY_MEMORY_MS = 300_000;

/** Where a message with a key went. */
export interface SentAs {
  readonly room: string;
  readonly epoch: string;
  readonly offset: number;
  /** See `SenderKey`. */
  readonly digest: string | null;
}

interface Entry {
  readonly sent: SentAs;
  readonly untilMs: number;
}

/** The key of a sender that may say what it likes under it: the first message is the one that counts. */
export function senderKey(sender: string, key: string | null): SenderKey | null {
  return key === null ? null : { sender, key, digest: null, forMs: KEY_MEMORY_MS };
}

export class SentKeys {
  readonly #max: number;
  /** By sender and key, in the order in which they came. */
  readonly #entries = new Map<string, Entry>();

  /** @param max keys that are known at the same time; the oldest is forgotten first */
  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#entries.size;
  }

  find(sender: string, key: string, now: number): SentAs | null {
    const entry = this.#entries.get(nameOf({ sender, key }));
    return entry === undefined || entry.untilMs <= now ? null : entry.sent;
  }

  /** @param untilMs when it is forgotten, by the clock of `now` */
  add(sender: string, key: string, sent: SentAs, untilMs: number): void {
    const name = nameOf({ sender, key });
    this.#entries.delete(name);
    this.#entries.set(name, { sent, untilMs });
    if (this.#entries.size > this.#max) this.#entries.delete(this.#entries.keys().next().value!);
  }

  /** Forgets what is over, from the oldest on; call it now and then. One that is known longer holds up those behind it. */
  sweep(now: number): void {
    for (const [name, { untilMs }] of this.#entries) {
      if (untilMs > now) return;
      this.#entries.delete(name);
    }
  }
}

/** One text for a sender and its key. A key has no space in it, so that two pairs never make one name. */
export function nameOf({ sender, key }: Pick<SenderKey, "sender" | "key">): string {
  return `${key} ${sender}`;
}
