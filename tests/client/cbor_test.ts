import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { cbor } from "../../clients/typescript/src/cbor.ts";
import { decodeCbor, writeCbor } from "../../src/protocol/cbor.ts";

/** What the gateway reads out of a message's `data`. */
function read(data: unknown): unknown {
  const message = decodeCbor(cbor.encode({ v: 1, svc: "s", type: "t", data }) as Uint8Array);
  assert.ok(message.ok, JSON.stringify(message));
  return JSON.parse(JSON.stringify(message.data));
}

test("What the client writes, the gateway reads as the same, and the other way round", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      const text = JSON.stringify(value);
      fc.pre(!text.includes("__proto__")); // which the gateway takes from nobody
      const plain = JSON.parse(text) as unknown;
      assert.deepEqual(JSON.stringify(read(value)), text);
      assert.deepEqual(cbor.decode(writeCbor(JSON.stringify({ plain }))), { plain });
    }),
    { numRuns: 2000 },
  );
});

const NUMBERS = [
  0,
  23,
  24,
  255,
  256,
  65535,
  65536,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 53 - 1,
  1.5,
  1e300,
  5e-324,
  1e21,
];

test("Numbers of every size are the same on both sides", () => {
  for (const n of NUMBERS.flatMap((each) => [each, -each, -each - 1])) {
    if (Number.isSafeInteger(n) || !Number.isInteger(n)) {
      assert.equal(read(n), n + 0, String(n));
    }
    const decoded = cbor.decode(cbor.encode({ n }) as Uint8Array);
    assert.equal((decoded as { n: number }).n, n + 0, String(n));
  }
  const halves = [["3c00", 1], ["7bff", 65504], ["0001", 2 ** -24], ["c400", -4]] as const;
  for (const [hex, n] of halves) assert.deepEqual(cbor.decode(bytesOf(`a1616ef9${hex}`)), { n });
  assert.deepEqual(cbor.decode(bytesOf("a1616efa47c35000")), { n: 100_000 });
});

test("Numbers that no double holds are read as JSON.parse reads them", () => {
  const digits = fc.stringMatching(/^-?[1-9][0-9]{0,40}(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,3})?$/);
  fc.assert(
    fc.property(digits, (n) => {
      // JSON.parse has no infinity, nor has CBOR a use for it.
      fc.pre(Number.isFinite(Number(n)));
      assert.deepEqual(cbor.decode(writeCbor(`{"n":${n}}`)), JSON.parse(`{"n":${n}}`));
    }),
    { numRuns: 3000 },
  );
});

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g)!.map((byte) => parseInt(byte, 16)));
}

test("What JSON leaves out or changes is left out and changed", () => {
  const value = {
    a: undefined,
    b: () => {},
    c: [undefined, Number.NaN, Infinity],
    d: new Date(0),
    e: null,
    f: true,
    g: { toJSON: () => undefined },
  };
  assert.deepEqual(
    cbor.decode(cbor.encode(value) as Uint8Array),
    JSON.parse(JSON.stringify({ ...value, g: null })),
  );
  assert.throws(() => cbor.encode({ a: 1n }), TypeError);
});

test("A hot frame is none, and what is cut short or no JSON is an error", () => {
  assert.equal(cbor.decode(Uint8Array.of(1, 2, 3, 0)), undefined);
  assert.deepEqual(cbor.decode('{"a":1}'), { a: 1 });
  const whole = cbor.encode({ text: "abcdef", list: [1, 2, 70000, 1.5] }) as Uint8Array;
  for (let length = 1; length < whole.length; length++) {
    assert.throws(() => cbor.decode(whole.slice(0, length)), String(length));
  }
  for (
    const bad of [[0xa1, 0x61, 0x6e, 0x41, 0], [0xa1, 0x61, 0x6e, 0xc0, 0], [0xa1, 0x61, 0x6e, 0x9f, 0xff], [
      0xa1,
      0x61,
      0x6e,
      0xf7,
    ]]
  ) {
    assert.throws(() => cbor.decode(Uint8Array.from(bad)), String(bad));
  }
  let deep: unknown = 1;
  for (let i = 0; i < 600; i++) deep = [deep];
  assert.throws(() => cbor.encode({ deep }), RangeError);
});

test("A key named __proto__ is a key like any other", () => {
  const message = cbor.decode(
    Uint8Array.from([0xa1, 0x69, ...new TextEncoder().encode("__proto__"), 0x01]),
  ) as object;
  assert.deepEqual([Object.keys(message), Object.getPrototypeOf(message)], [["__proto__"], Object.prototype]);
});
