// `wsprism init`: a configuration to start from, with secrets of its own. It asks on a terminal what its options do not say.

import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { isatty } from "node:tty";
import { Command, Option } from "commander";
import { parseListen } from "../config/addresses.ts";
import { parseOriginEntry } from "../config/origins.ts";
import { errorText } from "../error_text.ts";
import { NAME_PATTERN, NAME_RULE } from "../protocol/limits.ts";
import { writeNow } from "./descriptor.ts";
import { type Done, EXIT } from "./exit.ts";
import { configText, envText, FILES, type Use, USES, type Wishes } from "./init_text.ts";
import { complain } from "./tenant_auth.ts";

interface InitOptions {
  readonly use?: Use;
  readonly tenant?: string;
  readonly listen?: string;
  readonly origin: readonly string[];
}

/** Bytes of a generated secret: more than any algorithm that is configured asks for. */
const SECRET_BYTES = 48;

const DEFAULTS = { tenant: "acme", listen: "127.0.0.1:8080" };

const EXAMPLES = `
Examples:
  wsprism init                                       asks what it is for
  wsprism init --use game ./arena --tenant arena
  wsprism init --use chat --origin https://app.example

It writes ${FILES.config}, ${FILES.env} (secrets, for its owner only) and ${FILES.schema} (for editors), and nothing
where one of them is there already.`;

export function initCommand(done: Done): Command {
  return new Command("init")
    .description("write a commented configuration to start from, with generated secrets")
    .addOption(new Option("--use <use>", "what it is for; asked for on a terminal").choices(USES))
    .option("--tenant <id>", `the tenant (default: ${DEFAULTS.tenant})`)
    .option("--listen <address>", `host:port that clients connect to (default: ${DEFAULTS.listen})`)
    .addOption(
      new Option("--origin <origin>", "a web page's origin that may connect; may be repeated")
        .argParser((value: string, before: readonly string[]) => [...before, value])
        .default([], "pages of the same host"),
    )
    .argument("[dir]", "the folder; made where there is none", ".")
    .addHelpText("after", EXAMPLES)
    .action(async (dir: string, options: InitOptions) => done(await init(dir, options)));
}

async function init(dir: string, options: InitOptions): Promise<number> {
  // Before anything is asked.
  const there = Object.values(FILES).map((name) => join(dir, name)).find((path) => existsSync(path));
  if (there !== undefined) {
    return complain(
      `${there} is there already: nothing was written; name another folder, or move it away`,
      EXIT.failed,
    );
  }
  const fault = faultOf(options);
  if (fault !== null) return complain(fault, EXIT.usage);
  const wishes = isatty(0) && isatty(1) ? await ask(options) : told(options);
  if (typeof wishes === "string") return complain(wishes, EXIT.usage);
  // Loaded when asked for: no other verb should pay for it.
  const { configJsonSchema } = await import("../config/document.ts");
  const files = [
    { name: FILES.env, text: envText(() => randomBytes(SECRET_BYTES).toString("base64url")), mode: 0o600 },
    { name: FILES.schema, text: `${JSON.stringify(configJsonSchema(), null, 2)}\n`, mode: 0o644 },
    // Last: where this one is, the others are.
    { name: FILES.config, text: configText(wishes), mode: 0o644 },
  ];
  const written: string[] = [];
  try {
    mkdirSync(dir, { recursive: true });
    for (const { name, text, mode } of files) {
      const path = join(dir, name);
      // Never over a file that came in between.
      writeFileSync(path, text, { mode, flag: "wx" });
      written.push(path);
    }
  } catch (error) {
    for (const path of written) rmSync(path, { force: true });
    return complain(
      `Cannot write the configuration to ${JSON.stringify(dir)}: ${errorText(error)}`,
      EXIT.failed,
    );
  }
  writeNow(1, nextSteps(dir, wishes));
  return EXIT.done;
}

