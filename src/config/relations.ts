// What keys must satisfy together. Each relation looks at the values as they stand in the file and is left alone when
// one of them is faulty by itself, so that all independent failures of a file are told at once.

import type * as z from "zod";
import { checkAdmin } from "./admin.ts";
import type { ConfigIssue, Path } from "./issue.ts";
import { configSchema } from "./schema.ts";
import type { Tree } from "./tree.ts";

const gatewayKeys = configSchema.shape.gateway.def.innerType.shape;
const tenantKeys = configSchema.shape.tenants.element.shape;
const sessionsKeys = tenantKeys.policy.def.innerType.shape.sessions.def.innerType.shape;
/** Service names that every tenant has already. */
const BUILT_IN: readonly string[] = ["room", "sys"];

/** Every broken relation in the file. */
export function checkRelations(tree: Tree): ConfigIssue[] {
  const failures: ConfigIssue[] = [];
  const root = map(tree.root);
  checkTimes(map(root["gateway"]), tree, failures);
  failures.push(...checkAdmin(tree));

  const tenants = list(root["tenants"]);
  checkUnique(tenants.map((tenant) => map(tenant)["id"]), ["tenants"], "id", tree, failures);
  tenants.forEach((value, index) => {
    const tenant = map(value);
    const path = ["tenants", index];
    checkSessions(map(map(tenant["policy"])["sessions"]), [...path, "policy", "sessions"], tree, failures);

    const names = list(tenant["services"]).map((service) => map(service)["svc"]);
    checkUnique(names, [...path, "services"], "svc", tree, failures);
    names.forEach((name, at) => {
      if (typeof name !== "string" || !BUILT_IN.includes(name)) return;
      const message = `must not be "${name}", a service that every tenant has already`;
      failures.push(tree.issue([...path, "services", at, "svc"], message));
    });
    checkCompression([...path, "compression"], tree, failures);
    checkRooms(list(tenant["rooms"]), [...path, "rooms"], tree, failures);
    const ids = list(tenant["hot_services"]).map((service) => map(service)["id"]);
    checkUnique(ids, [...path, "hot_services"], "id", tree, failures);
  });
  return failures;
}

function checkTimes(gateway: Readonly<Record<string, unknown>>, tree: Tree, failures: ConfigIssue[]): void {
  const idle = good(gatewayKeys.idle_timeout_ms, gateway["idle_timeout_ms"]);
  const ping = good(gatewayKeys.ping_interval_ms, gateway["ping_interval_ms"]);
  if (idle === undefined || ping === undefined || idle > ping) return;
  const path = ["gateway", "idle_timeout_ms"];
  const named = tree.has(path) ? path : ["gateway", "ping_interval_ms"];
  const message = tree.has(path)
    ? `must be greater than gateway.ping_interval_ms (${
      shown(tree, ["gateway", "ping_interval_ms"], ping)
    }), got ${tree.show(path)}`
    : `must be less than gateway.idle_timeout_ms (${idle}), got ${tree.show(named)}`;
  failures.push(tree.issue(named, message));
}

function checkSessions(
  sessions: Readonly<Record<string, unknown>>,
  path: Path,
  tree: Tree,
  failures: ConfigIssue[],
): void {
  const most = good(sessionsKeys.max_sessions_per_user, sessions["max_sessions_per_user"]);
  if (sessions["mode"] !== "single" || most === undefined || most === 1) return;
  const key = [...path, "max_sessions_per_user"];
  failures.push(tree.issue(key, `must be 1 with mode "single", got ${shown(tree, key, most)}`));
}

function checkCompression(path: Path, tree: Tree, failures: ConfigIssue[]): void {
  const transport = map(map(tree.root)["gateway"])["transport"];
  if (!tree.has(path) || transport !== "native" && transport !== "node") return;
  failures.push(tree.issue(path, `needs gateway.transport "raw" or "auto", got "${transport}"`, "key"));
}

/** Messages of a room that are given at once to who missed them. */
const STREAM_MESSAGES_MAX = 10_000;

function checkRooms(classes: readonly unknown[], path: Path, tree: Tree, failures: ConfigIssue[]): void {
  checkStreamRooms(classes, path, tree, failures);
  if (tree.has(["cluster"])) return checkSharedRooms(classes, path, tree, failures);
  if (tree.has(["gateway", "state_dir"])) return;
  classes.forEach((value, index) => {
    if (map(map(value)["history"])["store"] !== "disk") return;
    const key = [...path, index, "history", "store"];
    failures.push(tree.issue(key, 'needs gateway.state_dir for "disk"'));
  });
}

/** What all nodes share is in the memory of each that has the room, as far as it is given to who comes back. */
function checkStreamRooms(
  classes: readonly unknown[],
  path: Path,
  tree: Tree,
  failures: ConfigIssue[],
): void {
  classes.forEach((value, index) => {
    const { store, max_messages: most } = map(map(value)["history"]);
    if (store !== "nats") return;
    const key = (name: string) => [...path, index, "history", name];
    if (!tree.has(["cluster"])) failures.push(tree.issue(key("store"), 'needs cluster for "nats"'));
    if (typeof most !== "number" || most <= STREAM_MESSAGES_MAX) return;
    const at = key("max_messages");
    const wish = `must be at most ${STREAM_MESSAGES_MAX} with the store "nats"`;
    failures.push(tree.issue(at, `${wish}, got ${shown(tree, at, most)}`));
  });
}

/** What one node keeps by itself, another would number by itself too. */
function checkSharedRooms(
  classes: readonly unknown[],
  path: Path,
  tree: Tree,
  failures: ConfigIssue[],
): void {
  classes.forEach((value, index) => {
    const history = map(value)["history"];
    if (typeof history !== "object" || history === null || map(history)["store"] === "nats") return;
    const key = [...path, index, "history", ...(map(history)["store"] === undefined ? [] : ["store"])];
    failures.push(tree.issue(key, 'must have the store "nats" in a cluster: the others belong to one node'));
  });
}

function checkUnique(
  values: readonly unknown[],
  path: Path,
  key: string,
  tree: Tree,
  failures: ConfigIssue[],
): void {
  const first = new Map<unknown, number>();
  values.forEach((value, index) => {
    if (typeof value !== "string" && typeof value !== "number") return;
    const before = first.get(value);
    if (before === undefined) {
      first.set(value, index);
      return;
    }
    const at = [...path, index, key];
    const other = tree.issue([...path, before, key], "");
    failures.push(
      tree.issue(at, `must be unique, but ${tree.show(at)} is also ${other.path} in line ${other.line}`),
    );
  });
}

/** The value with its default, or undefined when it is faulty by itself. */
function good<T>(schema: z.ZodType<T>, value: unknown): T | undefined {
  const result = schema.safeParse(value);
  return result.success ? result.data : undefined;
}

function shown(tree: Tree, path: Path, preset: number): string {
  return tree.has(path) ? tree.show(path) : `${preset}, the default`;
}

function map(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Record<string, unknown>
    : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
