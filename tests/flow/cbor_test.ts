// The subprotocol `wsprism.v1.cbor`: ext envelopes as CBOR in binary messages, both ways, beside hot frames, in
// rooms with members that speak JSON; and CBOR that was made to hurt.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { CBOR, cborDecode, cborEncoder, Client, hex, hot, KINDS, target } from "./client.ts";
import { lastly, sharedGateway } from "./gateway_process.ts";
import { OP, RawClient } from "../raw_client.ts";

const MAX = 65_536;
const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  tenants: [{
    id: "acme",
    limits: { max_frame_bytes: MAX },
    hot_services: [{ id: 1, kind: "echo" }, { id: 2, kind: "relay" }],
    policy: { ext_allowlist: ["room:*", "chat:*"], hot_allowlist: ["1:*", "2:*"] },
  }],
});

const ACK = 4;
const EMOJI = "grüße 👋";

for (const kind of KINDS) {
  test(`everything on the ext lane travels as CBOR when it was asked for (${kind})`, async () => {
    const ann = await Client.open(gateway, { user: `ann ${kind}`, cbor: true, kind });
    assert.equal(ann.protocol, CBOR);
    assert.equal(ann.authed.user, `ann ${kind}`);
    assert.deepEqual(await ann.join(`cbor ${kind}`), { member: 1, count: 1 });
    ann.send({
      svc: "chat",
      type: "send",
      room: `cbor ${kind}`,
      seq: 2 ** 40,
      flags: ACK,
      data: { msg: EMOJI },
    });
    const both = [await ann.take("one"), await ann.take("the other")] as { type: string; seq?: number }[];
    assert.deepEqual(both.map(({ type }) => type).sort(), ["ack", "msg"]);
    assert.equal(both.find(({ type }) => type === "ack")!.seq, 2 ** 40);
    ann.send({ svc: "room", type: "members", room: `cbor ${kind}`, seq: Number.MAX_SAFE_INTEGER });
    assert.deepEqual(await ann.next("room.reply"), {
      v: 1,
      svc: "room",
      type: "reply",
      seq: Number.MAX_SAFE_INTEGER,
      data: { members: [{ user: `ann ${kind}`, member: 1 }], count: 1 },
    });
    const data = {
      whole: [0, 23, 24, 255, 65536, 4294967296, -1, -24, -4294967297, Number.MAX_SAFE_INTEGER],
      broken: [0.5, -1.25, 1e300, 1e-300],
      words: ["", "ü", "👋".repeat(100)],
      rest: [true, false, null, [], {}, { "": { "": [] } }],
    };
    ann.send({ svc: "sys", type: "ping", data });
    const { time_ms: _, ...echoed } = (await ann.next("sys.pong")).data;
    assert.deepEqual(echoed, data);
    ann.send({ svc: "chat", type: "send", room: "elsewhere", seq: 3, data: { msg: "x" } });
    assert.equal((await ann.nextError("NOT_ALLOWED")).seq, 3);
    await ann.leave(`cbor ${kind}`);
    await ann.close();
  });
}

test("members that speak JSON and members that speak CBOR understand each other", async () => {
  const clients = [
    await Client.open(gateway, { user: "text", kind: "own" }),
    await Client.open(gateway, { user: "bytes", cbor: true, kind: "own" }),
    await Client.open(gateway, { user: "more bytes", cbor: true, kind: "ws" }),
    await Client.open(gateway, { user: "more text", kind: "ws" }),
  ];
  for (const client of clients) await client.join("mixed");
  for (const speaker of clients) {
    speaker.send({ svc: "chat", type: "send", room: "mixed", data: { msg: EMOJI } });
    for (const client of clients) {
      assert.deepEqual(await client.next("chat.msg"), {
        v: 1,
        svc: "chat",
        type: "msg",
        room: "mixed",
        data: { from: speaker.authed.user, msg: EMOJI },
      });
    }
    speaker.binary(hot(2, 3, { payload: [0xa1, 0xff] }));
    for (const client of clients) {
      if (client !== speaker) assert.equal(hex(await client.nextBytes()).slice(16), "a1ff");
    }
  }
  for (const client of clients) await client.hearsNothing();
  for (const client of clients) await client.close();
});

test("what the gateway sends in CBOR is definite, plain, and binary, from the first message on", async () => {
  const client = await RawClient.connect(gateway.port);
  const head = await client.upgrade(target(), { "sec-websocket-protocol": CBOR });
  assert.equal(head.headers.get("sec-websocket-protocol"), CBOR);
  const { opcode, payload } = await client.frame();
  assert.equal(opcode, OP.binary);
  // A map of five entries, written out: v, svc, type, data, trace_id.
  assert.equal(payload.subarray(0, 4).toString("hex"), "a5617601");
  assert.deepEqual(Object.keys(cborDecode(payload) as object), ["v", "svc", "type", "data", "trace_id"]);
  // Whole numbers are integers however large, for languages that tell them from floats: a time has eight bytes.
  assert.ok(payload.includes(Buffer.from("time_ms\x1b\x00\x00\x01", "latin1")));
  client.destroy();
});

test("text messages of a CBOR session are JSON envelopes, answered in CBOR", async () => {
  const client = await Client.open(gateway, { cbor: true });
  client.send('{"v":1,"svc":"sys","type":"ping","seq":5}');
  assert.equal((await client.next("sys.pong")).seq, 5);
  await client.close();
});

test("a CBOR map without the subprotocol is taken for a hot frame of a strange version", async () => {
  const client = await Client.open(gateway);
  client.binary(cborEncoder.encode({ v: 1, svc: "sys", type: "ping" }));
  await client.nextError("UNSUPPORTED_VERSION");
  await client.ended(4506);
});

