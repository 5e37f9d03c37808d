// The ext lane in JSON: `sys`, rooms and chat, acks, and what becomes of messages that are none. On the runtime's
// WebSocket and on the package `ws`, where a conversation is long enough to tell them apart.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { Client, KINDS } from "./client.ts";
import { lastly, sharedGateway, TARGET } from "./gateway_process.ts";

const policy = { ext_allowlist: ["room:*", "chat:*", "nobody:*", "sys:*"] };
const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  tenants: [
    { id: "acme", policy },
    { id: "strict", policy: { ext_allowlist: ["room:join"] } },
    { id: "small", limits: { max_frame_bytes: 256 }, policy },
  ],
});

const ACK = 4;

for (const kind of KINDS) {
  test(`two users join a room, chat and leave it (${kind})`, async () => {
    const room = `talk ${kind} ☕`;
    const ann = await Client.open(gateway, { user: "ann", kind });
    const bob = await Client.open(gateway, { user: "bob", kind });
    assert.deepEqual(await ann.join(room), { member: 1, count: 1 });
    assert.deepEqual(await bob.join(room), { member: 2, count: 2 });
    ann.send({ svc: "chat", type: "send", room, data: { msg: "hi, ☃" } });
    for (const client of [ann, bob]) {
      assert.deepEqual(await client.next("chat.msg"), {
        v: 1,
        svc: "chat",
        type: "msg",
        room,
        data: { from: "ann", msg: "hi, ☃" },
      });
    }
    bob.send({ svc: "room", type: "members", room, seq: 7 });
    const { data, ...reply } = await bob.next("room.reply");
    assert.deepEqual(reply, { v: 1, svc: "room", type: "reply", seq: 7 });
    assert.equal(data.count, 2);
    assert.deepEqual(
      new Map(data.members.map((m: { user: string; member: number }) => [m.user, m.member])),
      new Map([["ann", 1], ["bob", 2]]),
    );
    await bob.leave(room);
    ann.send({ svc: "chat", type: "send", room, data: { msg: "alone" } });
    assert.equal((await ann.next("chat.msg")).data.msg, "alone");
    await bob.hearsNothing();
    // Who comes back has another number.
    assert.deepEqual(await bob.join(room), { member: 3, count: 2 });
    await ann.close();
    await bob.close();
  });

  test(`a hundred messages arrive in the order in which they were sent (${kind})`, async () => {
    const room = `order ${kind}`;
    const ann = await Client.open(gateway, { kind }), bob = await Client.open(gateway, { kind });
    await ann.join(room);
    await bob.join(room);
    for (let i = 0; i < 100; i++) {
      ann.send({ svc: "chat", type: "send", room, seq: i, flags: ACK, data: { msg: String(i) } });
    }
    for (let i = 0; i < 100; i++) assert.equal((await bob.next("chat.msg")).data.msg, String(i));
    const heard = (await ann.settled()) as { type: string; seq?: number; data?: { msg: string } }[];
    const said = heard.filter(({ type }) => type === "msg").map(({ data }) => data!.msg);
    const acked = heard.filter(({ type }) => type === "ack").map(({ seq }) => seq);
    const numbers = Array.from({ length: 100 }, (_, i) => i);
    assert.deepEqual(said, numbers.map(String));
    assert.deepEqual(acked, numbers);
    await ann.close();
    await bob.close();
  });
}

test("a join without a room is one of the room named default", async () => {
  const ann = await Client.open(gateway);
  ann.send({ svc: "room", type: "join" });
  assert.equal((await ann.next("sys.joined")).room, "default");
  await ann.close();
});

test("a second join of the same room changes nothing but the active room, and keeps the number", async () => {
  const ann = await Client.open(gateway), bob = await Client.open(gateway);
  assert.deepEqual(await ann.join("twice"), { member: 1, count: 1 });
  assert.deepEqual(await ann.join("twice"), { member: 1, count: 1 });
  await bob.join("twice");
  ann.send({ svc: "chat", type: "send", room: "twice", data: { msg: "once" } });
  await bob.next("chat.msg");
  await bob.hearsNothing();
  await ann.close();
  await bob.close();
});

test("a leave names the room left: the one asked for, else the active one, else none", async () => {
  const ann = await Client.open(gateway);
  await ann.join("first");
  await ann.join("second");
  const left = async (room?: string) => {
    ann.send({ svc: "room", type: "leave", seq: 5, ...(room === undefined ? {} : { room }) });
    const { trace_id: _, ...rest } = await ann.next("sys.left");
    return rest;
  };
  const head = { v: 1, svc: "sys", type: "left", seq: 5 };
  assert.deepEqual(await left(), { ...head, room: "second" });
  // The active room was left, and none has taken its place.
  assert.deepEqual(await left(), head);
  assert.deepEqual(await left("first"), { ...head, room: "first" });
  assert.deepEqual(await left("never joined"), { ...head, room: "never joined" });
  await ann.close();
});

