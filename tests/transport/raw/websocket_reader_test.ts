import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import { WebSocketReader } from "../../../src/transport/raw/websocket_reader.ts";
import {
  closeFrame,
  pingFrame,
  pongFrame,
  serverFrame,
} from "../../../src/transport/raw/websocket_writer.ts";

const OP = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

/** A client's frame. */
function frame(
  opcode: number,
  payload: Uint8Array | string,
  more: { fin?: boolean; mask?: number; rsv?: number } = {},
): Buffer {
  const { fin = true, mask = 0x12345678, rsv = 0 } = more;
  const body = Buffer.from(payload as string);
  const length = body.length < 126
    ? [body.length]
    : body.length < 65_536
    ? [126, body.length >> 8, body.length & 255]
    : [
      127,
      0,
      0,
      0,
      0,
      body.length >>> 24,
      body.length >>> 16 & 255,
      body.length >>> 8 & 255,
      body.length & 255,
    ];
  const key = [mask >>> 24, mask >>> 16 & 255, mask >>> 8 & 255, mask & 255];
  return Buffer.concat([
    Buffer.from([(fin ? 0x80 : 0) | rsv << 4 | opcode, 0x80 | length[0]!, ...length.slice(1), ...key]),
    body.map((byte, i) => byte ^ key[i & 3]!),
  ]);
}

/** What is heard of some bytes, in pieces of the given lengths, the last to the end. */
function heard(bytes: Uint8Array, { cuts = [] as readonly number[], max = 1_000_000 } = {}): unknown[] {
  const log: unknown[] = [];
  const events = {
    text: (message: string) => log.push(message),
    binary: (message: Uint8Array) => log.push([...message]),
    ping: (payload: Uint8Array) => log.push({ ping: Buffer.from(payload).toString() }),
    pong: () => log.push("(pong)"),
    control: () => {},
    closed: (code: number, reason: string) => log.push({ code, reason }),
    violated: (code: number) => log.push({ violated: code }),
  };
  const reader = new WebSocketReader({ events, maxMessageBytes: () => max, maxInflatedBytes: null });
  let at = 0;
  for (const cut of cuts) {
    reader.read(bytes.subarray(at, at += cut));
  }
  reader.read(bytes.subarray(at));
  return log;
}

test("Messages of every length class are read, however the bytes arrive", () => {
  const message = fc.record({
    text: fc.boolean(),
    length: fc.constantFrom(0, 1, 2, 3, 4, 5, 125, 126, 127, 200, 65_535, 65_536, 70_000),
    mask: fc.integer(),
    fragments: fc.integer({ min: 1, max: 4 }),
    ping: fc.boolean(),
  });
  fc.assert(
    fc.property(
      fc.array(message, { minLength: 1, maxLength: 5 }),
      fc.array(fc.oneof(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 70_000 })), {
        maxLength: 40,
      }),
      (messages, cuts) => {
        const parts: Buffer[] = [], expected: unknown[] = [];
        messages.forEach(({ text, length, mask, fragments, ping }, n) => {
          const payload = Buffer.alloc(length, 65 + n);
          const size = Math.ceil(length / fragments);
          for (let i = 0; i < fragments; i++) {
            const opcode = i > 0 ? OP.continuation : text ? OP.text : OP.binary;
            parts.push(
              frame(opcode, payload.subarray(i * size, (i + 1) * size), { fin: i === fragments - 1, mask }),
            );
            if (ping && i === 0) {
              parts.push(frame(OP.ping, "are you there", { mask }));
              expected.push({ ping: "are you there" });
            }
          }
          if (ping && fragments === 1) {
            const said = expected.pop();
            expected.push(text ? payload.toString() : [...payload], said);
          } else expected.push(text ? payload.toString() : [...payload]);
        });
        assert.deepEqual(heard(Buffer.concat(parts), { cuts }), expected);
      },
    ),
    { numRuns: 150 },
  );
});

