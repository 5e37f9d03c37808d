// What is known of webhooks, as it is exposed. The numbers come from the state's thread and are a second old at most.

import type { MetricSource, Sample } from "../metrics/metrics.ts";
import type { HookStats } from "../state/state_messages.ts";

/** A webhook, and what is known of it. */
export interface HookView {
  readonly tenant: string;
  readonly webhook: string;
  readonly url: string;
  readonly stats: HookStats | null;
}

/** The metrics of these webhooks. */
export function webhookMetrics(views: () => Iterable<HookView>): MetricSource[] {
  const each = (read: (stats: HookStats) => Iterable<Sample>) =>
    function* (): Generator<Sample> {
      for (const { tenant, webhook, stats } of views()) {
        if (stats === null) continue;
        for (const { labels, value } of read(stats)) yield { labels: { tenant, webhook, ...labels }, value };
      }
    };
  const one = (read: (stats: HookStats) => number) => each((stats) => [{ labels: {}, value: read(stats) }]);
  const by = (label: string, read: (stats: HookStats) => object) =>
    each((stats) =>
      Object.entries(read(stats)).map(([name, value]) => ({ labels: { [label]: name }, value }))
    );
  return [
    {
      name: "webhook_delivered_total",
      help: "Events that webhooks' backends have taken.",
      type: "counter",
      read: one(({ delivered }) => delivered),
    },
    {
      name: "webhook_batches_total",
      help: "Requests to webhooks' backends, by outcome.",
      type: "counter",
      read: by("outcome", ({ batches }) => batches),
    },
    {
      name: "webhook_lost_total",
      help: "Events that were given up, by reason.",
      type: "counter",
      read: by("reason", ({ lost }) => lost),
    },
    {
      name: "webhook_queue_events",
      help: "Events that wait for a webhook's backend.",
      type: "gauge",
      read: one(({ events }) => events),
    },
    {
      name: "webhook_queue_bytes",
      help: "Bytes of events that wait for a webhook's backend.",
      type: "gauge",
      read: one(({ bytes }) => bytes),
    },
    {
      name: "webhook_oldest_event_timestamp_seconds",
      help: "Unix time of the event that has waited longest; none for an empty queue.",
      type: "gauge",
      read: each(({ oldestMs }) => oldestMs === null ? [] : [{ labels: {}, value: oldestMs / 1000 }]),
    },
    {
      name: "webhook_dead_letters",
      help: "Events that a webhook's backend refuses.",
      type: "gauge",
      read: one(({ deadLetters }) => deadLetters),
    },
  ];
}
