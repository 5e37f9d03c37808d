// What the gateway and each tenant did over the last hour, for the console's charts: sampled every few seconds from numbers
// that are counted anyway.

import type { Tenant } from "../../session/tenant.ts";
import { Series } from "./series.ts";

/** Lines of a chart. Rates are per second, over the step before. */
export const LINES = [
  "sessions",
  "in_messages",
  "in_bytes",
  "out_control",
  "out_reliable",
  "out_latest",
  "out_lossy",
  "out_bytes",
  "denied",
  "dropped",
] as const;
export type Line = (typeof LINES)[number];
/** Of the gateway besides. */
export const GATEWAY_LINES = [...LINES, "lag_ms", "memory_bytes", "held_bytes"] as const;
export type GatewayLine = (typeof GATEWAY_LINES)[number];

/** An hour, in both: the whole gateway finely, each of perhaps a thousand tenants coarsely. */
export const GATEWAY_STEP_MS = 5000;
const GATEWAY_POINTS = 720;
const TENANT_STEPS = 6;
const TENANT_POINTS = 120;

/** What is counted, at one moment. */
export type Counted = Record<Line, number>;

/** The process itself. */
export interface Vitals {
  /** How late the loop has been, all in all, and how often that was looked at. */
  readonly lagMs: number;
  readonly looks: number;
  readonly memoryBytes: number;
  /** What waits for full sockets. */
  readonly heldBytes: number;
}

interface Followed {
  readonly series: Series<Line>;
  before: Counted;
  beforeMs: number;
}

export class History {
  readonly gateway = new Series<GatewayLine>(GATEWAY_LINES, {
    length: GATEWAY_POINTS,
    stepMs: GATEWAY_STEP_MS,
  });
  readonly #tenants = new Map<Tenant, Followed>();
  /** Of tenants that have left, so that the sums never fall. */
  #gone = nothing();
  #last = new Map<Tenant, Counted>();
  #before: { readonly counted: Counted; readonly vitals: Vitals; readonly atMs: number } | null = null;
  #steps = 0;

  /** A step is over. @param now milliseconds of a monotonic clock */
  step(tenants: Iterable<Tenant>, vitals: Vitals, { now, unixMs }: { now: number; unixMs: number }): void {
    const coarse = this.#steps++ % TENANT_STEPS === 0;
    const seen = new Map<Tenant, Counted>();
    const all = { ...this.#gone, sessions: 0 };
    for (const tenant of tenants) {
      const counted = countedOf(tenant);
      seen.set(tenant, counted);
      for (const line of LINES) all[line] += counted[line];
      if (coarse) this.#stepTenant(tenant, counted, { now, unixMs });
    }
    for (const [tenant, counted] of this.#last) {
      if (seen.has(tenant)) continue;
      for (const line of LINES) {
        if (line !== "sessions") {
          this.#gone[line] += counted[line];
          all[line] += counted[line];
        }
      }
      this.#tenants.delete(tenant);
    }
    this.#last = seen;
    const before = this.#before;
    this.#before = { counted: all, vitals, atMs: now };
    if (before === null) return;
    const looks = vitals.looks - before.vitals.looks;
    this.gateway.add({
      ...rates(before.counted, all, now - before.atMs),
      lag_ms: looks > 0 ? (vitals.lagMs - before.vitals.lagMs) / looks : 0,
      memory_bytes: vitals.memoryBytes,
      held_bytes: vitals.heldBytes,
    }, unixMs);
  }

  /** Of one tenant; null before it was looked at twice. */
  of(tenant: Tenant): Series<Line> | null {
    return this.#tenants.get(tenant)?.series ?? null;
  }

  #stepTenant(tenant: Tenant, counted: Counted, { now, unixMs }: { now: number; unixMs: number }): void {
    const known = this.#tenants.get(tenant);
    if (known === undefined) {
      const series = new Series(LINES, { length: TENANT_POINTS, stepMs: GATEWAY_STEP_MS * TENANT_STEPS });
      this.#tenants.set(tenant, { series, before: counted, beforeMs: now });
      return;
    }
    known.series.add(rates(known.before, counted, now - known.beforeMs), unixMs);
    known.before = counted;
    known.beforeMs = now;
  }
}

/** What is counted of a tenant, from its start; `sessions` are those that are there. */
export function countedOf({ metrics, registry }: Tenant): Counted {
  let denied = 0;
  for (const { value } of metrics.denied) denied += value;
  const [control, reliable, latest, lossy] = metrics.out;
  return {
    sessions: registry.size,
    in_messages: metrics.in.ext.messages + metrics.in.hot.messages,
    in_bytes: metrics.in.ext.bytes + metrics.in.hot.bytes,
    out_control: control!.messages,
    out_reliable: reliable!.messages,
    out_latest: latest!.messages,
    out_lossy: lossy!.messages,
    out_bytes: metrics.out.reduce((sum, { bytes }) => sum + bytes, 0),
    denied,
    dropped: metrics.drops.total,
  };
}

function nothing(): Counted {
  return Object.fromEntries(LINES.map((line) => [line, 0])) as Counted;
}

function rates(before: Counted, now: Counted, ms: number): Counted {
  const found = nothing(), seconds = Math.max(0.001, ms / 1000);
  for (const line of LINES) {
    found[line] = line === "sessions" ? now.sessions : Math.max(0, now[line] - before[line]) / seconds;
  }
  return found;
}
