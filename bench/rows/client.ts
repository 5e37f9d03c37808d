// What the client library costs its application, beside code that speaks the protocol by hand on the same WebSocket, in one
// run: per message at 10,000/s, and memory of 1,000 clients.

import type { LibraryJob } from "../generator/library.ts";
import type { Lab } from "../lab.ts";
import { get, info, line, type Measure, per, type Row, type Sample } from "../row.ts";

const PER_SECOND = 10_000;
const CLIENTS = 1000;
const WARMUP_SECONDS = 2;

function measure(who: LibraryJob["who"], does: LibraryJob["does"]): Measure {
  return async (lab: Lab): Promise<Sample> => {
    // With it the library counts, keeps and confirms; whoever writes by hand does without.
    const gateway = await lab.gateway({
      change: (config) => void Object.assign(config.tenants[0]!, { resume: {} }),
    });
    const job = { port: gateway.port, room: "bench", perSecond: PER_SECOND, clients: CLIENTS };
    const program = await lab.nodeProgram("bench/generator/library.ts", { ...job, who, does });
    if (does === "stay") return await program.ask<Sample>(1);
    const seconds = lab.seconds();
    if (does === "say") {
      await program.ask(WARMUP_SECONDS);
      return await program.ask<Sample>(seconds);
    }
    const speaker = await lab.nodeProgram("bench/generator/library.ts", { ...job, who: "raw", does: "say" });
    const saying = speaker.ask(seconds + WARMUP_SECONDS + 1);
    await program.ask(WARMUP_SECONDS);
    const sample = await program.ask<Sample>(seconds);
    await saying;
    return sample;
  };
}

const micros = per("cpuSeconds", "messages", 1e6);
const rate = (sample: Sample) => get(sample, "messages") / get(sample, "seconds");

function row(does: "hear" | "say", about: string): Row {
  return {
    name: `client-${does}`,
    about,
    ours: measure("library", does),
    control: measure("raw", does),
    lines: [
      line(`${does}: CPU per message, Node`, "µs", micros),
      line(`${does}: the same`, "µs", micros, { judged: "added" }),
      info(`${does}: messages`, "/s", rate, { better: "higher" }),
    ],
  };
}

export const client: readonly Row[] = [
  row("hear", "the client library hears 10,000 messages/s, against ws by hand"),
  row("say", "the client library says 10,000 messages/s and has their acks, against ws by hand"),
  {
    name: "client-stay",
    about: "1,000 clients of the library in rooms, against ws by hand",
    ours: measure("library", "stay"),
    control: measure("raw", "stay"),
    lines: [
      line("heap per client, Node", "B", per("heapBytes", "clients")),
      line("the same", "B", per("heapBytes", "clients"), { judged: "added" }),
      line("resident per client", "B", per("residentBytes", "clients"), { judged: "added" }),
    ],
  },
];