test("chat is for members: others are refused, and nobody hears them", async () => {
  const ann = await Client.open(gateway), eve = await Client.open(gateway);
  await ann.join("members only");
  eve.send({
    svc: "chat",
    type: "send",
    room: "members only",
    seq: 3,
    flags: ACK,
    data: { msg: "let me in" },
  });
  assert.equal((await eve.nextError("NOT_ALLOWED")).seq, 3);
  eve.send({ svc: "room", type: "members", room: "members only", seq: 4 });
  assert.equal((await eve.nextError("NOT_ALLOWED")).seq, 4);
  eve.send({ svc: "chat", type: "send", room: "no such room", data: { msg: "x" } });
  assert.equal("seq" in await eve.nextError("NOT_ALLOWED"), false);
  await eve.hearsNothing();
  await ann.hearsNothing();
  await ann.close();
  await eve.close();
});

test("chat and room refuse what they cannot use, and the session goes on", async () => {
  const ann = await Client.open(gateway);
  await ann.join("picky");
  const bad: object[] = [
    { svc: "chat", type: "send", data: { msg: "no room" } },
    { svc: "chat", type: "send", room: "picky" },
    { svc: "chat", type: "send", room: "picky", data: null },
    { svc: "chat", type: "send", room: "picky", data: "text" },
    { svc: "chat", type: "send", room: "picky", data: { msg: 5 } },
    { svc: "chat", type: "send", room: "picky", data: { message: "x" } },
    { svc: "room", type: "members" },
    { svc: "room", type: "join", room: "picky", data: "presence" },
    { svc: "room", type: "join", room: "picky", data: { presence: "yes" } },
  ];
  for (const [seq, message] of bad.entries()) {
    ann.send({ ...message, seq, flags: ACK });
    assert.equal((await ann.nextError("BAD_REQUEST")).seq, seq, JSON.stringify(message));
  }
  await ann.hearsNothing();
  await ann.close();
});

test("an unknown service and an unknown type are NOT_FOUND, and the session goes on", async () => {
  const ann = await Client.open(gateway);
  for (const [svc, type] of [["nobody", "home"], ["chat", "sing"], ["room", "paint"], ["sys", "dance"]]) {
    ann.send({ svc, type, seq: 1, flags: ACK });
    assert.equal((await ann.nextError("NOT_FOUND")).seq, 1, `${svc}.${type}`);
  }
  await ann.hearsNothing();
  await ann.close();
});

test("what isn't in the allowlist is NOT_ALLOWED, but sys.ping always is", async () => {
  const ann = await Client.open(gateway, { tenant: "strict" });
  for (
    const [svc, type] of [["chat", "send"], ["room", "leave"], ["room", "Join"], ["sys", "dance"], ["x", "y"]]
  ) {
    ann.send({ svc, type, seq: 9, room: "r", data: { msg: "x" } });
    assert.equal((await ann.nextError("NOT_ALLOWED")).seq, 9, `${svc}.${type}`);
  }
  ann.send({ svc: "room", type: "join", room: "r", data: { presence: true } });
  await ann.nextError("NOT_ALLOWED"); // It tells what room.members tells.
  await ann.join("r");
  await ann.hearsNothing();
  await ann.close();
});

test("a seq comes back in replies, acks and errors, up to the largest and without a change", async () => {
  const ann = await Client.open(gateway);
  for (const seq of [0, 1, 4294967296, Number.MAX_SAFE_INTEGER]) {
    ann.send({ svc: "room", type: "join", room: "numbers", seq, flags: ACK });
    assert.equal((await ann.next("sys.joined")).seq, seq);
    const { trace_id: _, ...ack } = await ann.next("sys.ack");
    assert.deepEqual(ack, { v: 1, svc: "sys", type: "ack", seq });
    ann.send({ svc: "room", type: "members", room: "numbers", seq });
    assert.equal((await ann.next("room.reply")).seq, seq);
    ann.send({ svc: "chat", type: "send", room: "elsewhere", seq, data: { msg: "x" } });
    assert.equal((await ann.nextError("NOT_ALLOWED")).seq, seq);
  }
  await ann.close();
});

