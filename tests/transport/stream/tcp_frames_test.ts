import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import { KIND, tcpClose, tcpControl, tcpFrame, TcpReader } from "../../../src/transport/stream/tcp_frames.ts";

function frame(kind: number, body: Uint8Array | string): Buffer {
  const bytes = Buffer.from(body as string);
  const head = Buffer.alloc(5);
  head.writeUInt32LE(bytes.length + 1);
  head[4] = kind;
  return Buffer.concat([head, bytes]);
}

function heard(bytes: Uint8Array, { cuts = [] as readonly number[], max = 1_000_000 } = {}): unknown[] {
  const log: unknown[] = [];
  const reader = new TcpReader({
    events: {
      message: (kind, body) => log.push([kind, Buffer.from(body).toString("latin1")]),
      ping: (body) => log.push({ ping: Buffer.from(body).toString() }),
      pong: () => log.push("(pong)"),
      closed: (code, reason) => log.push({ code, reason }),
      violated: (code) => log.push({ violated: code }),
    },
    maxMessageBytes: () => max,
  });
  let at = 0;
  for (const cut of cuts) reader.read(bytes.subarray(at, at += cut));
  reader.read(bytes.subarray(at));
  return log;
}

test("Frames of every kind and length are read, however the bytes arrive", () => {
  const one = fc.record({
    kind: fc.constantFrom(1, 2, 4, 5, 6),
    length: fc.constantFrom(0, 1, 4, 125, 300, 70_000),
  });
  const cuts = fc.array(fc.oneof(fc.nat(7), fc.nat(70_000)), { maxLength: 40 });
  fc.assert(
    fc.property(fc.array(one, { minLength: 1, maxLength: 6 }), cuts, (frames, cuts) => {
      const bodies = frames.map(({ kind, length }, i) => {
        const isControl = kind === KIND.ping || kind === KIND.pong;
        return { kind, body: "abcdef"[i % 6]!.repeat(isControl ? Math.min(length, 125) : length) };
      });
      const expected = bodies.map(({ kind, body }) =>
        kind === KIND.ping ? { ping: body } : kind === KIND.pong ? "(pong)" : [kind, body]
      );
      assert.deepEqual(
        heard(Buffer.concat(bodies.map(({ kind, body }) => frame(kind, body))), { cuts }),
        expected,
      );
    }),
    { numRuns: 200 },
  );
});

const head = (length: number, kind: number) => {
  const bytes = Buffer.alloc(5, kind);
  bytes.writeUInt32LE(length);
  return bytes;
};

const BROKEN: readonly [what: string, bytes: Buffer, code: number][] = [
  ["a frame without a kind", head(0, 1), 1002],
  ["kind 0", frame(0, "a"), 1002],
  ["kind 7", frame(7, "a"), 1002],
  ["kind 255", frame(255, "a"), 1002],
  ["an announcement of 4 GiB", head(0xffff_ffff, 2), 1009],
  ["a message that is too long by a byte", head(1002, 1), 1009],
  ["a ping of 126 bytes", head(127, 4), 1002],
  ["a close of 126 bytes", head(127, 3), 1002],
  ["a close frame of one byte", frame(3, "a"), 1002],
  ["a close reason that is no UTF-8", frame(3, Uint8Array.of(0xe8, 3, 0xff)), 1002],
];

for (const [what, bytes, code] of BROKEN) {
  test(`After ${what} nothing more is read, and the code is ${code}`, () => {
    const all = Buffer.concat([frame(1, "before"), bytes, frame(1, "after")]);
    assert.deepEqual(heard(all, { max: 1000 }), [[1, "before"], { violated: code }]);
    assert.deepEqual(heard(all, { max: 1000, cuts: Array.from(all, () => 1) }), [[1, "before"], {
      violated: code,
    }]);
  });
}

test("A close has its code and reason, and is the last that is heard", () => {
  const bye = Buffer.concat([
    frame(3, Buffer.concat([Uint8Array.of(0xe8, 3), Buffer.from("bye")])),
    frame(1, "a"),
  ]);
  assert.deepEqual(heard(bye), [{ code: 1000, reason: "bye" }]);
  assert.deepEqual(heard(frame(3, "")), [{ code: 1005, reason: "" }]);
});

test("Garbage is read without an exception, and what is read is within the bound", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.array(fc.nat(50)), (bytes, cuts) => {
      for (const one of heard(bytes, { cuts, max: 100 })) {
        assert.ok(!Array.isArray(one) || (one[1] as string).length <= 100);
      }
    }),
    { numRuns: 2000 },
  );
});

test("What is written is what is read", () => {
  const hot = {
    payload: Uint8Array.of(1, 2, 3),
    bytes: 3,
    wire: null as Uint8Array | null,
    tcpWire: null as Uint8Array | null,
    datagram: null,
    sseWire: null,
    deflatedWire: null,
    isExt: true,
  };
  assert.equal(tcpFrame(hot, KIND.hot), tcpFrame(hot, KIND.hot));
  const all = Buffer.concat([
    tcpFrame(hot, KIND.hot),
    tcpFrame(
      {
        payload: '{"é":1}',
        bytes: 8,
        wire: null,
        tcpWire: null,
        datagram: null,
        sseWire: null,
        deflatedWire: null,
        isExt: true,
      },
      KIND.ext,
    ),
    tcpControl(KIND.ping, Buffer.from("hi")),
    tcpControl(KIND.pong, new Uint8Array(0)),
    tcpClose(4000, "slow"),
  ]);
  const utf8 = Buffer.from('{"é":1}').toString("latin1");
  assert.deepEqual(heard(all), [[2, "\x01\x02\x03"], [1, utf8], { ping: "hi" }, "(pong)", {
    code: 4000,
    reason: "slow",
  }]);
});
