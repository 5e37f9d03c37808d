// What all sessions of a gateway share, whatever their tenant.

import type { AccessLog } from "./access_log.ts";
import type { Log } from "../log.ts";
import type { Tracer } from "../tracing/tracer.ts";
import type { Flusher } from "./flusher.ts";
import type { ReplayPump } from "./replay_pump.ts";
import type { Totals } from "./registry.ts";
import type { GatewaySettings } from "./settings.ts";
import type { TimerWheel } from "./timer_wheel.ts";

/** The process-wide parts. */
export interface GatewayContext {
  /** A reload puts another value in its place. */
  settings: GatewaySettings;
  readonly totals: Totals;
  readonly wheel: TimerWheel;
  readonly flusher: Flusher;
  readonly replayPump: ReplayPump;
  readonly log: Log;
  /** Of who comes and goes. */
  readonly access: AccessLog;
  /** Null where nothing is traced. */
  readonly tracer: Tracer | null;
  /** This gateway's name among several; null where it is alone. */
  readonly node: string | null;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Unix time in milliseconds. */
  readonly unixMs: () => number;
}
