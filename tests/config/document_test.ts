import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { configJsonSchema, configReference, configShape } from "../../src/config/document.ts";
import type { Shape } from "../../src/config/shape.ts";

/** Every key with its path, `[]` for lists. */
function* keys(shape: Shape, path = ""): Generator<[path: string, key: string, shape: Shape]> {
  if (shape.kind === "list") yield* keys(shape.item, `${path}[]`);
  if (shape.kind !== "map") return;
  for (const [key, inner] of shape.keys) {
    yield [path, key, inner];
    yield* keys(inner, path === "" ? key : `${path}.${key}`);
  }
}

test("docs/configuration.md is what the schema says (tests/config/write_reference.ts writes it)", () => {
  const file = readFileSync(new URL("../../docs/configuration.md", import.meta.url), "utf8");
  assert.equal(file, configReference());
});

test("The reference has a row with a meaning for every key, under its section", () => {
  const sections = new Map(configReference().split(/^## /m).map((part) => [part.split("\n", 1)[0], part]));
  for (const [path, key, shape] of keys(configShape())) {
    const section = sections.get(path === "" ? "The file" : `\`${path}\``);
    assert.ok(section?.includes(`\n| \`${key}\` | `), `${path}.${key}`);
    assert.notEqual(shape.description, "", `${path}.${key}`);
  }
});

test("The JSON Schema is of draft 2020-12, strict at every level, and describes every key", () => {
  const schema = configJsonSchema();
  assert.equal(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
  assert.deepEqual(schema["required"], ["version", "tenants"]);
  let objects = 0;
  const walk = (value: unknown, name: string): void => {
    if (typeof value !== "object" || value === null) return;
    if ("properties" in value) {
      objects++;
      assert.equal((value as Record<string, unknown>)["additionalProperties"], false, name);
    }
    assert.ok(!("wish" in value) && !("secret" in value && value.secret === true), name);
    for (const [key, inner] of Object.entries(value)) walk(inner, `${name}/${key}`);
  };
  walk(schema, "");
  assert.equal(objects, 69);
  const text = JSON.stringify(schema);
  for (const [, key, shape] of keys(configShape())) {
    assert.ok(text.includes(`"${key}":`), key);
    assert.ok(text.includes(JSON.stringify(shape.description)), key);
  }
  assert.deepEqual(
    (schema as { properties: { gateway: { properties: Record<string, unknown> } } }).properties.gateway
      .properties["drain_grace_ms"],
    {
      type: "integer",
      minimum: 0,
      maximum: 600_000,
      default: 2000,
      description: "Time that sessions get to leave at shutdown, in milliseconds.",
    },
  );
});
