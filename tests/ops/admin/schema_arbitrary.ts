// Values that fit a JSON Schema, and values that nearly do: enough of the standard for the schemas of the admin API.

import { strict as assert } from "node:assert";
import fc from "fast-check";

/** A schema of an OpenAPI 3.1 document, its references resolved. */
export interface Schema {
  readonly type?: string | readonly string[];
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: unknown;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
}

/** Replaces every `$ref` by what it names. */
export function resolved(value: unknown, document: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => resolved(item, document));
  if (typeof value !== "object" || value === null) return value;
  const { $ref } = value as { $ref?: string };
  if ($ref !== undefined) {
    const target = $ref.split("/").slice(1).reduce(
      (at, step) => (at as Record<string, unknown>)[step],
      document,
    );
    assert.ok(target !== undefined, $ref);
    return resolved(target, document);
  }
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolved(inner, document)]));
}

/** Values that fit. */
export function fitting(schema: Schema): fc.Arbitrary<unknown> {
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map(fitting));
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if ("const" in schema) return fc.constant(schema.const);
  const { type } = schema;
  if (Array.isArray(type)) return fc.oneof(...type.map((one) => fitting({ ...schema, type: one })));
  switch (type) {
    case undefined:
      return fc.jsonValue();
    case "null":
      return fc.constant(null);
    case "boolean":
      return fc.boolean();
    case "integer":
    case "number":
      return fc.integer({ min: schema.minimum ?? 0, max: Math.min(schema.maximum ?? 1e6, 1e9) });
    case "string":
      return text(schema);
    case "array": {
      const maxLength = Math.min(schema.maxItems ?? 4, 4);
      return fc.array(fitting(schema.items ?? {}), { minLength: schema.minItems ?? 0, maxLength });
    }
    case "object": {
      const model: Record<string, fc.Arbitrary<unknown>> = {};
      for (const [key, inner] of Object.entries(schema.properties ?? {})) model[key] = fitting(inner);
      return fc.record(model, { requiredKeys: [...schema.required ?? []] });
    }
    default:
      assert.fail(`a schema of type ${type}`);
  }
}

function text({ pattern, format, minLength = 0, maxLength = 40 }: Schema): fc.Arbitrary<string> {
  if (format === "base64") return fc.base64String({ maxLength: 40 });
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern));
  return fc.string({ unit: "grapheme", minLength, maxLength: Math.min(maxLength, 40) });
}

/** A value that fits, with something in it replaced by anything, or a key too many. */
export function spoilt(schema: Schema): fc.Arbitrary<unknown> {
  return fc.tuple(fitting(schema), fc.jsonValue(), fc.nat()).map(([value, anything, at]) => {
    const places: ((put: unknown) => void)[] = [];
    const copy = structuredClone({ value });
    const visit = (holder: Record<string, unknown>) => {
      for (const key of Object.keys(holder)) {
        places.push((put) => holder[key] = put);
        const inner = holder[key];
        if (typeof inner === "object" && inner !== null) visit(inner as Record<string, unknown>);
      }
      places.push((put) => Array.isArray(holder) || holder === copy ? undefined : holder["another"] = put);
    };
    visit(copy);
    places[at % places.length]!(anything);
    return copy.value;
  });
}
