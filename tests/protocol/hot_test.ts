import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { ackOf, checkHot, hotPayloadAt, hotSeq, withSender } from "../../src/protocol/hot.ts";
import { within } from "./naive.ts";

interface Read {
  readonly svcId: number;
  readonly opcode: number;
  readonly seq: number | null;
  readonly sender: number | null;
  readonly ack: boolean;
  readonly payload: readonly number[];
}

/** The header as docs/protocol.md draws it, for frames of either direction. @throws RangeError past the end */
function naive(bytes: Uint8Array, direction: "in" | "out"): Read | "BAD_REQUEST" | "UNSUPPORTED_VERSION" {
  const copy = Uint8Array.from(bytes);
  const view = new DataView(copy.buffer);
  if (copy.length < 4) return "BAD_REQUEST";
  if (view.getUint8(0) !== 1) return "UNSUPPORTED_VERSION";
  const flags = view.getUint8(3);
  const [hasSeq, ack, hasSender] = [flags % 2 === 1, flags % 4 >= 2, flags % 8 >= 4];
  if (flags >= 8 || ack && !hasSeq || hasSender && direction === "in") return "BAD_REQUEST";
  let at = 4;
  if (copy.length < 4 + (hasSeq ? 4 : 0) + (hasSender ? 4 : 0)) return "BAD_REQUEST";
  const seq = hasSeq ? view.getUint32((at += 4) - 4, true) : null;
  const sender = hasSender ? view.getUint32((at += 4) - 4, true) : null;
  return {
    svcId: view.getUint8(1),
    opcode: view.getUint8(2),
    seq,
    sender,
    ack,
    payload: [...copy.subarray(at)],
  };
}

const anyFrame = fc.oneof(
  fc.uint8Array({ maxLength: 24 }),
  fc.tuple(
    fc.constantFrom(1, 1, 1, 0, 2),
    fc.nat(255),
    fc.nat(255),
    fc.nat(9),
    fc.uint8Array({ maxLength: 12 }),
  )
    .map(([v, svcId, opcode, flags, rest]) => Uint8Array.of(v, svcId, opcode, flags, ...rest)),
);

test("Any bytes are read or refused as the header's drawing says, wherever they lie", () => {
  const seen = { read: 0, BAD_REQUEST: 0, UNSUPPORTED_VERSION: 0 };
  fc.assert(
    fc.property(anyFrame, fc.nat(255), (bytes, around) => {
      const frame = within(bytes, around);
      const expected = naive(bytes, "in");
      const refused = checkHot(frame);
      if (typeof expected === "string") {
        seen[expected]++;
        assert.equal(refused?.code, expected);
        return;
      }
      seen.read++;
      assert.equal(refused, null);
      assert.equal(hotSeq(frame), expected.seq);
      assert.deepEqual([...frame.subarray(hotPayloadAt(frame))], expected.payload);
      assert.ok(hotPayloadAt(frame) <= frame.length);
    }),
    { numRuns: 3000 },
  );
  for (const [outcome, count] of Object.entries(seen)) assert.ok(count > 100, `${outcome}: ${count}`);
});

test("A relayed frame is the client's with the sender's number, and no ack is asked of those who get it", () => {
  fc.assert(
    fc.property(anyFrame, fc.nat(255), fc.integer({ min: 0, max: 2 ** 32 - 1 }), (bytes, around, sender) => {
      const read = naive(bytes, "in");
      fc.pre(typeof read !== "string");
      const frame = within(bytes, around);
      const out = withSender(frame, sender);
      assert.deepEqual(naive(out, "out"), { ...read, sender, ack: false });
      assert.deepEqual(frame, bytes, "the client's frame is left alone");
      assert.notEqual(out.buffer, frame.buffer, "the copy does not hold the read buffer");
    }),
    { numRuns: 2000 },
  );
});

test("An ack has the frame's service, opcode and seq, and nothing more", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 6, maxLength: 24 }), fc.nat(255), (rest, around) => {
      const bytes = Uint8Array.of(1, rest[0]!, rest[1]!, 3, ...rest.subarray(2));
      const read = naive(bytes, "in");
      assert.ok(typeof read !== "string" && read.ack);
      const frame = within(bytes, around);
      const out = ackOf(frame);
      assert.deepEqual(naive(out, "out"), { ...read, payload: [] });
      assert.equal(out.length, 8);
      assert.deepEqual(frame, bytes);
      assert.notEqual(out.buffer, frame.buffer);
    }),
    { numRuns: 2000 },
  );
});

test("Every combination of flags is read or refused as the drawing says", () => {
  for (let flags = 0; flags < 256; flags++) {
    for (const length of [4, 7, 8, 12]) {
      const frame = new Uint8Array(length);
      frame.set([1, 1, 1, flags]);
      const expected = naive(frame, "in");
      assert.equal(
        checkHot(frame)?.code,
        typeof expected === "string" ? expected : undefined,
        `${flags}, ${length}`,
      );
    }
  }
});
