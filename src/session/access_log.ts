// The log's lines about who comes and goes: at debug, and with `gateway.access_log` at info. Clients decide how many there
// are, so those at info have a bound, and the next one tells how many were left out.

import type { Log, LogFields } from "../log.ts";

export interface AccessLogOptions {
  readonly log: Log;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  readonly isOn: () => boolean;
}

/** Lines at info in a second. */
const LINES_MAX = 1000;
const SPAN_MS = 1000;

export class AccessLog {
  readonly #options: AccessLogOptions;
  #since = -Infinity;
  #lines = 0;
  #unsaid = 0;

  constructor(options: AccessLogOptions) {
    this.#options = options;
  }

  line(message: string, fields: LogFields): void {
    const { log, now, isOn } = this.#options;
    if (!isOn()) return log.debug(message, fields);
    const at = now();
    if (at - this.#since >= SPAN_MS) {
      this.#since = at;
      this.#lines = 0;
    }
    if (this.#lines >= LINES_MAX) return void this.#unsaid++;
    this.#lines++;
    const unsaid = this.#unsaid;
    this.#unsaid = 0;
    log.info(message, unsaid === 0 ? fields : { ...fields, not_logged_before: unsaid });
  }
}
