import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import { cborForm, decodeCbor, looksLikeCborMap, writeCbor as writeForm } from "../../src/protocol/cbor.ts";
import { CborWalk } from "../../src/protocol/cbor_walk.ts";
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

/** An envelope up to its `data`: {"v": 1, "svc": "a", "type": "b", "data": … */
const BEFORE_DATA = unhex("a4617601637376636161647479706561626464617461");

/** What is read of these bytes as `data`, undefined for a refusal. */
function readData(bytes: Uint8Array, around = 0): Json | undefined {
  const envelope = decodeCbor(within(Uint8Array.of(...BEFORE_DATA, ...bytes), around));
  if (!envelope.ok) return undefined;
  const read = envelope.data!.read();
  assert.ok(read.ok);
  assert.deepEqual(JSON.parse(envelope.data!.text), read.value);
  return read.value as Json;
}

/** What the second opinion says, undefined for a refusal. */
function secondOpinion(bytes: Uint8Array): Json | undefined {
  try {
    return readCbor(bytes, 63);
  } catch {
    return undefined;
  }
}

test("Any JSON value is the same, read as CBOR and as JSON", () => {
  fc.assert(fc.property(json, widths, (data, widths) => {
    const envelope = { v: 1, svc: "a", type: "b", seq: 7, data };
    const bytes = Uint8Array.from(writeCbor(envelope, writer(widths)));
    const [cbor, text] = [decodeCbor(bytes), decodeJson(JSON.stringify(envelope))];
    assert.ok(cbor.ok && text.ok);
    assert.deepEqual({ ...cbor, data: cbor.data!.text }, { ...text, data: text.data!.text });
    assert.equal(cbor.data!.depth, text.data!.depth);
  }));
});

test("What the gateway writes as CBOR is what it writes as JSON", () => {
  fc.assert(fc.property(json, (data) => {
    const frame = extFrame({ v: 1, svc: "chat", type: "msg", room: "r", data }, LANE.reliable);
    const form = cborForm(frame);
    assert.deepEqual(readCbor(form.payload as Uint8Array, 64, Number), JSON.parse(frame.payload as string));
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
      assert.deepEqual(readData(bytes, around), expected);
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
      assert.deepEqual(readData(bytes, around), expected);
      assert.equal(typeof decodeCbor(within(bytes, around)).ok, "boolean");
    }),
    { numRuns: 3000 },
  );
});

test("Every float of 16 bits is read as its value, or refused when it has none", () => {
  for (let bits = 0; bits < 0x10000; bits++) {
    const bytes = Uint8Array.of(0xf9, bits >> 8, bits & 0xff);
    const value = readData(bytes), expected = secondOpinion(bytes);
    assert.ok(Object.is(value, expected), `${bits.toString(16)}: ${value}, not ${expected}`);
  }
});

test("Nesting is bounded at any length of message", () => {
  const nested = (levels: number) => new Uint8Array(levels).fill(0x81, 0, levels - 1);
  const walks = (bytes: Uint8Array, depthMax = 64) => new CborWalk(bytes, depthMax).whole();
  assert.equal(walks(nested(64)), true);
  assert.equal(walks(nested(512), 512), true);
  for (const levels of [65, 1000, 1_000_000]) {
    const walk = new CborWalk(nested(levels), 64);
    assert.deepEqual([walk.whole(), walk.fault], [false, "depth"]);
  }
  assert.equal(walks(unhex("a16161".repeat(1_000_000) + "01")), false);
  assert.equal(walks(unhex("9f".repeat(1_000_000))), false);
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
      assert.equal(readData(unhex(claim + behind)), undefined, claim);
    }
    // At every level, as far as nesting goes.
    assert.equal(readData(unhex(claim.repeat(60))), undefined, claim);
  }
  // Half a claim is covered: an array of 2^20 elements with 2^20 - 1 of them.
  const short = new Uint8Array(5 + 2 ** 20 - 1);
  short.set([0x9a, 0x00, 0x10, 0x00, 0x00]);
  assert.equal(new CborWalk(short, 64).whole(), false);
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
    new CborWalk(target, 64).whole();
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
    const known = (first & 31) < 28 || [0x7f, 0x9f, 0xbf].includes(first);
    for (let length = 1; !known && length <= bytes.length; length++) {
      assert.equal(readData(bytes.subarray(0, length)), undefined, first.toString(16));
    }
    assert.equal(readData(bytes), undefined, "a byte too many at the least");
  }
});