const BROKEN: readonly [what: string, bytes: Buffer, code: number][] = [
  ["an unmasked frame", Buffer.from([0x81, 0x00]), 1002],
  ["a first reserved bit", frame(OP.text, "a", { rsv: 4 }), 1002],
  ["a second reserved bit", frame(OP.text, "a", { rsv: 2 }), 1002],
  ["a third reserved bit", frame(OP.text, "a", { rsv: 1 }), 1002],
  ["a data opcode of the future", frame(3, "a"), 1002],
  ["a control opcode of the future", frame(11, "a"), 1002],
  ["a fragmented ping", frame(OP.ping, "", { fin: false }), 1002],
  ["a ping of 126 bytes", frame(OP.ping, "x".repeat(126)), 1002],
  ["a continuation of nothing", frame(OP.continuation, "a"), 1002],
  ["a text amid fragments", Buffer.concat([frame(OP.text, "a", { fin: false }), frame(OP.text, "b")]), 1002],
  ["a text that is no UTF-8", frame(OP.text, Uint8Array.of(0xc3, 0x28)), 1007],
  ["a surrogate in UTF-8", frame(OP.text, Uint8Array.of(0xed, 0xa0, 0x80)), 1007],
  ["a length of 2^62", Buffer.from([0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]), 1009],
  ["a length of 2^40", Buffer.from([0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4]), 1009],
  ["a message that is too long by a byte", frame(OP.binary, Buffer.alloc(1001)), 1009],
  [
    "fragments that are too long together",
    Buffer.concat([
      frame(OP.binary, Buffer.alloc(600), { fin: false }),
      frame(OP.continuation, Buffer.alloc(401)),
    ]),
    1009,
  ],
  ["a close frame of one byte", frame(OP.close, "a"), 1002],
  ["a close code that is never sent", frame(OP.close, Uint8Array.of(0x03, 0xed)), 1002],
  ["a close code below 1000", frame(OP.close, Uint8Array.of(0x03, 0xe7)), 1002],
  ["a close reason that is no UTF-8", frame(OP.close, Uint8Array.of(0x03, 0xe8, 0xff)), 1007],
];

for (const [what, bytes, code] of BROKEN) {
  test(`After ${what} nothing more is read, and the code is ${code}`, () => {
    const all = Buffer.concat([frame(OP.text, "before"), bytes, frame(OP.text, "after")]);
    assert.deepEqual(heard(all, { max: 1000 }), ["before", { violated: code }]);
    const each = Array.from({ length: all.length }, () => 1);
    assert.deepEqual(heard(all, { max: 1000, cuts: each }), ["before", { violated: code }]);
  });
}

test("A close is the last that is heard, with its code and reason, or with 1005", () => {
  assert.deepEqual(
    heard(Buffer.concat([frame(OP.close, Buffer.from("\x03\xe8bye", "latin1")), frame(OP.text, "x")])),
    [
      { code: 1000, reason: "bye" },
    ],
  );
  assert.deepEqual(heard(frame(OP.close, "")), [{ code: 1005, reason: "" }]);
});

test("Garbage is read without an exception, and what is read is within the bound", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.array(fc.nat(50)), (bytes, cuts) => {
      for (const one of heard(bytes, { cuts, max: 100 })) assert.ok(!Array.isArray(one) || one.length <= 100);
    }),
    { numRuns: 2000 },
  );
});

test("What a server writes is what a client's library reads: header of the right length, no mask, built once", () => {
  for (const length of [1, 125, 126, 65_535, 65_536]) {
    const payload = new Uint8Array(length).fill(7);
    const one = {
      payload,
      bytes: length,
      wire: null as Uint8Array | null,
      tcpWire: null as Uint8Array | null,
      datagram: null,
      sseWire: null,
      deflatedWire: null,
      isExt: true,
    };
    const wire = serverFrame(one);
    assert.equal(serverFrame(one), wire);
    const head = length < 126 ? 2 : length < 65_536 ? 4 : 10;
    assert.equal(wire.length, head + length);
    assert.equal(wire[0], 0x82);
    const announced = head === 2
      ? wire[1]
      : Number(Buffer.from(wire).readUIntBE(head === 4 ? 2 : 4, head === 4 ? 2 : 6));
    assert.equal(announced, length);
    assert.ok(wire.subarray(head).every((byte) => byte === 7));
  }
  const text = serverFrame({
    payload: "é✓",
    bytes: 5,
    wire: null,
    tcpWire: null,
    datagram: null,
    sseWire: null,
    deflatedWire: null,
    isExt: true,
  });
  assert.deepEqual([...text], [0x81, 5, ...Buffer.from("é✓")]);
  assert.deepEqual([...pingFrame()], [0x89, 0]);
  assert.deepEqual([...pongFrame(Uint8Array.of(1, 2))], [0x8a, 2, 1, 2]);
  assert.deepEqual([...closeFrame(4000, "slow")], [0x88, 6, 0x0f, 0xa0, ...Buffer.from("slow")]);
  assert.deepEqual([...closeFrame(1005, "")], [0x88, 0]);
});
