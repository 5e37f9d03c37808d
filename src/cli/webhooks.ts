// `wsprism webhooks`: what waits for webhooks' backends, and the events that these refuse: shown, sent again, dropped. By
// the admin API of the running gateway.

import { Command, InvalidArgumentError } from "commander";
import type { AdminClient, Unanswered } from "../ops/client.ts";
import { type AccessOptions, adminClient } from "./admin_access.ts";
import { CONFIG_FLAGS, CONFIG_HELP } from "./config_file.ts";
import { ENV_FILE } from "./variables.ts";
import { writeNow } from "./descriptor.ts";
import { type Done, EXIT } from "./exit.ts";
import { complain } from "./tenant_auth.ts";

interface ListOptions extends AccessOptions {
  readonly tenant?: string;
  readonly webhook?: string;
  readonly json: boolean;
}

interface ChangeOptions extends AccessOptions {
  readonly tenant: string;
  readonly webhook: string;
  readonly seq?: readonly number[];
  readonly all: boolean;
  readonly json: boolean;
}

/** Dead letters asked for at once, and named at once. */
const PAGE = 1000;

const EXAMPLES = `
Examples:
  wsprism webhooks list                                       every webhook, with what waits
  wsprism webhooks list --tenant acme --webhook audit         the events that its backend refuses
  wsprism webhooks retry --tenant acme --webhook audit --all
  wsprism webhooks drop --tenant acme --webhook audit --seq 17 18

The address and a key are those of "admin" in the configuration, unless --url, --key or WSPRISM_ADMIN_KEY say otherwise.
Exit codes: 0 done, 1 failed or no gateway there, 2 usage, 3 configuration refused, 4 the key is not good for it.`;

export function webhooksCommand(done: Done): Command {
  const list = command(
    "list",
    "show webhooks and what waits, or with --webhook the events that its backend refuses",
  )
    .option("--tenant <id>", "only this tenant's")
    .option("--webhook <id>", "the dead letters of this one; takes --tenant too")
    .option("--json", "one JSON object a line", false)
    .action(async (options: ListOptions) => done(await runList(options)));
  const retry = change("retry", "send dead letters again, in the places that they had in the sequence")
    .action(async (options: ChangeOptions) => done(await runChange("retry", options)));
  const drop = change("drop", "forget dead letters")
    .action(async (options: ChangeOptions) => done(await runChange("drop", options)));
  return new Command("webhooks")
    .description("look after the webhooks of a running gateway")
    .addCommand(list)
    .addCommand(retry)
    .addCommand(drop)
    .addHelpText("after", EXAMPLES);
}

function command(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .option(CONFIG_FLAGS, CONFIG_HELP)
    .option(...ENV_FILE)
    .option("--url <url>", "the admin API, in the place of admin.listen")
    .option(
      "--key <secret>",
      "the key's secret; better in WSPRISM_ADMIN_KEY, where no list of processes shows it",
    );
}

function change(name: string, description: string): Command {
  return command(name, description)
    .requiredOption("--tenant <id>", "the tenant")
    .requiredOption("--webhook <id>", "the webhook")
    .option("--seq <number...>", "these, by their number in the sequence", sequence)
    .option("--all", "all of them", false)
    .option("--json", "the answer as JSON", false);
}

function sequence(text: string, before: readonly number[] = []): number[] {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new InvalidArgumentError("It must be a whole number from 1.");
  return [...before, Number(text)];
}

async function runList(options: ListOptions): Promise<number> {
  const { tenant, webhook, json } = options;
  if (webhook !== undefined && tenant === undefined) {
    return complain("--webhook takes --tenant too", EXIT.usage);
  }
  const client = await adminClient(options, { permission: "read", tenant: tenant ?? null });
  if (typeof client === "number") return client;
  if (webhook !== undefined) return await listDead(client, hookPath(tenant!, webhook), json);
  const tenants = tenant === undefined ? await tenantsOf(client) : [tenant];
  if (!Array.isArray(tenants)) return failed(tenants);
  const rows: Row[] = [];
  for (const id of tenants) {
    const reply = await client.ask("GET", `/v1/tenants/${encodeURIComponent(id)}/webhooks`);
    if (!reply.ok) return failed(reply);
    for (const one of reply.body["webhooks"] as WebhookView[]) rows.push({ tenant: id, ...one });
  }
  print(json ? rows.map((row) => JSON.stringify(row)) : asTable(rows, Date.now()));
  return EXIT.done;
}

