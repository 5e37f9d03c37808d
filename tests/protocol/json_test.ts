import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { depthOf, Json, parseJson, readForeign, writeObject } from "../../src/protocol/json.ts";
import { integerOf, isHeld, sameNumber, WideNumber } from "../../src/protocol/json_number.ts";
import { JsonScan } from "../../src/protocol/json_scan.ts";

/** Texts near JSON. */
const nearly = fc.oneof(
  fc.json(),
  fc.string({ unit: fc.constantFrom(...'{}[]":,\\u0dae19-+. \n\t\u0000tfn'), maxLength: 12 }),
  fc.tuple(fc.json(), fc.nat(), fc.constantFrom(...'{}[]":,\\u0-+.e\n\u0001 ')).map(([text, at, c]) => {
    const place = at % (text.length + 1);
    return text.slice(0, place) + c + text.slice(place + 1);
  }),
  fc.string({
    unit: fc.constantFrom("a", "\\", '"', "u", "0", "é", "\u0000", "\ud800"),
    minLength: 45,
    maxLength: 120,
  })
    .map((text) => `["${text}"]`),
);

function parsed(text: string): unknown {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return null;
  }
}

test("The walk takes exactly the texts that the engine takes", () => {
  const seen = { yes: 0, no: 0 };
  fc.assert(
    fc.property(nearly, (text) => {
      const expected = parsed(text) !== null;
      seen[expected ? "yes" : "no"]++;
      const scan = new JsonScan(text, 64);
      const taken = scan.whole();
      if (scan.fault === "depth" || scan.fault === "number") return;
      assert.equal(taken, expected, JSON.stringify(text));
    }),
    { numRuns: 5000 },
  );
  assert.ok(seen.yes > 500 && seen.no > 500, JSON.stringify(seen));
});

test("The walk knows levels and keys", () => {
  for (
    const [text, depth, members] of [
      ["1", 1, 0],
      ["[]", 1, 0],
      ["[1]", 2, 0],
      [' { "a" : [ { "b" : 1 , "b" : 2 } ] , "c" : { } } ', 4, 4],
    ] as const
  ) {
    const scan = new JsonScan(text, 64);
    assert.ok(scan.whole());
    assert.deepEqual([scan.depth, scan.members], [depth, members], text);
  }
  fc.assert(fc.property(fc.jsonValue(), (value) => {
    const json = Json.of(value);
    assert.equal(json.depth, depthOf(JSON.parse(JSON.stringify(value)), 512));
  }));
});

test("Depth is bounded before anything is built, in time that is linear in the text", () => {
  for (
    const [text, fault] of [["[".repeat(64) + "]".repeat(64), null], [
      "[".repeat(1_000_000),
      "depth",
    ]] as const
  ) {
    const scan = new JsonScan(text, 64);
    assert.equal(scan.whole(), fault === null);
    assert.equal(scan.fault, fault);
  }
  const long = new JsonScan(`[${"9".repeat(1001)}]`, 64);
  assert.deepEqual([long.whole(), long.fault], [false, "number"]);
  const exponent = new JsonScan(`1e${"9".repeat(1000)}`, 64);
  assert.deepEqual([exponent.whole(), exponent.fault], [false, "number"]);
});

test("A double holds what it gives back, and no other whole number", () => {
  const held = [
    "0",
    "-0",
    "1.0",
    "0.1",
    "1e300",
    "9007199254740992",
    "1e21",
    "12345678901234567000",
    "-1.5E-7",
    "0.10000000000000001",
    "3.1415926535897931",
  ];
  const not = [
    "9007199254740993",
    "-9007199254740993",
    "1234567890123456789",
    "12345678901234567168",
    "1e400",
    "-1e400",
    "1e-400",
    "12345678901234567890.123",
    "0.1234567890123456789",
  ];
  for (const text of held) assert.equal(isHeld(text), true, text);
  for (const text of not) assert.equal(isHeld(text), false, text);
  fc.assert(fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (number) => {
    assert.equal(isHeld(String(number)), true);
    if (!Number.isInteger(number)) assert.equal(isHeld(number.toPrecision(17)), true);
  }));
  fc.assert(fc.property(fc.bigInt(), fc.bigInt({ min: -5n, max: 5n }), (one, more) => {
    const other = one + more;
    if (one !== other && isHeld(String(one)) && isHeld(String(other))) {
      assert.notEqual(Number(one), Number(other));
    }
  }));
});

