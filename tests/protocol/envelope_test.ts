import { Buffer } from "node:buffer";
import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { checkEnvelope, decodeJson, isRoomName } from "../../src/protocol/envelope.ts";

/** Values near what a field may be. */
const nearly = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom(
    0,
    1,
    2,
    -1,
    1.5,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 53 - 1,
    2 ** 53,
    1e300,
    -0,
    "1",
    "",
    "a",
    null,
  ),
  fc.string({ maxLength: 140 }),
  fc.string({ unit: "binary", maxLength: 70 }),
);
const fields = fc.record(
  {
    v: fc.oneof({ weight: 4, arbitrary: fc.constant(1) }, nearly),
    svc: fc.oneof({ weight: 4, arbitrary: fc.constantFrom("chat", "a.b_c-9") }, nearly),
    type: fc.oneof({ weight: 4, arbitrary: fc.constant("send") }, nearly),
    flags: fc.oneof(fc.nat(), nearly),
    seq: fc.oneof(fc.maxSafeNat(), nearly),
    room: fc.oneof(fc.constant("r"), nearly),
    data: fc.jsonValue(),
    other: nearly,
  },
  { requiredKeys: ["v", "svc", "type"], noNullPrototype: true },
);

/** The table of docs/protocol.md, a row a line. */
function second(message: Record<string, unknown>): "read" | "BAD_REQUEST" | "UNSUPPORTED_VERSION" {
  const whole = (value: unknown, max: number) =>
    typeof value === "number" && Math.floor(value) === value && value >= 0 && value <= max;
  const name = (value: unknown) =>
    typeof value === "string" && value !== "" && value.length <= 64 &&
    [...value].every((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-".includes(c));
  if (typeof message.v !== "number" || !Number.isInteger(message.v)) return "BAD_REQUEST";
  if (message.v !== 1) return "UNSUPPORTED_VERSION";
  const { svc, type, flags = 0, seq = null, room = null } = message;
  const good = name(svc) && name(type) && whole(flags, 4294967295) &&
    (seq === null || whole(seq, 9007199254740991)) && (room === null || isNaiveRoom(room)) &&
    !("other" in message);
  return good ? "read" : "BAD_REQUEST";
}

function isNaiveRoom(value: unknown): boolean {
  if (typeof value !== "string" || value === "") return false;
  if (Buffer.from(value, "utf8").length > 128) return false;
  // A lone surrogate does not survive UTF-8.
  if (Buffer.from(value, "utf8").toString("utf8") !== value) return false;
  return [...value].every((c) => {
    const point = c.codePointAt(0)!;
    return point >= 0x20 && !(point >= 0x7f && point <= 0x9f) && point !== 0x2028 && point !== 0x2029;
  });
}

test("An envelope is read or refused as the protocol's table says", () => {
  const seen = { read: 0, BAD_REQUEST: 0, UNSUPPORTED_VERSION: 0 };
  fc.assert(
    fc.property(fields, (message) => {
      const value = JSON.parse(JSON.stringify(message)) as Record<string, unknown>;
      const expected = second(value);
      seen[expected]++;
      const envelope = decodeJson(JSON.stringify(message));
      assert.equal(envelope.ok ? "read" : envelope.refusal.code, expected);
      if (envelope.ok) {
        const { svc, type, flags = 0, seq = null, room = null, data } = value;
        const { data: json, ...others } = envelope;
        assert.deepEqual(others, { ok: true, svc, type, flags, seq, room, key: null, trace: null });
        assert.deepEqual(json?.read(), data === undefined ? undefined : { ok: true, value: data });
        assert.equal(json?.text, JSON.stringify(message.data));
      } else assert.equal(envelope.refusal.close?.code, expected === "BAD_REQUEST" ? 4505 : 4506);
    }),
    { numRuns: 3000 },
  );
  for (const [outcome, count] of Object.entries(seen)) assert.ok(count > 50, `${outcome}: ${count}`);
});

test("Any text is read or refused, and never throws", () => {
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.json(),
    fc.string({
      unit: fc.constantFrom("{", "}", "[", "]", '"', ":", ",", "v", "1", "\\", "\u2028", "\ud800", "e", "-"),
    }),
  );
  fc.assert(
    fc.property(text, (text) => {
      const envelope = decodeJson(text);
      // None of these is an envelope: that takes three fields of three names.
      assert.equal(envelope.ok, false);
    }),
    { numRuns: 2000 },
  );
});

const WALK = { depth: 2, members: 0, negativeZero: false };

test("Any value at all is checked without a throw", () => {
  fc.assert(
    fc.property(fc.anything({ withNullPrototype: true, withDate: true }), (value) => {
      assert.equal(typeof checkEnvelope(value, WALK).ok, "boolean");
    }),
  );
});

test("A seq is told with a refusal exactly where it was readable", () => {
  fc.assert(fc.property(nearly, (seq) => {
    const envelope = decodeJson(JSON.stringify({ v: 1, svc: "", type: "", seq }));
    assert.ok(!envelope.ok);
    const readable = typeof seq === "number" && Number.isInteger(seq) && seq >= 0 && seq <= 2 ** 53 - 1;
    assert.equal(envelope.seq, readable ? seq + 0 : null);
  }));
  assert.equal(decodeJson('{"v":1,"svc":"a"').seq, null);
});

test("A message nested as deep as its size allows is read or refused, and never throws", () => {
  for (const depth of [62, 63, 10_000, 1_000_000]) {
    const open = "[".repeat(depth);
    assert.equal(decodeJson(open).ok, false);
    const whole = decodeJson(`{"v":1,"svc":"a","type":"b","data":${open}${"]".repeat(depth)}}`);
    if (!whole.ok) assert.equal(whole.refusal.code, "BAD_REQUEST");
    assert.equal(whole.ok, depth <= 63);
    assert.equal(decodeJson('{"a":'.repeat(depth)).ok, false);
  }
});

test("What is named as objects inherit it is a field like any other", () => {
  for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty", "valueOf"]) {
    assert.ok(!decodeJson(`{"v":1,"svc":"a","type":"b",${JSON.stringify(name)}:{"room":"x"}}`).ok, name);
    const envelope = decodeJson(
      `{"v":1,"svc":"a","type":"b","data":{${JSON.stringify(name)}:{"polluted":1}}}`,
    );
    assert.ok(envelope.ok, name);
    const read = envelope.data!.read();
    assert.ok(read.ok && Object.hasOwn(read.value as object, name), name);
  }
  assert.equal(({} as { polluted?: unknown }).polluted, undefined);
});