async function tenantsOf(client: AdminClient): Promise<string[] | Unanswered> {
  const reply = await client.ask("GET", "/v1/tenants");
  return reply.ok ? (reply.body["tenants"] as { id: string }[]).map(({ id }) => id) : reply;
}

/** Prints page after page, as they come. */
async function listDead(client: AdminClient, path: string, json: boolean): Promise<number> {
  for (let cursor = "0", count = 0;;) {
    const reply = await client.ask("GET", `${path}?limit=${PAGE}&cursor=${cursor}`);
    if (!reply.ok) return failed(reply);
    const { dead_letters: letters, next } = reply.body as unknown as DeadPage;
    count += letters.length;
    print(letters.map((letter) => json ? JSON.stringify(letter) : line(letter)));
    if (next !== null) cursor = next;
    else {
      if (count === 0 && !json) print(["There are no dead letters."]);
      return EXIT.done;
    }
  }
}

async function runChange(what: "retry" | "drop", options: ChangeOptions): Promise<number> {
  const { tenant, webhook, seq = [], all, json } = options;
  if (all === seq.length > 0) return complain("Say which: --seq NUMBER…, or --all", EXIT.usage);
  const client = await adminClient(options, { permission: "reload", tenant });
  if (typeof client === "number") return client;
  const done = what === "retry" ? "retried" : "dropped";
  let count = 0;
  const bodies = all ? [{ all: true }] : chunks(seq, PAGE).map((seqs) => ({ seqs }));
  for (const body of bodies) {
    const reply = await client.ask("POST", `${hookPath(tenant, webhook)}/${what}`, body);
    if (!reply.ok) return failed(reply);
    count += reply.body[done] as number;
  }
  const letters = count === 1 ? "1 dead letter" : `${count} dead letters`;
  print([
    json
      ? JSON.stringify({ [done]: count })
      : what === "retry"
      ? `${letters} sent again`
      : `${letters} dropped`,
  ]);
  return EXIT.done;
}

function hookPath(tenant: string, webhook: string): string {
  return `/v1/tenants/${encodeURIComponent(tenant)}/webhooks/${encodeURIComponent(webhook)}/dead-letters`;
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  const count = Math.ceil(items.length / size);
  return Array.from({ length: count }, (_, i) => items.slice(i * size, (i + 1) * size));
}

function failed({ kind, msg }: Unanswered): number {
  return complain(msg, kind === "denied" ? EXIT.denied : EXIT.failed);
}

function print(lines: readonly string[]): void {
  if (lines.length > 0) writeNow(1, `${lines.join("\n")}\n`);
}

/** As the admin API has them. */
interface WebhookView {
  readonly id: string;
  readonly url: string;
  readonly events: number;
  readonly bytes: number;
  readonly oldest_ms: number | null;
  readonly dead_letters: number;
  readonly delivered: number;
  readonly lost: Readonly<Record<string, number>>;
}

interface Row extends WebhookView {
  readonly tenant: string;
}

interface DeadPage {
  readonly dead_letters: readonly DeadView[];
  readonly next: string | null;
}

interface DeadView {
  readonly seq: number;
  readonly time_ms: number;
  readonly reason: string;
  readonly event: { readonly type?: unknown; readonly user?: unknown; readonly room?: unknown };
}

function asTable(rows: readonly Row[], nowMs: number): string[] {
  if (rows.length === 0) return ["There are no webhooks."];
  const head = ["TENANT", "WEBHOOK", "WAITING", "BYTES", "OLDEST", "DEAD", "DELIVERED", "LOST", "URL"];
  const cells = rows.map((row) => [
    row.tenant,
    row.id,
    String(row.events),
    String(row.bytes),
    row.oldest_ms === null ? "-" : `${Math.max(0, Math.round((nowMs - row.oldest_ms) / 1000))} s`,
    String(row.dead_letters),
    String(row.delivered),
    String(Object.values(row.lost).reduce((sum, one) => sum + one, 0)),
    row.url,
  ]);
  const all = [head, ...cells];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  return all.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd());
}

function line({ seq, time_ms, reason, event: { type, user, room } }: DeadView): string {
  const about = [type, user, room].filter((part) => typeof part === "string").join(" ");
  return `${seq}  ${new Date(time_ms).toISOString()}  ${reason}  ${about}`;
}
