// `wsprism top`: what a running gateway does, tenant by tenant, live on a terminal and once elsewhere. By its admin API.

import process from "node:process";
import { isatty } from "node:tty";
import { Command, InvalidArgumentError } from "commander";
import type { AdminClient, Unanswered } from "../ops/client.ts";
import { type AccessOptions, adminClient } from "./admin_access.ts";
import { CONFIG_FLAGS, CONFIG_HELP } from "./config_file.ts";
import { ENV_FILE } from "./variables.ts";
import { writeNow } from "./descriptor.ts";
import { type Done, EXIT } from "./exit.ts";
import { complain } from "./tenant_auth.ts";
import { type Look, readProcess, type TenantLook, topLines } from "./top_text.ts";

interface TopOptions extends AccessOptions {
  readonly interval: number;
  readonly once: boolean;
  readonly metricsPath: string;
}

/** Tenants whose numbers are asked for, those with the most sessions. */
const ASKED_MAX = 100;
/** Lines around the tenants. */
const LINES_BESIDE = 6;

const CLEAR = "\x1b[H\x1b[J", OTHER_SCREEN = "\x1b[?1049h\x1b[?25l", BACK = "\x1b[?25h\x1b[?1049l";

const EXAMPLES = `
Examples:
  wsprism top                                       the gateway of ./wsprism.yaml; ends with Ctrl-C
  wsprism top --once --interval 10                  averages over ten seconds, for scripts
  wsprism top --url http://10.0.0.5:9090            the key from WSPRISM_ADMIN_KEY

A key sees its tenants; one for all tenants sees the loop's lag and memory too. Up to ${ASKED_MAX} tenants are looked at, those
with the most sessions. Exit codes: 0 done, 1 failed or no gateway there, 2 usage, 3 configuration refused, 4 the key is
not good for it.`;

export function topCommand(done: Done): Command {
  return new Command("top")
    .description("show what a running gateway does, live on a terminal")
    .option(CONFIG_FLAGS, CONFIG_HELP)
    .option(...ENV_FILE)
    .option("--url <url>", "the admin API, in the place of admin.listen")
    .option(
      "--key <secret>",
      "the key's secret; better in WSPRISM_ADMIN_KEY, where no list of processes shows it",
    )
    .option("--interval <seconds>", "between two looks, 1..60", interval, 2)
    .option("--once", "print one look and end, as where there is no terminal", false)
    .option("--metrics-path <path>", "metrics.path of the gateway", "/metrics")
    .addHelpText("after", EXAMPLES)
    .action(async (options: TopOptions) => done(await top(options)));
}

function interval(text: string): number {
  if (!/^\d{1,2}$/.test(text) || Number(text) < 1 || Number(text) > 60) {
    throw new InvalidArgumentError("It must be a whole number 1..60.");
  }
  return Number(text);
}

async function top(options: TopOptions): Promise<number> {
  const client = await adminClient(options, { permission: "read", tenant: null });
  if (typeof client === "number") return client;
  let before = await look(client, options);
  if ("ok" in before) return failed(before);
  const live = !options.once && isatty(1);
  if (!live) {
    await pause(options.interval, null);
    const now = await look(client, options);
    if ("ok" in now) return failed(now);
    writeNow(1, `${topLines(before, now, ASKED_MAX).join("\n")}\n`);
    return EXIT.done;
  }
  let end = () => {};
  const ended = new Promise<void>((resolve) => end = resolve);
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, end);
  writeNow(1, `${OTHER_SCREEN}${CLEAR}Looking…\n`);
  let fault: Unanswered | null = null;
  while (await pause(options.interval, ended)) {
    const now = await look(client, options);
    if ("ok" in now) {
      fault = now;
      break;
    }
    const lines = topLines(before, now, (process.stdout.rows || 24) - LINES_BESIDE);
    const width = process.stdout.columns || 80;
    writeNow(1, `${CLEAR}${lines.map((line) => line.slice(0, width)).join("\n")}\n\nCtrl-C ends`);
    before = now;
  }
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, end);
  writeNow(1, BACK);
  return fault === null ? EXIT.done : failed(fault);
}

/** @returns false where it was ended meanwhile */
async function pause(seconds: number, ended: Promise<void> | null): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<boolean>((resolve) => timer = setTimeout(() => resolve(true), 1000 * seconds));
  const goesOn = await (ended === null ? over : Promise.race([over, ended.then(() => false)]));
  clearTimeout(timer);
  return goesOn;
}

async function look(client: AdminClient, { metricsPath }: TopOptions): Promise<Look | Unanswered> {
  const list = await client.ask("GET", "/v1/tenants");
  if (!list.ok) return list;
  const all = list.body["tenants"] as { id: string; sessions: number }[];
  const busiest = all.toSorted((a, b) => b.sessions - a.sessions).slice(0, ASKED_MAX);
  const looked: TenantLook[] = [];
  for (const { id } of busiest) {
    const stats = await client.ask("GET", `/v1/tenants/${encodeURIComponent(id)}/stats`);
    // One that a reload has taken away meanwhile is no failure.
    if (stats.ok) looked.push(stats.body as unknown as TenantLook);
    else if (stats.kind !== "failed") return stats;
  }
  const scrape = await client.text(metricsPath);
  return {
    atMs: performance.now(),
    tenants: all.length,
    sessions: all.reduce((sum, { sessions }) => sum + sessions, 0),
    looked,
    process: scrape === null ? null : readProcess(scrape),
  };
}

function failed({ kind, msg }: Unanswered): number {
  return complain(msg, kind === "denied" ? EXIT.denied : EXIT.failed);
}