test("an ack is sent when asked for with a seq, and else not", async () => {
  const ann = await Client.open(gateway);
  await ann.join("acks");
  const say = { svc: "chat", type: "send", room: "acks", data: { msg: "x" } };
  for (const quiet of [{ flags: ACK }, { seq: 1 }, { seq: 2, flags: 3 }, { flags: 3 }]) {
    ann.send({ ...say, ...quiet });
    await ann.next("chat.msg");
  }
  await ann.hearsNothing();
  // Bits that mean nothing yet are no fault.
  ann.send({ ...say, seq: 3, flags: 0xffffffff });
  const both = [await ann.take("one"), await ann.take("the other")] as { type: string }[];
  assert.deepEqual(both.map(({ type }) => type).sort(), ["ack", "msg"]);
  await ann.hearsNothing();
  await ann.close();
});

test("sys.ping is answered with its data and the gateway's clock", async () => {
  const ann = await Client.open(gateway);
  const ping = async (fields: object) => {
    ann.send({ svc: "sys", type: "ping", ...fields });
    const { data, seq } = await ann.next("sys.pong");
    const { time_ms, ...rest } = data;
    assert.ok(Math.abs(time_ms - Date.now()) < 5000);
    return { rest, seq };
  };
  assert.deepEqual(await ping({}), { rest: {}, seq: undefined });
  assert.deepEqual(await ping({ seq: 4, data: { n: 1, deep: [null, { "": "ü" }] } }), {
    rest: { n: 1, deep: [null, { "": "ü" }] },
    seq: 4,
  });
  for (const value of [7, "text", [1, 2], null, false]) {
    assert.deepEqual((await ping({ data: value })).rest, { echo: value });
  }
  ann.send({ svc: "sys", type: "auth", seq: 5, data: { token: "dev" } });
  assert.equal((await ann.nextError("BAD_REQUEST")).seq, 5);
  ann.send({ svc: "sys", type: "ack", seq: 6 });
  await ann.hearsNothing();
  await ann.close();
});

const name65 = "n".repeat(65), room129 = "r".repeat(129);
const MALFORMED: readonly string[] = [
  "",
  " ",
  "hello",
  "{",
  '{"v":1,"svc":"sys","type":"ping"',
  '{"v":1,"svc":"sys","type":"ping"} {}',
  "{'v':1}",
  "null",
  "1",
  '"text"',
  "[]",
  '[{"v":1,"svc":"sys","type":"ping"}]',
  "{}",
  '{"svc":"sys","type":"ping"}',
  '{"v":"1","svc":"sys","type":"ping"}',
  '{"v":1.5,"svc":"sys","type":"ping"}',
  '{"v":null,"svc":"sys","type":"ping"}',
  '{"v":1,"type":"ping"}',
  '{"v":1,"svc":"sys"}',
  '{"v":1,"svc":"","type":"ping"}',
  '{"v":1,"svc":5,"type":"ping"}',
  '{"v":1,"svc":"sys","type":"a b"}',
  '{"v":1,"svc":"sys","type":["ping"]}',
  `{"v":1,"svc":"${name65}","type":"ping"}`,
  `{"v":1,"svc":"sys","type":"${name65}"}`,
  '{"v":1,"svc":"sys","type":"ping","flags":-1}',
  '{"v":1,"svc":"sys","type":"ping","flags":4294967296}',
  '{"v":1,"svc":"sys","type":"ping","flags":"4"}',
  '{"v":1,"svc":"sys","type":"ping","flags":0.5}',
  '{"v":1,"svc":"sys","type":"ping","seq":-1}',
  '{"v":1,"svc":"sys","type":"ping","seq":1.5}',
  '{"v":1,"svc":"sys","type":"ping","seq":"1"}',
  '{"v":1,"svc":"sys","type":"ping","seq":9007199254740992}',
  '{"v":1,"svc":"sys","type":"ping","room":""}',
  '{"v":1,"svc":"sys","type":"ping","room":5}',
  '{"v":1,"svc":"sys","type":"ping","room":"a\\u0000b"}',
  '{"v":1,"svc":"sys","type":"ping","room":"a\\nb"}',
  '{"v":1,"svc":"sys","type":"ping","room":"\\ud800"}',
  `{"v":1,"svc":"sys","type":"ping","room":"${room129}"}`,
  `{"v":1,"svc":"sys","type":"ping","room":"${"ü".repeat(65)}"}`,
  '{"v":1,"svc":"sys","type":"ping","extra":1}',
  '{"v":1,"svc":"sys","type":"ping","__proto__":{}}',
  '{"v":1,"svc":"sys","type":"ping","Seq":1}',
];

