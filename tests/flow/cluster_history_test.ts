// Rooms whose history all nodes share, as their users have them: real gateways, a real NATS.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { connect } from "@nats-io/transport-node";
import { jetstreamManager } from "@nats-io/jetstream";
import { WITHOUT_NATS } from "../nats/find.ts";
import { NatsServer } from "../nats/server.ts";
import { Client, type Message } from "./client.ts";
import { acquainted, startNode } from "./cluster_nodes.ts";
import { type GatewayProcess, until } from "./gateway_process.ts";

const SKIP = { skip: WITHOUT_NATS };
const ROOM = "chat:r";

function config(history: object = {}): object {
  return {
    gateway: { drain_grace_ms: 0 },
    tenants: [{
      id: "acme",
      policy: { ext_allowlist: ["room:*", "chat:send"], rate_limit_rps: 10_000, rate_limit_burst: 10_000 },
      rooms: [{
        match: "chat:*",
        history: {
          max_messages: 1000,
          max_bytes: 10_000_000,
          max_age_ms: 300_000,
          store: "nats",
          ...history,
        },
      }],
    }],
  };
}

interface Told {
  readonly epoch: string;
  readonly offset: number;
  readonly recovered?: boolean;
  readonly replayed?: number;
  readonly reason?: string;
}

async function joined(client: Client, data?: object): Promise<Told> {
  return await client.join(ROOM, data) as unknown as Told;
}

async function heard(client: Client, count: number): Promise<Message[]> {
  const messages: Message[] = [];
  while (messages.length < count) messages.push(await client.next("chat.msg"));
  return messages;
}

let seq = 0;

/** Says something, and is told what became of it. */
async function says(client: Client, msg: string, key?: string): Promise<Message> {
  const mine = ++seq;
  const flags = 4;
  client.send({
    svc: "chat",
    type: "send",
    room: ROOM,
    seq: mine,
    flags,
    data: { msg },
    ...(key ? { key } : {}),
  });
  for (;;) {
    const message = await client.take("an answer") as Message;
    if (message.seq === mine && message.svc === "sys") return message;
  }
}

const texts = (messages: readonly Message[]) => messages.map(({ data }) => data.msg as string);

test(
  "Nothing is lost, said twice or in another order when a node is killed and its members come back to another",
  SKIP,
  async () => {
    await using nats = await NatsServer.start();
    const one = await startNode(nats, config(), { name: "one", mayComplain: true });
    await using two = await startNode(nats, config(), { name: "two" });
    await acquainted(one, two);
    const ann = await Client.open(one, { user: "ann" }), eve = await Client.open(one, { user: "eve" });
    const bob = await Client.open(two, { user: "bob" });
    const { epoch } = await joined(ann);
    await joined(bob);
    for (let i = 0; i < 50; i++) {
      (i % 2 === 0 ? ann : bob).send({
        svc: "chat",
        type: "send",
        room: ROOM,
        data: { msg: `${i}` },
      });
    }
    const before = await heard(ann, 50);
    assert.deepEqual(await heard(bob, 50), before, "the same in the same order");
    await joined(eve);
    const acked = await says(eve, "last words", "k1");
    assert.equal(acked.type, "ack");
    assert.equal(acked.data.epoch, epoch);
    await one.kill();
    for (let i = 50; i < 60; i++) bob.send({ svc: "chat", type: "send", room: ROOM, data: { msg: `${i}` } });
    const live = await heard(bob, 11);
    const back = await Client.open(two, { user: "ann" });
    const found = await joined(back, {
      since: { epoch, offset: (before.at(-1) as unknown as { offset: number }).offset },
    });
    assert.deepEqual([found.recovered, found.epoch, found.replayed], [true, epoch, 11]);
    assert.deepEqual(await heard(back, 11), live);
    assert.deepEqual(
      texts(live).toSorted(),
      ["last words", ...Array.from({ length: 10 }, (_, i) => `${i + 50}`)].toSorted(),
    );
    // What was acked by the node that is gone is known on the other.
    const again = await Client.open(two, { user: "eve" });
    await joined(again);
    const same = await says(again, "last words", "k1");
    assert.deepEqual([same.data.offset, same.data.duplicate], [acked.data.offset, true]);
    await back.hearsNothing();
    for (const client of [bob, back, again]) await client.close();
    await two.stop();
  },
);

