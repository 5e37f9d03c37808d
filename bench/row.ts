// What a row of the bench is: one or two sides to be measured, and the lines that the report makes of their numbers. A row
// is declared in rows/; run.ts measures it, and knows nothing of what it does.

import type { Lab } from "./lab.ts";

/** The numbers of one measurement, by their names. */
export type Sample = Readonly<Record<string, number>>;

/** The number that is judged: one side's in terms of the other's, their difference, or ours as it is. */
export type Judged = "ours/control" | "control/ours" | "added" | "ours";

/** One line of the report, taken from each pair of measurements. */
export interface Line {
  readonly title: string;
  readonly unit: string;
  /** Which way the numbers of both sides, not the judged one, are better. */
  readonly better: "higher" | "lower";
  readonly of: (sample: Sample) => number;
  /** Of the same measurement, where the row has no control of its own: a quiet phase before, say. */
  readonly control?: (sample: Sample) => number;
  readonly judged: Judged;
  /** What is wanted of the judged number; both ends count as met. */
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** Measures one side once. */
export type Measure = (lab: Lab) => Promise<Sample>;

export interface Row {
  readonly name: string;
  /** One line for `--help`. */
  readonly about: string;
  readonly ours: Measure;
  /** What the gateway is compared with; absent: the lines compare numbers of one and the same measurement, or nothing. */
  readonly control?: Measure;
  /**
   * An open loop's rate is found first: messages/s of the slowest side in a closed loop. `lab.rate` is half of it.
   */
  readonly probe?: {
    readonly ours: Measure;
    readonly control: Measure;
    readonly of: (sample: Sample) => number;
  };
  readonly lines: readonly Line[];
  /** Rounds where the command line does not say how many; absent: as many as others. */
  readonly rounds?: number;
}

/** A line: `of` is a name in the sample or a function of it. */
export function line(
  title: string,
  unit: string,
  of: string | Line["of"],
  more: Partial<Line> = {},
): Line {
  const value = typeof of === "string" ? (sample: Sample) => sample[of] ?? NaN : of;
  return { title, unit, better: "lower", judged: "ours/control", ...more, of: value };
}

/** A line that nothing is compared with. */
export function info(title: string, unit: string, of: string | Line["of"], more: Partial<Line> = {}): Line {
  return line(title, unit, of, { judged: "ours", ...more });
}

/** A number of a sample; NaN where there is none of that name. */
export function get(sample: Sample, name: string): number {
  return sample[name] ?? NaN;
}

/** What one number is in terms of another. */
export function per(above: string, below: string, factor = 1): (sample: Sample) => number {
  return (sample) => factor * get(sample, above) / get(sample, below);
}

/** A number as people read it. */
export function amount(value: number): string {
  const digits = Math.abs(value) >= 1000 || Number.isInteger(value) ? 0 : Math.abs(value) >= 10 ? 1 : 3;
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
