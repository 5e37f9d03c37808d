import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import { cborForm, decodeCbor, looksLikeCborMap } from "../../src/protocol/cbor.ts";
import { CBOR_DEPTH_MAX, readPlainCbor, writePlainCbor } from "../../src/protocol/plain_cbor.ts";
import { decodeJson } from "../../src/protocol/envelope.ts";
import { extFrame, hotFrame, LANE } from "../../src/protocol/frame.ts";
import { type Json, readCbor, unhex, within, writeCbor } from "./naive.ts";

/** JSON as a client can send it: no lone surrogates, which CBOR cannot carry, and no key "__proto__". */
const json = fc.jsonValue({ stringUnit: "grapheme" }).filter((value) =>
  !JSON.stringify(value).includes('"__proto__":')
)
  .map((value) => JSON.parse(JSON.stringify(value)) as Json);
/** How much wider than needed each head is written: mostly not. */
const widths = fc.array(fc.constantFrom(0, 0, 0, 1, 2, 4), { minLength: 1 });

function writer(widths: readonly number[]): () => number {
  let i = 0;
  return () => widths[i++ % widths.length]!;
}

/** What the second opinion says, undefined for a refusal. */
function secondOpinion(bytes: Uint8Array): Json | undefined {
  try {
    return readCbor(bytes);
  } catch {
    return undefined;
  }
}

test("Any JSON value is the same, read as CBOR and as JSON", () => {
  fc.assert(fc.property(json, widths, (data, widths) => {
    const envelope = { v: 1, svc: "a", type: "b", seq: 7, data };
    const bytes = Uint8Array.from(writeCbor(envelope, writer(widths)));
    assert.deepEqual(decodeCbor(bytes), decodeJson(JSON.stringify(envelope)));
  }));
});

test("What the gateway writes as CBOR is what it writes as JSON", () => {
  fc.assert(fc.property(json, (data) => {
    const frame = extFrame({ v: 1, svc: "chat", type: "msg", room: "r", data }, LANE.reliable);
    const form = cborForm(frame);
    assert.deepEqual(readCbor(form.payload as Uint8Array), JSON.parse(frame.payload as string));
    assert.equal(form.bytes, form.payload.length);
    assert.equal(form.lane, frame.lane);
  }));
});

test("Bytes that are nearly CBOR are read or refused as a reader written from the RFC does", () => {
  const seen = { read: 0, refused: 0 };
  const change = fc.tuple(fc.nat(), fc.nat(255), fc.constantFrom("set", "cut", "add", "keep"));
  fc.assert(
    fc.property(json, widths, change, fc.nat(255), (value, widths, [at, byte, how], around) => {
      let bytes = Uint8Array.from(writeCbor(value, writer(widths)));
      if (how === "set") bytes[at % bytes.length] = byte;
      else if (how === "cut") bytes = bytes.slice(0, at % bytes.length);
      else if (how === "add") bytes = Uint8Array.of(...bytes, byte);
      const expected = secondOpinion(bytes);
      seen[expected === undefined ? "refused" : "read"]++;
      assert.deepEqual(readPlainCbor(within(bytes, around)), expected);
    }),
    { numRuns: 2000 },
  );
  assert.ok(seen.read > 200 && seen.refused > 200, JSON.stringify(seen));
});

test("Any bytes at all are read or refused as a reader written from the RFC does, and never throw", () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    // A map that is likely to go on well.
    fc.array(fc.constantFrom(0xa1, 0x61, 0x61, 0x80, 0x81, 0x01, 0xf6, 0xf9, 0x3c, 0x00, 0x18, 0xff), {
      maxLength: 12,
    }).map((bytes) => Uint8Array.from(bytes)),
  );
  fc.assert(
    fc.property(bytes, fc.nat(255), (bytes, around) => {
      const expected = secondOpinion(bytes);
      assert.deepEqual(readPlainCbor(within(bytes, around)), expected);
      const envelope = decodeCbor(within(bytes, around));
      if (expected === undefined) assert.equal(envelope.ok, false);
    }),
    { numRuns: 3000 },
  );
});

