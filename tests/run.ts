// Runs checks and tests one after the other and adds up what they say. `deno task test` runs everything, on every
// target; `deno task ok` what a developer wants before each commit. The last line is "N passed, N failed".

import { spawn, spawnSync } from "node:child_process";
import { readdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import process from "node:process";
import { findBrowser } from "./browser/find.ts";

const DENO = process.execPath;
const BUN = "node_modules/bun/bin/bun.exe";
/** Bun gives a test five seconds, which a busy machine may take for what is usually done in one. */
const BUN_TEST = [BUN, "--no-env-file", "--config=/dev/null", "test", "--timeout", "60000"];

/** What tests may do: talk to themselves, start gateways, write files. */
const PERMISSIONS = [
  "--no-prompt",
  "--allow-net=127.0.0.1,localhost,[::1]",
  "--allow-read",
  "--allow-write", // unscoped, or Deno makes no symbolic links
  "--allow-env",
  "--allow-sys",
  "--allow-run",
];

interface Step {
  readonly name: string;
  /** Runs beside the step before it, for it mostly waits; what it says is printed when that has ended. */
  readonly isBeside?: boolean;
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /**
   * What runs files again in which tests failed, by themselves, so that the last lines can tell what never passes from what
   * fails beside others only. Either has failed: a test that a busy machine fails is at fault, or has found a fault.
   */
  readonly alone?: (files: readonly string[]) => readonly string[];
}

interface Tally {
  readonly passed: number;
  readonly failed: number;
  /** Where tests failed. */
  readonly files: readonly string[];
  /** Properties that a generated example has refuted. */
  readonly properties: number;
  /** What failed, each in a line with the first words of its reason. */
  readonly faults: readonly string[];
}

/** Types are a step of their own. */
function denoTest(...args: readonly string[]): string[] {
  return [DENO, "test", "-q", "--no-check", ...PERMISSIONS, ...args];
}

/** Folders of unit tests: all but those which need a gateway process, a browser or an hour. */
async function unitTests(): Promise<string[]> {
  const entries = await readdir("tests", { withFileTypes: true });
  return entries
    .filter((entry) =>
      entry.isDirectory()
        ? !["flow", "browser", "nats", "soak", "vectors"].includes(entry.name)
        : entry.name.endsWith("_test.ts")
    )
    .map((entry) => `tests/${entry.name}`);
}

async function gate(): Promise<Step[]> {
  const units = await unitTests();
  return [
    { name: "format", command: [DENO, "fmt", "--check", "-q"] },
    { name: "lint", command: [DENO, "lint", "-q"] },
    { name: "types", command: [DENO, "check", "-q", "main.ts", "src", "tests", "bench", "clients"] },
    {
      name: "unit tests on Deno",
      // Side by side with others, a thread of the least priority would hardly ever run.
      command: denoTest("--parallel", "--deny-sys=setPriority", ...units),
      alone: (files) => denoTest(...files),
    },
    {
      name: "unit tests on Bun",
      command: [...BUN_TEST, ...units.map((path) => `./${path}`)],
      alone: (files) => [...BUN_TEST, ...files],
    },
  ];
}

/** What has nothing to do with how sockets are held, and which Deno's other transport need not pass a second time. */
const NO_SOCKET = [
  "host",
  ...["api", "examples", "fetch", "hooks", "hostile", "wasm"].map((part) => `extension_${part}_test.ts`),
  ...["extension", "run_extension", "auth", "auth_backend", "first_hour", "release", "docs", "top", "connect"]
    .map((part) => `${part}_test.ts`),
  ...["line", "options"].map((part) => `command_${part}_test.ts`),
  ...[
    "webhooks_command",
    "webhooks",
    "events",
    "tracing",
    "example_backend",
    "hostile_answers",
    "http_service",
  ]
    .map((part) => `${part}_test.ts`),
  ...["state", "full_disk", "history_crash", "history_disk"].map((part) => `${part}_test.ts`),
  ...["admin", "away", "history", "presence", "servers"].map((part) => `cluster_${part}_test.ts`),
].map((path) => `tests/flow/${path}`).join(",");

function flows(): Step[] {
  return [
    { name: "the executable", command: ["./compile.sh"] },
    ...["bun", "deno", "executable", "deno-native"].map((target) => ({
      name: `flow tests on ${target}`,
      command: denoTest(
        "--parallel",
        "tests/flow",
        ...(target === "deno-native" ? [`--ignore=${NO_SOCKET}`] : []),
      ),
      alone: (files: readonly string[]) => denoTest(...files),
      // More at a time than CPUs, for they mostly wait.
      env: { WSPRISM_TARGET: target, DENO_JOBS: String(availableParallelism() + 1) },
    })),
  ];
}

/** Tests in a real browser, where there is one: half a gigabyte that nobody wants installed by the way. */
function browsers(): Step[] {
  if (findBrowser() === null) {
    process.stdout.write(
      "No Chromium here: `deno task test:browser` installs one and runs the browser tests.\n",
    );
    return [];
  }
  // What drives a browser looks all over the machine for where it is.
  const command = [DENO, "test", "-q", "--no-check", "--allow-all", "tests/browser"];
  return [{ name: "browser tests", command, env: { WSPRISM_TARGET: "bun" }, isBeside: true }];
}

type Say = (text: string | Uint8Array) => void;

const say: Say = (text) => void process.stdout.write(text);

/** Runs a step, and what failed of it once more by itself where the step has a way to. */
async function run(step: Step, say: Say): Promise<Tally> {
  say(`\n=== ${step.name}\n`);
  const first = await execute(step, say);
  if (first.failed === 0 || step.alone === undefined || first.files.length === 0) return first;
  say(`\n=== ${step.name}: alone, for they failed beside others: ${first.files.join(" ")}\n`);
  const second = await execute({ ...step, command: step.alone(first.files) }, say);
  const kind = second.failed > 0
    ? "FAILED"
    // It has an example that fails, whatever another seed finds.
    : first.properties > 0
    ? "FAILED WITH ITS SEED"
    : "FAILED BESIDE OTHERS, passed alone";
  for (const fault of second.failed > 0 ? second.faults : first.faults) {
    faults.push(`${kind} (${step.name}): ${fault}`);
  }
  return first;
}

/** Runs a command, its output passed on. One without tests counts as one. */
function execute(step: Step, say: Say): Promise<Tally> {
  const [program, ...args] = step.command;
  return new Promise((resolve) => {
    const child = spawn(program!, args, {
      env: { ...process.env, ...step.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (bytes: Uint8Array) => {
        output += new TextDecoder().decode(bytes);
        say(bytes);
      });
    }
    child.on("error", (error) => {
      say(`${step.name}: ${error.message}\n`);
      resolve({ passed: 0, failed: 1, files: [], properties: 0, faults: [error.message] });
    });
    child.on("close", (code) => resolve(tally(output, code === 0)));
  });
}

function tally(output: string, ok: boolean): Tally {
  // deno-lint-ignore no-control-regex -- colours
  const plain = output.replace(/\x1b\[[0-9;]*m/g, "");
  const deno = /(\d+) passed(?: \([^)]*\))? \| (\d+) failed/.exec(plain);
  const bun = [/^\s*(\d+) pass$/m.exec(plain), /^\s*(\d+) fail$/m.exec(plain)];
  const passed = Number(deno?.[1] ?? bun[0]?.[1] ?? (ok ? 1 : 0));
  const failed = Number(deno?.[2] ?? bun[1]?.[1] ?? 0);
  const properties = ok ? 0 : plain.match(/Property failed after \d+ tests?/g)?.length ?? 0;
  // A file that cannot even be loaded fails no test; the exit code knows.
  const files = failedFiles(plain), faults = ok ? [] : reasons(plain);
  return { passed, failed: ok ? failed : Math.max(1, failed), files, properties, faults };
}

/** Tests that failed, each with its file where that is known and the first line of why. */
function reasons(output: string): string[] {
  const short = (text: string) => text.trim().slice(0, 200);
  const deno = [...output.matchAll(/^(\S.*) => (\.\/tests\/[\w/]+\.ts:\d+).*\nerror: (.*)$/gm)]
    .map(([, name, place, why]) => `${place} ${short(name!)}: ${short(why!)}`);
  // Where a file ends by what no test caught, its further tests are not even counted.
  const uncaught = [...output.matchAll(/^(\.\/tests\/[\w/]+\.ts) \(uncaught error\)\nerror: (.*)$/gm)]
    .map(([, name, why]) => `${name} outside of its tests: ${short(why!)}`);
  const bun: string[] = [];
  let file = "", why = "";
  for (const line of output.split(/^\d+ tests? failed:$/m)[0]!.split("\n")) {
    file = /^(tests\/[\w/]+_test\.ts):$/.exec(line)?.[1] ?? file;
    why = /^\s*(?:error|\w*Error): (.*)$/.exec(line)?.[1] ?? why;
    const failed = /^\(fail\) (.*?)(?: \[[\d.]+ms\])?$/.exec(line);
    if (failed !== null) bun.push(`${file} ${short(failed[1]!)}: ${short(why)}`);
    if (/^\((fail|pass|skip)\) /.test(line)) why = "";
  }
  return [...new Set([...deno, ...uncaught, ...bun])];
}

/** Deno lists failures at the end, with their places; Bun marks them below the name of their file. */
function failedFiles(output: string): string[] {
  const listed = output.split(/^ FAILURES $/m)[1]?.match(/\.\/tests\/[\w/]+_test\.ts/g) ?? [];
  const marked: string[] = [];
  let file = "";
  for (const line of output.split(/^\d+ tests? failed:$/m)[0]!.split("\n")) {
    file = /^(tests\/[\w/]+_test\.ts):$/.exec(line)?.[1] ?? file;
    if (line.startsWith("(fail) ")) marked.push(`./${file}`);
  }
  return [...new Set([...listed, ...marked])];
}

/** Puts a nats-server where the tests of several nodes find it; where none can be had, they say why they are skipped. */
function findNats(): void {
  const { stdout, stderr } = spawnSync("tests/nats/install.sh", { encoding: "utf8" });
  process.stdout.write(`nats-server: ${(stdout || stderr).trim()}\n`);
}

findNats();
const steps = process.argv[2] === "ok" ? await gate() : [...await gate(), ...browsers(), ...flows()];
/** What failed, and whether it did by itself. */
const faults: string[] = [];
let passed = 0, failed = 0;
const lines: string[] = [];

async function count(step: Step, say: Say): Promise<void> {
  const since = performance.now();
  const result = await run(step, say);
  passed += result.passed;
  failed += result.failed;
  const seconds = Math.round((performance.now() - since) / 1000);
  lines.push(`${step.name}: ${result.passed} passed, ${result.failed} failed (${seconds} s)`);
}

for (const [i, step] of steps.entries()) {
  if (step.isBeside) continue;
  const beside = steps[i + 1]?.isBeside ? steps[i + 1]! : null;
  const said: (string | Uint8Array)[] = [];
  await Promise.all([
    count(step, say),
    beside === null ? null : count(beside, (text) => void said.push(text)),
  ]);
  said.forEach(say);
}
lines.push(...faults);
process.stdout.write(`\n${lines.join("\n")}\n${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
