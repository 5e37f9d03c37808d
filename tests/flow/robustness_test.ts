// Peers that break the rules, vanish, stall or flood. Each test breaks one thing; then somebody else is served as
// before, and in the end nothing of it is left. Where Deno's own reader of frames differs, the test says how.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, test } from "node:test";
import { closePayload, frame, handshake, OP, RawClient, within } from "../raw_client.ts";
import { Client, hot, target } from "./client.ts";
import { lastly, NATIVE_DENO, sharedGateway, until } from "./gateway_process.ts";

const MAX = 65_536;
const MB = 1024 * 1024;
const busy = { rate_limit_rps: 1_000_000, rate_limit_burst: 1_000_000 };
const gateway = await sharedGateway({
  gateway: {
    drain_grace_ms: 0,
    ping_interval_ms: 5000,
    idle_timeout_ms: 10_000,
    writer_send_timeout_ms: 500,
  },
  tenants: [{
    id: "acme",
    limits: { max_frame_bytes: MAX },
    hot_services: [{ id: 1, kind: "echo" }, { id: 2, kind: "relay" }],
    policy: { ...busy, ext_allowlist: ["room:*", "chat:send"], hot_allowlist: ["1:*", "2:*"] },
  }],
});

const PING = '{"v":1,"svc":"sys","type":"ping"}';

/** A raw session past its `sys.authed`. */
async function enter(): Promise<RawClient> {
  const client = await RawClient.open(gateway.port, target());
  assert.match(await client.nextText(), /"authed"/);
  return client;
}

/** A raw session in a room. */
async function enterRoom(room: string): Promise<RawClient> {
  const client = await enter();
  client.text(JSON.stringify({ v: 1, svc: "room", type: "join", room }));
  assert.match(await client.nextText(), /"joined"/);
  return client;
}

async function isPonged(client: RawClient): Promise<void> {
  client.text(PING);
  assert.match(await client.nextText(), /"pong"/);
}

/** Proves that others are served. */
async function alive(): Promise<void> {
  const client = await enter();
  await isPonged(client);
  client.destroy();
}

// Silence takes ten seconds to be noticed, so it begins here and is looked at last.
const silent = await enterRoom("idle");
const talking = await Client.open(gateway, { kind: "own" });
await talking.join("idle", { presence: true });
after(() => silent.destroy());

test("a message in fragments with a ping between them is one message", async () => {
  const client = await enter();
  client.sendFrame(OP.text, PING.slice(0, 5), { fin: false });
  client.sendFrame(OP.ping, "are you there?");
  client.sendFrame(OP.continuation, PING.slice(5, 6), { fin: false });
  client.sendFrame(OP.continuation, "", { fin: false });
  client.sendFrame(OP.continuation, PING.slice(6));
  const pong = await client.frame();
  assert.equal(pong.opcode, OP.pong);
  assert.equal(pong.payload.toString(), "are you there?");
  assert.match(await client.nextText(), /"pong"/);
  client.destroy();
});

test("a character cut in two by a fragment is whole again", async () => {
  const client = await enter();
  const text = Buffer.from('{"v":1,"svc":"sys","type":"ping","data":"€"}');
  const cut = text.indexOf("€") + 1;
  client.sendFrame(OP.text, text.subarray(0, cut), { fin: false });
  client.sendFrame(OP.continuation, text.subarray(cut));
  assert.equal(JSON.parse(await client.nextText()).data.echo, "€");
  client.destroy();
});

