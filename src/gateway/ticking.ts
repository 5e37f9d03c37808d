// What is done over and over, whatever happens: deadlines are met, full sockets looked at, rooms' old messages let go of.

import process from "node:process";
import type { Durations } from "../metrics/metrics.ts";
import type { Vitals } from "../ops/console/history.ts";
import type { GatewayContext } from "../session/gateway_context.ts";
import { TimerWheel } from "../session/timer_wheel.ts";
import type { Clock } from "./clock.ts";

export interface TickingOptions {
  readonly clock: Clock;
  readonly context: GatewayContext;
  /** How late the loop is. */
  readonly loopLag: Durations;
  /** Called each second. */
  readonly eachSecond: () => void;
}

const TICKS_PER_SECOND = 1000 / TimerWheel.tickMs;

/** Starts it. @returns what ends it */
export function startTicking({ clock, context, loopLag, eachSecond }: TickingOptions): () => void {
  let before = clock.now(), ticks = 0;
  return clock.every(TimerWheel.tickMs, () => {
    const now = clock.now();
    loopLag.observe(Math.max(0, now - before - TimerWheel.tickMs));
    before = now;
    context.wheel.advance();
    context.flusher.look();
    if (++ticks % TICKS_PER_SECOND === 0) eachSecond();
  });
}

/** How the process itself is. */
export function vitals({ sumMs, counts }: Durations, heldBytes: number): Vitals {
  const looks = counts.reduce((sum, count) => sum + count, 0);
  return { lagMs: sumMs, looks, memoryBytes: process.memoryUsage.rss(), heldBytes };
}
