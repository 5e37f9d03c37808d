// Handshakes with signed tickets against a bare upgrade, and chat beside a storm of them.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Dial } from "../generator/dial.ts";
import type { Config, Lab, Server } from "../lab.ts";
import { get, info, line, type Measure, type Row, type Sample } from "../row.ts";
import { mint, newKey, type TicketKey } from "../tickets.ts";
import { type Shape, toLoad } from "./load_row.ts";

const PATH = "/v1/ws?tenant=bench&ticket=";
const WARMUP_SECONDS = 0.5;
/** More than can be used in a second, on this side of 2030. */
const TICKETS_PER_SECOND = 12_000;

function rounds(algorithm: TicketKey["algorithm"], control: boolean): Measure {
  return async (lab) => {
    const { ticketKey, auth } = await newKey(algorithm);
    const server: Server = control
      ? await lab.control("bun_idle")
      : await lab.gateway({ change: withAuth(auth) });
    const seconds = Math.min(lab.seconds(), 3);
    const tickets = Math.ceil((seconds + WARMUP_SECONDS) * TICKETS_PER_SECOND);
    const dial: Dial = {
      port: server.port,
      serverPid: server.pid,
      path: PATH,
      key: ticketKey,
      tickets,
      pace: { kind: "closed", underWay: 64 },
    };
    const program = await lab.program("bench/generator/dial.ts", dial);
    await program.ask(WARMUP_SECONDS);
    return await program.ask<Sample>(seconds);
  };
}

function withAuth(auth: object) {
  return (config: Config) => void Object.assign(config.tenants[0]!, { auth });
}

const CHATTERS = 1000;
/** One message of each in 4 s. */
const chat: Shape = {
  service: "chat",
  sessions: CHATTERS,
  rooms: CHATTERS / 20,
  pace: { kind: "open", publishersPerGroup: 20, perSecond: 0.25 },
  sampleEvery: 1,
};
const STORM_PER_SECOND = 2000;
const STORM_SECONDS = 10;
const MIB = 2 ** 20;

/** Quiet and storm, twice over: memory that a first storm leaves warm is no leak, what the second adds may be one. */
async function storm(lab: Lab): Promise<Sample> {
  const { ticketKey, auth } = await newKey("ES256");
  const gateway = await lab.gateway({ change: withAuth(auth) });
  const seconds = lab.seconds(STORM_SECONDS);
  const dial = (users: string): Dial => ({
    port: gateway.port,
    serverPid: gateway.pid,
    path: PATH,
    key: ticketKey,
    tickets: seconds * STORM_PER_SECOND * 1.1,
    pace: { kind: "storm", perSecond: STORM_PER_SECOND, users },
  });
  const storms = [
    await lab.disturber("bench/generator/dial.ts", dial("s")),
    await lab.disturber("bench/generator/dial.ts", dial("t")),
  ];
  const file = resolve("dist", "bench", `chatters-${gateway.port}.json`);
  mkdirSync(resolve("dist", "bench"), { recursive: true });
  const users = (number: number) => ({ user: `c${number}`, fault: null });
  writeFileSync(file, JSON.stringify(await mint(ticketKey, CHATTERS, users)));
  try {
    const crowd = await lab.crowd(toLoad({ ...chat, tickets: file }, gateway), true);
    const quiet = await crowd.measure(seconds);
    const [first, stormy] = await Promise.all([storms[0]!.ask<Sample>(seconds), crowd.measure(seconds)]);
    await crowd.measure(3);
    await storms[1]!.ask<Sample>(seconds);
    const after = await crowd.measure(3);
    return {
      ...first,
      ...stormy,
      quietP50: quiet.p50Micros,
      quietP99: quiet.p99Micros,
      secondMiB: (after.residentBytesMax - stormy.residentBytesMax) / MIB,
      residentMiB: after.residentBytesMax / MIB,
      admittedShare: 100 * get(first, "admitted") / get(first, "good"),
      refusedShare: 100 * get(first, "refused") / get(first, "bad"),
    };
  } finally {
    rmSync(file);
  }
}

export const handshakes: readonly Row[] = [
  ...(["HS256", "ES256"] as const).map((algorithm): Row => ({
    name: `handshakes-${algorithm}`,
    about: `good ${algorithm} tickets, 64 handshakes under way, against a bare upgrade`,
    ours: rounds(algorithm, false),
    control: rounds(algorithm, true),
    lines: [
      line("handshakes", "/s", "perSecond", { better: "higher" }),
      line("server CPU, the session's end included", "µs", "serverCpuMicros"),
      line("generator CPU", "µs", "loadCpuMicros"),
    ],
  })),
  {
    name: "storm",
    about: "1,000 chatters beside 2,000 handshakes/s of which one in ten is good",
    ours: storm,
    rounds: 3,
    lines: [
      line("chat p99 against quiet", "µs", "p99Micros", {
        control: (all) => get(all, "quietP99"),
        atMost: 2,
      }),
      line("chat p50 against quiet", "µs", "p50Micros", { control: (all) => get(all, "quietP50") }),
      info("good ones admitted", "%", "admittedShare", { better: "higher", atLeast: 100 }),
      info("bad ones refused", "%", "refusedShare", { better: "higher", atLeast: 100 }),
      info("p99 of good ones", "µs", "goodP99Micros"),
      info("chatters closed", "sessions", "closed", { atMost: 0 }),
      info("CPU of the gateway", "s/s", "serverCpuShare"),
      info("memory at most", "MiB", "residentMiB"),
      info("memory that a second storm adds", "MiB", "secondMiB"),
    ],
  },
];
