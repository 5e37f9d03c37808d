// The handshake limiter: how many upgrades are answered per second, in all and per address. It remembers
// a bounded number of addresses; the one not seen for longest is forgotten first.

import type { HandshakeLimitConfig } from "../config/schema.ts";
import { Rate } from "../policy/rate.ts";

/** Which limit refused, as metrics name it, and when to come back. */
export interface Limited {
  readonly reason: "global_rate" | "address_rate";
  readonly waitMs: number;
}

export class HandshakeLimiter {
  #config: HandshakeLimitConfig;
  #global: Rate;
  #perAddress: Rate;
  /** Bucket states (see rate.ts), least recently seen first. */
  readonly #addresses = new Map<string, number>();
  #globalFullAt = 0;

  constructor(config: HandshakeLimitConfig) {
    this.#config = config;
    this.#global = new Rate(config.global_rps, config.global_burst);
    this.#perAddress = new Rate(config.per_ip_rps, config.per_ip_burst);
  }

  /** Goes by other numbers from now on. What was taken stays taken, as far as the new numbers let anybody owe. */
  apply(config: HandshakeLimitConfig): void {
    this.#config = config;
    this.#global = new Rate(config.global_rps, config.global_burst);
    this.#perAddress = new Rate(config.per_ip_rps, config.per_ip_burst);
  }

  /** Addresses remembered now. */
  get size(): number {
    return this.#addresses.size;
  }

  /**
   * Takes a token of both buckets, or of neither: one address cannot use up what all share by being refused.
   * @param now milliseconds of a monotonic clock
   */
  take(address: string, now: number): Limited | null {
    const { enabled, max_ip_entries, failed_auth_cost } = this.#config;
    if (!enabled) return null;
    const globalFullAt = this.#global.capped(this.#globalFullAt, now);
    const globalWait = this.#global.waitMs(globalFullAt, now);
    if (globalWait > 0) return { reason: "global_rate", waitMs: globalWait };
    const fullAt = this.#perAddress.capped(this.#addresses.get(address) ?? 0, now, failed_auth_cost);
    const wait = this.#perAddress.waitMs(fullAt, now);
    // Set anew at each visit: a Map keeps the order of insertion, and so the oldest first.
    this.#addresses.delete(address);
    this.#addresses.set(address, wait > 0 ? fullAt : this.#perAddress.take(fullAt, now));
    // Two at most, so that a bound which was made smaller is reached step by step.
    for (let i = 0; i < 2 && this.#addresses.size > max_ip_entries; i++) {
      this.#addresses.delete(this.#addresses.keys().next().value!);
    }
    if (wait > 0) return { reason: "address_rate", waitMs: wait };
    this.#globalFullAt = this.#global.take(globalFullAt, now);
    return null;
  }

  /**
   * Takes further tokens of an address that came with a bad ticket. However many of its handshakes fail at once, it
   * owes no more than one failure's worth, so that it waits for seconds and not for hours.
   */
  charge(address: string, now: number): void {
    const { enabled, failed_auth_cost } = this.#config;
    if (!enabled || failed_auth_cost === 0) return;
    const fullAt = this.#addresses.get(address);
    // Forgotten meanwhile, for so many others came: remembering it again would push out one of them.
    if (fullAt !== undefined) {
      this.#addresses.set(address, this.#perAddress.takeMany(fullAt, now, failed_auth_cost));
    }
  }
}