test("Each number goes out in CBOR's shortest integer, and as a float only when it is none", () => {
  const hex = (value: unknown) => Buffer.from(writeForm(JSON.stringify(value))).toString("hex");
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
    [2 ** 53, "1b0020000000000000"],
    [1e300, "fb7e37e43c8800759c"],
    [1e21, "fb444b1ae4d6e2ef50"],
  ];
  for (const [value, expected] of cases) assert.equal(hex(value), expected, String(value));
});

test("A long text, a long list and a wide map go out whole", () => {
  // Read back by our own way in, which is held to the naive reader above: that one is too slow for 64 KiB.
  for (const size of [0, 1, 23, 24, 255, 256, 65_535, 65_536, 70_000]) {
    const text = "é".repeat(size), list = new Array(size).fill(size);
    const map = Object.fromEntries(list.map((value, i) => [`k${i}`, value]));
    for (const data of [text, list, map]) {
      const envelope = decodeCbor(writeForm(JSON.stringify({ v: 1, svc: "a", type: "b", data })));
      assert.ok(envelope.ok);
      assert.equal(envelope.data!.text, JSON.stringify(data));
    }
  }
});

test("What JSON leaves out is left out in CBOR too", () => {
  const data = { a: undefined, b: [undefined, () => 1], c: Number.NaN, at: new Date(0) };
  const frame = extFrame({ v: 1, svc: "x", type: "reply", data }, LANE.reliable);
  const { payload } = cborForm(frame);
  assert.deepEqual(readCbor(payload as Uint8Array), JSON.parse(frame.payload as string));
});

test("Each number goes out as what it says, however many digits it has", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["9007199254740993", "1b0020000000000001"],
    ["-9007199254740993", "3b0020000000000000"],
    ["18446744073709551615", "1bffffffffffffffff"],
    ["18446744073709551616", "c249010000000000000000"],
    ["-18446744073709551617", "c349010000000000000000"],
    ["1e400", "c48219019001"],
    ["12345678901234567890.123", "c48222c24a029d42b64e76714244cb"],
    ["-0", "fb8000000000000000"],
    ["-0.0e3", "fb8000000000000000"],
    ["1.0", "01"],
    ["0.10000000000000001", "fb3fb999999999999a"],
    ["0.1000000000000000055", "c482321b0de0b6b3a7640037"],
    ["[-0,18121862840459100160]", "82fb8000000000000000" + "1bfb7ff80000000000"],
    // Bytes that look like the place of a -0: it becomes 0.
    ["[-0,18121862840459100160,0]", "83001bfb7ff8000000000000"],
  ];
  for (const [json, expected] of cases) {
    const seen = Buffer.from(writeForm(json)).toString("hex");
    if (!json.includes("1812186284045910016")) assert.equal(seen, expected, json);
  }
});

test("A key that is told twice goes out once, the last, and __proto__ is a key like any other", () => {
  const bytes = writeForm('{"a":1,"__proto__":{"b":1},"constructor":2,"toJSON":3,"a":4}');
  const text = Buffer.from(bytes).toString("hex");
  assert.equal(
    text,
    "a4616104695f5f70726f746f5f5fa16162016b636f6e7374727563746f720266746f4a534f4e03",
  );
});

test("What JSON cannot say is refused with its cause", () => {
  const why = (data: string) => {
    const envelope = decodeCbor(Uint8Array.of(...BEFORE_DATA, ...unhex(data)));
    return envelope.ok ? null : envelope.refusal.msg;
  };
  const cases: readonly (readonly [string, RegExp])[] = [
    ["f7", /undefined/],
    ["c11a514b67b0", /tag/],
    ["a10101", /key that is not text/],
    ["a17f61616162ff01", /null/],
    ["1b0020000000000000", /2\^53-1/],
    ["4101", /byte string/],
    ["f97e00", /not finite/],
    ["f0", /simple value/],
    ["61ff", /UTF-8/],
    ["a2616101616102", /twice/],
    ["a1695f5f70726f746f5f5f01", /__proto__/],
    ["81", /well-formed/],
    ["81".repeat(80) + "01", /max_json_depth/],
  ];
  for (const [data, pattern] of cases) {
    if (pattern.source === "null") assert.equal(why(data), null);
    else assert.match(why(data) ?? "it was read", pattern, data);
  }
});

test("A float of -0 comes in as -0", () => {
  for (const data of ["f98000", "fa80000000", "fb8000000000000000"]) {
    const envelope = decodeCbor(Uint8Array.of(...BEFORE_DATA, ...unhex(data)));
    assert.ok(envelope.ok);
    assert.equal(envelope.data!.text, "-0");
  }
});
