import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Encoder } from "cbor-x/encode";
import fc from "fast-check";
import { decode, encode, encodeFrame, frameOf, KIND } from "../../src/cluster/wire.ts";
import { extFrame, hotFrame, LANE } from "../../src/protocol/frame.ts";

const counts = () => ({ broken: 0, unknown: 0 });

test("A frame of either lane arrives as it was, and keys of two nodes never meet, nor those of this one", () => {
  const said = extFrame({ v: 1, svc: "chat", type: "msg", room: "r", data: { msg: "é" } }, LANE.reliable);
  const message = decode(encodeFrame("r", said, "a"), counts())!;
  assert.equal(message.kind, KIND.ext);
  const [room, ...wired] = message.fields;
  const read = frameOf(wired, () => 1)!;
  assert.deepEqual([room, read.payload, read.lane, read.isExt], ["r", said.payload, LANE.reliable, true]);

  const key = 5 * 65_536 + 263;
  const keys = [1, 2].map((number) => {
    const hot = decode(encodeFrame("r", hotFrame(new Uint8Array([1, 2]), LANE.latest, key), "a"), counts())!;
    assert.equal(hot.kind, KIND.hot);
    const frame = frameOf(hot.fields.slice(1), () => number)!;
    assert.deepEqual([...frame.payload as Uint8Array], [1, 2]);
    return frame.key;
  });
  assert.equal(new Set([...keys, key]).size, 3);
  assert.ok(keys.every((one) => one < 0 && Number.isSafeInteger(one)));
});

test("What a later release says is ignored, and so is what nobody can read; both are counted", () => {
  const seen = counts();
  const encoder = new Encoder({ useRecords: false });
  assert.equal(decode(encoder.encode([2, KIND.beat, "x"]), seen), null);
  assert.deepEqual(seen, { broken: 0, unknown: 1 });
  for (const bad of [{}, 7, [], ["1", 3], [1]]) assert.equal(decode(encoder.encode(bad), seen), null);
  assert.deepEqual(seen, { broken: 5, unknown: 1 });
  assert.deepEqual(decode(encode(99 as never, "more", 1), seen), { kind: 99, fields: ["more", 1] });
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
    const read = decode(bytes, seen);
    if (read !== null) frameOf(read.fields, () => 0);
  }));
});
