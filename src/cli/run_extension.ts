// `wsprism run-extension`: one call of a script or WASM module without a gateway, behind the same walls.

import { ENV_FILE } from "./variables.ts";
import { errorText } from "../error_text.ts";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { Command, Option } from "commander";
import { launchHost } from "../extension/launch.ts";
import { type Hook, HOOKS, type SessionView } from "../program/messages.ts";
import { prepareScript, prepareWasm } from "../program/source.ts";
import { type TrialOptions, type TrialReport, tryExtension } from "../extension/trial.ts";
import { numbersAsTexts } from "../extension/session_texts.ts";
import { readForeign } from "../protocol/json.ts";
import { JSON_DEPTH } from "../protocol/json_scan.ts";
import { claimOption, readClaims } from "./claims.ts";
import { writeNow } from "./descriptor.ts";
import { type Done, EXIT } from "./exit.ts";
import { complain } from "./tenant_auth.ts";
import { type Given, givenByConfig, givenByFlags, type GrantOptions } from "./trial_grants.ts";
import { trialJson, trialText } from "./trial_text.ts";

interface RunOptions extends GrantOptions {
  readonly message?: string;
  readonly hook?: Hook;
  readonly user: string;
  readonly claim: readonly string[];
  readonly room?: string;
  readonly bestEffort: boolean;
  readonly json: boolean;
}

const EXAMPLES = `
Examples:
  echo '{"svc":"hello","type":"greet","seq":1}' | wsprism run-extension hello.ts --message - --publish lobby --kv
  wsprism run-extension match.ts --message open.json --config wsprism.yaml --tenant acme --user ann
  wsprism run-extension news.ts --hook onTick --net feed.example:443 --options '{"feed":"https://feed.example/"}'

A message is {"svc", "type", "room"?, "seq"?, "data"?} in JSON; for other hooks, their event. kv is empty, fetch is
real, and what would be published is printed. With --config, permissions, limits and options are those of the
service or plugin with this file.
Exit codes: 0 done, 1 it failed, 2 usage, 3 the file or configuration is refused, 4 it refused the message.`;

export function runExtensionCommand(done: Done): Command {
  return new Command("run-extension")
    .description("call an extension once, without a gateway, and tell what it does")
    .argument("<file>", "the script, or a WASM module (.wasm)")
    .option("--message <file>", "what it is called with, JSON; - for stdin")
    .addOption(
      new Option("--hook <hook>", "which hook (default: onMessage, for a plugin onIngress)").choices(HOOKS),
    )
    .option("--config <file>", "the configuration that it is in")
    .option(...ENV_FILE)
    .option("--tenant <id>", "the tenant, with --config")
    .option("--net <place...>", "permissions.net, such as api.example:443")
    .option("--env <name...>", "permissions.env")
    .option("--publish <room...>", "permissions.publish")
    .option("--kv", "permissions.kv", false)
    .option("--users", "permissions.users", false)
    .option("--options <json>", "options, any JSON")
    .option("--user <name>", "whose session calls", "user")
    .addOption(claimOption("a claim of the session's ticket, JSON or else a text; may be repeated"))
    .option("--room <room>", "a room that the session is in")
    .option("--best-effort", "go on where this machine lacks a wall: only for code that you trust", false)
    .option("--json", "as JSON", false)
    .addHelpText("after", EXAMPLES)
    .action(async (file: string, options: RunOptions) => done(await run(file, options)));
}

async function run(file: string, options: RunOptions): Promise<number> {
  const given = options.config === undefined
    ? givenByFlags(file, options)
    : await givenByConfig(file, options);
  if (typeof given === "number") return given;
  const { role } = given;
  const hook = options.hook ?? (role === "plugin" ? "onIngress" : "onMessage");
  const input = readInput(hook, options.message);
  if (typeof input === "string") return complain(input, EXIT.usage);
  const claims = readClaims(options.claim);
  if (typeof claims === "string") return complain(`Cannot use these claims: ${claims}`, EXIT.usage);
  const env = variables(given.permissions.env);
  if (typeof env === "string") return complain(env, EXIT.usage);
  const prepared = prepare(file, given);
  if (!prepared.ok) {
    const { path, line, msg } = prepared;
    return complain(`Cannot load ${path}${line === undefined ? "" : `:${line}`}: ${msg}`, EXIT.config);
  }
  const report = await tryExtension({
    ...trialOf(given),
    spec: { ...specOf(given, env), program: prepared.program },
    confinement: options.bestEffort ? "best_effort" : given.confinement,
    launch: launchHost,
    hook,
    input: input.value,
    session: hook === "onTick" ? null : sessionOf(options, given.tenant, claims),
  });
  writeNow(1, options.json ? trialJson(report) : trialText(report));
  return exitCode(report);
}

