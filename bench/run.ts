// The bench's one conductor: measures rows (rows/) in interleaved rounds, ours and its control and, with `--against`,
// another version of the gateway in turn, and prints a table of ratios; `--help` lists options and rows. Runs on Bun, which
// may read /proc. Loopback only; every process that it starts, it ends, whether it succeeds, fails or is interrupted.

import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { dirname } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { endAll, Lab, subjectAt, twoCpus } from "./lab.ts";
import { type Reported, type Round, summarize, table } from "./report.ts";
import type { Measure, Row } from "./row.ts";
import { groups } from "./rows/rows.ts";

const ROUNDS = 5, SECONDS = 3;
/** Attempts at a side's maximum, from which the rate of an open loop is taken. */
const PROBES = 3;
/** Share of a CPU that others may use before the numbers are doubtful. */
const OTHERS_MAX = 0.2;

const OPTIONS = {
  only: ["NAME[,NAME]", "only these rows, or groups of rows"],
  rounds: ["N", `measurements of each side (${ROUNDS}; some rows: fewer)`],
  seconds: ["S", `length of a measurement (${SECONDS}; some rows take longer)`],
  quick: ["", "one round of a second: a smoke test, not a result"],
  target: ["PATH", "the gateway: a checkout of the project or an executable (.)"],
  against: ["PATH", "another one, measured in turn with it"],
  json: ["FILE", "where the numbers go (dist/bench.json)"],
  profile: ["DIR", "CPU profiles of the gateway on Bun; the numbers then count the profiler too"],
  "no-pin": ["", "do not give servers and generators a CPU each"],
  help: ["", "this text"],
} as const;

function help(): string {
  const options = Object.entries(OPTIONS).map(([name, [value, about]]) =>
    [`--${name} ${value}`, about] as const
  );
  const rows = groups.flatMap(({ name, rows }) => [
    [`${name}:`, ""] as const,
    ...rows.map((row) => [`  ${row.name}`, row.about] as const),
  ]);
  const lines = [...options, ["", ""] as const, ...rows].map(([left, right]) =>
    `  ${left.padEnd(26)}${right}`
  );
  return `deno task bench [options]\n${lines.map((line) => line.trimEnd()).join("\n")}\n`;
}

function readOptions(args: readonly string[]) {
  const { values } = parseArgs({
    // `deno task bench -- --only echo` hands the first `--` on.
    args: args[0] === "--" ? args.slice(1) : [...args],
    options: Object.fromEntries(
      Object.entries(OPTIONS).map(([name, [value]]) => [name, { type: value === "" ? "boolean" : "string" }]),
    ) as Record<string, { type: "string" | "boolean" }>,
  });
  const text = (name: string) => values[name] as string | undefined;
  const positive = (name: string, otherwise: number) => {
    const number = Number(text(name) ?? otherwise);
    if (number > 0 && number < Infinity) return number;
    throw new Error(`Cannot run with --${name} "${text(name)}": it must be a number above 0`);
  };
  const all = groups.flatMap(({ rows }) => rows);
  const rows = (text("only")?.split(",") ?? groups.map(({ name }) => name)).flatMap((name) => {
    const found = groups.find((group) => group.name === name)?.rows ?? all.filter((row) => row.name === name);
    if (found.length === 0) throw new Error(`Cannot run the row "${name}": --help lists what there is`);
    return found;
  });
  const quick = values["quick"] === true;
  const against = text("against");
  return {
    rows: [...new Set(rows)],
    rounds: text("rounds") === undefined && !quick ? null : Math.ceil(positive("rounds", 1)),
    seconds: positive("seconds", quick ? 1 : SECONDS),
    quick,
    target: subjectAt(text("target") ?? "."),
    against: against === undefined ? null : subjectAt(against),
    json: text("json") ?? "dist/bench.json",
    profile: text("profile") ?? null,
    cpus: values["no-pin"] === true ? null : twoCpus(),
    help: values["help"] === true,
  };
}

type Options = ReturnType<typeof readOptions>;

class Bench {
  readonly warnings = new Set<string>();
  readonly #options: Options;
  /** The largest share of a CPU that others had. */
  #others = 0;

  constructor(options: Options) {
    this.#options = options;
  }

