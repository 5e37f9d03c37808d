// The traces of a running gateway, where its configuration asks for them.

import process from "node:process";
import type { Config } from "../config/schema.ts";
import type { Clock } from "../gateway/clock.ts";
import type { Log } from "../log.ts";
import type { MetricSource } from "../metrics/metrics.ts";
import { Inflow } from "../outbound/inflow.ts";
import { OtlpExporter } from "../tracing/otlp.ts";
import { Tracer } from "../tracing/tracer.ts";

export interface Tracing {
  /** Null where nothing is traced. */
  readonly tracer: Tracer | null;
  readonly metrics: readonly MetricSource[];
  /** Sends what waits, for a few seconds at most. */
  stop(): Promise<void>;
}

export function openTracing(
  { tracing }: Config,
  { log, clock, version }: { readonly log: Log; readonly clock: Clock; readonly version: string },
): Tracing {
  if (tracing === undefined) return { tracer: null, metrics: [], stop: () => Promise.resolve() };
  const { otlp_endpoint: endpoint, sample_ratio: ratio, headers } = tracing;
  const exporter = new OtlpExporter({
    endpoint,
    headers: Object.fromEntries(headers.map(({ name, value }) => [name, value])),
    resource: {
      "service.name": "wsprism",
      "service.version": version,
      "service.instance.id": clock.newId(),
      "process.pid": process.pid,
    },
    share: new Inflow(clock.now).share(),
    log,
    every: clock.every,
  });
  const unixMs = () => performance.timeOrigin + performance.now();
  const tracer = new Tracer({ ratio, ended: exporter.take, unixMs, random: clock.random });
  return { tracer, metrics: exporter.metrics, stop: () => exporter.stop() };
}
