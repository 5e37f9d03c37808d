import { strict as assert } from "node:assert";
import { cpSync, rmSync } from "node:fs";
import { test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { NOT_STORED } from "../../src/room/kept_room.ts";
import { until } from "../flow/gateway_process.ts";
import { TcpProxy } from "../flow/tcp_proxy.ts";
import { WITHOUT_NATS } from "../nats/find.ts";
import { NatsServer } from "../nats/server.ts";
import { NatsCluster } from "../nats/three.ts";
import { CLASS, HistoryNode } from "./history_node.ts";

const SKIP = { skip: WITHOUT_NATS };

function node(url: string, options: object = {}): Promise<HistoryNode> {
  return new HistoryNode({ url, prefix: "t", ...options }).start();
}

async function isUp(...nodes: readonly HistoryNode[]): Promise<void> {
  await until("the streams", () => nodes.some(({ streams }) => streams.isDegraded) ? null : true);
}

/** Publishes until it is stored: what is on its way when NATS goes is nobody's. */
async function saidAtLast(from: HistoryNode, room: string, n: unknown): Promise<void> {
  await until(
    "a stream that takes it",
    async () => typeof await from.say(room, n) === "object" ? true : null,
  );
}

test(
  "While NATS is away nothing is taken and nothing is local; what is known is still told, and all goes on when it is back",
  SKIP,
  async () => {
    await using nats = await NatsServer.start();
    await using a = await node(nats.url);
    const { hearer } = await a.join("chat:1");
    await a.say("chat:1", 1);
    await a.say("chat:1", 2);
    await hearer.until(() => hearer.heard.length === 2, "both");
    const { epoch } = await a.room("chat:1");
    await nats.kill();
    await until("word that it is away", () => a.link.isUp ? null : true);
    assert.equal(await a.say("chat:1", 3), NOT_STORED);
    assert.ok(a.streams.isDegraded);
    const { hearer: near, found } = await a.join("chat:1", {
      since: { epoch, offset: hearer.heard[0]!.offset },
    });
    assert.deepEqual([found!.recovered, near.said], [true, [2]]);
    await assert.rejects(
      a.join("chat:1", { since: { epoch, offset: hearer.heard[1]!.offset + 10_000 } }),
      "nobody knows",
    );
    await assert.rejects(a.join("chat:new", { last: 1 }), "nobody knows");
    await nats.resume();
    await saidAtLast(a, "chat:1", 4);
    await hearer.until(() => hearer.heard.length === 3, "four");
    assert.deepEqual([hearer.said, hearer.told], [[1, 2, 4], []]);
    assert.equal((await a.room("chat:1")).epoch, epoch, "the same, for nothing was lost");
    const { found: later } = await a.join("chat:new", { last: 1 });
    assert.equal(later!.recovered, true);
  },
);

test(
  "A node that was cut off tells its members what was said meanwhile, room by room, in order and once",
  SKIP,
  async () => {
    await using nats = await NatsServer.start();
    await using proxy = await TcpProxy.to(nats.port);
    await using a = await node(nats.url);
    await using b = await node(proxy.origin.replace("http", "nats"));
    const names = Array.from({ length: 50 }, (_, i) => `chat:${i}`);
    const hearers = await Promise.all(names.map(async (name) => (await b.join(name)).hearer));
    for (const name of names) await a.say(name, 1);
    for (const hearer of hearers) await hearer.until(() => hearer.heard.length === 1, "one");
    proxy.refuse(true);
    proxy.cut();
    await until("word that it is away", () => b.link.isUp ? null : true);
    for (let n = 2; n < 12; n++) await Promise.all(names.map((name) => a.say(name, n)));
    assert.equal(await b.say("chat:0", 99), NOT_STORED);
    proxy.refuse(false);
    for (const hearer of hearers) await hearer.until(() => hearer.heard.length >= 11, "what was missed");
    for (const name of names) await a.say(name, 12);
    for (const hearer of hearers) {
      await hearer.until(() => hearer.heard.length >= 12, "what follows");
      assert.deepEqual(hearer.said, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
      assert.deepEqual(hearer.told, []);
    }
  },
);

test("Who was cut off for longer than the room keeps is told so, before what is left", SKIP, async () => {
  await using nats = await NatsServer.start();
  await using proxy = await TcpProxy.to(nats.port);
  const classes = [{ ...CLASS, history: { ...CLASS.history!, max_messages: 5 } }];
  await using a = await node(nats.url, { classes });
  await using b = await node(proxy.origin.replace("http", "nats"), { classes });
  const { hearer } = await b.join("chat:1");
  await a.say("chat:1", 0);
  await hearer.until(() => hearer.heard.length === 1, "one");
  proxy.refuse(true);
  proxy.cut();
  await until("word that it is away", () => b.link.isUp ? null : true);
  for (let n = 1; n < 30; n++) await a.say("chat:1", n);
  proxy.refuse(false);
  await hearer.until(() => hearer.said.includes(29), "the newest");
  assert.deepEqual(hearer.told.map(({ recovered, reason }) => [recovered, reason]), [[false, "trimmed"]]);
  assert.deepEqual(hearer.said, [0, ...hearer.said.slice(1)]);
  assert.deepEqual(hearer.said.slice(-5), [25, 26, 27, 28, 29]);
  assert.ok((hearer.told[0]!["offset"] as number) < hearer.heard[1]!.offset, "told before");
});

for (const keep of [2, 0]) {
  test(
    `Who was cut off while a stream was trimmed to ${keep} records is told that something is gone`,
    SKIP,
    async () => {
      await using nats = await NatsServer.start();
      await using proxy = await TcpProxy.to(nats.port);
      await using a = await node(nats.url);
      await using b = await node(proxy.origin.replace("http", "nats"));
      const { hearer } = await b.join("chat:1");
      await a.say("chat:1", 0);
      await hearer.until(() => hearer.heard.length === 1, "one");
      proxy.refuse(true);
      proxy.cut();
      await until("word that it is away", () => b.link.isUp ? null : true);
      for (let n = 1; n < 10; n++) await a.say("chat:1", n);
      const manager = await jetstreamManager(a.link.connection!);
      const stream = (await manager.streams.list().next())[0]!.config.name;
      await manager.streams.purge(stream, { keep });
      proxy.refuse(false);
      await hearer.until(() => hearer.told.length === 1, "word of it");
      await a.say("chat:1", 10);
      await hearer.until(() => hearer.said.includes(10), "what follows");
      assert.deepEqual(hearer.told.map(({ recovered, reason }) => [recovered, reason]), [[false, "trimmed"]]);
      assert.deepEqual(hearer.said, keep === 2 ? [0, 8, 9, 10] : [0, 10]);
    },
  );
}

test(
  "A stream that lost its end is a new epoch on every node, and who heard what is gone is not recovered",
  SKIP,
  async () => {
    await using nats = await NatsServer.start();
    const copy = `${nats.folder}-copy`;
    await using a = await node(nats.url);
    await using b = await node(nats.url);
    const { hearer } = await a.join("chat:1");
    const { hearer: there } = await b.join("chat:1");
    await a.say("chat:1", 1);
    await hearer.until(() => hearer.heard.length === 1, "one");
    const { epoch } = await a.room("chat:1");
    await nats.kill();
    cpSync(nats.folder, copy, { recursive: true });
    await nats.resume();
    await isUp(a, b);
    await saidAtLast(a, "chat:1", 2);
    await saidAtLast(a, "chat:1", 3);
    await hearer.until(() => hearer.heard.length === 3, "three");
    const gone = hearer.heard[2]!.offset;
    await nats.kill();
    rmSync(nats.folder, { recursive: true });
    cpSync(copy, nats.folder, { recursive: true });
    rmSync(copy, { recursive: true });
    await nats.resume();
    await hearer.until(() => hearer.told.length > 0, "word of it");
    await there.until(() => there.told.length > 0, "word of it there");
    await saidAtLast(b, "chat:1", 4);
    await hearer.until(() => hearer.said.includes(4), "four");
    await there.until(() => there.said.includes(4), "four there");
    assert.deepEqual([hearer.said, there.said], [[1, 2, 3, 4], [1, 2, 3, 4]]);
    const renewed = (await a.room("chat:1")).epoch;
    assert.notEqual(renewed, epoch);
    assert.equal((await b.room("chat:1")).epoch, renewed);
    await using c = await node(nats.url);
    for (const one of [a, b, c]) {
      const { found } = await one.join("chat:1", { since: { epoch, offset: gone } });
      assert.deepEqual([found!.recovered, found!.reason, found!.epoch], [false, "epoch", renewed]);
    }
  },
);

for (const isHeard of [true, false]) {
  const what = isHeard ? "whose members have heard it" : "which was only told that it is stored";
  test(
    `A stream that lost its end, and grew beyond it before the node comes back ${what}, is a new epoch`,
    SKIP,
    async () => {
      await using nats = await NatsServer.start();
      await using proxy = await TcpProxy.to(nats.port);
      const copy = `${nats.folder}-copy`;
      await using a = await node(proxy.origin.replace("http", "nats"));
      await using b = await node(nats.url);
      const { hearer } = await a.join("chat:1");
      const { hearer: there } = await b.join("chat:1");
      await a.say("chat:1", 1);
      for (const one of [hearer, there]) await one.until(() => one.heard.length === 1, "one");
      const { epoch } = await a.room("chat:1");
      await nats.kill();
      cpSync(nats.folder, copy, { recursive: true });
      await nats.resume();
      await isUp(a, b);
      // Nobody on the other node hears it.
      const room = isHeard ? "chat:2" : "chat:3";
      const far = isHeard ? (await a.join(room)).hearer : null;
      for (let n = 2; n < 5; n++) await saidAtLast(a, room, n);
      await far?.until(() => far.heard.length === 3, "all of it");
      proxy.refuse(true);
      proxy.cut();
      await nats.kill();
      rmSync(nats.folder, { recursive: true });
      cpSync(copy, nats.folder, { recursive: true });
      rmSync(copy, { recursive: true });
      await nats.resume();
      await isUp(b);
      for (let n = 10; n < 20; n++) await saidAtLast(b, "chat:1", n);
      proxy.refuse(false);
      for (const one of [hearer, there, ...far === null ? [] : [far]]) {
        await one.until(() => one.told.length > 0, "word of it");
      }
      await until("an epoch", async () => (await b.room("chat:1")).epoch === epoch ? null : true);
      assert.equal((await a.room("chat:1")).epoch, (await b.room("chat:1")).epoch);
    },
  );
}

test(
  "A stream that lost its end unseen, and grew beyond it, does not take a cursor for good that points to another message",
  SKIP,
  async () => {
    await using nats = await NatsServer.start();
    const copy = `${nats.folder}-copy`;
    let cursor: { epoch: string; offset: number };
    {
      await using a = await node(nats.url);
      await a.say("chat:1", 1);
    }
    await nats.kill();
    cpSync(nats.folder, copy, { recursive: true });
    await nats.resume();
    {
      await using a = await node(nats.url);
      const { hearer } = await a.join("chat:1");
      await saidAtLast(a, "chat:1", 2);
      await hearer.until(() => hearer.heard.length === 1, "two");
      cursor = { epoch: (await a.room("chat:1")).epoch, offset: hearer.heard[0]!.offset };
    }
    await nats.kill();
    rmSync(nats.folder, { recursive: true });
    cpSync(copy, nats.folder, { recursive: true });
    rmSync(copy, { recursive: true });
    await nats.resume();
    await using a = await node(nats.url);
    for (let n = 3; n < 8; n++) await saidAtLast(a, "chat:1", n);
    const { found } = await a.join("chat:1", { since: cursor });
    assert.deepEqual([found!.epoch, found!.recovered, found!.reason], [cursor.epoch, false, "epoch"]);
  },
);

test(
  "A room in which nothing is said for long is marked, so that a cursor that is older than the stream still recovers",
  SKIP,
  async () => {
    await using nats = await NatsServer.start();
    let ahead = 0;
    await using a = await node(nats.url, { now: () => performance.now() + ahead });
    const { hearer } = await a.join("chat:1");
    await a.say("chat:1", 1);
    await hearer.until(() => hearer.heard.length === 1, "one");
    const { epoch } = await a.room("chat:1");
    // Half of what the stream keeps, so that the next look writes a mark.
    ahead = 301_000;
    const manager = await jetstreamManager(a.link.connection!);
    const stream = (await manager.streams.list().next())[0]!.config.name;
    await until(
      "a mark",
      async () => (await manager.streams.info(stream)).state.last_seq === 2 ? true : null,
      60_000,
    );
    assert.deepEqual(hearer.said, [1], "nobody hears it");
    // As if the stream's age had come.
    await manager.streams.purge(stream, { seq: 2 } as never);
    await using b = await node(nats.url);
    const { hearer: back, found } = await b.join("chat:1", {
      since: { epoch, offset: hearer.heard[0]!.offset },
    });
    assert.deepEqual([found!.recovered, back.said], [true, []]);
    await b.say("chat:1", 2);
    await back.until(() => back.heard.length === 1, "two");
    await hearer.until(() => hearer.heard.length === 2, "two there");
    assert.deepEqual([hearer.told, back.told], [[], []]);
  },
);

test(
  "Messages that had to make room in memory are read again, and nobody hears one twice",
  SKIP,
  async () => {
    await using nats = await NatsServer.start();
    // Less than the rooms themselves take: each makes all others go.
    await using a = await node(nats.url, { maxHistoryBytes: 600 });
    const names = ["chat:1", "chat:2", "chat:3"];
    const hearers = await Promise.all(names.map(async (name) => (await a.join(name)).hearer));
    for (let n = 0; n < 5; n++) for (const name of names) await a.say(name, n);
    for (const [i, name] of names.entries()) {
      await hearers[i]!.until(() => hearers[i]!.heard.length === 5, "all five");
      const { epoch } = await a.room(name);
      const { hearer, found } = await a.join(name, {
        since: { epoch, offset: hearers[i]!.heard[1]!.offset },
      });
      assert.deepEqual([found!.recovered, hearer.said], [true, [2, 3, 4]]);
      assert.equal((await a.page(name, { after: 0 })).frames.length, 5);
    }
    for (const hearer of hearers) assert.deepEqual(hearer.said, [0, 1, 2, 3, 4]);
  },
);

test(
  "With three servers nothing that was acked is lost when the stream's leader dies, and the room goes on without it",
  SKIP,
  async () => {
    await using three = await NatsCluster.start();
    await using a = await node(three.url, { replicas: 3 });
    await using b = await node(three.url, { replicas: 3 });
    await until("a leader", () => a.streams.isDegraded || b.streams.isDegraded ? null : true, 60_000);
    const { hearer } = await b.join("chat:1");
    const acked: unknown[] = [];
    for (let n = 0; n < 50; n++) if (typeof await a.say("chat:1", n) === "object") acked.push(n);
    const { epoch } = await a.room("chat:1");
    const manager = await jetstreamManager(a.link.connection!);
    const { config: { name }, cluster } = (await manager.streams.list().next())[0]!;
    assert.ok(name.startsWith("t_"));
    await three.servers[Number(cluster!.leader!.slice(1))]!.kill();
    for (let n = 50; acked.length < 100; n++) {
      if (typeof await a.say("chat:1", n) === "object") acked.push(n);
      else await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const last = acked.at(-1);
    await hearer.until(() => hearer.said.includes(last), "the last of them");
    // What was refused may have been stored all the same; what was acked was, and in this order.
    assert.deepEqual(hearer.said.filter((n) => acked.includes(n)), acked);
    assert.equal(new Set(hearer.said).size, hearer.said.length);
    assert.deepEqual(hearer.told, []);
    assert.equal((await b.room("chat:1")).epoch, epoch);
    const { hearer: back, found } = await b.join("chat:1", {
      since: { epoch, offset: hearer.heard[9]!.offset },
    });
    assert.equal(found!.recovered, true);
    assert.deepEqual(back.said, hearer.said.slice(10));
  },
);
