// The parts of the schema that speak of extensions: services and plugins that are scripts or WASM modules, what they may
// do, and how much. What keys must satisfy together, and whether the files are good, is checked in extensions.ts.

import * as z from "zod";
import { flag, name, text, whole } from "./fields.ts";
import { NET_PERMISSION_RULE, NET_PERMISSIONS_MAX, parseNetPermission } from "./net_permission.ts";
import { SERVICE_PATTERN } from "./policy_schema.ts";

/** Entries of a list in `permissions`. */
const LIST_MAX = 256;

const permissions = z.strictObject({
  net: z.array(text((value) => parseNetPermission(value) !== null, {
    description: "A place.",
    wish: NET_PERMISSION_RULE,
  })).max(NET_PERMISSIONS_MAX).default([]).meta({
    description: "Where `ctx.fetch` may go.",
    wish: `a list of at most ${NET_PERMISSIONS_MAX} places`,
  }),
  env: z.array(
    z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/).meta({
      description: "A name.",
      wish: "the name of an environment variable",
    }),
  ).max(LIST_MAX).default([]).meta({
    description: "Environment variables of the gateway that `ctx.env` has.",
    wish: `a list of at most ${LIST_MAX} names`,
  }),
  kv: flag(false, "Whether it may keep something (`ctx.kv`)."),
  publish: z.array(z.string().min(1).max(128).meta({ description: "A pattern.", wish: "1–128 characters" }))
    .max(LIST_MAX)
    .default([]).meta({
      description: "Rooms that it may publish to; `*` for any characters.",
      wish: `a list of at most ${LIST_MAX} patterns`,
    }),
  users: flag(false, "Whether it may send to users and sessions other than the one that calls."),
}).meta({ description: "What it may do; nothing more than what is listed." });

const limits = z.strictObject({
  timeout_ms: whole(
    10,
    600_000,
    1000,
    "Time for an answer, waiting included, in milliseconds; then the sender is told `TIMEOUT`.",
  ),
  cpu_ms: whole(
    10,
    60_000,
    100,
    "Time without yielding, in milliseconds, not counting what the host had to wait for a CPU; after it the " +
      "host is ended and started again.",
  ),
  memory_mb: whole(16, 16_384, 64, "Memory in MiB that it adds to what its host may have."),
  max_pending: whole(
    1,
    1_000_000,
    1000,
    "Calls under way; one more is answered with `UNAVAILABLE`, and an event is dropped.",
  ),
  fetch_concurrency: whole(1, 1000, 8, "Requests of `ctx.fetch` under way at the same time."),
  max_actions_per_second: whole(
    1,
    1_000_000,
    1000,
    "Messages sent and sessions moved in a second, also at once; as many requests of `ctx.fetch`, and ten times as many uses " +
      "of `ctx.kv`, each counted by itself.",
  ),
  max_log_lines_per_second: whole(
    1,
    100_000,
    50,
    "Log lines in a second; those above it are dropped and counted.",
  ),
  kv_max_bytes: whole(1024, 1_073_741_824, 1_048_576, "Bytes of keys and values that it may keep."),
  max_reply_bytes: whole(
    1024,
    1_048_576,
    65_536,
    "Largest reply, and largest message that it sends, in bytes.",
  ),
  max_timers: whole(1, 100_000, 100, "Timers that may run."),
}).meta({ description: "How much of everything it may have." });

const file = (description: string) =>
  z.string().min(1).max(4096).optional().meta({ description, wish: "a path" });

/** What services and plugins have in common. */
export const extensionKeys = {
  worker: file(
    "A script in TypeScript or JavaScript. A relative path starts at this file, below whose folder it is.",
  ),
  wasm: file("The same as a WASM module, built with an Extism kit."),
  permissions: permissions.optional(),
  limits: limits.optional(),
  options: z.unknown().optional().meta({
    description: "Whatever it is to know; `ctx.options` has it.",
    wish: "any value",
  }),
  tick_ms: z.int().min(50).max(86_400_000).optional().meta({
    description: "Time between two calls of `onTick`, where it has that, in milliseconds. Absent: 1000.",
  }),
};

/** `tenants[].plugins[]`. */
export const pluginSchema = z.strictObject({
  id: name("The plugin's name in messages that it sends, in metrics and logs; unique in the tenant."),
  match: z.strictObject({
    service: text((value) => SERVICE_PATTERN.test(value), {
      description: 'Messages of this kind: `"svc:type"`, either of which may be `*`.',
      wish: '"svc:type", either part may be "*"',
    }),
    room: z.string().min(1).max(128).meta({
      description: "Only messages to rooms of this name, `*` for any characters.",
      wish: "1–128 characters",
    }).optional(),
  }).meta({ description: "Which messages it sees." }),
  ...extensionKeys,
  on_failure: z.enum(["closed", "open"]).default("closed").meta({
    description: "What happens to a message on which it fails: `closed` refuses it, `open` lets it pass.",
  }),
}).meta({ description: "An extension that sees messages after policy and before their service." });

/** `tenants[].plugins`. */
export const pluginsSchema = z.array(pluginSchema).max(64).default([]).meta({
  description: "What sees ext messages before their service does, in this order.",
  wish: "a list of at most 64 plugins",
});

/** `extensions`. */
export const extensionsSchema = z.strictObject({
  confinement: z.enum(["required", "best_effort"]).default("required").meta({
    description:
      "Whether extensions run where this machine lacks a wall around them (`wsprism doctor` tells): `required` " +
      "refuses to start them, `best_effort` warns.",
  }),
  host_memory_mb: whole(
    96,
    1_048_576,
    512,
    "Most memory that one host may have, in MiB, whatever its extensions may have together.",
  ),
}).prefault({}).meta({ description: "The processes that run extensions, one for each tenant that has any." });

/** `tenants[].services[].permissions`, and that of plugins. */
export type ExtensionPermissions = z.infer<typeof permissions>;
/** `tenants[].services[].limits`, and that of plugins. */
export type ExtensionLimits = z.infer<typeof limits>;

/** What holds for an extension, its absent keys filled in. */
export interface ExtensionTerms {
  readonly permissions: ExtensionPermissions;
  readonly limits: ExtensionLimits;
  readonly tickMs: number;
}

const TICK_MS = 1000;

/** Fills in what a service or plugin does not say. */
export function extensionTerms(entry: {
  readonly permissions?: ExtensionPermissions | undefined;
  readonly limits?: ExtensionLimits | undefined;
  readonly tick_ms?: number | undefined;
}): ExtensionTerms {
  return {
    permissions: entry.permissions ?? permissions.parse({}),
    limits: entry.limits ?? limits.parse({}),
    tickMs: entry.tick_ms ?? TICK_MS,
  };
}

/** What an extension may do and have, on its own. */
export const extensionGrantsSchema = z.strictObject({
  permissions: permissions.prefault({}),
  limits: limits.prefault({}),
});
