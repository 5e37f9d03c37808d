// Two configurations, compared key by key: what a reload changes, and what of it has to wait for a restart. Values of
// secrets are not shown; that they differ is.

import { CONFIG_SHAPE, HIDDEN, keysOf, TENANT_SHAPE, withoutSecrets } from "./fingerprint.ts";
import { quote } from "./issue.ts";
import type { Config, GatewayConfig, TenantConfig } from "./schema.ts";
import type { MapShape, Shape } from "./shape.ts";

/** A key that differs. */
export interface Change {
  /** Null for what holds for all tenants. */
  readonly tenant: string | null;
  /** Such as `gateway.listen` or, of a tenant, `policy.rate_limit_rps`. */
  readonly key: string;
  /** As a person would write it; null for nothing. */
  readonly before: string | null;
  readonly after: string | null;
  /** Whether it has to wait for a restart. */
  readonly restart: boolean;
}

/** What lies between two configurations. */
export interface ConfigDiff {
  readonly changes: readonly Change[];
  /** Ids of tenants. */
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

/**
 * Keys of `gateway` that a running gateway does not change. Its `tls` too can neither come nor go, nor can `admin`, which
 * stays where it listens.
 */
const RESTART_KEYS = [
  "listen",
  "transport",
  "max_header_bytes",
  "header_timeout_ms",
  "socket_unsent_bytes",
  "tcp",
  "webtransport",
  "reuse_port",
  "state_dir",
  "state_max_bytes",
  "state_tenant_max_bytes",
] as const;

/** Such keys besides, where the transport itself watches for silence: Deno's own server is told once. */
export const IDLE_FIXED: readonly string[] = ["idle_timeout_ms"];

/** By what an item of a list is known, where it has one of these. */
const NAMES = ["id", "svc", "kid"] as const;
/** Longest text of a map that came or went. */
const ITEM_CHARS_MAX = 120;

/**
 * Compares two configurations.
 * @param fixed further keys of `gateway` that wait for a restart
 */
export function diffConfigs(before: Config, after: Config, fixed: readonly string[] = []): ConfigDiff {
  const former = new Map(before.tenants.map((tenant) => [tenant.id, tenant]));
  const changes = diffGeneral(before, after, fixed), added: string[] = [];
  for (const tenant of after.tenants) {
    const known = former.get(tenant.id);
    if (known === undefined) added.push(tenant.id);
    else changes.push(...diffTenant(known, tenant, deflates(before)));
    former.delete(tenant.id);
  }
  return { changes, added, removed: [...former.keys()] };
}

/** What differs besides the tenants; `fixed` as for `diffConfigs`. */
export function diffGeneral(before: Config, after: Config, fixed: readonly string[]): Change[] {
  const changes: Change[] = [], restartKeys = [...RESTART_KEYS, ...fixed];
  const adminStays = (before.admin === undefined) === (after.admin === undefined);
  for (const [key, inner] of CONFIG_SHAPE.keys) {
    if (key === "tenants") continue;
    const of = (config: Config) => (config as Readonly<Record<string, unknown>>)[key];
    for (const { path, from, to } of compare(of(before), of(after), inner, key)) {
      const restart = restartKeys.some((name) => path === `gateway.${name}`) ||
        path.startsWith("gateway.tcp.") || path.startsWith("gateway.webtransport.") ||
        path.startsWith("gateway.tls.") && (from === null || to === null) ||
        path === "admin.listen" || key === "cluster" || key === "tracing" ||
        path === "extensions.confinement" ||
        key === "admin" && !adminStays;
      changes.push({ tenant: null, key: path, before: from, after: to, restart });
    }
  }
  return changes;
}

/** What differs between two configurations of one tenant. @param deflates whether the transport does, which is chosen at start */
export function diffTenant(before: TenantConfig, after: TenantConfig, deflates: boolean): Change[] {
  if (before === after) return [];
  return [...compare(before, after, TENANT_SHAPE, "")].map(({ path, from, to }) => (
    { tenant: after.id, key: path, before: from, after: to, restart: path === "compression" && !deflates }
  ));
}

/** Whether the transport that was chosen for a configuration deflates. */
function deflates({ gateway, tenants }: Config): boolean {
  return gateway.transport === "raw" || tenants.some(({ compression }) => compression !== undefined);
}

/**
 * What holds in a gateway that runs with `running` and is given `next`: the latter, but for what needs a restart.
 * @param fixed as for `diffConfigs`
 */
export function withoutRestart(
  running: GatewayConfig,
  next: GatewayConfig,
  fixed: readonly string[] = [],
): GatewayConfig {
  const comesOrGoes = running.tls === undefined || next.tls === undefined;
  const stays = ([key]: [string, unknown]) =>
    (RESTART_KEYS as readonly string[]).includes(key) || fixed.includes(key) || key === "tls" && comesOrGoes;
  const changed = Object.entries(next).filter((entry) => !stays(entry));
  const kept = Object.entries(running).filter(stays);
  return Object.fromEntries([...changed, ...kept]) as GatewayConfig;
}

/** `admin` and `cluster` of a gateway that runs with `running` and is given `next`; none at all where there was none. */
export function adminWithoutRestart(running: Config, next: Config): Pick<Config, "admin" | "cluster"> {
  const { cluster } = running;
  if (running.admin === undefined) return { admin: undefined, cluster };
  return { cluster, admin: { ...next.admin ?? running.admin, listen: running.admin.listen } };
}

/** One line about a change, without its tenant. */
export function formatChange({ key, before, after, restart }: Change): string {
  const what = before === null ? `+ ${after}` : after === null ? `- ${before}` : `${before} → ${after}`;
  return `${key}: ${before === after ? "changed, not shown" : what}${restart ? " (needs a restart)" : ""}`;
}

interface Difference {
  readonly path: string;
  readonly from: string | null;
  readonly to: string | null;
}

function* compare(before: unknown, after: unknown, shape: Shape, path: string): Generator<Difference> {
  if (before === after) return;
  if (shape.kind === "map" && isMap(before ?? {}) && isMap(after ?? {})) {
    const from = (before ?? {}) as Readonly<Record<string, unknown>>;
    const to = (after ?? {}) as Readonly<Record<string, unknown>>;
    for (const [key, inner] of keysOf(shape, from, to)) {
      yield* compare(from[key], to[key], inner, path === "" ? key : `${path}.${key}`);
    }
  } else if (shape.kind === "list" && Array.isArray(before ?? []) && Array.isArray(after ?? [])) {
    const from = (before ?? []) as readonly unknown[], to = (after ?? []) as readonly unknown[];
    if (shape.item.kind === "map") yield* compareMaps(from, to, shape.item, path);
    else yield* compareLists(from, to, shape.item, path);
  } else if (JSON.stringify(before) !== JSON.stringify(after)) {
    yield { path, from: shown(before, shape), to: shown(after, shape) };
  }
}

/** Lists of single values: what came and what went. */
function* compareLists(
  before: readonly unknown[],
  after: readonly unknown[],
  item: Shape,
  path: string,
): Generator<Difference> {
  const had = new Set(before), has = new Set(after);
  let same = true;
  for (const value of had) {
    if (has.has(value)) continue;
    same = false;
    yield { path, from: shown(value, item), to: null };
  }
  for (const value of has) {
    if (had.has(value)) continue;
    same = false;
    yield { path, from: null, to: shown(value, item) };
  }
  if (same && JSON.stringify(before) !== JSON.stringify(after)) {
    yield { path, from: "an order", to: "another order" };
  }
}

/** Lists of maps: items are matched by their name, or else by their place. */
function* compareMaps(
  before: readonly unknown[],
  after: readonly unknown[],
  item: MapShape,
  path: string,
): Generator<Difference> {
  const name = NAMES.find((key) =>
    item.keys.has(key) && [before, after].every((list) => isNamedBy(list, key))
  );
  const label = (value: unknown, index: number) =>
    name === undefined ? index : (value as Readonly<Record<string, unknown>>)[name];
  const former = new Map(before.map((value, index) => [label(value, index), value]));
  const labels = after.map(label);
  for (const [index, value] of after.entries()) {
    const known = former.get(labels[index]);
    const at = `${path}[${labels[index]}]`;
    if (known === undefined) yield { path: at, from: null, to: shown(value, item) };
    else yield* compare(known, value, item, at);
    former.delete(labels[index]);
  }
  for (const [gone, value] of former) yield { path: `${path}[${gone}]`, from: shown(value, item), to: null };
  const stayed = before.map(label).filter((one) => labels.includes(one));
  if (name !== undefined && stayed.some((one, at) => one !== labels.filter((l) => stayed.includes(l))[at])) {
    yield { path, from: "an order", to: "another order" };
  }
}

/** Whether every item has a name of its own under this key. */
function isNamedBy(list: readonly unknown[], key: string): boolean {
  const names = new Set(list.map((item) => isMap(item) ? item[key] : undefined));
  return !names.has(undefined) && names.size === list.length;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function shown(value: unknown, shape: Shape): string | null {
  if (value === undefined) return null;
  if (shape.secret) return HIDDEN;
  if (typeof value === "string") return quote(value);
  const text = JSON.stringify(withoutSecrets(value, shape));
  return text.length > ITEM_CHARS_MAX ? `${text.slice(0, ITEM_CHARS_MAX - 1)}…` : text;
}
