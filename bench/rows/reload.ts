// A file of 1,000 tenants, reloaded by SIGHUP while 200 sessions of one of them echo: how long it takes, and how long the
// loop is ever held up (loop_watch.ts tells, from within the gateway).

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { parse, stringify } from "yaml";
import type { Config, Gateway, Lab, Tenant } from "../lab.ts";
import { residentBytes } from "../proc.ts";
import { info, type Measure, type Row, type Sample } from "../row.ts";
import { type Shape, toLoad } from "./load_row.ts";

const TENANTS = 1000;
/** Longest pause that is wanted, in milliseconds. */
const PAUSE_MS = 20;
/** Before and after a reload, for what it leaves behind to be collected. */
const SETTLE_MS = 500;

const echoing: Shape = {
  service: "echo",
  sessions: 200,
  rooms: 0,
  pace: { kind: "open", publishersPerGroup: 200, perSecond: 50 },
  sampleEvery: 1,
};

/** What differs between a file and the one before it. */
const KINDS = {
  nothing: "nothing",
  one: "one tenant",
  all: "all tenants",
  gone: "half of the tenants, which go",
  back: "half of the tenants, which come back",
} as const;
type Kind = keyof typeof KINDS;

/** The tenants besides the first, as the `round`th reload of a kind finds them. */
function tenants(kind: Kind, round: number): Tenant[] {
  const count = kind === "gone" ? TENANTS / 2 : TENANTS;
  return Array.from({ length: count - 1 }, (_, at) => {
    const n = at + 1, changed = kind === "all" || kind === "one" && n === 1;
    return {
      id: `tenant-${n}`,
      auth: {
        mode: "jwt",
        jwt: { algorithms: ["HS256"], keys: [{ secret: `a secret of tenant ${n} that is its own` }] },
      },
      origins: [`https://tenant-${n}.example`, `https://*.tenant-${n}.example`],
      limits: { max_sessions_total: 5000, max_users_per_room: 200 },
      policy: {
        rate_limit_rps: changed ? 100 + round : 100,
        ext_allowlist: ["room:*", ...Array.from({ length: 10 }, (_, i) => `chat:type-${i}`)],
        hot_allowlist: ["1:*", "2:1", "2:2"],
        ...policyOf(n),
      },
      services: [{ svc: "chat", builtin: "chat" }],
      hot_services: [{ id: 1, kind: "echo" }, { id: 2, kind: "state", tick_ms: 50 }],
    };
  });
}

/** What some tenants have besides: one in three quotas and rules, one in ten a schema of its own too. */
function policyOf(n: number): object {
  if (n % 3 !== 0 && n % 10 !== 0) return {};
  const flood = {
    id: "chat-flood",
    match: { lane: "ext", service: "chat:type-1" },
    rate: { per: "user", messages_per_second: 5 },
    then: ["reject", { mute_ms: 1000 }, { ban_ms: 60_000 }],
  };
  const shots = {
    id: "shot-rate",
    match: { service: "2:1" },
    rate: { per: "session", messages_per_second: 10 },
  };
  const quotas = {
    session: { messages_per_second: 50, bytes_per_second: 65_536 },
    user: { messages_per_second: 100 },
    tenant: { messages_per_second: 5000, outbound_bytes_per_second: 10_000_000 },
  };
  if (n % 10 !== 0) return { quotas, rules: [flood, shots] };
  const properties = {
    msg: { type: "string", minLength: 1, maxLength: 100 + n, pattern: `^[^<>]*$` },
    to: { enum: ["all", `team-${n}`] },
    tags: { type: "array", maxItems: 8, items: { type: "string", maxLength: 20 } },
  };
  const schema_text = JSON.stringify({
    type: "object",
    required: ["msg"],
    additionalProperties: false,
    properties,
  });
  const shape = { id: "shape", match: { lane: "ext", service: "chat:type-2" }, schema_text };
  return { quotas, rules: [flood, shots, shape] };
}

function write(gateway: Gateway, kind: Kind, round: number): void {
  const config: Config = parse(readFileSync(gateway.config, "utf8"));
  config.tenants.splice(1, Infinity, ...tenants(kind, round));
  // Within the 1 MiB that a file may have.
  writeFileSync(`${gateway.config}.next`, stringify(config, { indent: 1, lineWidth: 0 }));
  renameSync(`${gateway.config}.next`, gateway.config);
}

/** Reloads of every kind, and as controls no reload, and the file checked by a process of its own. */
function reloads(runtime: "bun" | "deno"): Measure {
  return async (lab: Lab): Promise<Sample> => {
    const gateway = await lab.gateway({
      runtime,
      preload: "loop_watch.ts",
      logs: true,
      free: true,
      change: (config) => void config.tenants.push(...tenants("nothing", 0)),
    });
    const crowd = await lab.crowd(toLoad(echoing, gateway));
    // Longer than all reloads; what it measures is not asked for.
    crowd.measure(600).catch(() => {});
    await delay(3000);
    const longestPause = async () => {
      process.kill(gateway.pid, "SIGUSR2");
      return Number(await gateway.told((line) => /^[\d.]+$/.test(line)));
    };
    const sample: Record<string, number> = { memoryBefore: residentBytes(gateway.pid) / 2 ** 20 };
    const during = async (name: string, what: () => Promise<number>) => {
      await delay(SETTLE_MS);
      await longestPause();
      sample[`${name}Ms`] = await what();
      await delay(SETTLE_MS);
      sample[`${name}Pause`] = await longestPause();
    };
    await during("none", () => delay(1500, 0));
    await during("checked", () => checked(lab, gateway));
    for (const kind of Object.keys(KINDS) as Kind[]) {
      write(gateway, kind, Math.floor(performance.now()));
      await during(kind, async () => {
        process.kill(gateway.pid, "SIGHUP");
        const line = await gateway.logged((text) => /configuration reloaded|reload refused/.test(text));
        const { ms, added } = JSON.parse(line);
        if (added === undefined) throw new Error(line);
        return ms;
      });
    }
    return { ...sample, memory: residentBytes(gateway.pid) / 2 ** 20 };
  };
}

/** On two CPUs the generator, the loop and a third process that works get in each other's way: this is their share. */
async function checked(lab: Lab, gateway: Gateway): Promise<number> {
  const since = performance.now();
  const command = ["nice", ...lab.command(), "check", "--dev", "--config", gateway.config];
  const child = spawn(command[0]!, command.slice(1), { cwd: lab.subject.root, stdio: "ignore" });
  await once(child, "close");
  return performance.now() - since;
}

export const reload: readonly Row[] = (["bun", "deno"] as const).map((runtime) => ({
  name: runtime === "bun" ? "reload" : "deno-reload",
  about: `reloads of 1,000 tenants beside 10,000 echoes/s on ${runtime === "bun" ? "Bun" : "Deno"}`,
  ours: reloads(runtime),
  rounds: 3,
  lines: [
    info("longest pause without a reload", "ms", "nonePause"),
    info("longest pause while another process checks the file", "ms", "checkedPause"),
    ...(Object.keys(KINDS) as Kind[]).flatMap((kind) => [
      info(`time, where the file changes in ${KINDS[kind]}`, "ms", `${kind}Ms`),
      info(`longest pause, where it changes in ${KINDS[kind]}`, "ms", `${kind}Pause`, { atMost: PAUSE_MS }),
    ]),
    info("memory before", "MiB", "memoryBefore"),
    info("memory after", "MiB", "memory"),
  ],
}));
