// Metrics of a node and of what it knows of the others.

import type { MetricSource, Sample } from "../metrics/metrics.ts";
import type { Cluster } from "./cluster.ts";

export function clusterMetrics(cluster: Cluster): MetricSource[] {
  const one = (read: () => number) => () => [{ labels: {}, value: read() }];
  const links = [cluster.reliable, cluster.hot];
  const each = (read: (link: typeof links[number]) => number) => (): Sample[] =>
    links.map((link) => ({ labels: { link: link.name }, value: read(link) }));
  return [
    {
      name: "cluster_info",
      help: "This node's name and incarnation.",
      type: "gauge",
      read: () => [{ labels: { node: cluster.name, incarnation: cluster.incarnation }, value: 1 }],
    },
    {
      name: "cluster_nodes",
      help: "Other nodes that are there.",
      type: "gauge",
      read: one(() => cluster.nodes.others.size),
    },
    {
      name: "cluster_sessions",
      help: "Sessions on other nodes.",
      type: "gauge",
      read: () =>
        [...cluster.replicas.sizes()].map(([tenant, { size }]) => ({ labels: { tenant }, value: size })),
    },
    {
      name: "cluster_members",
      help: "Members of rooms on other nodes.",
      type: "gauge",
      read: () =>
        [...cluster.replicas.sizes()].map(([tenant, { members }]) => ({
          labels: { tenant },
          value: members,
        })),
    },
    {
      name: "cluster_nodes_lost_total",
      help: "Other nodes that were lost without a word.",
      type: "counter",
      read: one(() => cluster.nodes.lost),
    },
    {
      name: "cluster_nats_up",
      help: "1 while NATS is there.",
      type: "gauge",
      read: each(({ isUp }) => isUp ? 1 : 0),
    },
    {
      name: "cluster_nats_losses_total",
      help: "Times that the connection to NATS was lost.",
      type: "counter",
      read: each(({ losses }) => losses),
    },
    {
      name: "cluster_refused_total",
      help: "Messages to other nodes that NATS did not take: it was away, or too slow.",
      type: "counter",
      read: each(({ refused }) => refused),
    },
    {
      name: "cluster_published_total",
      help: "Messages of rooms that were published to other nodes.",
      type: "counter",
      read: one(() => cluster.published),
    },
    {
      name: "cluster_heard_total",
      help: "Messages of rooms that came from other nodes.",
      type: "counter",
      read: one(() => cluster.heard),
    },
    {
      name: "cluster_unreadable_total",
      help: "Messages between nodes that were ignored: broken, or of a later release.",
      type: "counter",
      read: () => [
        { labels: { reason: "broken" }, value: cluster.counts.broken },
        { labels: { reason: "unknown" }, value: cluster.counts.unknown },
      ],
    },
    {
      name: "cluster_subscriptions",
      help: "Subscriptions for rooms.",
      type: "gauge",
      read: one(() => cluster.subscriptions),
    },
    {
      name: "cluster_asked_total",
      help:
        "Times that another node was asked for all it has: when it came, or when something of it was missed.",
      type: "counter",
      read: one(() => cluster.replicas.asked),
    },
  ];
}
