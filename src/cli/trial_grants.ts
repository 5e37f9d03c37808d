// What an extension that is tried has: permissions, limits and options, from a configuration or from flags.

import { readForeign } from "../protocol/json.ts";
import { JSON_DEPTH } from "../protocol/json_scan.ts";
import { dirname, resolve } from "node:path";
import type { Config } from "../config/schema.ts";
import {
  extensionGrantsSchema,
  type ExtensionLimits,
  type ExtensionPermissions,
  extensionTerms,
} from "../config/extension_schema.ts";
import { NET_PERMISSION_RULE } from "../config/net_permission.ts";
import type { Confinement } from "../extension/host_process.ts";
import { loadFile } from "./config_file.ts";
import { EXIT } from "./exit.ts";
import { complain } from "./tenant_auth.ts";

export interface GrantOptions {
  readonly config?: string;
  readonly envFile?: string;
  readonly tenant?: string;
  readonly net?: readonly string[];
  readonly env?: readonly string[];
  readonly publish?: readonly string[];
  readonly kv: boolean;
  readonly users: boolean;
  readonly options?: string;
}

/** What it is given. */
export interface Given {
  readonly tenant: string;
  readonly name: string;
  readonly role: "service" | "plugin";
  /** Folder below which its files are. */
  readonly root: string;
  readonly permissions: ExtensionPermissions;
  readonly limits: ExtensionLimits;
  readonly options: unknown;
  readonly confinement: Confinement;
  readonly hostMemoryMb: number;
}

const HOST_MEMORY_MB = 512;

const FLAG_RULES: Readonly<Record<string, string>> = {
  net: NET_PERMISSION_RULE,
  env: "the name of an environment variable",
  publish: "a room of 1–128 characters, * for any characters",
};

/** @returns an exit code where the flags are wrong; the reason was printed */
export function givenByFlags(file: string, flags: GrantOptions): Given | number {
  if (flags.tenant !== undefined) return complain("--tenant goes with --config", EXIT.usage);
  let options: unknown = null;
  if (flags.options !== undefined) {
    const read = readForeign(flags.options, JSON_DEPTH);
    if (!read.ok) return complain(`--options must be JSON, but ${read.why}`, EXIT.usage);
    options = read.value;
  }
  const { net = [], env = [], publish = [], kv, users } = flags;
  const parsed = extensionGrantsSchema.safeParse({ permissions: { net, env, publish, kv, users } });
  if (!parsed.success) {
    const [, flag] = parsed.error.issues[0]!.path;
    return complain(`--${String(flag)} takes ${FLAG_RULES[String(flag)]}`, EXIT.usage);
  }
  return {
    tenant: "trial",
    name: "trial",
    role: "service",
    root: dirname(resolve(file)),
    ...parsed.data,
    options,
    confinement: "required",
    hostMemoryMb: HOST_MEMORY_MB,
  };
}

/** @returns an exit code where there is no such extension; the reason was printed */
export async function givenByConfig(file: string, flags: GrantOptions): Promise<Given | number> {
  const { net, env, publish, kv, users, options } = flags;
  if (net || env || publish || kv || users || options !== undefined) {
    return complain("--config says what it may do; the other flags go without it", EXIT.usage);
  }
  if (flags.tenant === undefined) return complain("--config needs --tenant", EXIT.usage);
  // As with --dev: nobody is let in here.
  const loaded = await loadFile(flags.config, true, flags);
  if (loaded === null) return EXIT.config;
  const { config } = loaded;
  const tenant = config.tenants.find(({ id }) => id === flags.tenant);
  if (tenant === undefined) {
    const known = config.tenants.map(({ id }) => id).join(", ");
    return complain(
      `${loaded.file} has no tenant ${JSON.stringify(flags.tenant)}; it has ${known}`,
      EXIT.usage,
    );
  }
  const root = dirname(resolve(loaded.file));
  const found = extensionsOf(tenant).find(({ path }) => resolve(root, path) === resolve(file));
  if (found === undefined) {
    return complain(`${loaded.file}: tenant ${tenant.id} has no extension with the file ${file}`, EXIT.usage);
  }
  const { name, role, permissions, limits } = found;
  const { confinement, host_memory_mb } = config.extensions;
  return {
    tenant: tenant.id,
    name,
    role,
    root,
    permissions,
    limits,
    options: found.options ?? null,
    confinement,
    hostMemoryMb: host_memory_mb,
  };
}

interface Found extends Pick<Given, "name" | "role" | "permissions" | "limits"> {
  readonly path: string;
  readonly options?: unknown;
}

function extensionsOf({ services, plugins }: Config["tenants"][number]): Found[] {
  return [
    ...services.map((entry) => ({ ...entry, name: entry.svc, role: "service" as const })),
    ...plugins.map((entry) => ({ ...entry, name: entry.id, role: "plugin" as const })),
  ].flatMap((entry) => {
    const path = entry.worker ?? entry.wasm;
    return path === undefined ? [] : [{ ...entry, ...extensionTerms(entry), path }];
  });
}
