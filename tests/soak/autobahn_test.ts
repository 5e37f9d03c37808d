// Autobahn's cases (RFC 6455, and those of compression where that can be had) against every transport, driven by the package
// `kosoku` of PyPI, which is installed into a folder that is gone afterwards. Where that cannot be, the test says so.

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import { DENO } from "../deno_command.ts";
import { Folder, ROOT } from "../flow/gateway_process.ts";
import { within } from "../raw_client.ts";

const KOSOKU = "kosoku==0.1.0";
/** Compression. */
const DEFLATED = ["12.*", "13.*"];
/** How long all cases may take. */
const CASES_MS = 600_000;

const folder = new Folder();
after(() => folder[Symbol.dispose]());

/** Python with the package. @returns null, and says why, where it cannot be had */
function install(): string | null {
  const venv = join(folder.path, "venv"), python = join(venv, "bin", "python");
  try {
    execFileSync("python3", ["-m", "venv", venv], { stdio: "pipe" });
    execFileSync(python, ["-m", "pip", "install", "-q", "--disable-pip-version-check", KOSOKU], {
      stdio: "pipe",
    });
    return python;
  } catch (error) {
    const { stderr, message } = error as { stderr?: Uint8Array; message: string };
    const why = stderr === undefined ? message : new TextDecoder().decode(stderr).trim().split("\n").at(-1);
    process.stdout.write(`Autobahn's cases are NOT run: ${KOSOKU} cannot be installed: ${why}\n`);
    return null;
  }
}

const DRIVER = `
import asyncio, json, sys
from kosoku import FailureError, run_fuzzingclient
async def main():
    try:
        results = await run_fuzzingclient(sys.argv[1], exclude_cases=json.loads(sys.argv[2]), concurrency=4)
    except FailureError as error:
        results = error.results
    print(json.dumps([[r.case_id, r.behavior.value, r.behavior_close.value] for r in results]))
asyncio.run(main())
`;

type Result = readonly [id: string, behavior: string, close: string];

interface Adapter {
  readonly name: string;
  readonly command: readonly string[];
  /** What a runtime's own reader of frames decides otherwise, where no adapter can change it. */
  readonly but: readonly string[];
  readonly deflates?: boolean;
}

const ECHO = `${ROOT}/tests/soak/echo_server.ts`;
const deno = [...DENO, "run", "--no-prompt", "--no-check", "-A", ECHO];
const ADAPTERS: readonly Adapter[] = [
  { name: "Bun's own", command: [`${ROOT}/node_modules/bun/bin/bun.exe`, ECHO, "native"], but: [] },
  { name: "own framing on Bun", command: [`${ROOT}/node_modules/bun/bin/bun.exe`, ECHO, "raw"], but: [] },
  {
    name: "own framing on Bun, deflated",
    command: [`${ROOT}/node_modules/bun/bin/bun.exe`, ECHO, "raw", "deflate"],
    but: [],
    deflates: true,
  },
  // `ws` takes no message in more than 16,384 fragments, and these have 65,536: a bound that a gateway wants.
  { name: "node:http on Deno", command: [...deno, "node"], but: ["9.3.1", "9.4.1"] },
  // A close frame whose payload is too long is answered with 1000.
  { name: "Deno's own", command: [...deno, "native"], but: ["7.3.6"] },
];

const servers = new Set<ChildProcess>();
after(() => servers.forEach((server) => server.kill("SIGKILL")));

function serve(command: readonly string[]): Promise<number> {
  const [program, ...args] = command;
  const server = spawn(program!, args, { stdio: ["pipe", "pipe", "inherit"] });
  servers.add(server);
  let said = "";
  return within(
    new Promise((resolve) => {
      server.stdout!.on("data", (bytes) => {
        said += String(bytes);
        if (said.includes("\n")) resolve(Number(said));
      });
    }),
    "the port",
    30_000,
  );
}

function drive(python: string, port: number, excluded: readonly string[]): Promise<readonly Result[]> {
  const args = ["-c", DRIVER, `ws://127.0.0.1:${port}`, JSON.stringify(excluded)];
  const driver = spawn(python, args, { stdio: ["ignore", "pipe", "pipe"] });
  servers.add(driver);
  let out = "", err = "";
  driver.stdout.on("data", (bytes) => out += String(bytes));
  driver.stderr.on("data", (bytes) => err += String(bytes));
  const ended = new Promise<readonly Result[]>((resolve, reject) => {
    driver.once("close", () => {
      try {
        resolve(JSON.parse(out.trim().split("\n").at(-1)!));
      } catch {
        reject(new Error(`the cases could not be run: ${err}`));
      }
    });
  });
  return within(ended, "the end of all cases", CASES_MS);
}

const python = install();
for (const { name, command, but, deflates = false } of ADAPTERS) {
  const skip = python === null ? `${KOSOKU} cannot be installed` : false;
  test(`Autobahn's cases pass on ${name}`, { skip }, async () => {
    const results = await drive(python!, await serve(command), deflates ? [] : DEFLATED);
    assert.ok(results.length >= 240, `${results.length} cases`);
    // Unimplemented: an offer that is declined, as of a smaller window.
    const good = ([, behavior, close]: Result) =>
      ["OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED"].includes(behavior) &&
      ["OK", "INFORMATIONAL"].includes(close);
    const bad = results.filter((result) => !good(result));
    assert.deepEqual(bad.map(([id]) => id), but, JSON.stringify(bad));
  });
}
