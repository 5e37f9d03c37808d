// What a scrape shows of rooms that keep what is said in them. Tenants without such rooms have no lines.

import type { MetricSource, Sample } from "../metrics/metrics.ts";
import type { Histories } from "../room/histories.ts";
import type { HistoryBudget } from "../room/history_budget.ts";

/** A tenant, as far as this reads it. */
interface WithRooms {
  readonly id: string;
  readonly tenant: { readonly rooms: { readonly histories: Histories } };
}

export interface HistoryView {
  readonly tenants: Iterable<WithRooms>;
  /** Of all tenants together. */
  readonly budget: HistoryBudget;
}

export function historyMetrics({ tenants, budget }: HistoryView): MetricSource[] {
  type Read = (histories: Histories) => Readonly<Record<string, number>> | number;
  const each = (read: Read, label = "") =>
    function* (): Generator<Sample> {
      for (const { id, tenant: { rooms: { histories } } } of tenants) {
        if (!histories.isUsed) continue;
        const found = read(histories);
        if (typeof found === "number") yield { labels: { tenant: id }, value: found };
        else {
          for (const [name, value] of Object.entries(found)) {
            yield { labels: { tenant: id, [label]: name }, value };
          }
        }
      }
    };
  return [{
    name: "history_rooms",
    help: "Rooms that keep what is said in them and are in use, with members or without.",
    type: "gauge",
    read: each(({ size }) => size),
  }, {
    name: "history_messages",
    help: "Messages that these rooms keep.",
    type: "gauge",
    read: each(({ counts }) => counts.messages),
  }, {
    name: "history_bytes",
    help: "Payload bytes of these messages.",
    type: "gauge",
    read: each(({ counts }) => counts.bytes),
  }, {
    name: "history_stored_total",
    help:
      "Messages for rooms that keep them: ok, duplicate (the key was known), refused (it could not be kept).",
    type: "counter",
    read: each(
      ({ counts: { stored: ok, duplicates: duplicate, refused } }) => ({ ok, duplicate, refused }),
      "outcome",
    ),
  }, {
    name: "history_trimmed_total",
    help: "Messages that are kept no more: by the bounds of their room, or by max_history_bytes (budget).",
    type: "counter",
    read: each(({ counts }) => counts.trimmed, "reason"),
  }, {
    name: "history_recoveries_total",
    help: "Clients that came with a cursor: recovered, or why not.",
    type: "counter",
    read: each(({ counts }) => counts.recoveries, "outcome"),
  }, {
    name: "history_memory_bytes",
    help: "What all histories take of gateway.max_history_bytes.",
    type: "gauge",
    read: () => [{ labels: {}, value: budget.bytes }],
  }];
}
