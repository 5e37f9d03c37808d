// Secrets that strangers present, and what belongs to each. They are found by their HMAC under a key that only this
// process has, so that the time a lookup takes says nothing about how near a guess came, however many secrets there are.

import type { Buffer } from "node:buffer";
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";

export class SecretIndex<T> {
  readonly #key = randomBytes(32);
  readonly #entries = new Map<string, { readonly digest: Buffer; readonly value: T }>();

  constructor(entries: Iterable<readonly [secret: string, value: T]>) {
    for (const [secret, value] of entries) {
      const digest = this.#digest(secret);
      this.#entries.set(digest.toString("latin1"), { digest, value });
    }
  }

  /** What belongs to a secret; undefined for any other text. */
  find(secret: string): T | undefined {
    const digest = this.#digest(secret);
    const entry = this.#entries.get(digest.toString("latin1"));
    return entry !== undefined && timingSafeEqual(entry.digest, digest) ? entry.value : undefined;
  }

  #digest(secret: string): Buffer {
    return createHmac("sha256", this.#key).update(secret).digest();
  }
}
