import { strict as assert } from "node:assert";
import { after, test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { extFrame, LANE } from "../../src/protocol/frame.ts";
import type { Stored } from "../../src/room/kept_room.ts";
import { senderKey } from "../../src/room/sent_keys.ts";
import { until } from "../flow/gateway_process.ts";
import { WITHOUT_NATS } from "../nats/find.ts";
import { NatsServer } from "../nats/server.ts";
import { HistoryNode, type HistoryNodeOptions } from "./history_node.ts";

const SKIP = { skip: WITHOUT_NATS };
const nats = WITHOUT_NATS === false ? await NatsServer.start() : null;
after(() => nats?.[Symbol.asyncDispose]());

let prefixes = 0;

function cluster(): (options?: Partial<HistoryNodeOptions>) => Promise<HistoryNode> {
  const prefix = `t${++prefixes}`;
  return (options) => new HistoryNode({ url: nats!.url, prefix, ...options }).start();
}

const stored = (outcome: Stored | number): Stored => {
  assert.ok(typeof outcome === "object", `not stored: ${outcome}`);
  return outcome;
};

test(
  "What is said on one node is heard on all, in one order, with one epoch and growing offsets",
  SKIP,
  async () => {
    const node = cluster();
    await using a = await node();
    await using b = await node();
    const { hearer: here } = await a.join("chat:1");
    const { hearer: there } = await b.join("chat:1");
    const outcomes = await Promise.all(
      Array.from({ length: 100 }, (_, i) => (i % 2 === 0 ? a : b).say("chat:1", i)),
    );
    await here.until(() => here.heard.length === 100, "all of it here");
    await there.until(() => there.heard.length === 100, "all of it there");
    assert.deepEqual(here.heard, there.heard);
    for (let i = 1; i < 100; i++) assert.ok(here.heard[i]!.offset > here.heard[i - 1]!.offset);
    const epochs = new Set(outcomes.map((outcome) => stored(outcome).epoch));
    assert.equal(epochs.size, 1);
    assert.deepEqual(
      outcomes.map((outcome) => stored(outcome).offset).sort((a, b) => a! - b!),
      here.heard.map(({ offset }) => offset),
    );
  },
);

test("A cursor of one node recovers on another, with what was missed and nothing twice", SKIP, async () => {
  const node = cluster();
  await using a = await node();
  await using b = await node();
  const { hearer } = await a.join("chat:1");
  for (let i = 0; i < 10; i++) await a.say("chat:1", i);
  await hearer.until(() => hearer.heard.length === 10, "ten");
  const { epoch } = await a.room("chat:1");
  for (let i = 10; i < 20; i++) await a.say("chat:1", i);
  const { hearer: back, found } = await b.join("chat:1", {
    since: { epoch, offset: hearer.heard[9]!.offset },
  });
  assert.deepEqual([found!.recovered, found!.epoch], [true, epoch]);
  await a.say("chat:1", 20);
  await back.until(() => back.heard.length === 11, "the rest");
  assert.deepEqual(back.said, [10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
  const { hearer: newest } = await b.join("chat:1", { last: 3 });
  assert.deepEqual(newest.said, [18, 19, 20]);
});

test("A room in which nothing was said recovers too, on any node", SKIP, async () => {
  const node = cluster();
  await using a = await node();
  await using b = await node();
  await a.say("chat:other", 0);
  await a.join("chat:1");
  const { epoch, last } = await a.room("chat:1");
  await a.say("chat:other", 1);
  await a.say("chat:1", 1);
  await a.say("chat:1", 2);
  const { hearer, found } = await b.join("chat:1", { since: { epoch, offset: last } });
  assert.equal(found!.recovered, true);
  assert.deepEqual(hearer.said, [1, 2]);
});

test(
  "What cannot be proven is not recovered: trimmed, ahead, another epoch, another message in its place",
  SKIP,
  async () => {
    const node = cluster();
    const classes = [{
      match: "chat:*",
      history: { max_messages: 5, max_bytes: 1_000_000, max_age_ms: 300_000, store: "nats" as const },
      presence: false,
    }];
    await using a = await node({ classes });
    const { hearer } = await a.join("chat:1");
    for (let i = 0; i < 20; i++) await a.say("chat:1", i);
    await hearer.until(() => hearer.heard.length === 20, "twenty");
    const { epoch } = await a.room("chat:1");
    await using b = await node({ classes });
    for (const one of [a, b]) {
      const tried = async (offset: number, of = epoch) => {
        const { hearer, found } = await one.join("chat:1", { since: { epoch: of, offset } });
        return [found!.recovered, found!.reason, hearer.said];
      };
      const offset = (i: number) => hearer.heard[i]!.offset;
      assert.deepEqual(await tried(offset(16)), [true, null, [17, 18, 19]]);
      assert.deepEqual(await tried(offset(3)), [false, "trimmed", [15, 16, 17, 18, 19]]);
      assert.deepEqual(await tried(0), [false, "trimmed", [15, 16, 17, 18, 19]]);
      assert.deepEqual(await tried(offset(19) + 5000), [false, "ahead", [15, 16, 17, 18, 19]]);
      assert.deepEqual(await tried(offset(19), "other"), [false, "epoch", [15, 16, 17, 18, 19]]);
      assert.deepEqual(await tried(offset(19), ""), [false, "epoch", [15, 16, 17, 18, 19]]);
      const other = offset(17) % 1024 === 1 ? offset(17) + 1 : offset(17) - 1;
      assert.deepEqual(await tried(other), [false, "epoch", [15, 16, 17, 18, 19]]);
    }
  },
);

test(
  "The same key is published once, whichever node is asked, and never again after a restart of one",
  SKIP,
  async () => {
    const node = cluster();
    await using a = await node();
    await using b = await node();
    const { hearer } = await a.join("chat:1");
    const first = stored(await a.say("chat:1", 1, "k1"));
    const again = stored(await b.say("chat:1", 2, "k1"));
    assert.deepEqual([again.offset, again.epoch, again.duplicate], [first.offset, first.epoch, true]);
    await using c = await node();
    assert.equal(stored(await c.say("chat:1", 3, "k1")).duplicate, true);
    await a.say("chat:1", 4, "k2");
    await hearer.until(() => hearer.heard.length === 2, "two");
    assert.deepEqual(hearer.said, [1, 4]);
  },
);

test(
  "A session that is left out is left out on every node, and given it when it comes back",
  SKIP,
  async () => {
    const node = cluster();
    await using a = await node();
    await using b = await node();
    const { hearer } = await b.join("chat:1");
    const { hearer: other } = await b.join("chat:1");
    await a.say("chat:1", 1, null, hearer.session);
    await a.say("chat:1", 2);
    await other.until(() => other.heard.length === 2, "both");
    assert.deepEqual(hearer.said, [2]);
  },
);

test("Pages go both ways on any node", SKIP, async () => {
  const node = cluster();
  await using a = await node();
  for (let i = 0; i < 10; i++) await a.say("chat:1", i);
  await using b = await node();
  const all = await b.page("chat:1", { after: 0 });
  const read = (page: typeof all) => page.frames.map(({ payload }) => JSON.parse(payload as string));
  const offsets = read(all).map(({ offset }) => offset as number);
  assert.deepEqual(read(all).map(({ data }) => data.n), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.deepEqual([all.first, all.last, all.more], [offsets[0], offsets[9], false]);
  const back = await b.page("chat:1", { before: offsets[5]! }, 3);
  assert.deepEqual([read(back).map(({ data }) => data.n), back.more], [[2, 3, 4], true]);
  const on = await b.page("chat:1", { after: offsets[5]! }, 3);
  assert.deepEqual([read(on).map(({ data }) => data.n), on.more], [[6, 7, 8], true]);
});

test(
  "A room that is cleared begins a new epoch on every node, and cursors of before are not recovered",
  SKIP,
  async () => {
    const node = cluster();
    await using a = await node();
    await using b = await node();
    const { hearer } = await b.join("chat:1");
    await a.say("chat:1", 1);
    await hearer.until(() => hearer.heard.length === 1, "one");
    const there = await b.room("chat:1");
    const former = there.epoch;
    await (await a.room("chat:1")).clear();
    const { epoch } = await a.room("chat:1");
    assert.notEqual(epoch, former);
    await a.say("chat:1", 2);
    await hearer.until(() => hearer.heard.length === 2, "two");
    assert.equal(there.epoch, epoch);
    await using c = await node();
    for (const one of [a, b, c]) {
      const { hearer: back, found } = await one.join("chat:1", {
        since: { epoch: former, offset: hearer.heard[0]!.offset },
      });
      assert.deepEqual([found!.recovered, found!.reason, found!.epoch, back.said], [false, "epoch", epoch, [
        2,
      ]]);
    }
  },
);

test(
  "A stream that is deleted comes back with another epoch; members are told, and hear what follows",
  SKIP,
  async () => {
    const node = cluster();
    await using a = await node();
    await using b = await node();
    const { hearer } = await b.join("chat:1");
    await a.say("chat:1", 1);
    await hearer.until(() => hearer.heard.length === 1, "one");
    const { epoch } = await a.room("chat:1");
    const manager = await jetstreamManager(a.link.connection!);
    for await (const { config: { name } } of manager.streams.list()) {
      if (name.startsWith(`t${prefixes}_`)) await manager.streams.delete(name);
    }
    assert.equal(await a.say("chat:1", 2), -2, "nobody has taken it");
    await hearer.until(() => hearer.told.length === 1, "word of the loss");
    assert.deepEqual([hearer.told[0]!["recovered"], hearer.told[0]!["reason"]], [false, "epoch"]);
    const next = stored(await a.say("chat:1", 3));
    assert.notEqual(next.epoch, epoch);
    await hearer.until(() => hearer.heard.length === 2, "three");
    assert.deepEqual(hearer.said, [1, 3]);
    assert.equal((await b.room("chat:1")).epoch, next.epoch);
    const { found } = await b.join("chat:1", { since: { epoch, offset: hearer.heard[0]!.offset } });
    assert.deepEqual([found!.recovered, found!.reason], [false, "epoch"]);
  },
);

test(
  "What was stored before in a stream that was made anew is a duplicate in its new epoch",
  SKIP,
  async () => {
    const node = cluster();
    await using a = await node();
    await using b = await node();
    const first = stored(await a.say("chat:1", 1));
    const manager = await jetstreamManager(b.link.connection!);
    for await (const { config: { name } } of manager.streams.list()) {
      if (name.startsWith(`t${prefixes}_`)) await manager.streams.delete(name);
    }
    const key = senderKey("user u", "k");
    const say = async (from: HistoryNode) => {
      const frame = extFrame({ v: 1, svc: "chat", type: "msg", room: "chat:2", data: 2 }, LANE.reliable);
      return await from.rooms.publish("chat:2", frame, { except: null, key });
    };
    const second = await until("a stream", async () => {
      const outcome = await say(b);
      return typeof outcome === "object" ? outcome : null;
    });
    const again = stored(await say(a));
    assert.deepEqual([again.duplicate, again.epoch, again.offset], [true, second.epoch, second.offset]);
    assert.notEqual(again.epoch, first.epoch);
  },
);
