// The three worked examples, as real services: the shipped configuration, with a feed of the test's.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { Client } from "./client.ts";
import { extensionsReady, GatewayProcess, lastly, ROOT } from "./gateway_process.ts";

let items: unknown = [{ id: 2, title: "two" }, { id: 1, title: "one" }, { id: "x" }];
const feed = createServer((_, response) => response.end(JSON.stringify(items)));
await new Promise<void>((resolve) => feed.listen(0, "127.0.0.1", () => resolve()));
after(() => {
  feed.closeAllConnections();
  feed.close();
});
const place = `127.0.0.1:${(feed.address() as AddressInfo).port}`;

const folder = join(ROOT, "config/extensions");
const files = Object.fromEntries(
  readdirSync(folder).filter((name) => name.endsWith(".ts"))
    .map((name) => [name, readFileSync(join(folder, name), "utf8")]),
);
const shipped = readFileSync(join(folder, "wsprism.yaml"), "utf8");
// How soon they answer is the machine's business here.
const patient = shipped.replaceAll(/^( +)worker: .*$/gm, "$&\n$1limits: { timeout_ms: 20000 }");
const gateway = await GatewayProcess.startText(patient, {
  files,
  env: { WSPRISM_PORT: "0", WSPRISM_FEED_PLACE: `http://${place}`, WSPRISM_FEED_URL: `http://${place}/` },
});
after(() => gateway.kill());
await extensionsReady(gateway, 3);

test("The profanity plugin covers words, refuses others, and leaves the rest alone", async () => {
  const ann = await Client.open(gateway);
  await ann.join("lobby");
  const say = async (msg: string) => {
    ann.send({ svc: "chat", type: "send", seq: 1, room: "lobby", data: { msg } });
    return await ann.take(msg) as { readonly type: string; readonly data: { msg: string; code?: string } };
  };
  assert.equal((await say("what the Heck, darned")).data.msg, "what the ****, darned");
  assert.equal((await say("h3ck ü")).data.msg, "**** ü");
  assert.equal((await say("hello")).data.msg, "hello");
  assert.equal((await say("POIS0N here")).data.code, "NOT_ALLOWED");
  await ann.close();
});

test("Two players play a match to its end, and the winner is counted", async () => {
  const [ann, bob] = [
    await Client.open(gateway, { user: "ann" }),
    await Client.open(gateway, { user: "bob" }),
  ];
  const call = (client: Client, type: string, room?: string, data?: object) =>
    client.send({ svc: "match", type, seq: 1, ...(room === undefined ? {} : { room }), data });
  call(ann, "open");
  await ann.next("sys.joined");
  const { room } = (await ann.next("match.reply")).data;
  call(bob, "move", room, { cell: 0 });
  assert.match((await bob.nextError("BAD_REQUEST")).data.msg, /no second player/);
  call(bob, "enter", room);
  await bob.next("sys.joined");
  assert.deepEqual((await ann.next("match.started")).data.players, { x: "ann", o: "bob" });
  await bob.next("match.started");
  assert.equal((await bob.next("match.reply")).data.mark, "o");
  call(bob, "move", room, { cell: 0 });
  assert.match((await bob.nextError("BAD_REQUEST")).data.msg, /not your turn/);
  const moves = [[ann, 0], [bob, 3], [ann, 1], [bob, 4], [ann, 2]] as const;
  for (const [player, cell] of moves) {
    call(player, "move", room, { cell });
    for (const client of [ann, bob]) assert.equal((await client.next("match.moved")).data.cell, cell);
    if (cell === 2) {
      for (const client of [ann, bob]) assert.equal((await client.next("match.ended")).data.winner, "ann");
    }
    await player.next("match.reply");
  }
  call(ann, "move", room, { cell: 5 });
  assert.match((await ann.nextError("BAD_REQUEST")).data.msg, /no such match/);
  call(ann, "wins");
  assert.deepEqual((await ann.next("match.reply")).data, [{ user: "ann", wins: 1 }]);
  for (const client of [ann, bob]) await client.close();
});

test("Two who enter a match at the same time are told apart", async () => {
  const [ann, bob, eve] = [
    await Client.open(gateway),
    await Client.open(gateway),
    await Client.open(gateway),
  ];
  ann.send({ svc: "match", type: "open", seq: 1 });
  await ann.next("sys.joined");
  const { room } = (await ann.next("match.reply")).data;
  const enter = async (client: Client) => {
    client.send({ svc: "match", type: "enter", seq: 1, room });
    for (;;) {
      const message = await client.take("an answer");
      if (!(message instanceof Uint8Array) && message.seq === 1) return message.type;
    }
  };
  assert.deepEqual((await Promise.all([enter(bob), enter(eve)])).sort(), ["error", "reply"]);
  for (const client of [ann, bob, eve]) await client.close();
});

test("News are announced once, in their order, and the latest can be asked for", async () => {
  const ann = await Client.open(gateway);
  await ann.join("news");
  const latest = async () => {
    ann.send({ svc: "news", type: "latest", seq: 1 });
    return (await ann.next("news.reply")).data;
  };
  items = [{ id: 103, title: "three" }, { id: 101, title: "one" }];
  for (const [id, title] of [[101, "one"], [103, "three"]]) {
    assert.deepEqual((await ann.next("news.item")).data, { id, title });
  }
  assert.deepEqual(await latest(), { id: 103, title: "three" });
  items = [{ id: 103, title: "three" }, { id: 104, title: "four" }];
  assert.deepEqual((await ann.next("news.item")).data, { id: 104, title: "four" });
  await ann.close();
});

lastly(gateway);