test("frames that come a byte at a time are read like any others", async () => {
  const client = await enter();
  const bytes = Buffer.concat([
    frame(OP.text, PING),
    frame(OP.text, JSON.stringify({ v: 1, svc: "room", type: "join", room: "x".repeat(128) })),
    frame(OP.ping, "p"),
  ]);
  for (const byte of bytes) {
    client.send(Uint8Array.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
  const seen: string[] = [];
  for (let i = 0; i < 3; i++) {
    const { opcode, payload } = await client.frame();
    seen.push(opcode === OP.pong ? `PONG ${payload}` : JSON.parse(payload.toString()).type);
  }
  assert.deepEqual(seen.toSorted(), ["PONG p", "joined", "pong"]);
  client.destroy();
});

test("a thousand frames in one segment are all read, in order", async () => {
  const client = await enter();
  const pings = Array.from(
    { length: 1000 },
    (_, seq) => frame(OP.text, `{"v":1,"svc":"sys","type":"ping","seq":${seq}}`),
  );
  client.send(Buffer.concat(pings));
  for (let seq = 0; seq < 1000; seq++) assert.equal(JSON.parse(await client.nextText()).seq, seq);
  client.destroy();
});

/** What breaks RFC 6455, and the close it deserves. */
const VIOLATIONS: readonly [string, number, (client: RawClient) => void][] = [
  ["text that isn't UTF-8", 1007, (c) => c.sendFrame(OP.text, Uint8Array.of(0xc3, 0x28))],
  ["text with half a surrogate pair", 1007, (c) => c.sendFrame(OP.text, Uint8Array.of(0xed, 0xa0, 0x80))],
  ["text that ends within a character", 1007, (c) => c.sendFrame(OP.text, Uint8Array.of(0x41, 0xe2, 0x82))],
  ["a reserved bit", 1002, (c) => c.sendFrame(OP.text, PING, { rsv: 4 })],
  ["all reserved bits", 1002, (c) => c.sendFrame(OP.binary, "x", { rsv: 7 })],
  ["an unknown opcode", 1002, (c) => c.sendFrame(3, "x")],
  ["an unknown control opcode", 1002, (c) => c.sendFrame(11, "x")],
  ["a continuation of nothing", 1002, (c) => c.sendFrame(OP.continuation, "x")],
  ["a new message within another", 1002, (c) => {
    c.sendFrame(OP.text, "x", { fin: false });
    c.sendFrame(OP.text, "y");
  }],
  ["a ping in fragments", 1002, (c) => c.sendFrame(OP.ping, "x", { fin: false })],
  ["a ping of 126 bytes", 1002, (c) => c.sendFrame(OP.ping, "x".repeat(126))],
  ["a close frame of one byte", 1002, (c) => c.sendFrame(OP.close, "x")],
  ["a close code that means there was none", 1002, (c) => c.close(1005)],
];

for (const [what, code, violate] of VIOLATIONS) {
  test(`${what} is closed with ${code}`, async () => {
    const client = await enter();
    violate(client);
    if (NATIVE_DENO) {
      // Deno ends the connection, with a close frame or without; a close code it lets pass comes back.
      await within(client.gone, "the end of a connection that broke the rules");
    } else {
      assert.equal((await client.nextClose()).code, code);
      client.destroy();
    }
    await alive();
  });
}

test("a frame that isn't masked is refused", async () => {
  const client = await enter();
  client.sendFrame(OP.text, PING, { mask: null });
  // Deno takes it, and so serves a peer that no browser is.
  if (NATIVE_DENO) assert.match(await client.nextText(), /"pong"/);
  else assert.equal((await client.nextClose()).code, 1002);
  client.destroy();
  await alive();
});

test("a frame larger than anybody may send is refused by its header alone", async () => {
  const before = gateway.residentBytes();
  for (const announce of [BigInt(2 * MAX + MB + 1), 1n << 31n, 1n << 40n, (1n << 63n) - 1n]) {
    const client = await enter();
    client.sendFrame(OP.binary, "", { announce });
    if (!NATIVE_DENO) assert.equal((await client.nextClose()).code, 1009);
    else if (announce > 64n * BigInt(MB)) await within(client.gone, "the end");
    else {
      // Deno reads up to 64 MiB of a frame, and only then can the gateway look at its size.
      client.send(new Uint8Array(Number(announce)));
      assert.equal((await client.nextClose()).code, 1009);
    }
    client.destroy();
  }
  assert.ok(gateway.residentBytes() - before < 64 * MB);
  await alive();
});

test("fragments that add up to more than anybody may send are refused with 1009", async () => {
  const client = await enter();
  const part = "x".repeat(MAX / 4);
  client.sendFrame(OP.text, part, { fin: false });
  for (let i = 0; i < 8; i++) client.sendFrame(OP.continuation, part, { fin: false });
  client.sendFrame(OP.continuation, "x");
  assert.equal((await client.nextClose()).code, 1009);
  client.destroy();
  await alive();
});

test("a close is answered with its code, and a close without a code too", async () => {
  for (const code of [1000, 1001, 3000, 4999]) {
    const client = await enter();
    client.close(code, "bye");
    assert.equal((await client.nextClose()).code, code);
    await within(client.gone, "the end after a close");
  }
  const client = await enter();
  client.close();
  assert.equal((await client.frame()).opcode, OP.close);
});

test("what comes behind a close frame is not read", async () => {
  const watcher = await Client.open(gateway);
  await watcher.join("behind");
  const client = await enterRoom("behind");
  client.send(Buffer.concat([
    frame(OP.close, closePayload(1000)),
    frame(
      OP.text,
      JSON.stringify({ v: 1, svc: "chat", type: "send", room: "behind", data: { msg: "ghost" } }),
    ),
  ]));
  await within(client.gone, "the end");
  await watcher.hearsNothing();
  await watcher.close();
});

/** Ways to be gone without a word. */
const VANISHING: readonly [string, (client: RawClient) => void][] = [
  ["a reset", (c) => c.reset()],
  ["half a connection (FIN)", (c) => c.end()],
  ["a FIN in the middle of a frame", (c) => {
    c.send(frame(OP.text, "x".repeat(1000)).subarray(0, 500));
    c.end();
  }],
  ["a reset in the middle of a message", (c) => {
    c.sendFrame(OP.text, "x", { fin: false });
    c.reset();
  }],
  ["a FIN in the middle of a frame's header", (c) => {
    c.send(Uint8Array.of(0x81));
    c.end();
  }],
];

for (const [what, vanish] of VANISHING) {
  test(`${what} ends a session at once, and its room hears of it`, async () => {
    const watcher = await Client.open(gateway);
    await watcher.join(what, { presence: true });
    const client = await enterRoom(what);
    assert.equal((await watcher.next("sys.presence")).data.event, "join");
    vanish(client);
    assert.deepEqual((await watcher.next("sys.presence")).data.event, "leave");
    await watcher.close();
    client.destroy();
  });
}

test("handshakes that are broken off leave nothing behind", async () => {
  const text = handshake(target());
  for (let cut = 1; cut < text.length; cut += 17) {
    const client = await RawClient.connect(gateway.port);
    client.send(text.slice(0, cut));
    if (cut % 2) client.reset();
    else client.destroy();
  }
  // And those that are gone when the answer comes.
  for (let i = 0; i < 20; i++) {
    const client = await RawClient.connect(gateway.port);
    client.send(text);
    client.reset();
  }
  await alive();
});

test("what isn't HTTP is turned away, and the next one is served", async () => {
  const junk = [
    "\r\n\r\n\r\n",
    "hello\r\n\r\n",
    "GET /v1/ws\r\n\r\n",
    "GET /v1/ws HTTP/9.9\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\x00".repeat(200),
    "\x00".repeat(5000),
    `GET /${"x".repeat(100_000)} HTTP/1.1\r\nhost: x\r\n\r\n`,
    `GET / HTTP/1.1\r\n${"x: y\r\n".repeat(20_000)}\r\n`,
    "POST /v1/ws HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello",
    "GET /healthz HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
  ];
  for (const bytes of junk) {
    const client = await RawClient.connect(gateway.port);
    client.send(Buffer.from(bytes, "latin1"));
    client.end();
    const answer = await client.rest().catch(() => "");
    assert.ok(!answer.startsWith("HTTP/1.1 101"), answer);
    client.destroy();
  }
  await alive();
});

test("a flood of pings from a peer that reads is answered ping by ping", async () => {
  const client = await enter();
  // 60 pings that wait for their answer to be written end a session on the package `ws`, as they do on Bun.
  for (let round = 0; round < 250; round++) {
    const pings = Array.from({ length: 20 }, (_, i) => frame(OP.ping, `${round} ${i}`));
    client.send(Buffer.concat(pings));
    for (let i = 0; i < 20; i++) {
      const { opcode, payload } = await client.frame();
      assert.equal(opcode, OP.pong);
      assert.equal(payload.toString(), `${round} ${i}`);
    }
  }
  client.destroy();
});

test("a flood of pings from a peer that never reads costs a bounded memory", async () => {
  const before = gateway.residentBytes();
  const client = await enter();
  client.pause();
  // 64 MB of them.
  const pings = Buffer.concat(Array.from({ length: 8000 }, () => frame(OP.ping, "x".repeat(125))));
  let over = false;
  void client.gone.then(() => over = true);
  for (let i = 0; i < 64; i++) client.send(pings);
  // Until it is cut off, all are taken, or the gateway takes no more of them while it serves others.
  for (let idle = 0; idle < 50 && !over && client.socket.writableLength > 0; idle++) {
    const waiting = client.socket.writableLength;
    await alive();
    if (client.socket.writableLength < waiting) idle = 0;
  }
  await alive();
  const grown = gateway.residentBytes() - before;
  assert.ok(grown < 96 * MB, `grown by ${Math.round(grown / MB)} MB`);
  client.destroy();
});

test("a peer that never reads its room's chat is closed as too slow, and its neighbours miss nothing", async () => {
  const slow = await enterRoom("chatter");
  slow.pause();
  const speaker = await Client.open(gateway), listener = await Client.open(gateway, { kind: "own" });
  await speaker.join("chatter");
  await listener.join("chatter");
  const text = "x".repeat(30_000);
  let said = 0, heard = 0;
  const ended = (metrics: Awaited<ReturnType<typeof gateway.metrics>>) =>
    metrics.sum("wsprism_session_closes_total", { name: "slow_consumer" });
  await until("the slow peer to be closed", async () => {
    for (let i = 0; i < 30; i++) {
      speaker.send({ svc: "chat", type: "send", room: "chatter", data: { msg: `${said++} ${text}` } });
    }
    for (; heard < said; heard++) {
      for (const client of [speaker, listener]) {
        assert.equal(parseInt((await client.next("chat.msg")).data.msg), heard);
      }
    }
    return ended(await gateway.metrics()) > 0 ? true : null;
  }, 20_000);
  const metrics = await gateway.metrics();
  assert.equal(ended(metrics), 1);
  const stalled = metrics.sum("wsprism_writer_timeouts_total");
  const full = metrics.sum("wsprism_drops_total", { lane: "reliable", reason: "full" });
  assert.ok(stalled === 1 || full > 0, "closed for neither stalling nor overflowing");
  const { cause } = await gateway.logged("session too slow");
  assert.equal(cause, stalled === 1 ? "stalled" : "full");
  // It is out of the room, whether or not it ever reads again.
  speaker.send({ svc: "room", type: "members", room: "chatter" });
  assert.equal((await speaker.next("room.reply")).data.count, 2);
  // When it reads again it finds the reason or, where its socket was dropped with what waited, just the end.
  slow.resume();
  const end = await slow.nextClose().catch(() => null);
  if (end === null) await within(slow.gone, "the end of the slow peer", 12_000);
  else assert.equal(end.code, 4000);
  slow.destroy();
  await speaker.close();
  await listener.close();
});

test("a slow peer of the hot lane loses the oldest, stays, and gets the newest when it reads again", async () => {
  const before = gateway.residentBytes();
  const slow = await enterRoom("hot flood");
  slow.pause();
  const speaker = await Client.open(gateway), listener = await Client.open(gateway, { kind: "own" });
  await speaker.join("hot flood");
  await listener.join("hot flood");
  const drops = async (name: string) =>
    (await gateway.metrics()).sum(name, { lane: "lossy", reason: "full" });
  const droppedBefore = await drops("wsprism_drops_total");
  const payload = (i: number) => {
    const bytes = new Uint8Array(30_000);
    bytes.set([i & 255, i >> 8 & 255, i >> 16]);
    return bytes;
  };
  let said = 0, heard = 0;
  // 100 MB to a peer that reads none of it.
  while (said < 3400) {
    // At once no more than the lane holds for a session: who reads then loses nothing.
    for (let i = 0; i < 8; i++) speaker.binary(hot(2, 1, { payload: payload(said++) }));
    await speaker.settled();
    for (; heard < said; heard++) {
      assert.deepEqual((await listener.nextBytes()).subarray(8, 11), payload(heard).subarray(0, 3));
    }
  }
  const dropped = await drops("wsprism_drops_total") - droppedBefore;
  assert.ok(dropped > 1000 && dropped < said, `${dropped} of ${said}`);
  assert.ok(await drops("wsprism_dropped_bytes_total") >= dropped * 30_000);
  const grown = gateway.residentBytes() - before;
  assert.ok(grown < 96 * MB, `grown by ${Math.round(grown / MB)} MB`);
  assert.equal((await gateway.metrics()).sum("wsprism_egress_drop_total") >= dropped, true);
  // Nobody closed it: nothing reliable was lost.
  speaker.send({ svc: "room", type: "members", room: "hot flood" });
  assert.equal((await speaker.next("room.reply")).data.count, 3);
  slow.resume();
  let got = 0, previous = -1;
  for (;;) {
    const { opcode, payload: bytes } = await slow.frame();
    if (opcode !== OP.binary) continue;
    const i = bytes[8]! | bytes[9]! << 8 | bytes[10]! << 16;
    assert.ok(i > previous, `${i} after ${previous}`);
    previous = i;
    got++;
    if (i === said - 1) break;
  }
  assert.equal(got + dropped, said);
  await isPonged(slow);
  slow.destroy();
  await speaker.close();
  await listener.close();
});

test("a stalled peer is left alone while only the hot lane waits, and closed once a reliable message does", async () => {
  const slow = await enterRoom("stall");
  slow.pause();
  const speaker = await Client.open(gateway);
  await speaker.join("stall");
  const count = async (name: string, labels: Record<string, string> = {}) =>
    (await gateway.metrics()).sum(name, labels);
  const full = () => count("wsprism_drops_total", { lane: "lossy", reason: "full" });
  const [timeouts, drops] = [await count("wsprism_writer_timeouts_total"), await full()];
  const payload = new Uint8Array(30_000);
  await until("the socket to be full", async () => {
    for (let i = 0; i < 8; i++) speaker.binary(hot(2, 1, { payload }));
    await speaker.settled();
    return await full() > drops ? true : null;
  }, 20_000);
  assert.equal(await count("wsprism_writer_timeouts_total"), timeouts);
  speaker.send({ svc: "chat", type: "send", room: "stall", data: { msg: "must arrive" } });
  await gateway.metricsUntil(
    "the writer's timeout",
    (metrics) => metrics.sum("wsprism_writer_timeouts_total") === timeouts + 1,
  );
  await gateway.logged("session too slow", ({ cause }) => cause === "stalled");
  await speaker.next("chat.msg");
  speaker.send({ svc: "room", type: "members", room: "stall" });
  assert.equal((await speaker.next("room.reply")).data.count, 1);
  slow.destroy();
  await speaker.close();
});

test("many that stall at once hold up nobody else", async () => {
  const stalled = await Promise.all(Array.from({ length: 20 }, () => enterRoom("stalled")));
  for (const client of stalled) client.pause();
  const speaker = await Client.open(gateway);
  await speaker.join("stalled");
  // Together less than may wait for one session, or the speaker itself is too slow now and then.
  const burst = 10;
  await until("all to be closed", async () => {
    for (let i = 0; i < burst; i++) {
      speaker.send({ svc: "chat", type: "send", room: "stalled", data: { msg: "x".repeat(60_000) } });
    }
    for (let i = 0; i < burst; i++) await speaker.next("chat.msg");
    speaker.send({ svc: "room", type: "members", room: "stalled" });
    return (await speaker.next("room.reply")).data.count === 1 ? true : null;
  }, 30_000);
  await alive();
  await speaker.close();
  for (const client of stalled) client.destroy();
});

test("who says nothing and answers no ping is told TIMEOUT and closed with 4001; who answers them stays", async () => {
  const presence = await talking.next("sys.presence", 25_000);
  assert.equal(presence.data.event, "leave");
  const seen: string[] = [];
  while (!seen.at(-1)?.startsWith("close")) {
    const { opcode, payload } = await silent.frame();
    if (opcode === OP.ping) seen.push("ping");
    else if (opcode === OP.text) seen.push(JSON.parse(payload.toString()).data.code);
    else if (opcode === OP.close) seen.push(`close ${payload.readUInt16BE(0)}`);
  }
  // Deno watches for silence itself, and uses a code of its own.
  if (NATIVE_DENO) assert.deepEqual(seen.slice(-2), ["ping", "close 1001"]);
  else assert.deepEqual(seen.slice(-3), ["ping", "TIMEOUT", "close 4001"]);
  await talking.hearsNothing();
  await talking.close();
});

lastly(gateway);
