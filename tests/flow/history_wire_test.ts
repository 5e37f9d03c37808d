// Rooms with history as clients see them: offsets, cursors, keys, who may read, and that nothing is told twice or left out
// while others go on talking.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, type Message } from "./client.ts";
import { sharedGateway } from "./gateway_process.ts";

const rate = { rate_limit_rps: 10_000, rate_limit_burst: 10_000 };
const history = { max_messages: 1000, max_bytes: 1_048_576, max_age_ms: 300_000 };

const gateway = await sharedGateway({
  tenants: [{
    id: "acme",
    policy: { ext_allowlist: ["room:*", "chat:*"], ...rate },
    rooms: [
      { match: "short:*", history: { ...history, max_messages: 3 } },
      { match: "told:*", history, presence: true },
      { match: "kept:*", history },
    ],
  }, {
    id: "other",
    policy: { ext_allowlist: ["room:join", "room:leave", "chat:*"], ...rate },
    rooms: [{ match: "kept:*", history }],
  }, {
    id: "small",
    policy: { ext_allowlist: ["room:*", "chat:*"], ...rate },
    limits: { max_rooms_total: 3 },
    rooms: [{ match: "kept:*", history }],
  }],
});

interface Numbered extends Message {
  readonly offset?: number;
}

let seq = 0;

/** Says something and waits for its ack; what else comes before it is returned too. */
async function say(
  client: Client,
  room: string,
  msg: string,
  key?: string,
): Promise<{ ack: Message["data"]; before: Numbered[] }> {
  const mine = ++seq;
  // seqPresent, roomPresent, ackRequested
  client.send({
    svc: "chat",
    type: "send",
    room,
    seq: mine,
    flags: 7,
    data: { msg },
    ...(key === undefined ? {} : { key }),
  });
  const before: Numbered[] = [];
  for (;;) {
    const message = await client.take("sys.ack") as Numbered;
    if (message.svc === "sys" && message.type === "ack") {
      assert.equal(message.seq, mine);
      return { ack: message.data, before };
    }
    assert.notEqual(message.type, "error", JSON.stringify(message));
    before.push(message);
  }
}

/** Joins and takes what was missed. */
async function joinSince(
  client: Client,
  room: string,
  data: object,
): Promise<{ joined: Message["data"]; replayed: Numbered[] }> {
  client.send({ svc: "room", type: "join", room, data });
  const joined = (await client.next("sys.joined")).data;
  const replayed: Numbered[] = [];
  for (let i = 0; i < (joined.replayed ?? 0); i++) replayed.push(await client.next("chat.msg"));
  return { joined, replayed };
}

const texts = (messages: readonly Numbered[]) => messages.map(({ data }) => data.msg);
const offsets = (messages: readonly Numbered[]) => messages.map(({ offset }) => offset);

test("messages count from 1, and the ack says which one it was", async () => {
  const [ann, ben] = [await Client.open(gateway), await Client.open(gateway, { cbor: true })];
  await ann.join("kept:count");
  await ben.join("kept:count");
  const first = await say(ann, "kept:count", "a");
  const second = await say(ann, "kept:count", "b");
  assert.deepEqual([first.ack.offset, second.ack.offset], [1, 2]);
  assert.equal(first.ack.epoch, second.ack.epoch);
  assert.match(first.ack.epoch, /^.{1,64}$/);
  const heard = [await ben.next("chat.msg"), await ben.next("chat.msg")] as Numbered[];
  assert.deepEqual(offsets(heard), [1, 2], "in CBOR as in JSON");
  assert.deepEqual(texts(heard), ["a", "b"]);
  await ann.close();
  await ben.close();
});

test("a room without a class is as it was", async () => {
  const client = await Client.open(gateway);
  const joined = await client.join("plain");
  assert.deepEqual(Object.keys(joined).sort(), ["count", "member"]);
  const { ack, before } = await say(client, "plain", "a");
  assert.equal(ack?.offset, undefined);
  const heard = before.length > 0 ? before[0]! : await client.next("chat.msg") as Numbered;
  assert.equal(heard.offset, undefined);
  await client.close();
});

