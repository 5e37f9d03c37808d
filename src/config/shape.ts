// The schema as plain data: which keys a map has, what a value must be. Errors, hints for misspelt keys and the
// reference in docs/ are made from it, so that the schema is the only place where a key is declared.

import type * as z from "zod";

/** What a value in the file may be. */
export type Shape = MapShape | ListShape | LeafShape;

interface Common {
  /** Completes "must be …". */
  readonly wish: string;
  readonly description: string;
  /** Whether the key must be given. */
  readonly required: boolean;
  /** The value of an absent key, for a list or a single value; undefined when it has none. */
  readonly preset: unknown;
  /** Whether no message may show what stands there. */
  readonly secret: boolean;
  /** Whether an absent key has no value at all. */
  readonly optional: boolean;
}

/** A map with fixed keys. */
export interface MapShape extends Common {
  readonly kind: "map";
  readonly keys: ReadonlyMap<string, Shape>;
}

/** A list of values of one shape. */
export interface ListShape extends Common {
  readonly kind: "list";
  readonly item: Shape;
}

/** A single value; `any` is one of whatever shape, which is taken as it stands. */
export interface LeafShape extends Common {
  readonly kind: "text" | "number" | "flag" | "choice" | "any";
}

type AnySchema = z.core.$ZodType;

interface Met {
  wish: string | undefined;
  description: string;
  required: boolean;
  preset: unknown;
  optional: boolean;
  secret: boolean;
}

/** Reads the shape of a schema. */
export function shapeOf(schema: AnySchema): Shape {
  return read(schema, {
    wish: undefined,
    description: "",
    required: true,
    preset: undefined,
    optional: false,
    secret: false,
  });
}

function read(schema: AnySchema, met: Met): Shape {
  const known = schema as z.ZodType;
  const meta = known.meta?.();
  if (meta?.description !== undefined && met.description === "") met.description = meta.description;
  if (typeof meta?.["wish"] === "string") met.wish ??= meta["wish"];
  if (meta?.["secret"] === true) met.secret = true;

  const def = (schema as z.core.$ZodTypes)._zod.def;
  switch (def.type) {
    case "default":
      met.required = false;
      met.preset = def.defaultValue;
      return read(def.innerType, met);
    case "prefault":
      met.required = false;
      return read(def.innerType, met);
    case "optional":
      met.required = false;
      met.optional = true;
      return read(def.innerType, met);
    case "object": {
      const keys = new Map(Object.entries(def.shape).map(([key, inner]) => [key, shapeOf(inner)]));
      return { kind: "map", ...common(met, "a map of keys"), keys };
    }
    case "union":
      return { kind: "map", ...common(met, "a map of keys"), keys: merged(def.options) };
    case "array":
      return { kind: "list", ...common(met, "a list"), item: shapeOf(def.element) };
    case "number": {
      const number = schema as z.ZodNumber;
      return { kind: "number", ...common(met, range(number.minValue, number.maxValue)) };
    }
    case "boolean":
      return { kind: "flag", ...common(met, "true or false") };
    case "enum":
      return { kind: "choice", ...common(met, oneOf(Object.values(def.entries))) };
    case "literal":
      return { kind: "choice", ...common(met, oneOf(def.values)) };
    case "unknown":
      return { kind: "any", ...common(met, "any value") };
    case "string":
      return { kind: "text", ...common(met, "text") };
    default:
      throw new TypeError(`Cannot describe a configuration value of the schema type "${def.type}"`);
  }
}

function common(met: Met, wish: string): Common {
  const { description, required, preset, optional, secret } = met;
  return { wish: met.wish ?? wish, description, required, preset, optional, secret };
}

/** The keys of all variants together: a hint or a table shows what could be there. */
function merged(options: readonly AnySchema[]): Map<string, Shape> {
  const keys = new Map<string, Shape>();
  const maps = options.map(shapeOf).filter((shape) => shape.kind === "map");
  for (const { keys: ofOne } of maps) {
    for (const [key, found] of ofOne) {
      const everywhere = maps.every((other) => other.keys.has(key));
      const inner = everywhere || !found.required ? found : { ...found, required: false, optional: true };
      const before = keys.get(key);
      // Variants differ in their choices: the discriminator's literals, and what only some of them allow.
      keys.set(
        key,
        before?.kind === "choice" ? { ...before, wish: either(before.wish, inner.wish) } : before ?? inner,
      );
    }
  }
  return keys;
}

function range(min: number | null, max: number | null): string {
  if (max === null || max >= Number.MAX_SAFE_INTEGER) return `a whole number of at least ${min ?? 0}`;
  return `${min ?? 0}..${max}`;
}

/** The choices of two wishes, each once. */
function either(one: string, other: string): string {
  return oneOf([...new Set([one, other].flatMap((wish) => JSON.parse(`[${wish.replace(/^one of /, "")}]`)))]);
}

/** Words for a choice. */
export function oneOf(values: readonly unknown[]): string {
  const words = values.map((value) => JSON.stringify(value)).join(", ");
  return values.length > 1 ? `one of ${words}` : words;
}
