// Chunks on the pipes of an extension host: whatever the pieces, what was written is what is read.

import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import { ChunkReader, writeChunk } from "../../src/extension/chunks.ts";

const slot = fc.nat({ max: 0xffff_ffff });
const messages = fc.array(fc.json(), { maxLength: 5 });

function written(chunks: readonly (readonly [number, readonly string[]])[]): Buffer {
  return Buffer.concat(chunks.map(([slot, messages]) => writeChunk(slot, messages)));
}

test("Chunks are read as they were written, in pieces of any size", () => {
  const given = fc.tuple(
    fc.array(fc.tuple(slot, messages), { maxLength: 6 }),
    fc.array(fc.integer({ min: 1, max: 40 })),
  );
  fc.assert(fc.property(given, ([chunks, sizes]) => {
    const bytes = written(chunks);
    const reader = new ChunkReader(1_000_000);
    const read: unknown[] = [];
    for (let at = 0, i = 0; at < bytes.length; i++) {
      const size = sizes.length === 0 ? bytes.length : sizes[i % sizes.length]!;
      // A copy, as a runtime may use its buffer again.
      const got = reader.read(Uint8Array.prototype.slice.call(bytes, at, at + size));
      assert.ok(got !== null);
      read.push(...got.map(({ slot, body }) => [slot, JSON.parse(Buffer.from(body).toString())]));
      at += size;
    }
    assert.deepEqual(
      read,
      chunks.map(([slot, messages]) => [slot, messages.map((text) => JSON.parse(text))]),
    );
  }));
});

test("A chunk may be as large as it may be, and no larger, whatever its head comes in", () => {
  const largest = writeChunk(1, ['"12345678"']);
  assert.equal(largest.length, 8 + 12);
  const [chunk] = new ChunkReader(12).read(largest)!;
  assert.equal(chunk!.body.slice().buffer.byteLength, 12, "a copy of it is as large as it");
  assert.equal(new ChunkReader(11).read(largest), null);
  const byByte = new ChunkReader(11);
  const answers = [...largest.subarray(0, 8)].map((byte) => byByte.read(Uint8Array.of(byte)));
  assert.deepEqual(answers, [...Array(7).fill([]), null]);
});

test("What a head announces is not more memory than one chunk may have", () => {
  const reader = new ChunkReader(1000);
  const head = Uint8Array.of(0xe8, 3, 0, 0, 7, 0, 0, 0);
  for (let i = 0; i < 1000; i++) {
    assert.deepEqual(reader.read(i === 0 ? head : Uint8Array.of(32)), []);
  }
  const [chunk] = reader.read(Uint8Array.of(33, 1))!;
  assert.deepEqual([chunk!.slot, chunk!.body.length, chunk!.body.at(-1)], [7, 1000, 33]);
});