test("whoever comes back with a cursor is given what lies between, in order and once", async () => {
  const [ann, ben] = [await Client.open(gateway), await Client.open(gateway)];
  const room = "kept:between";
  await ann.join(room);
  await ben.join(room);
  const { ack } = await say(ann, room, "heard");
  await ben.next("chat.msg");
  await ben.close();
  for (const text of ["b", "c", "d"]) await say(ann, room, text);
  const again = await Client.open(gateway);
  const { joined, replayed } = await joinSince(again, room, { since: ack });
  assert.equal(joined.recovered, true);
  assert.equal(joined.reason, undefined);
  assert.equal(joined.offset, 4);
  assert.deepEqual(offsets(replayed), [2, 3, 4]);
  assert.deepEqual(texts(replayed), ["b", "c", "d"]);
  await say(ann, room, "live");
  assert.equal((await again.next("chat.msg") as Numbered).offset, 5);
  await again.hearsNothing();
  await ann.close();
  await again.close();
});

test("what cannot be proven is not said to be recovered", async () => {
  const ann = await Client.open(gateway);
  const room = "short:proof";
  await ann.join(room);
  const { ack: { epoch } } = await say(ann, room, "1");
  for (const text of ["2", "3", "4", "5"]) await say(ann, room, text);
  const asked: [object, string][] = [
    [{ epoch: "another", offset: 2 }, "epoch"],
    [{ epoch: "", offset: 5 }, "epoch"],
    [{ epoch, offset: 0 }, "trimmed"],
    [{ epoch, offset: 1 }, "trimmed"],
    [{ epoch, offset: 6 }, "ahead"],
  ];
  for (const [since, reason] of asked) {
    const ben = await Client.open(gateway);
    ben.send({ svc: "room", type: "join", room, data: { since } });
    const answer = await ben.take("an answer") as Message;
    // An empty epoch is either no epoch of this room or nothing that can be read; never a yes.
    if ((since as { epoch: string }).epoch === "" && answer.type === "error") {
      assert.equal(answer.data.code, "BAD_REQUEST");
    } else {
      assert.equal(answer.data.recovered, false, reason);
      assert.equal(answer.data.reason, reason);
      const replayed: Numbered[] = [];
      for (let i = 0; i < answer.data.replayed; i++) replayed.push(await ben.next("chat.msg"));
      assert.deepEqual(offsets(replayed), [3, 4, 5], "the newest there are");
    }
    await ben.hearsNothing();
    await ben.close();
  }
  const edge = await Client.open(gateway);
  const { joined, replayed } = await joinSince(edge, room, { since: { epoch, offset: 2 } });
  assert.equal(joined.recovered, true, "the cursor stands just before the oldest");
  assert.deepEqual(offsets(replayed), [3, 4, 5]);
  await edge.close();
  await ann.close();
});

test("a member that joins again is not told again what it has heard", async () => {
  const ann = await Client.open(gateway);
  const room = "kept:twice";
  await ann.join(room);
  const { ack } = await say(ann, room, "a");
  await say(ann, room, "b");
  await ann.settled();
  const { joined, replayed } = await joinSince(ann, room, { since: { epoch: ack.epoch, offset: 0 } });
  assert.deepEqual(replayed, [], JSON.stringify(joined));
  await ann.hearsNothing();
  await ann.close();
});

test("none twice and none missing while others talk without a pause", async () => {
  const room = "kept:gap";
  const speakers = await Promise.all([0, 1, 2].map(() => Client.open(gateway)));
  for (const speaker of speakers) await speaker.join(room);
  const { ack: { epoch } } = await say(speakers[0]!, room, "first");
  let talking = true;
  const talks = speakers.map(async (speaker, i) => {
    for (let n = 0; talking && n < 400; n++) await say(speaker, room, `${i}-${n}`);
  });
  let at = 1;
  for (let visit = 0; visit < 20; visit++) {
    const guest = await Client.open(gateway, { cbor: visit % 2 === 1 });
    guest.send({ svc: "room", type: "join", room, data: { since: { epoch, offset: at } } });
    const joined = (await guest.next("sys.joined")).data;
    assert.equal(joined.recovered, true, JSON.stringify(joined));
    const replayed: Numbered[] = [];
    for (let i = 0; i < joined.replayed; i++) replayed.push(await guest.next("chat.msg"));
    const live = (await guest.settled()) as Numbered[];
    for (const { offset } of [...replayed, ...live]) assert.equal(offset, ++at, "the next one");
    await guest.close();
  }
  talking = false;
  await Promise.all(talks);
  for (const speaker of speakers) await speaker.close();
});