test("every malformed envelope is BAD_REQUEST, and closes its session with 4505", async () => {
  await Promise.all(MALFORMED.map(async (text) => {
    const client = await Client.open(gateway);
    client.send(text);
    await client.nextError("BAD_REQUEST");
    await client.ended(4505, "message could not be read");
    assert.deepEqual(client.waiting, [], text);
  }));
});

test("a seq that could be read stands in the error, even of a malformed envelope", async () => {
  const client = await Client.open(gateway);
  client.send('{"v":1,"svc":"sys","type":"ping","seq":12,"extra":1}');
  assert.equal((await client.nextError("BAD_REQUEST")).seq, 12);
  await client.ended(4505);
});

test("the edges of every field are let through", async () => {
  const client = await Client.open(gateway);
  for (
    const text of [
      `{"v":1,"svc":"sys","type":"ping","flags":4294967295}`,
      `{"v":1.0,"svc":"sys","type":"ping","room":"${"r".repeat(128)}"}`,
      `{"v":1,"svc":"sys","type":"ping","room":"${"ü".repeat(64)}"}`,
      `{"v":1,"svc":"sys","type":"ping","room":"👨‍👩‍👧 a:b/c"}`,
      ` \n{"type":"ping","svc":"sys","v":1}\t`,
      `{"v":1,"svc":"sys","type":"ping","seq":null,"room":null}`,
    ]
  ) {
    client.send(text);
    await client.next("sys.pong");
  }
  client.send({ svc: "n".repeat(64), type: "t".repeat(64) });
  await client.nextError("NOT_ALLOWED");
  await client.close();
});

test("another version is UNSUPPORTED_VERSION, and closes with 4506", async () => {
  for (const v of [0, 2, -1, 999]) {
    const client = await Client.open(gateway);
    client.send({ v, svc: "sys", type: "ping", seq: 8, fields: "of the future" });
    assert.equal((await client.nextError("UNSUPPORTED_VERSION")).seq, 8);
    await client.ended(4506, "protocol version is not supported");
  }
});

/** A ping of exactly this many bytes, most of them in characters of two, three and four. */
function pingOf(bytes: number): string {
  const text = (pad: string) => `{"v":1,"svc":"sys","type":"ping","data":{"ü":"${pad}"}}`;
  const wide = "ü€😀".repeat(Math.floor((bytes - Buffer.byteLength(text(""))) / 9));
  const whole = text(wide + "x".repeat(bytes - Buffer.byteLength(text(wide))));
  assert.equal(Buffer.byteLength(whole), bytes);
  return whole;
}

for (const kind of KINDS) {
  test(`a message is measured in bytes: the limit itself passes, one more closes with 4508 (${kind})`, async () => {
    const client = await Client.open(gateway, { tenant: "small", kind });
    assert.equal(client.authed.max_frame_bytes, 256);
    client.send(pingOf(256));
    await client.next("sys.pong");
    // In characters it is far below the limit.
    client.send(pingOf(257));
    await client.nextError("PAYLOAD_TOO_LARGE");
    await client.ended(4508, "message is larger than the tenant allows");
    const hot = await Client.open(gateway, { tenant: "small", kind });
    hot.binary(new Uint8Array(257));
    await hot.nextError("PAYLOAD_TOO_LARGE");
    await hot.ended(4508);
    const far = await Client.open(gateway, { tenant: "small", kind });
    far.send(pingOf(4096));
    await far.nextError("PAYLOAD_TOO_LARGE");
    await far.ended(4508);
  });

  test(`what is larger than any tenant allows is told, and closed with 4508 (${kind})`, async () => {
    for (const bytes of [4097, 65_536]) {
      const client = await Client.open(gateway, { kind });
      client.send(pingOf(4096));
      await client.next("sys.pong");
      client.send(pingOf(bytes));
      await client.nextError("PAYLOAD_TOO_LARGE");
      await client.ended(4508);
    }
  });

  test(`what is far larger is closed with 1009 before anybody reads it (${kind})`, async () => {
    const client = await Client.open(gateway, { kind });
    client.send(pingOf(4096 + 65_536 + 1));
    await client.ended(1009);
    assert.deepEqual(client.waiting, []);
  });
}

test("deeply nested data costs its sender an error at most, and the gateway nothing", async () => {
  const client = await Client.open(gateway);
  const depth = 1900;
  client.send(`{"v":1,"svc":"sys","type":"ping","data":${"[".repeat(depth)}${"]".repeat(depth)}}`);
  const answer = await client.take("an answer") as { type: string };
  assert.ok(["pong", "error"].includes(answer.type), `${TARGET}: ${answer.type}`);
  await client.hearsNothing();
  await client.close();
});

lastly(gateway);
