// Short names for configurations and their parts: equal names, equal content. With secrets, for a process to see what has
// changed; without them, for machines to be compared by, since whoever knows the rest could test guesses.

import { createHash } from "node:crypto";
import { type Config, configSchema, type TenantConfig } from "./schema.ts";
import { type MapShape, type Shape, shapeOf } from "./shape.ts";

/** The schema as data, and that of one tenant. */
export const CONFIG_SHAPE = shapeOf(configSchema) as MapShape;
export const TENANT_SHAPE: Shape = (CONFIG_SHAPE.keys.get("tenants") as { readonly item: Shape }).item;

/** What stands for a value that is not shown. */
export const HIDDEN = "(not shown)";

/** 32 hexadecimal digits for plain data. The order of keys counts; after the schema it is always the same. */
export function fingerprint(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex").slice(0, 32);
}

/** The name of a tenant's configuration, secrets left out. */
export function openFingerprint(config: TenantConfig): string {
  const open = withoutSecrets(config, TENANT_SHAPE);
  const code = [...config.services, ...config.plugins].flatMap(({ code }) => code?.digest ?? []);
  return fingerprint(code.length === 0 ? open : [open, code]);
}

/** The name of a whole configuration, secrets left out, from the names of its tenants. */
export function configHash(config: Config, prints: readonly string[]): string {
  return fingerprint([withoutSecrets({ ...config, tenants: [] }, CONFIG_SHAPE), prints]).slice(0, 16);
}

/** What the schema's shape does not describe is told to nobody, but it counts. */
const UNKNOWN: Shape = {
  kind: "text",
  wish: "",
  description: "",
  required: false,
  preset: undefined,
  optional: true,
  secret: true,
};

/** The keys of a map's shape, in its order, and then those that only these values have. */
export function keysOf(shape: MapShape, ...values: readonly object[]): [string, Shape][] {
  const others = new Set(values.flatMap(Object.keys).filter((key) => !shape.keys.has(key)));
  return [...shape.keys, ...[...others].sort().map((key): [string, Shape] => [key, UNKNOWN])];
}

/** A copy of a value, its keys in the schema's order, without what its shape says is secret. */
export function withoutSecrets(value: unknown, shape: Shape): unknown {
  if (value === undefined) return value;
  if (shape.secret) return HIDDEN;
  if (shape.kind === "list" && Array.isArray(value)) {
    return value.map((item) => withoutSecrets(item, shape.item));
  }
  if (shape.kind !== "map" || typeof value !== "object" || value === null) return value;
  const map = value as Readonly<Record<string, unknown>>;
  const entries = keysOf(shape, map).map(([key, inner]) => [key, withoutSecrets(map[key], inner)] as const);
  return Object.fromEntries(entries.filter(([, inner]) => inner !== undefined));
}