test("the newest so many, with or without a cursor's help", async () => {
  const ann = await Client.open(gateway);
  const room = "kept:last";
  await ann.join(room);
  for (const text of ["a", "b", "c"]) await say(ann, room, text);
  for (const [last, expected] of [[2, ["b", "c"]], [0, []], [10, ["a", "b", "c"]]] as const) {
    const ben = await Client.open(gateway);
    const { joined, replayed } = await joinSince(ben, room, { last });
    assert.equal(joined.recovered, true);
    assert.deepEqual(texts(replayed), expected);
    await ben.close();
  }
  await ann.close();
});

test("joins that cannot be read are refused, and join nothing", async () => {
  const client = await Client.open(gateway);
  const wrong = [
    { since: 1 },
    { since: {} },
    { since: { epoch: "e" } },
    { since: { epoch: 1, offset: 1 } },
    { since: { epoch: "e", offset: -1 } },
    { since: { epoch: "e", offset: 1.5 } },
    { since: { epoch: "e".repeat(65), offset: 1 } },
    { last: -1 },
    { last: "all" },
    { last: 1e300 },
  ];
  for (const data of wrong) {
    client.send({ svc: "room", type: "join", room: "kept:wrong", data });
    await client.nextError("BAD_REQUEST");
  }
  client.send({ svc: "room", type: "history", room: "kept:wrong" });
  await client.nextError("NOT_ALLOWED");
  await client.close();
});

test("history comes in pages, for members alone and for those who may", async () => {
  const [ann, eve] = [await Client.open(gateway), await Client.open(gateway)];
  const room = "kept:pages";
  await ann.join(room);
  for (let i = 1; i <= 250; i++) await say(ann, room, `m${i}`);
  await ann.settled();
  const found: Numbered[] = [];
  for (let more = true, after = 0; more;) {
    ann.send({ svc: "room", type: "history", room, seq: 1, flags: 3, data: { after } });
    const { data } = await ann.next("room.reply");
    assert.ok(data.messages.length <= 100);
    assert.deepEqual([data.first, data.last], [1, 250]);
    found.push(...data.messages);
    after = data.messages.at(-1).offset;
    more = data.more;
  }
  assert.deepEqual(offsets(found), Array.from({ length: 250 }, (_, i) => i + 1));
  ann.send({ svc: "room", type: "history", room, data: { before: 5, limit: 2 } });
  const page = (await ann.next("room.reply")).data;
  assert.deepEqual(offsets(page.messages), [3, 4]);
  assert.equal(page.more, true);
  for (const data of [{ limit: 0 }, { limit: 101 }, { after: 1, before: 2 }, { after: -1 }, { after: "1" }]) {
    ann.send({ svc: "room", type: "history", room, data });
    await ann.nextError("BAD_REQUEST");
  }
  eve.send({ svc: "room", type: "history", room, data: { after: 0 } });
  await eve.nextError("NOT_ALLOWED");
  await eve.join(room);
  await eve.leave(room);
  eve.send({ svc: "room", type: "history", room, data: { after: 0 } });
  await eve.nextError("NOT_ALLOWED");
  const barred = await Client.open(gateway, { tenant: "other" });
  await barred.join(room);
  barred.send({ svc: "room", type: "history", room, data: { after: 0 } });
  assert.equal((await barred.next("sys.error")).data.code, "NOT_ALLOWED", "not on its tenant's list");
  for (const client of [ann, eve, barred]) await client.close();
});

test("a tenant's rooms are its own, whatever they are called", async () => {
  const [ann, ben] = [await Client.open(gateway), await Client.open(gateway, { tenant: "other" })];
  const room = "kept:same";
  await ann.join(room);
  const { ack } = await say(ann, room, "secret");
  const { joined, replayed } = await joinSince(ben, room, { since: { epoch: ack.epoch, offset: 0 } });
  assert.equal(joined.recovered, false);
  assert.equal(joined.reason, "epoch");
  assert.deepEqual(replayed, []);
  assert.equal((await say(ben, room, "mine")).ack.offset, 1);
  await ann.close();
  await ben.close();
});

