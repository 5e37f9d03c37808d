// What is counted of HTTP services, and how it is exposed.

import { Counts, Durations, histogram, type MetricSource, type Sample } from "../metrics/metrics.ts";

/**
 * What became of a message to an HTTP service, as metrics name it: answered well, refused by the backend, failed there
 * (up to "bad_status"), or not sent at all.
 */
export type Outcome =
  | "ok"
  | "client_error"
  | "timeout"
  | "unreachable"
  | "broken"
  | "bad_answer"
  | "bad_status"
  | "shed"
  | "breaker_open";

/** The counters of one service. */
export class ServiceMetrics {
  /** Messages by `outcome`. */
  readonly outcomes = new Counts();
  /** Requests sent again. */
  retries = 0;
  /** Of requests, those that failed among them. */
  readonly durations = new Durations();
  /** Actions asked for, by `action` and `outcome`: "ok" or the refusal's code. */
  readonly actions = new Counts();
}

/** A service as a scrape reads it. */
export interface ServiceView {
  readonly tenant: string;
  readonly svc: string;
  readonly metrics: ServiceMetrics;
  /** Requests under way. */
  readonly inFlight: number;
  readonly queued: number;
  readonly breakerOpen: boolean;
}

/** The metrics of these services. */
export function serviceMetrics(services: () => Iterable<ServiceView>): MetricSource[] {
  const each = (read: (view: ServiceView) => Iterable<Sample>) =>
    function* (): Generator<Sample> {
      for (const view of services()) {
        const { tenant, svc } = view;
        for (const sample of read(view)) yield { ...sample, labels: { tenant, svc, ...sample.labels } };
      }
    };
  const one = (read: (view: ServiceView) => number) => each((view) => [{ labels: {}, value: read(view) }]);
  return [
    {
      name: "backend_messages_total",
      help: "Messages to HTTP services, by what became of them.",
      type: "counter",
      read: each(({ metrics }) => metrics.outcomes),
    },
    {
      name: "backend_retries_total",
      help: "Requests to HTTP services that were sent again.",
      type: "counter",
      read: one(({ metrics }) => metrics.retries),
    },
    {
      name: "backend_request_duration_seconds",
      help: "Time of requests to HTTP services.",
      type: "histogram",
      read: each(({ metrics }) =>
        histogram("wsprism_backend_request_duration_seconds", {}, metrics.durations)
      ),
    },
    {
      name: "backend_actions_total",
      help: "Actions that HTTP services asked for, by what became of them.",
      type: "counter",
      read: each(({ metrics }) => metrics.actions),
    },
    {
      name: "backend_in_flight",
      help: "Requests to HTTP services under way.",
      type: "gauge",
      read: one(({ inFlight }) => inFlight),
    },
    {
      name: "backend_queued",
      help: "Messages that wait for their turn at an HTTP service.",
      type: "gauge",
      read: one(({ queued }) => queued),
    },
    {
      name: "backend_breaker_open",
      help: "1 while an HTTP service is left alone because it failed.",
      type: "gauge",
      read: one(({ breakerOpen }) => breakerOpen ? 1 : 0),
    },
  ];
}