const isTenant = (text: string) => NAME_PATTERN.test(text) ? null : `must be ${NAME_RULE}`;
const isListen = (text: string) => parseListen(text) === undefined ? 'must be such as "0.0.0.0:8080"' : null;
const isOrigin = (text: string) =>
  parseOriginEntry(text) === undefined ? 'must be such as "https://app.example"' : null;

/** What is wrong with the options; null for nothing. */
function faultOf({ tenant, listen, origin }: InitOptions): string | null {
  const checks: [string, string | undefined, (text: string) => string | null][] = [
    ["--tenant", tenant, isTenant],
    ["--listen", listen, isListen],
    ...origin.map((one): [string, string, typeof isOrigin] => ["--origin", one, isOrigin]),
  ];
  for (const [name, value, check] of checks) {
    const wrong = value === undefined ? null : check(value);
    if (wrong !== null) return `${name} ${wrong}, got ${JSON.stringify(value)}`;
  }
  return null;
}

/** Where nobody can be asked. */
function told({ use, tenant, listen, origin }: InitOptions): Wishes | string {
  if (use === undefined) return `Nobody to ask: this is no terminal; give --use ${USES.join("|")}`;
  return { use, tenant: tenant ?? DEFAULTS.tenant, listen: listen ?? DEFAULTS.listen, origins: origin };
}

/** Asks for what the options leave open. A text is why there is no answer. */
async function ask(options: InitOptions): Promise<Wishes | string> {
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  const typed = lines[Symbol.asyncIterator]();
  /** An answer that is right; null where no more are to come. */
  const answer = async (
    question: string,
    { preset, wrong }: { preset: string; wrong: (text: string) => string | null },
  ): Promise<string | null> => {
    for (;;) {
      writeNow(1, `${question} [${preset}] `);
      const line = await typed.next();
      if (line.done === true) return null;
      const value = line.value.trim() === "" ? preset : line.value.trim();
      const why = wrong(value);
      if (why === null) return value;
      writeNow(1, `It ${why}.\n`);
    }
  };
  try {
    const isUse = (text: string) => USES.some((one) => one === text) ? null : `must be ${USES.join(", ")}`;
    const use = options.use ??
      await answer(`What is it for: ${USES.join(", ")}?`, { preset: "chat", wrong: isUse });
    const tenant = use === null
      ? null
      : options.tenant ?? await answer("The tenant's name?", { preset: DEFAULTS.tenant, wrong: isTenant });
    const listen = tenant === null
      ? null
      : options.listen ?? await answer("Address for clients?", { preset: DEFAULTS.listen, wrong: isListen });
    const isPage = (text: string) => text === SAME_HOST ? null : isOrigin(text);
    const page = listen === null || options.origin.length > 0
      ? SAME_HOST
      : await answer("Origin of your web page?", { preset: SAME_HOST, wrong: isPage });
    if (use === null || tenant === null || listen === null || page === null) {
      return "No more answers: nothing was written";
    }
    const origins = page === SAME_HOST ? options.origin : [page];
    return { use: use as Use, tenant, listen, origins };
  } finally {
    lines.close();
  }
}

/** The answer that leaves `origins` out. */
const SAME_HOST = "same host";

function nextSteps(dir: string, { tenant }: Wishes): string {
  const folder = /^[\w./-]+$/.test(dir) ? dir : `'${dir.replaceAll("'", "'\\''")}'`;
  const steps = [
    ...(dir === "." ? [] : [`cd ${folder}`]),
    `wsprism check --env-file ${FILES.env}           # what is open to whom`,
    `wsprism start --env-file ${FILES.env} --watch   # take up what changes in the files`,
    `wsprism token --env-file ${FILES.env} --tenant ${tenant} --user ann   # a ticket, in a second terminal`,
  ];
  const files = Object.values(FILES).map((name) => join(dir, name)).join(", ");
  return `Written: ${files}\n\nNext:\n${steps.map((step) => `  ${step}\n`).join("")}`;
}
