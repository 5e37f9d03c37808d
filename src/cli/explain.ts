// `wsprism explain`: what would become of this message, check by check, and which line of the configuration says so?

import { errorText } from "../error_text.ts";
import { readFileSync } from "node:fs";
import { Command, Option } from "commander";
import { STDIN } from "../config/load.ts";
import { formatPath, type Path, placesIn } from "../config/places.ts";
import type { TenantConfig } from "../config/schema.ts";
import { explain, type Explanation, hotBytes, type Question, type Step } from "../policy/explain.ts";
import { plainly } from "../policy/explained.ts";
import type { PolicySubject } from "../policy/input.ts";
import { readNarrowing } from "../policy/narrowing.ts";
import { alone, TenantPolicy } from "../policy/policy.ts";
import { GatewayQuotas } from "../policy/quotas.ts";
import { claimOption, readClaims } from "./claims.ts";
import { CONFIG_FLAGS, CONFIG_HELP, loadFile } from "./config_file.ts";
import { writeNow } from "./descriptor.ts";
import { type Done, EXIT } from "./exit.ts";
import { complain } from "./tenant_auth.ts";
import { type VariableOptions, variableOptions } from "./variables.ts";

interface ExplainOptions extends VariableOptions {
  readonly config?: string;
  readonly tenant: string;
  readonly lane: "ext" | "hot";
  readonly message: string;
  readonly user: string;
  readonly claim: readonly string[];
  readonly room?: string;
  readonly member: boolean;
  readonly json: boolean;
}

const EXAMPLES = `
Examples:
  wsprism explain --tenant acme --lane ext --message say.json --user ann --member
  echo '{"v":1,"svc":"chat","type":"send","room":"a","data":{"msg":"hi"}}' | wsprism explain --tenant acme --lane ext --message -
  wsprism explain --tenant acme --lane hot --message move.bin --room match:1 --claim role=mod

A hot message is a file of bytes, or of hexadecimal digits. Buckets are full: it is what a session's first message meets.
Exit codes: 0 allowed, 4 denied, 2 usage, 3 configuration refused.`;

export function explainCommand(done: Done): Command {
  return variableOptions(new Command("explain"))
    .description("tell what policy says to one message: each check, its verdict, its rule and its line")
    .requiredOption("--tenant <id>", "the tenant")
    .addOption(new Option("--lane <lane>", "how it is sent").choices(["ext", "hot"]).makeOptionMandatory())
    .requiredOption("--message <file>", "the message as a client would send it; - for stdin")
    .option(CONFIG_FLAGS, CONFIG_HELP)
    .option("--user <name>", "who sends it", "user")
    .addOption(claimOption("a claim of the sender's ticket, JSON or else a text; may be repeated"))
    .option("--room <room>", "the room that the session joined last")
    .option("--member", "the session is a member of the message's room, whichever it is", false)
    .option("--json", "as JSON", false)
    .addHelpText("after", EXAMPLES)
    .action(async (options: ExplainOptions) => done(await run(options)));
}

async function run(options: ExplainOptions): Promise<number> {
  // As with --dev: nobody is let in here.
  if (options.config === STDIN && options.message === "-") {
    return complain(
      "--config and --message cannot both come from stdin: name a file for one of them",
      EXIT.usage,
    );
  }
  const loaded = await loadFile(options.config, true, options);
  if (loaded === null) return EXIT.config;
  const { file, config, text, env } = loaded;
  const index = config.tenants.findIndex(({ id }) => id === options.tenant);
  if (index < 0) {
    const known = config.tenants.map(({ id }) => id).join(", ");
    return complain(`${file} has no tenant ${JSON.stringify(options.tenant)}; it has ${known}`, EXIT.usage);
  }
  const claims = readClaims(options.claim);
  const narrowing = typeof claims === "string" ? claims : readNarrowing(claims);
  if (typeof claims === "string" || typeof narrowing === "string") {
    return complain(`Cannot use these claims: ${narrowing}`, EXIT.usage);
  }
  const message = readMessage(options);
  if (typeof message === "string") return complain(message, EXIT.usage);
  const tenant = config.tenants[index]!;
  const policy = new TenantPolicy({ ...alone(tenant), gateway: new GatewayQuotas(config.gateway.quotas) });
  const { lane } = options;
  const question: Question = {
    lane,
    message,
    subject: subjectOf(options, claims),
    active: options.room ?? null,
    rooms: narrowing.rooms,
  };
  const explanation = explain(policy.narrowed(narrowing), question, { config: tenant, index });
  const lineOf = placesIn(text, env);
  writeNow(1, options.json ? asJson(explanation, lineOf) : asText(explanation, { lineOf, tenant, lane }));
  return explanation.allowed ? EXIT.done : EXIT.denied;
}

function subjectOf(
  { user, room, member }: ExplainOptions,
  claims: Readonly<Record<string, unknown>>,
): PolicySubject {
  return {
    user,
    claims,
    transport: "websocket",
    membership: (name) => member || name === room ? true : undefined,
  };
}

/** The message's bytes, or why there are none. */
function readMessage({ message, lane }: ExplainOptions): Uint8Array | string {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(message === "-" ? 0 : message);
  } catch (error) {
    return `Cannot read the message: ${errorText(error)}`;
  }
  const text = new TextDecoder().decode(bytes).trim();
  if (lane === "hot") return hotBytes(text) ?? bytes;
  // An editor ends a file with a line end, which no client sends.
  return text.startsWith("{") ? new TextEncoder().encode(text) : bytes;
}

type LineOf = (path: Path) => number | null;

function asJson(explanation: Explanation, lineOf: LineOf): string {
  return `${JSON.stringify(plainly(explanation, lineOf), null, 2)}\n`;
}

const WORDS = { pass: "pass", skip: "-", note: "NOTED", deny: "DENIED" } as const;

function asText(
  { allowed, steps }: Explanation,
  { lineOf, tenant, lane }: { lineOf: LineOf; tenant: TenantConfig; lane: string },
): string {
  const rows = steps.map((step) => [step.check, WORDS[step.verdict], place(step, lineOf), step.why]);
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd()
  );
  const verdict = allowed ? "allowed" : `denied by ${steps.at(-1)!.check}`;
  return `${lines.join("\n")}\n\nTenant ${tenant.id}, ${lane} lane: ${verdict}.\n`;
}

function place({ at }: Step, lineOf: LineOf): string {
  if (at.length === 0) return "";
  const line = lineOf(at);
  return line === null ? `${formatPath(at)} (default)` : `${formatPath(at)} (line ${line})`;
}
