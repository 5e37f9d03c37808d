// Every row, by group, in the order of the report.

import type { Row } from "../row.ts";
import { backend } from "./backend.ts";
import { client } from "./client.ts";
import { cluster } from "./cluster.ts";
import { datagrams } from "./datagrams.ts";
import { extensions } from "./extensions.ts";
import { handshakes } from "./handshakes.ts";
import { hot } from "./hot.ts";
import { neighbours } from "./neighbours.ts";
import { recovery } from "./recovery.ts";
import { raw } from "./raw.ts";
import { operators } from "./console.ts";
import { policy } from "./policy.ts";
import { reload } from "./reload.ts";
import { slow } from "./slow.ts";
import { streams } from "./streams.ts";

export interface Group {
  readonly name: string;
  readonly rows: readonly Row[];
}

export const groups: readonly Group[] = [
  { name: "hot", rows: hot },
  { name: "raw", rows: raw },
  { name: "streams", rows: streams },
  { name: "datagrams", rows: datagrams },
  { name: "slow", rows: slow },
  { name: "policy", rows: policy },
  { name: "handshakes", rows: handshakes },
  { name: "reloads", rows: reload },
  { name: "recovery", rows: recovery },
  { name: "backend", rows: backend },
  { name: "extensions", rows: extensions },
  { name: "operators", rows: operators },
  { name: "neighbours", rows: neighbours },
  { name: "cluster", rows: cluster },
  { name: "client", rows: client },
];