test(
  "room.history pages through the same on every node, and a cursor from before what is kept is told so",
  SKIP,
  async () => {
    await using nats = await NatsServer.start();
    const few = config({ max_messages: 5 });
    await using one = await startNode(nats, few, { name: "one" });
    await using two = await startNode(nats, few, { name: "two" });
    await acquainted(one, two);
    const ann = await Client.open(one, { user: "ann" }), bob = await Client.open(two, { user: "bob" });
    const start = await joined(ann);
    for (let i = 0; i < 10; i++) assert.equal((await says(ann, `${i}`)).type, "ack");
    const { recovered, reason, replayed } = await joined(bob, {
      since: { epoch: start.epoch, offset: start.offset },
    });
    assert.deepEqual([recovered, reason, replayed], [false, "trimmed", 5]);
    assert.deepEqual(texts(await heard(bob, 5)), ["5", "6", "7", "8", "9"]);
    const page = async (
      client: Client,
      data: object,
    ): Promise<{ more: boolean; messages: Message[]; first: number }> => {
      client.send({ svc: "room", type: "history", room: ROOM, seq: ++seq, data });
      for (;;) {
        const message = await client.take("a page") as Message;
        if (message.seq === seq) return message.data;
      }
    };
    const newest = await page(bob, { limit: 2 });
    assert.deepEqual([texts(newest.messages), newest.more], [["8", "9"], true]);
    const before = await page(ann, {
      before: (newest.messages[0] as unknown as { offset: number }).offset,
      limit: 10,
    });
    assert.deepEqual([texts(before.messages), before.more], [["5", "6", "7"], false]);
    for (const client of [ann, bob]) await client.close();
    await one.stop();
    await two.stop();
  },
);

test(
  "While NATS is away a message is refused and nobody hears it; when it is back all goes on, in the same epoch",
  SKIP,
  async () => {
    await using nats = await NatsServer.start();
    await using one = await startNode(nats, config(), { name: "one", mayComplain: true });
    const ann = await Client.open(one, { user: "ann" });
    const { epoch } = await joined(ann);
    const first = await says(ann, "one");
    assert.equal(first.type, "ack");
    await nats.kill();
    await until("word that it is away", async () => (await ready(one)) === "degraded" ? true : null);
    const refused = await says(ann, "two");
    assert.deepEqual([refused.type, refused.data.code], ["error", "UNAVAILABLE"]);
    await nats.resume();
    await until("word that it is back", async () => (await ready(one)) === "ready" ? true : null);
    assert.equal((await says(ann, "three")).type, "ack");
    const bob = await Client.open(one, { user: "bob" });
    const found = await joined(bob, { since: { epoch, offset: first.data.offset } });
    assert.deepEqual([found.recovered, found.epoch, found.replayed], [true, epoch, 1]);
    assert.deepEqual(texts(await heard(bob, 1)), ["three"]);
    for (const client of [ann, bob]) await client.close();
    await one.kill();
  },
);

test(
  "A stream that is deleted is another epoch: cursors of before are not recovered, and members are told",
  SKIP,
  async () => {
    await using nats = await NatsServer.start();
    await using one = await startNode(nats, config(), { name: "one", mayComplain: true });
    await using two = await startNode(nats, config(), { name: "two", mayComplain: true });
    await acquainted(one, two);
    const ann = await Client.open(one, { user: "ann" }), bob = await Client.open(two, { user: "bob" });
    const { epoch } = await joined(ann);
    await joined(bob);
    const { data: { offset } } = await says(ann, "one");
    await heard(bob, 1);
    const connection = await connect({ servers: nats.url });
    const manager = await jetstreamManager(connection);
    for await (const { config: { name } } of manager.streams.list()) await manager.streams.delete(name);
    await connection.close();
    await until(
      "a stream that takes messages",
      async () => (await says(ann, "two")).type === "ack" ? true : null,
    );
    const told = await bob.next("sys.joined", 30_000);
    assert.deepEqual([told.data.recovered, told.data.reason], [false, "epoch"]);
    assert.notEqual(told.data.epoch, epoch);
    assert.deepEqual(texts(await heard(bob, 1)), ["two"]);
    const eve = await Client.open(two, { user: "eve" });
    const found = await joined(eve, { since: { epoch, offset } });
    assert.deepEqual([found.recovered, found.reason, found.epoch], [false, "epoch", told.data.epoch]);
    for (const client of [ann, bob, eve]) await client.close();
    await one.kill();
    await two.kill();
  },
);

async function ready(gateway: GatewayProcess): Promise<string> {
  const response = await fetch(`${gateway.origin}/readyz`);
  return await response.text();
}
