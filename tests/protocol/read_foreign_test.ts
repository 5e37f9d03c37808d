import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readForeign } from "../../src/protocol/json.ts";

test("Short texts are read as long ones are: the same values, and the same refusals", () => {
  const key = fc.constantFrom("a", "b", "c:", "d e", '"', "é", "__proto__", "\\");
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      fc.constantFrom(
        '"x"',
        '"a:b"',
        '"\\":1"',
        "1",
        "-0",
        "1e400",
        "12345678901234567890",
        "true",
        "null",
        "0.1",
      ),
      fc.array(tie("any"), { maxLength: 3 }).map((items) => `[${items.join(" , ")}]`),
      fc.array(fc.tuple(key, tie("any")), { maxLength: 4 }).map((fields) =>
        `{${fields.map(([name, item]) => `${JSON.stringify(name)}:${item}`).join()}}`
      ),
    ),
  })).any as fc.Arbitrary<string>;
  fc.assert(
    fc.property(value, (text) => {
      const long = text + " ".repeat(2000);
      assert.deepEqual(readForeign(text, 512), readForeign(long, 512), text);
    }),
    { numRuns: 2000 },
  );
});

test("A key that stands twice and a number that no double holds are refused in short texts too", () => {
  for (
    const text of ['{"a":1,"a":2}', '{"a" :1,"a" :2}', '[{"b":{"c":1,"c":1}}]', '{"a":12345678901234567890}']
  ) {
    assert.equal(readForeign(text, 512).ok, false, text);
  }
  for (const text of ['{"a":{"a":1}}', '{"url":"http://x:1"}', '{"__proto__":1}', "[]", "1"]) {
    assert.deepEqual(readForeign(text, 512), { ok: true, value: JSON.parse(text) }, text);
  }
});
