// What the log says of handshakes that are refused: each in the access log, and some at info in any case, for whoever wonders why nobody gets in
// should not have to ask again with another level. Clients decide how many there are, so the lines have a bound.

import type { AccessLog } from "../session/access_log.ts";
import type { Log } from "../log.ts";

export interface RefusalLogOptions {
  readonly log: Log;
  /** Takes what is not told at info. */
  readonly access: AccessLog;
  readonly now: () => number;
}

export interface RefusalLine {
  readonly tenant: string | null;
  readonly status: number;
  readonly code: string;
  readonly reason: string;
  readonly address: string;
}

/** Lines at info in each of these spans of time. */
const LINES_MAX = 10;
const SPAN_MS = 60_000;
/** Origins that are warned of, each once, until they are forgotten. */
const ORIGINS_MAX = 50;
const ORIGINS_MS = 86_400_000;
/** Characters of an origin, which a client writes as it likes. */
const ORIGIN_CHARS_MAX = 200;

export class RefusalLog {
  readonly #log: Log;
  readonly #access: AccessLog;
  readonly #now: () => number;
  #since = -Infinity;
  #lines = 0;
  #unsaid = 0;
  readonly #origins = new Set<string>();
  #originsSince = -Infinity;

  constructor({ log, access, now }: RefusalLogOptions) {
    this.#log = log;
    this.#access = access;
    this.#now = now;
  }

  refused({ tenant, ...rest }: RefusalLine): void {
    const now = this.#now();
    if (now - this.#since >= SPAN_MS) {
      this.#since = now;
      this.#lines = 0;
    }
    const fields = { ...(tenant === null ? {} : { tenant }), ...rest };
    if (this.#lines < LINES_MAX) {
      this.#lines++;
      const unsaid = this.#unsaid;
      this.#unsaid = 0;
      this.#log.info("handshake refused", unsaid === 0 ? fields : { ...fields, not_logged_before: unsaid });
    } else {
      this.#unsaid++;
      this.#access.line("handshake refused", fields);
    }
  }

  /** A browser's page that may not connect: once for each, with what would let it in. */
  origin(tenant: string, origin: string): void {
    const now = this.#now();
    if (now - this.#originsSince >= ORIGINS_MS) {
      this.#originsSince = now;
      this.#origins.clear();
    }
    const shown = origin.slice(0, ORIGIN_CHARS_MAX), key = `${tenant}\n${shown}`;
    if (this.#origins.has(key) || this.#origins.size >= ORIGINS_MAX) return;
    this.#origins.add(key);
    this.#log.warn("a web page may not connect: its origin is none of the tenant's origins", {
      tenant,
      origin: shown,
      to_allow: `origins: [${JSON.stringify(shown)}]`,
    });
  }
}