test("Every float of 16 bits is read as its value, or refused when it has none", () => {
  for (let bits = 0; bits < 0x10000; bits++) {
    const bytes = Uint8Array.of(0xf9, bits >> 8, bits & 0xff);
    const value = readPlainCbor(bytes), expected = secondOpinion(bytes);
    assert.ok(Object.is(value, expected), `${bits.toString(16)}: ${value}, not ${expected}`);
  }
});

test("Nesting is bounded at any length of message", () => {
  const nested = (levels: number) => new Uint8Array(levels).fill(0x81, 0, levels - 1);
  assert.notEqual(readPlainCbor(nested(CBOR_DEPTH_MAX)), undefined);
  for (const levels of [CBOR_DEPTH_MAX + 1, 1000, 1_000_000]) {
    assert.equal(readPlainCbor(nested(levels)), undefined);
  }
  const maps = unhex("a16161".repeat(1_000_000) + "01");
  assert.equal(readPlainCbor(maps), undefined);
});

test("No length that a message claims makes it cost more than its own bytes", () => {
  // Each would take longer than anybody waits, or all memory, if the claim were believed.
  const claims = [
    "9b001fffffffffffff",
    "9affffffff",
    "bb001fffffffffffff",
    "baffffffff",
    "7b001fffffffffffff",
  ];
  for (const claim of claims) {
    for (const behind of ["", "00", "6161"]) {
      assert.equal(readPlainCbor(unhex(claim + behind)), undefined, claim);
    }
    // At every level, as far as nesting goes.
    assert.equal(readPlainCbor(unhex(claim.repeat(60))), undefined, claim);
  }
  // Half a claim is covered: an array of 2^20 elements with 2^20 - 1 of them.
  const short = new Uint8Array(5 + 2 ** 20 - 1);
  short.set([0x9a, 0x00, 0x10, 0x00, 0x00]);
  assert.equal(readPlainCbor(short), undefined);
});

test("Each byte of a message is looked at a few times at most", () => {
  // A view counts what is read of it. Texts are decoded in one go, so there are none in here.
  const counting = (bytes: Uint8Array) => {
    const count = { reads: 0 };
    const target = new Proxy(bytes, {
      get(_, key) {
        if (typeof key === "string" && /^\d+$/.test(key)) count.reads++;
        const value = Reflect.get(bytes, key);
        return typeof value === "function" ? value.bind(bytes) : value;
      },
    });
    return { target, count };
  };
  const shapes = [
    unhex("9a00010000" + "80".repeat(65536)),
    unhex("9a00004000" + "1b0000000000000001".repeat(16384)),
    unhex("98ff" + ("98ff" + "00".repeat(255)).repeat(255)),
    unhex("81".repeat(63) + "9a00010000" + "f6".repeat(65535)),
    unhex("9a00010000" + "f6".repeat(65535) + "ff"),
  ];
  for (const bytes of shapes) {
    const { target, count } = counting(bytes);
    readPlainCbor(target);
    assert.ok(count.reads <= 4 * bytes.length + 16, `${count.reads} reads of ${bytes.length} bytes`);
  }
});

test("A lone surrogate goes out as U+FFFD, in any text, key and place, and nothing else changes", () => {
  const any = fc.string({
    unit: fc.constantFrom("a", "\\", '"', "\ud83c", "\udfb2", "u", "d", "8", "0", "\n", "é"),
  });
  fc.assert(
    fc.property(any, any, (text, more) => {
      const data = { msg: text, list: [more], [`k${text}`]: more + "x".repeat(70) };
      const form = cborForm(extFrame({ v: 1, svc: "chat", type: "msg", data }, LANE.reliable));
      const read = readCbor(form.payload as Uint8Array) as { data: Json };
      // What U+FFFD means here: the text as UTF-8 and back.
      const mended = (text: string) =>
        new TextDecoder("utf-8", { ignoreBOM: true }).decode(new TextEncoder().encode(text));
      assert.deepEqual(read.data, {
        msg: mended(text),
        list: [mended(more)],
        [mended(`k${text}`)]: mended(more) + "x".repeat(70),
      });
    }),
    { numRuns: 1000 },
  );
});

