// What it costs to be several: two gateways on one port that are a cluster, over a NATS beside them, against one that is
// alone, with the same sessions. All of them may use all CPUs, so that on a machine with two of these the rates say little,
// and the CPU of a delivery much; NATS itself is not counted.

import { setTimeout as delay } from "node:timers/promises";
import { NatsServer } from "../../tests/nats/server.ts";
import { type Config, freePort, type Gateway, type Lab } from "../lab.ts";
import { cpuSeconds } from "../proc.ts";
import { line, type Measure, per, type Row } from "../row.ts";
import { onGateway, type Shape, toLoad } from "./load_row.ts";

const CHAT: Shape = {
  service: "chat",
  sessions: 1000,
  rooms: 40,
  pace: { kind: "closed", publishersPerGroup: 5, inFlight: 2 },
  sampleEvery: 64,
};
const CROWD: Shape = {
  service: "chat",
  sessions: 2000,
  rooms: 1,
  pace: { kind: "open", publishersPerGroup: 1, perSecond: 50 },
  sampleEvery: 16,
  seconds: { atLeast: 5 },
};

const FREE = { free: true } as const;
const cpuPerMessage = per("serverCpuSeconds", "received", 1e6);

async function node(lab: Lab, nats: NatsServer, port: number): Promise<Gateway> {
  const change = (config: Config): void => {
    config.gateway["reuse_port"] = true;
    config.cluster = { nats: { servers: [nats.url] } };
  };
  // Its metrics are on a port of its own.
  return await lab.gateway({ ...FREE, port, admin: true, logs: true, change });
}

/** Resolves when a node knows of so many others. */
async function knows({ metric }: Gateway, others: number): Promise<void> {
  while (await metric("wsprism_cluster_nodes").catch(() => NaN) !== others) await delay(50);
}

/** The load on so many nodes that share a port. */
function onNodes(count: number, shape: Shape): Measure {
  return async (lab) => {
    await using nats = await NatsServer.start();
    const port = await freePort();
    const nodes: Gateway[] = [];
    for (let i = 0; i < count; i++) nodes.push(await node(lab, nats, port));
    for (const one of nodes) {
      await one.logged((text) => text.includes("joined the cluster"));
      await knows(one, count - 1);
    }
    const crowd = await lab.crowd(toLoad(shape, nodes[0]!, { rate: lab.rate }));
    const others = nodes.slice(1), used = () => others.reduce((sum, { pid }) => sum + cpuSeconds(pid), 0);
    const before = used(), since = performance.now();
    const sample = await crowd.measure(lab.seconds(shape.seconds?.atLeast));
    // Their part of the time that was measured: it has a warm-up before it.
    const part = sample.seconds * 1000 / (performance.now() - since);
    return { ...sample, serverCpuSeconds: sample.serverCpuSeconds + part * (used() - before) };
  };
}

export const cluster: readonly Row[] = [
  {
    name: "cluster-chat",
    about: "chat in 40 rooms of 25: two gateways on one port, in a cluster, against one alone",
    ours: onNodes(2, CHAT),
    control: onGateway(CHAT, FREE),
    lines: [
      line("deliveries", "/s", per("received", "seconds"), { better: "higher", atLeast: 1.6 }),
      line("gateways' CPU per delivery", "µs", cpuPerMessage),
      line("p99", "µs", "p99Micros"),
    ],
  },
  {
    name: "cluster-crowd",
    about: "one speaker in a room of 2,000: spread over two gateways, against one alone",
    ours: onNodes(2, CROWD),
    control: onGateway(CROWD, FREE),
    lines: [
      line("p50", "µs", "p50Micros"),
      line("p99", "µs", "p99Micros"),
      line("gateways' CPU per delivery", "µs", cpuPerMessage),
    ],
  },
  {
    name: "cluster-alone",
    about: "chat in 40 rooms of 25: a gateway that is a cluster's only node, against one without",
    ours: onNodes(1, CHAT),
    control: onGateway(CHAT, FREE),
    lines: [
      line("deliveries", "/s", per("received", "seconds"), { better: "higher" }),
      line("CPU per delivery", "µs", cpuPerMessage, { atMost: 1.1 }),
    ],
  },
];
