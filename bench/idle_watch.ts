// Looks at a process for some seconds and prints what CPU it used and what memory it has. On Bun, for Deno keeps /proc from
// programs that may not do everything. Takes one `IdleWatch` (JSON, the only argument).

import { setTimeout as delay } from "node:timers/promises";
import process from "node:process";
import type { IdleSeen, IdleWatch } from "./backend_spec.ts";
import { cpuSeconds, residentBytes } from "./proc.ts";

const { pid, seconds }: IdleWatch = JSON.parse(process.argv[2] ?? "");
const before = cpuSeconds(pid);
await delay(seconds * 1000);
const seen: IdleSeen = { cpuSeconds: cpuSeconds(pid) - before, residentBytes: residentBytes(pid) };
process.stdout.write(`${JSON.stringify(seen)}\n`);