test("The CBOR form is made once for a frame, and a hot frame is its own", () => {
  const frame = extFrame({ v: 1, svc: "chat", type: "msg", data: 1 }, LANE.reliable);
  assert.equal(cborForm(frame), cborForm(frame));
  const other = extFrame({ v: 1, svc: "chat", type: "msg", data: 2 }, LANE.reliable);
  const before = (cborForm(frame).payload as Uint8Array).slice();
  cborForm(other);
  assert.deepEqual(cborForm(frame).payload, before, "the bytes are the frame's own");
  const { buffer } = cborForm(frame).payload as Uint8Array;
  assert.equal(buffer.byteLength, before.length, "and hold no larger buffer");
  const hot = hotFrame(Uint8Array.of(1, 2, 3), LANE.lossy);
  assert.equal(cborForm(hot), hot);
  const form = cborForm(frame);
  assert.equal(cborForm(form), form);
});

test("A map is told from a hot frame by its first byte", () => {
  for (let first = 0; first < 256; first++) {
    assert.equal(looksLikeCborMap(Uint8Array.of(first, 1)), first >= 0xa0 && first <= 0xbf, String(first));
  }
  assert.equal(looksLikeCborMap(new Uint8Array(0)), false);
});

test("Widths that CBOR reserves are refused, whatever stands behind them", () => {
  for (let first = 0; first < 256; first++) {
    const bytes = new Uint8Array(40);
    bytes[0] = first;
    const known = (first & 31) < 28;
    for (let length = 1; !known && length <= bytes.length; length++) {
      assert.equal(readPlainCbor(bytes.subarray(0, length)), undefined, first.toString(16));
    }
    assert.equal(readPlainCbor(bytes), undefined, "a byte too many at the least");
  }
});

test("Each number goes out in CBOR's shortest integer, and as a float only when it is none", () => {
  const hex = (value: unknown) => Buffer.from(writePlainCbor(value)).toString("hex");
  const cases: [unknown, string][] = [
    [0, "00"],
    [-0, "00"],
    [23, "17"],
    [24, "1818"],
    [255, "18ff"],
    [256, "190100"],
    [65_535, "19ffff"],
    [65_536, "1a00010000"],
    [4_294_967_295, "1affffffff"],
    [4_294_967_296, "1b0000000100000000"],
    [Number.MAX_SAFE_INTEGER, "1b001fffffffffffff"],
    [-1, "20"],
    [-24, "37"],
    [-25, "3818"],
    [Number.MIN_SAFE_INTEGER, "3b001ffffffffffffe"],
    [1.5, "fb3ff8000000000000"],
    [2 ** 53, "fb4340000000000000"],
  ];
  for (const [value, expected] of cases) assert.equal(hex(value), expected, String(value));
});

test("A long text, a long list and a wide map go out whole", () => {
  // Read back by our own reader, which is held to the naive one above: that one is too slow for 64 KiB.
  for (const size of [0, 1, 23, 24, 255, 256, 65_535, 65_536, 70_000]) {
    const text = "é".repeat(size), list = new Array(size).fill(size);
    const map = Object.fromEntries(list.map((value, i) => [`k${i}`, value]));
    for (const value of [text, list, map]) assert.deepEqual(readPlainCbor(writePlainCbor(value)), value);
  }
});

test("What JSON leaves out is left out in CBOR too", () => {
  const data = { a: undefined, b: [undefined, () => 1], c: Number.NaN, at: new Date(0) };
  const frame = extFrame({ v: 1, svc: "x", type: "reply", data }, LANE.reliable);
  const { payload } = cborForm(frame);
  assert.deepEqual(readCbor(payload as Uint8Array), JSON.parse(frame.payload as string));
});