/** An envelope whose `data` is these bytes. */
function withData(data: string): string {
  return `a4${"617601"}${"63737663" + "63737973"}${"6474797065" + "6470696e67"}${"6464617461" + data}`;
}

const PLAIN = withData("a0");
const HOSTILE: Readonly<Record<string, string>> = {
  "a byte that opens neither": "00",
  "a text": "6161",
  "an array": "80",
  "a tagged map": "d9d9f7a0",
  "an indefinite map": "bf617601ff",
  "an empty map": "a0",
  "a map cut off": PLAIN.slice(0, -2),
  "something behind the map": PLAIN + "00",
  "two maps": PLAIN + PLAIN,
  "a map of 2^64-1 entries": "bbffffffffffffffff",
  "a map of 2^32-1 entries": "baffffffff617601",
  "a map with a reserved length": "bc617601",
  "an array of 2^53 elements": withData("9b0020000000000000"),
  "an array of 65535 elements that are not there": withData("99ffff00"),
  "a text of 2^64-1 bytes": withData("7bffffffffffffffff61"),
  "a text of 4 GiB": withData("7affffffff61"),
  "a text cut off": withData("6361"),
  "an indefinite text without an end": withData("7f6161"),
  "an indefinite text of numbers": withData("7f01ff"),
  "an indefinite array without an end": withData("9f00"),
  "an indefinite map that ends behind a key": withData("bf6161ff"),
  "a map with a key twice": withData("a2616100616101"),
  "a text that isn't UTF-8": withData("62c328"),
  "a text with half a surrogate pair": withData("63eda080"),
  "a byte string": withData("4100"),
  "a date": withData("c074323032302d30312d30315430303a30303a30305a"),
  "a bignum": withData("c249010000000000000000"),
  "a shared reference of cbor-x": withData("d81c80"),
  "a record definition of cbor-x": withData("d8698519e000816161"),
  "a typed array": withData("d84c4400000000"),
  undefined: withData("f7"),
  "a simple value": withData("f0"),
  "a simple value of two bytes": withData("f8ff"),
  "a break without a beginning": withData("ff"),
  "an infinite number": withData("f97c00"),
  "not a number": withData("fb7ff8000000000000"),
  "2^53": withData("1b0020000000000000"),
  "-2^64": withData("3bffffffffffffffff"),
  "a map with a number for a key": withData("a10100"),
  "a map with __proto__ for a key": withData("a1695f5f70726f746f5f5fa0"),
  "nesting of 65 arrays": withData("81".repeat(64) + "80"),
  "nesting of 60,000 arrays": withData("81".repeat(60_000) + "80"),
  "nesting of 20,000 maps": withData("a16161".repeat(20_000) + "a0"),
  "an unknown field": "a5" + PLAIN.slice(2) + "616100",
  "another type for v": PLAIN.replace("617601", "61766131"),
};

test("CBOR made to hurt is BAD_REQUEST, closes its session with 4505, and costs the gateway nothing", async () => {
  const before = gateway.residentBytes();
  for (const [what, bytes] of Object.entries(HOSTILE)) {
    const client = await Client.open(gateway, { cbor: true });
    client.binary(Buffer.from(bytes, "hex"));
    await client.nextError("BAD_REQUEST").catch((error) => assert.fail(`${what}: ${error.message}`));
    await client.ended(4505);
    assert.deepEqual(client.waiting, [], what);
  }
  const grown = gateway.residentBytes() - before;
  assert.ok(grown < 128 * 1024 * 1024, `${Object.keys(HOSTILE).length} messages left ${grown} bytes behind`);
  assert.equal((await gateway.get("/healthz")).body, "ok");
});

test("the same envelope without the fault is let through, as deep as is allowed", async () => {
  const client = await Client.open(gateway, { cbor: true });
  client.binary(Buffer.from(PLAIN, "hex"));
  await client.next("sys.pong");
  client.binary(Buffer.from(withData("81".repeat(62) + "80"), "hex"));
  await client.next("sys.pong");
  await client.close();
});

test("another version in CBOR is UNSUPPORTED_VERSION, and closes with 4506", async () => {
  const client = await Client.open(gateway, { cbor: true });
  client.send({ v: 2, svc: "sys", type: "ping", seq: 1 });
  assert.equal((await client.nextError("UNSUPPORTED_VERSION")).seq, 1);
  await client.ended(4506);
});

test("a binary message of a CBOR session is a hot frame by its first byte, and an empty one is nothing", async () => {
  const client = await Client.open(gateway, { cbor: true });
  await client.join("hot and cbor");
  client.binary(hot(1, 1, { payload: [1, 2] }));
  assert.equal(hex(await client.nextBytes()), "0102");
  for (const first of [0x00, 0x02, 0x9f, 0xc0, 0xff]) {
    const stray = await Client.open(gateway, { cbor: true });
    stray.binary([first, 1, 1, 0, 0]);
    await stray.nextError("BAD_REQUEST");
    await stray.ended(4505);
  }
  const empty = await Client.open(gateway, { cbor: true });
  empty.binary([]);
  await empty.nextError("BAD_REQUEST");
  await empty.ended(4505);
  await client.close();
});

test("a CBOR message is measured in bytes, the limit itself passes", async () => {
  const message = (bytes: number) => {
    const size = (pad: number) =>
      cborEncoder.encode({ v: 1, svc: "sys", type: "ping", data: { x: "x".repeat(pad) } });
    return size(bytes - size(1000).length + 1000);
  };
  const client = await Client.open(gateway, { cbor: true });
  const whole = message(MAX);
  assert.equal(whole.length, MAX);
  client.binary(whole);
  await client.next("sys.pong");
  client.binary(message(MAX + 1));
  await client.nextError("PAYLOAD_TOO_LARGE");
  await client.ended(4508);
});

lastly(gateway);
