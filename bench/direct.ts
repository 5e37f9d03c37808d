// Calls a backend directly, as the gateway would: the control of what a service costs. A process of its own on Bun that
// does one `DirectLoad` (JSON, the only argument) and prints one `DirectResult`.

import type { DirectLoad, DirectResult } from "./backend_spec.ts";
import { HttpCaller } from "./http_caller.ts";
import { Latency } from "./latency.ts";

async function run(load: DirectLoad): Promise<DirectResult> {
  const caller = await HttpCaller.open(load.port, load.connections);
  const request = caller.request(load.path, load.body);
  const latency = new Latency();
  let answered = 0, measuring = false, going = true;
  const ask = (then: () => void) => {
    const since = performance.now();
    caller.ask(request, () => {
      if (measuring) {
        answered++;
        latency.add((performance.now() - since) * 1000);
      }
      then();
    });
  };
  if (load.perSecond === null) {
    const again = () => {
      if (going) ask(again);
    };
    for (let i = 0; i < load.connections; i++) again();
  } else pour(load.perSecond, () => ask(() => {}), () => going);
  await pause(load.warmupSeconds);
  measuring = true;
  const start = performance.now();
  await pause(load.seconds);
  measuring = false;
  going = false;
  const seconds = (performance.now() - start) / 1000;
  return {
    perSecond: answered / seconds,
    p50Micros: latency.percentile(0.5),
    p99Micros: latency.percentile(0.99),
  };
}

/** Each millisecond, what has fallen due since the last one. */
function pour(perSecond: number, one: () => void, going: () => boolean): void {
  const start = performance.now();
  let poured = 0;
  const step = () => {
    if (!going()) return;
    for (const due = Math.floor((performance.now() - start) * perSecond / 1000); poured < due; poured++) {
      one();
    }
    setTimeout(step, 1);
  };
  step();
}

function pause(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

process.stdout.write(`${JSON.stringify(await run(JSON.parse(process.argv[2] ?? "")))}\n`);
process.exit(0);
