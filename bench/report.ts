// From measurements to what is printed and written: medians over rounds, the judged number per pair of neighbouring
// measurements (so that a machine that slows down hits both sides alike), a table and a JSON document.

import type { LoadResult } from "./load_spec.ts";
import type { Judged, Line, Measured, Target } from "./works.ts";

/** One round of a line: both sides measured one after the other, in the row's unit. */
export interface Pair {
  readonly ours: number;
  readonly control: number | null;
}

/** A row of the report. */
export interface Row {
  readonly work: string;
  readonly title: string;
  /** Unit of `ours` and `control`, and which way these are better. */
  readonly unit: string;
  readonly better: "higher" | "lower";
  readonly ours: number;
  /** Null where there is nothing to compare with. */
  readonly control: number | null;
  /** What `value` is: a ratio, or ours in `unit`. */
  readonly judged: Judged;
  readonly value: number;
  readonly valueMin: number;
  readonly valueMax: number;
  /** What is wanted of `value`; null: it is not judged, and `met` is null too. */
  readonly target: Target | null;
  readonly met: boolean | null;
  readonly note: string;
  readonly rounds: readonly Pair[];
  /** Shares of a CPU that each used, medians: what is near 1 was the limit. */
  readonly cpu: {
    readonly ours: Shares;
    readonly control: Shares;
  };
}

/** Of one side. */
interface Shares {
  readonly server: number;
  readonly generator: number;
  /** Everything else on the machine. */
  readonly other: number;
}

/** Sums the rounds of a line up. */
export function toRow(
  line: Line,
  from: { readonly work: string; readonly note: string; readonly rounds: readonly Measured[] },
): Row {
  const rounds = from.rounds.map((pair): Pair => {
    const control = line.control(pair);
    return { ours: line.ours(pair), control: Number.isNaN(control) ? null : control };
  });
  const values = rounds.map((pair) => judge(line.judged, pair));
  const value = median(values);
  const { title, unit, better, judged, target } = line;
  const controls = rounds.flatMap(({ control }) => control === null ? [] : [control]);
  return {
    work: from.work,
    title,
    unit,
    better,
    ours: median(rounds.map((pair) => pair.ours)),
    control: controls.length === 0 ? null : median(controls),
    judged,
    value,
    valueMin: Math.min(...values),
    valueMax: Math.max(...values),
    target,
    met: target === null
      ? null
      : value >= (target.atLeast ?? -Infinity) && value <= (target.atMost ?? Infinity),
    note: from.note,
    rounds,
    cpu: {
      ours: shares(from.rounds.map((pair) => pair.ours)),
      control: shares(from.rounds.map((pair) => pair.control)),
    },
  };
}

function shares(results: readonly LoadResult[]): Shares {
  const share = (used: (result: LoadResult) => number) =>
    Math.round(median(results.map((result) => used(result) / result.seconds)) * 1000) / 1000;
  return {
    server: share((result) => result.serverCpuSeconds),
    generator: share((result) => result.loadCpuSeconds),
    other: share((result) => result.otherCpuSeconds),
  };
}

/** The rows as an aligned table, and their notes. */
export function table(rows: readonly Row[]): string {
  const cells = [
    ["work", "ours", "control", "better", "judged", "value", "min..max", "target", ""],
    ...rows.map((row) => [
      row.title,
      `${amount(row.ours)} ${row.unit}`,
      row.control === null ? "" : `${amount(row.control)} ${row.unit}`,
      row.better,
      row.judged === "ours" ? `ours, ${row.unit}` : row.judged,
      judgedAmount(row, row.value),
      `${judgedAmount(row, row.valueMin)}..${judgedAmount(row, row.valueMax)}`,
      wanted(row),
      row.met === null ? "" : row.met ? "ok" : "MISSED",
    ]),
  ];
  const widths = cells[0]?.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0))) ??
    [];
  const lines = cells.map((row) =>
    row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)
    ).join("  ").trimEnd()
  );
  lines.splice(1, 0, widths.map((width) => "-".repeat(width)).join("  ").trimEnd());
  const notes = new Set(rows.filter((row) => row.note !== "").map((row) => `${row.work}: ${row.note}`));
  return [...lines, ...notes].join("\n") + "\n";
}

/** The middle value, the mean of the two middle ones for an even count; NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

function judge(judged: Judged, { ours, control }: Pair): number {
  if (judged === "ours") return ours;
  return judged === "ours/control" ? ours / (control ?? NaN) : (control ?? NaN) / ours;
}

function wanted(row: Row): string {
  if (row.target === null) return "";
  const { atLeast, atMost } = row.target;
  const [low, high] = [atLeast, atMost].map((end) => end === undefined ? "" : judgedAmount(row, end));
  if (atLeast === undefined) return `≤ ${high}`;
  return atMost === undefined ? `≥ ${low}` : low === high ? `= ${low}` : `${low}..${high}`;
}

function judgedAmount(row: Row, value: number): string {
  return row.judged === "ours" ? amount(value) : value.toFixed(2);
}

function amount(value: number): string {
  const digits = Math.abs(value) >= 1000 || Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : 3;
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
