// What `admin` must satisfy beyond each key's own range, and what is unwise in it. No message shows a secret.

import { ADMIN_PERMISSIONS, type AdminPermission, EVERY_TENANT } from "./admin_schema.ts";
import { parseListen } from "./addresses.ts";
import type { ConfigIssue, Path } from "./issue.ts";
import type { AdminConfig, Config } from "./schema.ts";
import type { Tree } from "./tree.ts";

const WRITE: readonly AdminPermission[] = ADMIN_PERMISSIONS.filter((permission) => permission !== "read");

/** Every broken relation of `admin` with itself and with the rest of the file. */
export function checkAdmin(tree: Tree): ConfigIssue[] {
  const failures: ConfigIssue[] = [];
  const keys = tree.at(["admin", "keys"]);
  if (Array.isArray(keys)) {
    for (const name of ["id", "secret"] as const) checkUnique(keys.length, name, tree, failures);
  }
  const listen = tree.at(["admin", "listen"]);
  const admin = typeof listen === "string" ? parseListen(listen) : undefined;
  if (admin === undefined) return failures;
  const open = tree.at(["gateway", "listen"]);
  const own = typeof open === "string" ? parseListen(open) : undefined;
  if (own !== undefined && own.port === admin.port && own.port !== 0 && own.hostname === admin.hostname) {
    failures.push(
      tree.issue(["admin", "listen"], `must not be gateway.listen, got ${tree.show(["admin", "listen"])}`),
    );
  }
  const path = tree.at(["metrics", "path"]);
  if (typeof path === "string" && /^\/v1(\/|$)/.test(path)) {
    failures.push(
      tree.issue(["metrics", "path"], "must not be below /v1, where the admin listener has its API"),
    );
  }
  const hasConsole = tree.at(["admin", "console"]) === true;
  if (hasConsole && typeof path === "string" && /^\/console(\/|$)/.test(path)) {
    failures.push(tree.issue(["metrics", "path"], "must not be below /console, where the console is"));
  }
  return failures;
}

/** What is allowed in `admin` and still worth a word. */
export function findAdminWarnings({ admin, tenants }: Config, tree: Tree): ConfigIssue[] {
  if (admin === undefined) return [];
  const warnings: ConfigIssue[] = [];
  const warn = (path: Path, message: string) => void warnings.push(tree.issue(path, message));
  if (!isLoopback(admin.listen)) {
    warn(
      ["admin", "listen"],
      "is not this machine only, and plain HTTP: whoever is on the way can read the secrets",
    );
  }
  const ids = new Set(tenants.map(({ id }) => id));
  admin.keys.forEach((key, index) => warnOfKey(key, ["admin", "keys", index], ids, warn));
  return warnings;
}

function warnOfKey(
  { secret, tenants, permissions }: AdminConfig["keys"][number],
  path: Path,
  ids: ReadonlySet<string>,
  warn: (path: Path, message: string) => void,
): void {
  const writes = permissions.filter((permission) => WRITE.includes(permission));
  // A reload concerns all tenants, whoever asks for it.
  if (tenants.includes(EVERY_TENANT) && writes.some((permission) => permission !== "reload")) {
    warn([...path, "tenants"], `lets this key ${writes.join(", ")} in every tenant`);
  }
  tenants.forEach((tenant, index) => {
    if (tenant === EVERY_TENANT && tenants.length > 1) {
      warn([...path, "tenants", index], "makes the other entries pointless");
    } else if (tenant !== EVERY_TENANT && !ids.has(tenant)) {
      warn([...path, "tenants", index], "names a tenant that this file doesn't have");
    }
  });
  if (new Set(secret).size < 10) warn([...path, "secret"], "repeats itself: take random characters");
}

/** Unlike checkUnique of relations.ts, this tells of values without showing them. */
function checkUnique(count: number, key: "id" | "secret", tree: Tree, failures: ConfigIssue[]): void {
  const first = new Map<unknown, number>();
  for (let index = 0; index < count; index++) {
    const path = ["admin", "keys", index, key];
    const value = tree.at(path);
    if (typeof value !== "string") continue;
    const before = first.get(value);
    if (before === undefined) first.set(value, index);
    else failures.push(tree.issue(path, `must be unique, but is also admin.keys[${before}].${key}`));
  }
}

function isLoopback(listen: string): boolean {
  const { hostname } = parseListen(listen)!;
  return hostname === "localhost" || hostname === "::1" || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
