// What is read of HTTP/3 before a session begins: RFC 9204's and RFC 7541's examples, and bytes that nobody sane sends.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { readRequest } from "../../src/transport/quic/http3.ts";
import { readFields } from "../../src/transport/quic/qpack.ts";
import { readHead, STREAM_KIND, varint } from "../../src/transport/quic/stream_head.ts";

const hex = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));

/** A stream that brings these bytes, in pieces of one byte or whole. */
function stream(bytes: Uint8Array, whole = false): ReadableStreamDefaultReader<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    start(controller) {
      if (whole && bytes.length > 0) controller.enqueue(bytes);
      else for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
      controller.close();
    },
  }).getReader();
}

test("A field section is read: RFC 9204, B.1, and Huffman's code as in RFC 7541, C.4 and C.6", () => {
  // Literal with a name reference: ":path" "/index.html".
  assert.deepEqual([...readFields(hex("0000 510b 2f69 6e64 6578 2e68 746d 6c"))], [[":path", "/index.html"]]);
  assert.deepEqual([...readFields(hex("0000 508c f1e3 c2e5 f23a 6ba0 ab90 f4ff"))], [[
    ":authority",
    "www.example.com",
  ]]);
  const date = "96 d07a be94 1054 d444 a820 0595 040b 8166 e082 a62d 1bff";
  assert.deepEqual(
    [...readFields(hex(`0000 2f01 25a8 49e9 5ba9 7d7f 89 25a8 49e9 5bb8 e8b4 bf`))].length,
    1,
  );
  assert.deepEqual([...readFields(hex(`0000 5f 4b ${date}`))].map(([, value]) => value), [
    "Mon, 21 Oct 2013 20:13:21 GMT",
  ]);
  assert.deepEqual([...readFields(hex("0000 cf d7"))], [[":method", "CONNECT"], [":scheme", "https"]]);
});

test("Literal names come in lower case, repeated ones are joined", () => {
  const name = (text: string) => [0x20 | text.length, ...Buffer.from(text)];
  const value = (text: string) => [text.length, ...Buffer.from(text)];
  const section = Uint8Array.from([0, 0, ...name("X-A"), ...value("1"), ...name("x-a"), ...value("2")]);
  assert.deepEqual([...readFields(section)], [["x-a", "1, 2"]]);
});

for (
  const [what, section] of [
    ["asks for a dynamic table", "0200"],
    ["names an entry of one", "0000 80"],
    ["names an entry of one after its base", "0000 10"],
    ["names an entry beyond the static table", "0000 ff24"],
    ["ends in the middle of a text", "0000 510b 2f"],
    ["ends before its prefix is over", "00"],
    ["has a number without an end", "0000 ffffffffffffff"],
    ["has a code that is none", "0000 5184 ffffffff"],
  ] as const
) test(`A section that ${what} is refused`, () => assert.throws(() => void readFields(hex(section))));

test("A request is read, behind frames that mean nothing, and the target is as it was sent", async () => {
  const section = hex(
    "0000 cf d7 51 05 2f61 3f62 63 22 3a70 01 78 27 02 3a70726f746f636f6c 0c 7765627472616e73706f7274",
  );
  const frame = Uint8Array.of(0x21, 2, 9, 9, 0x01, section.length, ...section);
  for (const whole of [true, false]) {
    const request = (await readRequest(stream(frame, whole), 1000))!;
    assert.equal(request.target, "/a?bc");
    assert.equal(request.isSession, true);
    assert.equal(request.header(":p"), "x");
  }
});

test("A request for anything else is no session", async () => {
  const section = hex("0000 d1 d7 c1");
  const request = await readRequest(stream(Uint8Array.of(1, section.length, ...section)), 1000);
  assert.deepEqual([request!.isSession, request!.target], [false, "/"]);
});

test("A head beyond its bound is refused before it has come; one without an end is none", async () => {
  await assert.rejects(readRequest(stream(hex("01 80 10 00 00")), 1000), /too long/);
  await assert.rejects(readRequest(stream(new Uint8Array(2000).fill(0x21)), 1000), /too long|no head/);
  assert.equal(await readRequest(stream(hex("01 08 00")), 1000), null);
  await assert.rejects(readRequest(stream(hex("00 01 00")), 1000), /no head/);
});

test("Numbers of QUIC's variable length: RFC 9000, A.1", () => {
  assert.deepEqual(varint(hex("c2197c5eff14e88c"), 0), { value: 151_288_809_941_952_652, end: 8 });
  assert.deepEqual(varint(hex("9d7f3e7d"), 0), { value: 494_878_333, end: 4 });
  assert.deepEqual(varint(hex("007bbd"), 1), { value: 15_293, end: 3 });
  assert.equal(varint(hex("7b"), 0), null);
});

test("A stream's head is read however it is cut; those of other kinds and sessions are none", async () => {
  for (const whole of [true, false]) {
    const rest = await readHead(stream(hex("4054 00 aabb"), whole), STREAM_KIND.unidirectional);
    assert.deepEqual([...rest!], whole ? [0xaa, 0xbb] : []);
  }
  assert.equal(await readHead(stream(hex("00 04 00")), STREAM_KIND.unidirectional), null);
  assert.equal(await readHead(stream(hex("4054 04")), STREAM_KIND.unidirectional), null);
  assert.equal(await readHead(stream(hex("40")), STREAM_KIND.unidirectional), null);
});

test("100,000 sections of chance are read or refused, and nothing else", () => {
  for (let i = 0; i < 100_000; i++) {
    const section = new Uint8Array(randomInt(40)).map(() => randomInt(256));
    if (section.length > 1 && i % 2 === 0) section[0] = section[1] = 0;
    try {
      readFields(section);
    } catch (error) {
      assert.ok(error instanceof Error && error.constructor.name === "Unreadable", String(error));
    }
  }
});