test("A room's name is 1 to 128 bytes of printable UTF-8", () => {
  const name = fc.oneof(
    fc.string({ unit: "binary", maxLength: 140 }),
    fc.string({ unit: "grapheme", minLength: 20, maxLength: 60 }),
    fc.string({ unit: fc.constantFrom("a", "ü", "片", "🎲"), minLength: 30, maxLength: 140 }),
    fc.string({
      unit: fc.constantFrom("a", "\ud83c", "\udfb2", "\u007f", "\u009f", "\u00a0", "\u2028", "\u200d"),
      maxLength: 4,
    }),
  );
  const seen = { yes: 0, no: 0 };
  fc.assert(
    fc.property(name, (name) => {
      seen[isNaiveRoom(name) ? "yes" : "no"]++;
      assert.equal(isRoomName(name), isNaiveRoom(name), JSON.stringify(name));
    }),
    { numRuns: 4000 },
  );
  assert.ok(seen.yes > 300 && seen.no > 300, JSON.stringify(seen));
  for (const value of [1, null, undefined, ["a"], { length: 1 }]) assert.equal(isRoomName(value), false);
});

test("Each character below U+3000 is printable or not as the room rule says", () => {
  for (let point = 0; point < 0x3000; point++) {
    const name = `a${String.fromCodePoint(point)}`;
    assert.equal(isRoomName(name), isNaiveRoom(name), point.toString(16));
  }
});

test("A trace is a traceparent or is refused, in short messages and long ones", () => {
  const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const text = (value: unknown, more = "") =>
    JSON.stringify({ v: 1, svc: "a", type: "b", trace: value, data: more });
  for (const more of ["", "x".repeat(2000)]) {
    const read = decodeJson(text(trace, more));
    assert.ok(read.ok && read.trace === trace);
    for (const bad of ["", "nonsense", trace.toUpperCase(), `${trace}0`, 7, {}]) {
      const refused = decodeJson(text(bad, more));
      assert.ok(!refused.ok && /trace must be/.test(refused.refusal.msg), String(bad));
    }
  }
  assert.ok(decodeJson(text(null)).ok, "null is none");
});