function prepare(file: string, { root, limits }: Given) {
  const absolute = resolve(file);
  return /\.wasm$/i.test(file)
    ? prepareWasm({ root, file: absolute, memoryMb: limits.memory_mb })
    : prepareScript({ root, file: absolute });
}

type Spec = Omit<TrialOptions["spec"], "program">;

function specOf({ tenant, name, role, options, limits }: Given, env: Spec["env"]): Spec {
  return {
    tenant,
    extension: name,
    role,
    options,
    env,
    limits: {
      cpuMs: limits.cpu_ms,
      memoryMb: limits.memory_mb,
      maxReplyBytes: limits.max_reply_bytes,
      maxRequests: limits.max_pending,
      maxTimers: limits.max_timers,
    },
  };
}

function trialOf({ permissions, limits, hostMemoryMb }: Given): Pick<TrialOptions, "permissions" | "limits"> {
  return {
    permissions,
    limits: {
      timeoutMs: limits.timeout_ms,
      hostMemoryMb,
      fetchConcurrency: limits.fetch_concurrency,
      actionsPerSecond: limits.max_actions_per_second,
      kvMaxBytes: limits.kv_max_bytes,
    },
  };
}

/** The variables that it may see; a text is why one of them cannot be read. */
function variables(names: readonly string[]): Readonly<Record<string, string>> | string {
  const found: Record<string, string> = {};
  for (const name of names) {
    try {
      const value = process.env[name];
      if (value === undefined) return `The environment variable ${name} is not set`;
      found[name] = value;
    } catch { // Deno's permissions
      return `This process may not read the environment variable ${name}; allow it (--allow-env=${name})`;
    }
  }
  return found;
}

/** What a hook is called with; a text is why it cannot be read. */
function readInput(hook: Hook, message: string | undefined): { readonly value: unknown } | string {
  if (hook === "onTick") return { value: undefined };
  if (message === undefined) return `${hook} needs --message FILE`;
  let text: string;
  try {
    text = readFileSync(message === "-" ? 0 : message, "utf8");
  } catch (error) {
    return `Cannot read the message: ${errorText(error)}`;
  }
  const read = readForeign(text, JSON_DEPTH);
  if (!read.ok) return `Cannot read the message: it ${read.why}`;
  const { value } = read;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return "Cannot use the message: it must be an object";
  }
  if (hook !== "onMessage" && hook !== "onIngress") return { value };
  const { svc, type, room = null, seq = null, data = null } = value as Record<string, unknown>;
  if (typeof svc !== "string" || typeof type !== "string") {
    return "Cannot use the message: it must have svc and type";
  }
  return { value: { svc, type, room, seq, data } };
}

function sessionOf(
  { user, room }: RunOptions,
  tenant: string,
  claims: Readonly<Record<string, unknown>>,
): SessionView {
  const rooms = room === undefined ? [] : [room];
  // As a gateway gives them.
  const given = JSON.parse(JSON.stringify(claims, numbersAsTexts)) as Readonly<Record<string, unknown>>;
  return { id: "trial", user, tenant, rooms, activeRoom: room ?? null, claims: given };
}

function exitCode({ end }: TrialReport): number {
  switch (end.kind) {
    case "value": {
      const { drop, reject } = (end.value ?? {}) as { drop?: unknown; reject?: unknown };
      return drop === undefined && reject === undefined ? EXIT.done : EXIT.denied;
    }
    case "refused":
      return EXIT.denied;
    case "no_hook":
      return EXIT.usage;
    default:
      return EXIT.failed;
  }
}
