import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { cbor } from "../../clients/typescript/src/cbor.ts";
import { readPlainCbor, writePlainCbor } from "../../src/protocol/plain_cbor.ts";

const PARAMETERS = { numRuns: 2000 };

test("What the client writes, the gateway reads as the same, and the other way round", () => {
  const message = fc.record({ svc: fc.string(), data: fc.jsonValue({ maxDepth: 6 }) });
  fc.assert(
    fc.property(message, (value) => {
      const text = JSON.stringify(value);
      fc.pre(!text.includes("__proto__")); // which the gateway takes from nobody
      const plain = JSON.parse(text) as unknown;
      assert.deepEqual(readPlainCbor(cbor.encode(value) as Uint8Array), plain);
      assert.deepEqual(cbor.decode(writePlainCbor(plain)), plain);
    }),
    PARAMETERS,
  );
});

test("Integers and floats of every size are the same on both sides", () => {
  const numbers = [
    0,
    23,
    24,
    255,
    256,
    65535,
    65536,
    2 ** 32 - 1,
    2 ** 32,
    Number.MAX_SAFE_INTEGER,
    1.5,
    1e300,
    5e-324,
  ];
  for (
    const n of [
      ...numbers,
      ...numbers.map((each) => -each - (Number.isInteger(each) && each < 2 ** 53 - 1 ? 1 : 0)),
    ]
  ) {
    const bytes = cbor.encode({ n }) as Uint8Array;
    assert.deepEqual(readPlainCbor(bytes), { n }, String(n));
    assert.deepEqual(cbor.decode(bytes), { n }, String(n));
  }
  for (
    const [hex, n] of [["f93c00", 1], ["f97bff", 65504], ["f90001", 2 ** -24], ["f9c400", -4], [
      "fa47c35000",
      100000,
    ]] as const
  ) {
    assert.deepEqual(
      cbor.decode(Uint8Array.from([0xa1, 0x61, 0x6e, ...hex.match(/../g)!.map((h) => parseInt(h, 16))])),
      { n },
    );
  }
});

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
  for (let i = 0; i < 70; i++) deep = [deep];
  assert.throws(() => cbor.encode({ deep }), RangeError);
});

test("A key named __proto__ is a key like any other", () => {
  const message = cbor.decode(
    Uint8Array.from([0xa1, 0x69, ...new TextEncoder().encode("__proto__"), 0x01]),
  ) as object;
  assert.deepEqual([Object.keys(message), Object.getPrototypeOf(message)], [["__proto__"], Object.prototype]);
});
