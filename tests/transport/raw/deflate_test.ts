import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import fc from "fast-check";
import { Frame, LANE } from "../../../src/protocol/frame.ts";
import { deflatedFrame, inflate, offersDeflate } from "../../../src/transport/raw/deflate.ts";
import { WebSocketReader } from "../../../src/transport/raw/websocket_reader.ts";
import { serverFrame } from "../../../src/transport/raw/websocket_writer.ts";
import { frame, OP } from "../../raw_client.ts";

const TAIL = Buffer.from([0, 0, 255, 255]);
const flush = { finishFlush: constants.Z_SYNC_FLUSH };
const RSV1 = 4;

/** As a client deflates. */
function deflated(message: string | Uint8Array): Buffer {
  return deflateRawSync(message, flush).subarray(0, -4);
}

test("An offer is met where nothing in it asks for what is not done, and the first that can be met counts", () => {
  for (
    const good of [
      "permessage-deflate",
      "permessage-deflate; client_max_window_bits",
      "permessage-deflate; client_max_window_bits=10; server_no_context_takeover",
      'Permessage-Deflate;server_max_window_bits="15" ; client_no_context_takeover',
      "x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=10, permessage-deflate",
    ]
  ) assert.equal(offersDeflate(good), true, good);
  for (
    const bad of [
      null,
      "",
      "permessage-bzip2",
      "permessage-deflate; server_max_window_bits=10",
      "permessage-deflate; server_max_window_bits",
      "permessage-deflate; client_max_window_bits=7",
      "permessage-deflate; client_max_window_bits=16",
      "permessage-deflate; server_no_context_takeover=1",
      "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
      "permessage-deflate; more",
      "permessage-deflate;",
    ]
  ) assert.equal(offersDeflate(bad), false, `${bad}`);
});

test("An ext message is deflated once for all, where its length is worth it", () => {
  const text = new Frame(JSON.stringify({ v: 1, data: "é".repeat(2000) }), LANE.reliable, 0);
  const wire = deflatedFrame(text, 1024);
  assert.equal(deflatedFrame(text, 1024), wire);
  assert.equal(wire[0], 0xc1, "FIN, RSV1, text");
  assert.equal(wire[1], wire.length - 2);
  const back = inflateRawSync(Buffer.concat([wire.subarray(2), TAIL]), flush).toString();
  assert.equal(back, text.payload);
  const cbor = new Frame(new Uint8Array(3000).fill(7), LANE.reliable, 0, true);
  assert.equal(deflatedFrame(cbor, 1024)[0], 0xc2);

  for (
    const as of [
      new Frame('{"v":1}', LANE.reliable, 0), // short
      new Frame(new Uint8Array(3000), LANE.lossy, 0), // hot
      new Frame("x".repeat(300_000), LANE.reliable, 0), // would hold up the loop
    ]
  ) assert.deepEqual(deflatedFrame(as, 1024), serverFrame(as));
});

test("What a message may inflate to is a bound, and what is no deflated message is told apart", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 3000 }), (bytes) => {
    assert.deepEqual(Buffer.from(inflate(deflated(bytes), 3000) as Uint8Array), Buffer.from(bytes));
  }));
  assert.equal((inflate(deflated(Buffer.alloc(4096)), 4096) as Uint8Array).length, 4096);
  assert.equal(inflate(deflated(Buffer.alloc(4097)), 4096), 1009);
  assert.equal(inflate(deflated(Buffer.alloc(50_000_000)), 65_536), 1009);
  assert.equal(inflate(Uint8Array.of(1, 2, 3, 4, 255, 255), 4096), 1007);
  assert.equal((inflate(Uint8Array.of(0), 4096) as Uint8Array).length, 0, "an empty message");
});

/** What a reader that has agreed to deflate hears, byte by byte and at once. */
function heard(bytes: Uint8Array, maxInflatedBytes: number | null = 5000): unknown[] {
  const logs = [[bytes], [...bytes].map((byte) => Uint8Array.of(byte))].map((chunks) => {
    const log: unknown[] = [];
    const reader = new WebSocketReader({
      events: {
        text: (message) => log.push(message),
        binary: (message) => log.push([...message]),
        ping: () => log.push("(ping)"),
        pong: () => {},
        control: () => {},
        closed: (code) => log.push({ code }),
        violated: (code) => log.push({ violated: code }),
      },
      maxMessageBytes: () => 100_000,
      maxInflatedBytes,
    });
    for (const chunk of chunks) reader.read(chunk);
    return log;
  });
  assert.deepEqual(logs[0], logs[1]);
  return logs[0]!;
}

test("Deflated and plain messages alternate, in fragments too, with pings between", () => {
  const [text, bytes] = [deflated("hello".repeat(100)), deflated(Uint8Array.of(1, 2, 3))];
  assert.deepEqual(
    heard(Buffer.concat([
      frame(OP.text, text, { rsv: RSV1 }),
      frame(OP.text, "plain"),
      frame(OP.binary, bytes.subarray(0, 2), { rsv: RSV1, fin: false }),
      frame(OP.ping),
      frame(OP.continuation, bytes.subarray(2)),
      frame(OP.binary, Uint8Array.of(9)),
      frame(OP.text, deflated(""), { rsv: RSV1 }),
    ])),
    ["hello".repeat(100), "plain", "(ping)", [1, 2, 3], [9], ""],
  );
});

test("What breaks the rules of deflated messages ends the reading with its code", () => {
  const part = frame(OP.text, deflated("a"), { rsv: RSV1, fin: false });
  const cases: [Uint8Array, number][] = [
    [frame(OP.text, deflated("x".repeat(5001)), { rsv: RSV1 }), 1009],
    [frame(OP.text, Uint8Array.of(1, 2, 3, 4, 255, 255), { rsv: RSV1 }), 1007],
    [frame(OP.text, deflated(Uint8Array.of(0xff, 0xfe)), { rsv: RSV1 }), 1007],
    [frame(OP.ping, "", { rsv: RSV1 }), 1002],
    [Buffer.concat([part, frame(OP.continuation, "", { rsv: RSV1 })]), 1002],
    [frame(OP.text, "a", { rsv: 2 }), 1002],
    [frame(OP.text, "a", { rsv: RSV1 | 1 }), 1002],
  ];
  for (const [bytes, code] of cases) assert.deepEqual(heard(bytes), [{ violated: code }]);
  assert.deepEqual(heard(frame(OP.text, deflated("a"), { rsv: RSV1 }), null), [{ violated: 1002 }]);
});
