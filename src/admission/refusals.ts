// How a handshake is refused, whatever for: counted, logged within bounds, and with a time to come back where that is of use.

import { Counts } from "../metrics/metrics.ts";
import type { Refusal } from "../protocol/codes.ts";
import type { Tenant } from "../session/tenant.ts";
import type { HandshakeAnswer, HandshakeRefusal } from "./handshake.ts";
import { RefusalLog, type RefusalLogOptions } from "./refusal_log.ts";
import { type Retry, SPREAD_MS } from "./retry.ts";

/** Who asks, as far as that is understood. */
export interface Caller {
  readonly address: string;
  readonly addressGroup: string;
  /** Null before the tenant is known. */
  readonly entry: { readonly tenant: Tenant } | null;
}

export interface RefusalsOptions extends RefusalLogOptions {
  readonly retry: Retry;
}

/** After a capacity refusal: come back no sooner, milliseconds. */
export const CAPACITY_RETRY_MS = 1000;

export class Refusals {
  /** Those before the tenant was known, by `reason`. */
  readonly stray = new Counts();
  readonly #log: RefusalLog;
  readonly #retry: Retry;
  readonly #drainRetryMs: () => number;

  /** @param drainRetryMs how long a client should stay away while the gateway drains */
  constructor(options: RefusalsOptions, drainRetryMs: () => number) {
    this.#log = new RefusalLog(options);
    this.#retry = options.retry;
    this.#drainRetryMs = drainRetryMs;
  }

  /** A browser's page that may not connect. */
  origin(tenant: string, origin: string): void {
    this.#log.origin(tenant, origin);
  }

  deny(refuse: HandshakeRefusal, { entry, address }: Caller): HandshakeAnswer {
    const { status, code, reason } = refuse;
    const metrics = entry?.tenant.metrics;
    (metrics?.handshakeRejections ?? this.stray).add({ reason });
    metrics?.upgrades.add({ status: String(status) });
    this.#log.refused({ tenant: entry?.tenant.id ?? null, status, code, reason, address });
    return { refuse };
  }

  draining(caller: Caller): HandshakeAnswer {
    const retryAfterMs = this.#retry.after(this.#drainRetryMs(), SPREAD_MS.all);
    return this.deny(
      { status: 503, code: "DRAINING", msg: "gateway is draining", reason: "draining", retryAfterMs },
      caller,
    );
  }

  waiting(caller: Caller): HandshakeAnswer {
    const retryAfterMs = this.#retry.after(CAPACITY_RETRY_MS, SPREAD_MS.all);
    const msg = "gateway waits for its cluster";
    return this.deny({ status: 503, code: "UNAVAILABLE", msg, reason: "waiting", retryAfterMs }, caller);
  }

  closed({ code, msg }: Refusal, caller: Caller): HandshakeAnswer {
    return this.deny({ status: 403, code, msg, reason: "suspended" }, caller);
  }

  capacity(full: Refusal, caller: Caller): HandshakeAnswer {
    const retryAfterMs = this.#retry.after(CAPACITY_RETRY_MS, SPREAD_MS.all);
    return this.deny(
      { status: 503, code: full.code, msg: full.msg, reason: "capacity", retryAfterMs },
      caller,
    );
  }

  badResume(caller: Caller): HandshakeAnswer {
    const msg =
      "resume takes a token, and heard a number of messages heard on that session in the same encoding";
    return this.deny({ status: 400, code: "BAD_REQUEST", msg, reason: "bad_resume" }, caller);
  }
}
