import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type DataSchema, loadSchema, SchemaCompiler } from "../../src/config/data_schema.ts";

function compiled(schema: object | boolean): DataSchema {
  const result = new SchemaCompiler().compile(JSON.stringify(schema));
  if (typeof result === "string") assert.fail(result);
  return loadSchema(result.code);
}

test("A schema says what is wrong with data and where, and nothing about what is right", () => {
  const schema = compiled({
    type: "object",
    properties: { msg: { type: "string", maxLength: 5 }, to: { enum: ["all", "team"] } },
    required: ["msg"],
    additionalProperties: false,
  });
  assert.equal(schema.fault({ msg: "hello", to: "team" }), null);
  assert.equal(schema.fault({ msg: 1 }), "data/msg must be string");
  assert.equal(schema.fault({ msg: "longer" }), "data/msg must NOT have more than 5 characters");
  assert.equal(schema.fault({}), "data must have required property 'msg'");
  assert.equal(schema.fault({ msg: "", more: 1 }), "data must NOT have additional properties");
  assert.equal(schema.fault(undefined), "data must be object");
  assert.equal(compiled(false).fault(1), "data boolean schema is false");
  assert.equal(compiled(true).fault(undefined), null);
});

test("Keywords of 2020-12 mean what they mean there", () => {
  const tuple = compiled({
    type: "array",
    prefixItems: [{ type: "string" }, { type: "number" }],
    items: false,
  });
  assert.equal(tuple.fault(["x", 1]), null);
  assert.notEqual(tuple.fault(["x", 1, 2]), null);
  const pairs = compiled({
    dependentRequired: { a: ["b"] },
    unevaluatedProperties: false,
    properties: { a: {}, b: {} },
  });
  assert.equal(pairs.fault({ a: 1, b: 2 }), null);
  assert.notEqual(pairs.fault({ a: 1 }), null);
  assert.notEqual(pairs.fault({ c: 1 }), null);
});

test("Patterns match as in JavaScript, and those that explode there take time by the length of the text only", () => {
  const cases: [pattern: string, good: string, bad: string][] = [
    ["^[a-z]{1,3}$", "abc", "abcd"],
    ["b", "abc", "ac"],
    ["^\\d+\\.\\d\\d$", "12.34", "12.3"],
    ["^\\u00e9t\\u00e9$", "été", "ete"],
    ["^\\p{L}+$", "grün", "gr3n"],
    ["^(?:jpg|png)$", "png", "gif"],
    ["^a/b$", "a/b", "ab"],
    ["^.$", "😀", "ab"],
  ];
  for (const [pattern, good, bad] of cases) {
    const schema = compiled({ type: "string", pattern });
    assert.equal(schema.fault(good), null, pattern);
    assert.notEqual(schema.fault(bad), null, pattern);
  }
  // By backtracking, this would outlast the sun.
  assert.notEqual(compiled({ pattern: "^(a+)+$" }).fault(`${"a".repeat(5000)}!`), null);
  assert.notEqual(
    compiled({ patternProperties: { "^(a|a)*$": false } }).fault({ [`${"a".repeat(5000)}`]: 1 }),
    null,
  );
});

test("Each pattern is its own, in one schema and among many", () => {
  const both = compiled({ properties: { a: { pattern: "^x" }, b: { pattern: "^y" } } });
  assert.equal(both.fault({ a: "x1", b: "y1" }), null);
  assert.equal(both.fault({ a: "x1", b: "x1" }), 'data/b must match pattern "^y"');
  assert.equal(both.fault({ a: "y1", b: "y1" }), 'data/a must match pattern "^x"');
  const compiler = new SchemaCompiler();
  const [x, y] = ["^x", "^y"].map((pattern) => {
    const result = compiler.compile(JSON.stringify({ pattern }));
    return loadSchema((result as { code: string }).code);
  });
  assert.deepEqual([x!.fault("x"), y!.fault("y")], [null, null]);
  assert.ok(x!.fault("y") !== null && y!.fault("x") !== null);
});

test("Data that is nested deeper than one can follow is refused, and the answer is never long", () => {
  const tree = compiled({ $ref: "#/$defs/t", $defs: { t: { type: "array", items: { $ref: "#/$defs/t" } } } });
  let deep: unknown[] = [];
  for (let i = 0; i < 1_000_000; i++) deep = [deep];
  assert.equal(tree.fault(deep), "data is nested too deep");
  assert.equal(tree.fault([[], [[]]]), null);
  const names = compiled({ additionalProperties: { type: "number" } });
  assert.ok(names.fault({ ["x".repeat(10_000)]: "" })!.length <= 200);
});

test("One compiler serves many schemas, and none sees another's names", () => {
  const compiler = new SchemaCompiler();
  const schema = (type: string) => {
    const result = compiler.compile(JSON.stringify({ $id: "https://example.com/s", type }));
    if (typeof result === "string") assert.fail(result);
    return loadSchema(result.code);
  };
  const [text, number] = [schema("string"), schema("number")];
  assert.deepEqual([text.fault("a"), text.fault(1), number.fault(1)], [null, "data must be string", null]);
  assert.equal(typeof compiler.compile('{"$ref":"https://example.com/s"}'), "string");
});

test("Everything that a validator's code asks for is there", () => {
  const schema = compiled({
    type: "array",
    uniqueItems: true,
    maxItems: 5,
    items: { anyOf: [{ const: { a: [1] } }, { enum: [{ b: 1 }, "x"] }, { type: "string", minLength: 2 }] },
    unevaluatedItems: false,
  });
  assert.equal(schema.fault([{ a: [1] }, { b: 1 }, "x", "😀!"]), null);
  assert.equal(
    schema.fault(["xx", "xx"]),
    "data must NOT have duplicate items (items ## 0 and 1 are identical)",
  );
  assert.notEqual(schema.fault(["😀"]), null, "one character, though two units");
  assert.notEqual(schema.fault([{ a: [2] }]), null);
});
