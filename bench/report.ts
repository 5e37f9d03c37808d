// From measurements to what is printed and written: medians over rounds, ratios per pair of neighbouring
// rounds (so that a machine that slows down hits both sides alike), a table and a JSON document.

import type { Line } from "./works.ts";

/** One round of a line: both sides measured one after the other. */
export interface Pair {
  readonly ours: number;
  readonly control: number;
}

/** A row of the report. */
export interface Row {
  readonly work: string;
  readonly title: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  readonly ours: number;
  readonly control: number;
  readonly ratio: number;
  readonly ratioMin: number;
  readonly ratioMax: number;
  readonly target: number | null;
  /** Null without a target. */
  readonly met: boolean | null;
  readonly rounds: readonly Pair[];
}

/** Sums the rounds of a line up. */
export function toRow(work: string, line: Line, rounds: readonly Pair[]): Row {
  const ratios = rounds.map((pair) => pair.ours / pair.control);
  const ratio = median(ratios);
  const { title, unit, better, target } = line;
  return {
    work,
    title,
    unit,
    better,
    ours: median(rounds.map((pair) => pair.ours)),
    control: median(rounds.map((pair) => pair.control)),
    ratio,
    ratioMin: Math.min(...ratios),
    ratioMax: Math.max(...ratios),
    target,
    met: target === null ? null : better === "higher" ? ratio >= target : ratio <= target,
    rounds,
  };
}

/** The rows as an aligned table. */
export function table(rows: readonly Row[]): string {
  const cells = [
    ["work", "ours", "control", "ratio", "min..max", "target"],
    ...rows.map((row) => [
      row.title,
      amount(row.ours, row.unit),
      amount(row.control, row.unit),
      row.ratio.toFixed(2),
      `${row.ratioMin.toFixed(2)}..${row.ratioMax.toFixed(2)}`,
      wanted(row),
    ]),
  ];
  const widths = cells[0]?.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0))) ??
    [];
  const lines = cells.map((row) =>
    row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)
    )
      .join("  ")
  );
  lines.splice(1, 0, widths.map((width) => "-".repeat(width)).join("  "));
  return lines.join("\n") + "\n";
}

/** The middle value, the mean of the two middle ones for an even count; NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}

function wanted(row: Row): string {
  if (row.target === null) return "";
  return `${row.better === "higher" ? "≥" : "≤"} ${row.target.toFixed(2)} ${row.met ? "ok" : "missed"}`;
}

function amount(value: number, unit: string): string {
  const digits = value >= 1000 ? 0 : value >= 10 ? 1 : 3;
  return `${
    value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })
  } ${unit}`;
}