test("Numbers are the same however they are written", () => {
  for (
    const same of [["1", "1.0", "10e-1", "0.1e1", "1E+0"], ["0", "-0", "0.0", "0e5"], ["1e400", "10e399"]]
  ) {
    assert.equal(new Set(same.map(sameNumber)).size, 1, same.join(" "));
  }
  assert.notEqual(sameNumber("9007199254740992"), sameNumber("9007199254740993"));
  assert.notEqual(sameNumber("1"), sameNumber("-1"));
  for (const text of ["", "01", "1.", "+1", "0x1", "NaN", "1 "]) assert.equal(sameNumber(text), null, text);
  assert.equal(integerOf("9007199254740993"), 9007199254740993n);
  assert.equal(integerOf("1e3"), null);
});

test("Our own reader reads what the engine reads, where nothing is lost", () => {
  fc.assert(
    fc.property(
      fc.json({ stringUnit: fc.constantFrom("z", "q", "é", "\\", '"', "\ud800", "\n", "🎲") }),
      fc.boolean(),
      (text, escaped) => {
        const given = escaped ? text.replaceAll("z", "\\u007a") : text;
        const expected: unknown = JSON.parse(text);
        const read = readForeign(given, 512);
        if (read.ok) assert.deepEqual(read.value, expected);
        else assert.match(read.why, /twice|no double/);
        assert.deepEqual(parseJson(given), expected);
      },
    ),
    { numRuns: 2000 },
  );
});

test("A key is read as it is written, whatever was read before", () => {
  for (let i = 0; i < 3; i++) {
    const poison = `{"price":${i},"caf\\\\":1}`, text = `{"price":${i},"caf\\u00e9":1}`;
    JSON.parse(poison);
    for (const value of [parseJson(text), (Json.from(text, 64) as Json).read(), readForeign(text, 64)]) {
      const object = (value as { value?: object }).value ?? value;
      assert.deepEqual(Object.keys(object as object), ["price", "café"]);
    }
    assert.deepEqual(Object.keys(parseJson(poison) as object), ["price", "caf\\"]);
  }
});

test("What reading would change is refused, with what it is", () => {
  const why = (text: string) => {
    const read = (Json.from(text, 64) as Json).read();
    return read.ok ? null : read.why;
  };
  assert.equal(why('{"a":1,"b":[{"a":2}]}'), null);
  assert.equal(why('{"a":{"b":1,"b":1}}'), 'has the key "b" twice');
  assert.equal(why('{"a":1,"\\u0061":2}'), 'has the key "a" twice');
  assert.equal(why('{"__proto__":1,"__proto__":2}'), 'has the key "__proto__" twice');
  assert.equal(why("[9007199254740993]"), "has a number that no double holds: 9007199254740993");
  assert.equal(why(`[0.${"1".repeat(60)}]`)?.endsWith("…"), true);
});

test("Parts are kept as texts, and numbers as they are written, where that is asked for", () => {
  const text = '{"claims":{"n":1e400, "m":1.0},"other":1}';
  const read = readForeign(text, 64, { raw: (key, level) => key === "claims" && level === 1 });
  assert.ok(read.ok);
  const { claims, other } = read.value as { claims: Json; other: number };
  assert.deepEqual([claims.text, claims.depth, other], ['{"n":1e400, "m":1.0}', 2, 1]);
  const wide = readForeign(claims.text, 64, { wide: true });
  assert.ok(wide.ok);
  const { n, m } = wide.value as Record<string, unknown>;
  assert.ok(n instanceof WideNumber);
  assert.deepEqual([n.text, m, JSON.stringify(wide.value)], ["1e400", 1, '{"n":1e400,"m":1}']);
});

test("An object is written with the texts that it has", () => {
  const data = Json.from('{"a":9007199254740993 }', 64) as Json;
  assert.equal(
    writeObject({ a: 1, none: undefined, data, "ü": [1] }),
    '{"a":1,"data":{"a":9007199254740993 },"ü":[1]}',
  );
  assert.equal(writeObject({ none: undefined }), "{}");
});
