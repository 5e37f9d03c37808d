// From measurements to what is printed and written: medians over rounds, the judged number per pair of neighbouring
// measurements (so that a machine that slows down hits both sides alike), and a table.

import { amount, type Line, type Sample } from "./row.ts";

/** One round of a row: every side measured once, one after the other. */
export interface Round {
  readonly ours: Sample;
  readonly control: Sample | null;
  /** Another version of the gateway, with `--against`. */
  readonly before: Sample | null;
}

/** One number over all rounds. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** A line of the report. */
export interface Reported {
  readonly row: string;
  readonly title: string;
  /** Unit of `ours`, `control` and `before`, and which way these are better. */
  readonly unit: string;
  readonly better: "higher" | "lower";
  readonly ours: Spread;
  readonly control: Spread | null;
  readonly before: Spread | null;
  readonly judged: Line["judged"];
  readonly value: Spread;
  /** The judged number of the other version, and ours in terms of it, pair by pair. */
  readonly valueBefore: Spread | null;
  readonly againstBefore: Spread | null;
  readonly wanted: string;
  /** Null: nothing is wanted of `value`. */
  readonly met: boolean | null;
}

/** Sums the rounds of a line up. */
export function summarize(row: string, line: Line, rounds: readonly Round[]): Reported {
  const { title, unit, better, judged, atLeast, atMost } = line;
  const controlOf = (round: Round, side: Sample) =>
    line.control !== undefined ? line.control(side) : round.control === null ? NaN : line.of(round.control);
  const judge = (round: Round, side: Sample) => {
    const [ours, control] = [line.of(side), controlOf(round, side)];
    if (judged === "ours") return ours;
    return judged === "added" ? ours - control : judged === "ours/control" ? ours / control : control / ours;
  };
  const value = spread(rounds.map((round) => judge(round, round.ours)))!;
  const older = rounds.flatMap((round) => round.before === null ? [] : [{ ...round, before: round.before }]);
  const low = atLeast ?? -Infinity, high = atMost ?? Infinity;
  return {
    row,
    title,
    unit,
    better,
    ours: spread(rounds.map(({ ours }) => line.of(ours)))!,
    control: judged === "ours" ? null : spread(rounds.map((round) => controlOf(round, round.ours))),
    before: spread(older.map(({ before }) => line.of(before))),
    judged,
    value,
    valueBefore: spread(older.map((round) => judge(round, round.before))),
    againstBefore: spread(older.map(({ ours, before }) => line.of(ours) / line.of(before))),
    wanted: atLeast === undefined && atMost === undefined
      ? ""
      : atLeast === undefined
      ? `≤ ${amount(high)}`
      : atMost === undefined
      ? `≥ ${amount(low)}`
      : low === high
      ? `= ${amount(low)}`
      : `${amount(low)}..${amount(high)}`,
    met: atLeast === undefined && atMost === undefined ? null : value.median >= low && value.median <= high,
  };
}

/** The lines as an aligned table. */
export function table(lines: readonly Reported[]): string {
  const isAgainst = lines.some(({ before }) => before !== null);
  const range = (spread: Spread | null) =>
    spread === null ? "" : `${short(spread.median)} (${short(spread.min)}..${short(spread.max)})`;
  const cells = [
    ["", "unit", ...(isAgainst ? ["before"] : []), "ours", "control", "judged"].concat(
      isAgainst ? ["value before", "value", "ours/before"] : ["value"],
      ["wanted", ""],
    ),
    ...lines.map((line) => [
      `${line.row}: ${line.title}`,
      line.unit,
      ...(isAgainst ? [line.before === null ? "" : amount(line.before.median)] : []),
      amount(line.ours.median),
      line.control === null ? "" : amount(line.control.median),
      line.judged,
      ...(isAgainst ? [line.valueBefore === null ? "" : short(line.valueBefore.median)] : []),
      range(line.value),
      ...(isAgainst ? [range(line.againstBefore)] : []),
      line.wanted,
      line.met === null ? "" : line.met ? "ok" : "MISSED",
    ]),
  ];
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  const aligned = cells.map((row) =>
    row.map((cell, column) => column < 2 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))
      .join("  ").trimEnd()
  );
  return `${aligned.join("\n")}\n`;
}

/** The middle value, the mean of the two middle ones for an even count; null for none. */
function spread(values: readonly number[]): Spread | null {
  const sorted = values.filter((value) => !Number.isNaN(value)).toSorted((a, b) => a - b);
  if (sorted.length === 0) return values.length === 0 ? null : { median: NaN, min: NaN, max: NaN };
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)! };
}

function short(value: number): string {
  return Math.abs(value) >= 100 ? amount(Math.round(value)) : value.toFixed(2);
}
