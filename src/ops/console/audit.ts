// Who has changed what over the admin API, the last requests of it. The log has all of them; this is what a page can show.

import { Ring } from "./ring.ts";

/** Requests that are kept. */
const KEPT_MAX = 2000;

/** One request that was to change something. */
export interface AuditEntry {
  readonly seq: number;
  /** Unix time in milliseconds. */
  readonly timeMs: number;
  readonly key: string;
  readonly method: string;
  readonly path: string;
  /** Null for what concerns the gateway. */
  readonly tenant: string | null;
  readonly address: string;
  readonly status: number;
}

export class Audit {
  readonly #entries = new Ring<AuditEntry>(KEPT_MAX);
  #seq = 0;

  note(entry: Omit<AuditEntry, "seq">): void {
    this.#entries.push({ seq: ++this.#seq, ...entry });
  }

  /** Those before this number, newest first; null for all. */
  *before(seq: number | null): Generator<AuditEntry> {
    const all = this.#entries.all();
    for (let i = all.length - 1; i >= 0; i--) if (seq === null || all[i]!.seq < seq) yield all[i]!;
  }
}
