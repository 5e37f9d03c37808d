// Messages of one room into a history in NATS, on one server and on three: how many a second with many under way, and how long
// an ack takes with one under way. Run it by itself: `node_modules/bun/bin/bun.exe bench/nats_history.ts`.

import process from "node:process";
import { HistoryNode } from "../tests/cluster/history_node.ts";
import { until } from "../tests/flow/gateway_process.ts";
import { NatsCluster } from "../tests/nats/three.ts";
import { NatsServer } from "../tests/nats/server.ts";

const ONE_BY_ONE = 2000;
const TOGETHER = 20_000;
const UNDER_WAY = 500;
const FILL = "x".repeat(64);

async function measure(replicas: number, url: string): Promise<void> {
  await using node = await new HistoryNode({ url, prefix: `b${replicas}`, replicas }).start();
  // Three servers choose a leader first.
  await until("a stream", () => node.streams.isDegraded ? null : true, 60_000);
  const { hearer } = await node.join("chat:1");
  for (let n = 0; n < 200;) if (typeof await node.say("chat:1", FILL) === "object") n++;
  const took: number[] = [];
  for (let n = 0; n < ONE_BY_ONE; n++) {
    const since = performance.now();
    await node.say("chat:1", FILL);
    took.push(performance.now() - since);
  }
  took.sort((a, b) => a - b);
  const heardBefore = hearer.heard.length, since = performance.now();
  let said = 0, failed = 0;
  const loads: number[] = [];
  await Promise.all(Array.from({ length: UNDER_WAY }, async () => {
    while (said++ < TOGETHER) {
      const from = performance.now();
      if (typeof await node.say("chat:1", FILL) !== "object") failed++;
      loads.push(performance.now() - from);
    }
  }));
  const seconds = (performance.now() - since) / 1000;
  loads.sort((a, b) => a - b);
  const at = (of: number[], part: number) => `${of[Math.floor(part * of.length)]!.toFixed(2)} ms`;
  process.stdout.write(
    `R${replicas}: one by one: ack p50 ${at(took, 0.5)}, p99 ${at(took, 0.99)}; ${UNDER_WAY} under way: ` +
      `${Math.round(TOGETHER / seconds)} messages/s, ack p50 ${at(loads, 0.5)}, p99 ${at(loads, 0.99)}; ` +
      `heard ${hearer.heard.length - heardBefore}, failed ${failed}\n`,
  );
}

{
  await using one = await NatsServer.start();
  await measure(1, one.url);
}
{
  await using three = await NatsCluster.start();
  await measure(3, three.url);
}