  /** All rounds of a row, its sides in turn. @throws when a server or a generator fails. */
  async row(row: Row): Promise<Round[]> {
    const rate = await this.#rate(row);
    const count = this.#options.rounds ?? row.rounds ?? ROUNDS;
    const { target, against } = this.#options;
    const rounds: Round[] = [];
    for (let round = 0; round < count; round++) {
      const measure = (side: Measure, subject = target) => this.#measure(row, side, { subject, rate });
      // What comes first changes from round to round: the machine may be warmer or busier for one of them.
      const isTurned = round % 2 === 1;
      let before = against !== null && isTurned ? await measure(row.ours, against) : null;
      const ours = await measure(row.ours);
      if (against !== null && !isTurned) before = await measure(row.ours, against);
      const control = row.control === undefined ? null : await measure(row.control);
      rounds.push({ ours, control, before });
      progress(`${row.name}: round ${round + 1} of ${count}`);
    }
    return rounds;
  }

  /** Half of what the slowest side reaches; of each side the best attempt, as a disturbed one is never faster. */
  async #rate({ name, probe, ...row }: Row): Promise<number> {
    if (probe === undefined) return NaN;
    const { target, against, rounds } = this.#options;
    const sides: [Measure, typeof target][] = [[probe.ours, target], [probe.control, target]];
    if (against !== null) sides.push([probe.ours, against]);
    const best = sides.map(() => 0);
    for (let attempt = 0; attempt < Math.min(PROBES, rounds ?? PROBES); attempt++) {
      for (const [index, [side, subject]] of sides.entries()) {
        const sample = await this.#measure({ name, ...row }, side, { subject, rate: NaN });
        best[index] = Math.max(best[index]!, probe.of(sample));
      }
    }
    progress(
      `${name}: ${Math.round(Math.min(...best) / 2)} messages/s, half of what the slowest side reaches`,
    );
    return Math.min(...best) / 2;
  }

  async #measure(row: Row, side: Measure, of: { subject: Options["target"]; rate: number }) {
    const { seconds, quick, cpus, profile } = this.#options;
    const warn = (text: string) => void this.warnings.add(`${row.name}: ${text}`);
    const lab = new Lab({ ...of, seconds, quick, cpus, profile, warn });
    try {
      const sample = await side(lab);
      const { otherCpuSeconds, seconds: took } = sample;
      if (took !== undefined) this.#others = Math.max(this.#others, (otherCpuSeconds ?? 0) / took);
      return sample;
    } finally {
      await lab.end();
    }
  }

  close(): void {
    if (this.#others > OTHERS_MAX) {
      const percent = Math.round(this.#others * 100);
      this.warnings.add(`the machine was not idle: up to ${percent} % of a CPU went to other processes`);
    }
  }
}

/** Progress goes where a pipe does not take it for the report. */
function progress(text: string): void {
  process.stderr.write(`${text}\n`);
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : `${error}`;
}

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args);
  if (options.help) {
    process.stdout.write(help());
    return 0;
  }
  const bench = new Bench(options);
  const lines: Reported[] = [];
  const samples: Record<string, readonly Round[]> = {};
  const failures: string[] = [];
  for (const row of options.rows) {
    try {
      const rounds = samples[row.name] = await bench.row(row);
      lines.push(...row.lines.map((line) => summarize(row.name, line, rounds)));
    } catch (error) {
      failures.push(`${row.name}: ${message(error)}`);
      progress(`failed: ${failures.at(-1)}`);
    }
  }
  bench.close();
  process.stdout.write(table(lines));
  for (const warning of bench.warnings) process.stdout.write(`warning: ${warning}\n`);
  for (const failure of failures) process.stdout.write(`failed: ${failure}\n`);
  mkdirSync(dirname(options.json), { recursive: true });
  const { cpus: pinned, rows: _rows, help: _help, ...plan } = options;
  const machine = { cpu: cpus()[0]?.model ?? "", cpus: availableParallelism(), pinned: pinned !== null };
  const document = {
    at: new Date().toISOString(),
    machine,
    ...plan,
    lines,
    warnings: [...bench.warnings],
    failures,
  };
  writeFileSync(options.json, `${JSON.stringify({ ...document, samples }, null, 2)}\n`);
  return failures.length === 0 ? 0 : 1;
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    endAll();
    process.exit(130);
  });
}
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`${message(error)}\n`);
  process.exitCode = 2;
} finally {
  endAll();
}
process.exit();
