// `wsprism check-token`: would this ticket open the door, and if not, why not? It says more than the gateway tells
// strangers, and never shows the ticket itself.

import process from "node:process";
import { Command } from "commander";
import { grantOf, type Outcome } from "../admission/tenant_auth.ts";
import { Semaphore } from "../collections/semaphore.ts";
import { TICKET_CHARS_MAX } from "../admission/verifier.ts";
import { jwtVerifierFor, verifierFor, type VerifierOptions } from "../admission/verifiers.ts";
import { SILENT } from "../log.ts";
import { Inflow } from "../outbound/inflow.ts";
import { readNarrowing } from "../policy/narrowing.ts";
import { CONFIG_FLAGS, CONFIG_HELP } from "./config_file.ts";
import { writeNow } from "./descriptor.ts";
import { type Done, EXIT } from "./exit.ts";
import { complain, loadAuth } from "./tenant_auth.ts";
import { ENV_FILE } from "./variables.ts";

interface CheckTokenOptions {
  readonly config?: string;
  readonly envFile?: string;
  readonly tenant: string;
}

const EXAMPLES = `
Examples:
  wsprism check-token --tenant acme eyJhbGciOi…
  wsprism token --tenant acme --user ann | wsprism check-token --tenant acme

Exit codes: 0 the ticket is good, 1 it is not, 2 usage, 3 configuration refused. With auth.mode http the backend is
asked, with this machine's loopback address as the client's.`;

export function checkTokenCommand(done: Done): Command {
  return new Command("check-token")
    .description("explain a ticket: what it says, and whether the gateway would take it")
    .argument(
      "[ticket]",
      "the ticket; read from stdin when absent, which keeps it out of the shell's history",
    )
    .requiredOption("--tenant <id>", "the tenant")
    .option(CONFIG_FLAGS, CONFIG_HELP)
    .option(...ENV_FILE)
    .addHelpText("after", EXAMPLES)
    .action(async (ticket: string | undefined, options: CheckTokenOptions) =>
      done(await checkToken(ticket ?? await fromStdin(), options))
    );
}

async function checkToken(
  text: string,
  { config, tenant, ...variables }: CheckTokenOptions,
): Promise<number> {
  const auth = await loadAuth(config, tenant, variables);
  if (typeof auth === "number") return auth;
  const ticket = text.trim();
  if (ticket === "") return complain("There is no ticket: give it as an argument or on stdin", EXIT.usage);
  say("tenant", `${tenant}, mode ${auth.mode}`);
  if (ticket.length > TICKET_CHARS_MAX) return refused(`it is longer than ${TICKET_CHARS_MAX} characters`);
  const options: VerifierOptions = {
    tenant,
    config: auth,
    signatureTurns: new Semaphore(1),
    share: new Inflow(() => performance.now()).share(),
    now: () => performance.now(),
    unixMs: () => Date.now(),
    log: SILENT,
  };
  if (auth.mode !== "jwt") {
    const bearer = { ticket, address: "127.0.0.1", origin: null, headers: {}, renews: null };
    const verifier = verifierFor(options);
    const verdict = await verifier.verify(bearer);
    verifier.stop();
    return judge(verdict.ok ? grantOf(verdict) : verdict, verdict.ok ? verdict.claims : {}, null);
  }
  const verifier = jwtVerifierFor(options);
  const { verdict, failed, header, payload, key } = await verifier.explain(ticket);
  verifier.stop();
  if (header !== null) say("header", JSON.stringify(header));
  if (key !== null) say("key", key);
  if (key !== null && payload !== null) say("payload", JSON.stringify(payload));
  return judge(verdict.ok ? grantOf(verdict) : verdict, payload ?? {}, failed);
}

function judge(outcome: Outcome, claims: Readonly<Record<string, unknown>>, failed: string | null): number {
  if (!outcome.ok) {
    const narrowing = outcome.reason === "bad_claims" ? readNarrowing(claims) : null;
    const claim = typeof narrowing === "string" ? narrowing : null;
    const noUser = "it names no user of 1–128 printable characters, or its jti is no text";
    return refused(failed ?? claim ?? (outcome.reason === "bad_claims" ? noUser : outcome.msg));
  }
  const { user, expiresAtMs, ticketId, narrowing } = outcome;
  say("user", user);
  if (ticketId !== null) say("id", ticketId);
  say("expires", expiresAtMs === null ? "never" : expiry(expiresAtMs));
  // As seconds, today's milliseconds are some 56,000 years ahead.
  if (expiresAtMs !== null && expiresAtMs - Date.now() > CENTURY_MS) {
    say(
      "WARNING",
      "exp is more than a century ahead: it counts seconds, and may have been written in milliseconds",
    );
  }
  const { rooms, services, limits } = claims;
  if (narrowing.rooms !== null) say("rooms", JSON.stringify(rooms));
  if (narrowing.ext !== null) say("services", JSON.stringify(services));
  if (narrowing.limits !== null) say("limits", JSON.stringify(limits));
  if (narrowing.sid !== null) say("sid", narrowing.sid);
  if (Object.keys(outcome.claims).length > 0) say("claims", JSON.stringify(outcome.claims));
  writeNow(1, "The ticket is good.\n");
  return EXIT.done;
}

const CENTURY_MS = 100 * 365.25 * 86_400_000;

function refused(why: string): number {
  writeNow(1, `The ticket is refused: ${why}.\n`);
  return EXIT.failed;
}

function expiry(ms: number): string {
  const seconds = Math.round((ms - Date.now()) / 1000);
  const date = new Date(ms);
  // Dates end in the year 275760.
  return `${
    Number.isNaN(date.getTime()) ? "after all dates" : date.toISOString()
  }, in ${seconds} s, leeway included`;
}

/** One line, whatever a ticket may say. */
function say(name: string, value: string): void {
  // deno-lint-ignore no-control-regex -- they are what must not reach a terminal
  const plain = value.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, "\ufffd");
  writeNow(1, `${name.padEnd(9)} ${plain}\n`);
}

async function fromStdin(): Promise<string> {
  let text = "";
  process.stdin.setEncoding("utf8");
  for await (const chunk of process.stdin) {
    text += chunk;
    if (text.length > 4 * TICKET_CHARS_MAX) break;
  }
  return text;
}
