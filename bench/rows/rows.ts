// Every row, by group, in the order of the report.

import type { Row } from "../row.ts";
import { hot } from "./hot.ts";

export interface Group {
  readonly name: string;
  readonly rows: readonly Row[];
}

export const groups: readonly Group[] = [
  { name: "hot", rows: hot },
];