test("the same key says nothing twice, on a new session too; nobody else's key meets it", async () => {
  const room = "kept:keys";
  const listener = await Client.open(gateway);
  await listener.join(room);
  const ann = await Client.open(gateway, { user: "ann-keys" });
  await ann.join(room);
  const first = await say(ann, room, "once", "k:1");
  assert.equal(first.ack.duplicate, undefined);
  const repeated = await say(ann, room, "once", "k:1");
  assert.equal(repeated.ack.duplicate, true);
  assert.equal(repeated.ack.offset, first.ack.offset);
  assert.equal(repeated.ack.epoch, first.ack.epoch);
  await ann.close();
  const again = await Client.open(gateway, { user: "ann-keys" });
  await again.join(room);
  assert.equal((await say(again, room, "once", "k:1")).ack.duplicate, true);
  const ben = await Client.open(gateway, { user: "ben-keys" });
  await ben.join(room);
  const his = await say(ben, room, "his", "k:1");
  assert.equal(his.ack.duplicate, undefined);
  assert.equal(his.ack.offset, first.ack.offset + 1);
  assert.deepEqual(texts((await listener.settled()) as Numbered[]), ["once", "his"]);
  await listener.settled();
  for (const key of ["", "a b", "ü", "k".repeat(65), 1]) {
    const client = await Client.open(gateway);
    await client.join(room);
    client.send({ svc: "chat", type: "send", room, data: { msg: "x" }, key });
    await client.nextError("BAD_REQUEST");
    await client.close();
  }
  await listener.hearsNothing();
  for (const client of [listener, again, ben]) await client.close();
});

test("a key holds in a room without history too", async () => {
  const client = await Client.open(gateway);
  await client.join("plain:keys");
  await say(client, "plain:keys", "a", "k");
  await client.settled();
  const { ack } = await say(client, "plain:keys", "a", "k");
  assert.equal(ack.duplicate, true);
  assert.equal(ack.offset, undefined);
  await client.hearsNothing();
  await client.close();
});

test("joins and leaves say after which message they hold, to members that did not ask", async () => {
  const room = "told:at";
  const ann = await Client.open(gateway);
  await ann.join(room);
  await say(ann, room, "a");
  await say(ann, room, "b");
  await ann.settled();
  const ben = await Client.open(gateway);
  await ben.join(room);
  const events = (await ann.settled()) as Message[];
  assert.equal(events.length, 1, JSON.stringify(events));
  assert.equal(events[0]!.data.at, 2);
  await say(ben, room, "c");
  await ben.settled();
  await ben.leave(room);
  const later = (await ann.settled()) as Numbered[];
  assert.deepEqual(later.map(({ offset, data }) => offset ?? data.at), [3, 3]);
  await ann.close();
  await ben.close();
});

test("what a room keeps outlives its members", async () => {
  const room = "kept:alone";
  const ann = await Client.open(gateway);
  await ann.join(room);
  const { ack } = await say(ann, room, "a");
  await say(ann, room, "b");
  await ann.close();
  const ben = await Client.open(gateway);
  const { joined, replayed } = await joinSince(ben, room, { since: ack });
  assert.equal(joined.recovered, true);
  assert.deepEqual(texts(replayed), ["b"]);
  await ben.close();
});

test("rooms that nothing was said in do not stay, so that nobody fills the tenant by walking through them", async () => {
  const [ann, ben] = [
    await Client.open(gateway, { tenant: "small" }),
    await Client.open(gateway, { tenant: "small" }),
  ];
  for (let i = 0; i < 10; i++) {
    await ann.join(`kept:walk-${i}`);
    await ann.leave(`kept:walk-${i}`);
  }
  await ben.join("kept:home");
  await ann.close();
  await ben.close();
});

test("at the end nothing was complained of, and the gateway stops with exit code 0", async () => {
  await gateway.stop();
});
