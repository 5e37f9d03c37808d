// What it costs that nothing is lost over a reconnect: connections that are cut at random, a crowd that comes back at once,
// what a session takes whose client is away, and rooms that keep what is said, in memory and on disk.

import { setTimeout as delay } from "node:timers/promises";
import type { Recovery } from "../generator/recoverer.ts";
import { settledBytes } from "../generator/watch.ts";
import type { Config, Gateway, Lab } from "../lab.ts";
import { cpuSeconds } from "../proc.ts";
import { get, info, line, type Measure, per, type Row, type Sample } from "../row.ts";
import { onGateway, type Shape, toLoad } from "./load_row.ts";

/** As AnyCable has published it, scaled to two CPUs: 1,000 clients, 160 s. */
const JITTER = { sessions: 1000, seconds: 160 };
const STORM = { sessions: 10_000, rooms: 500 };
/** As the client library has it, and for clients that are to be back at once. */
const BACKOFF = { default: { baseMs: 1000, maxMs: 30_000 }, tuned: { baseMs: 50, maxMs: 200 } };

const resume = ({ tenants: [tenant] }: Config) => {
  Object.assign(tenant!, { resume: { window_ms: 300_000, max_detached: 100_000 } });
};

function clients(lab: Lab, gateway: Gateway, more: Partial<Recovery>) {
  const job: Recovery = {
    port: gateway.port,
    sessions: JITTER.sessions,
    rooms: 1,
    resumes: true,
    backoff: BACKOFF.default,
    seed: 1,
    ...more,
  };
  return lab.program("bench/generator/recoverer.ts", job);
}

function jitter(more: Partial<Recovery>): Measure {
  return async (lab) => {
    const gateway = await lab.gateway({ change: resume });
    const program = await clients(lab, gateway, more);
    const seconds = lab.seconds(JITTER.seconds), before = cpuSeconds(gateway.pid);
    const result = await program.ask<Sample>(`jitter ${seconds}`);
    return { ...result, serverCpuShare: (cpuSeconds(gateway.pid) - before) / seconds };
  };
}

/** 100 sessions in rooms of 10 that chat five times a second each. */
const polite: Shape = {
  service: "chat",
  sessions: 100,
  rooms: 10,
  pace: { kind: "open", publishersPerGroup: 10, perSecond: 5 },
  sampleEvery: 1,
};

async function storm(lab: Lab): Promise<Sample> {
  const change = (config: Config) => {
    // Another one, whose rooms are its own.
    config.tenants.push({ ...structuredClone(config.tenants[0]!), id: "polite" });
    resume(config);
  };
  const gateway = await lab.gateway({ change });
  const crowd = await lab.crowd(toLoad({ ...polite, tenant: "polite" }, gateway), true);
  const program = await clients(lab, gateway, { ...STORM, backoff: BACKOFF.tuned });
  await delay(3000);
  const quiet = await crowd.measure(lab.seconds());
  await program.ask("away");
  const before = cpuSeconds(gateway.pid);
  const [back, noisy] = await Promise.all([program.ask<Sample>("back"), crowd.measure(lab.seconds())]);
  const cpu = cpuSeconds(gateway.pid) - before;
  return { ...noisy, ...back, quietP99: quiet.p99Micros, stormCpu: cpu };
}

/** What the process takes when so many sessions are away, with ten messages waiting for each. */
async function takenBy(lab: Lab, sessions: number): Promise<number> {
  const gateway = await lab.gateway({ change: resume });
  const program = await clients(lab, gateway, { sessions, rooms: Math.ceil(sessions / 20) });
  await program.ask("away");
  await delay(1000);
  const bytes = await settledBytes(gateway.pid);
  await program.stop();
  return bytes;
}

/** An upper bound: what a connection leaves behind in the process is counted too. */
async function detached(lab: Lab): Promise<Sample> {
  const [few, many] = [2000, STORM.sessions] as const;
  return { bytes: (await takenBy(lab, many) - await takenBy(lab, few)) / (many - few) };
}

const keeps = (store: "memory" | "disk") => ({ gateway, tenants: [tenant] }: Config) => {
  if (store === "disk") gateway["state_dir"] = "./state";
  const history = { max_messages: 100, max_age_ms: 300_000, store };
  Object.assign(tenant!, { rooms: [{ match: "r*", history }] });
};

const room = (sessions: number, publishers: number, inFlight: number): Shape => ({
  service: "chat",
  sessions,
  rooms: 1,
  pace: { kind: "closed", publishersPerGroup: publishers, inFlight },
  sampleEvery: 7,
});

const perSecond = per("received", "seconds");
const cpuPerMessage = per("serverCpuSeconds", "received", 1e6);

/** A message is given to its room once it is on disk, the sender's own copy too: what a sender hears is an ack. */
async function onDisk(lab: Lab): Promise<Sample> {
  const gateway = await lab.gateway({ change: keeps("disk"), free: true });
  const beside = await lab.crowd(
    toLoad({
      ...polite,
      service: "echo",
      rooms: 0,
      pace: { ...polite.pace, publishersPerGroup: 100 } as Shape["pace"],
    }, gateway),
    true,
  );
  const quiet = await beside.measure(lab.seconds());
  const talking = await lab.crowd(toLoad({ ...room(10, 10, 40), sampleEvery: 1 }, gateway));
  const [busy, others] = await Promise.all([talking.measure(lab.seconds(4)), beside.measure(lab.seconds(4))]);
  return { ...busy, quietP99: quiet.p99Micros, othersP99: others.p99Micros };
}

const jitterLines = (wanted: { p99?: number; max?: number; isWhole: boolean }) => [
  info("delivered", "%", "deliveredPercent", {
    better: "higher",
    ...(wanted.isWhole ? { atLeast: 100 } : {}),
  }),
  info("delivered twice", "", "twice", { atMost: 0 }),
  info("out of order", "", "outOfOrder", { atMost: 0 }),
  info("private replies", "%", "answeredPercent", {
    better: "higher",
    ...(wanted.isWhole ? { atLeast: 100 } : {}),
  }),
  info("delay p50", "ms", "p50Ms"),
  info("delay p95", "ms", "p95Ms"),
  info("delay p99", "ms", "p99Ms", wanted.p99 === undefined ? {} : { atMost: wanted.p99 }),
  info("delay max", "ms", "maxMs", wanted.max === undefined ? {} : { atMost: wanted.max }),
  info("connections cut", "", "cuts", { better: "higher" }),
];

export const recovery: readonly Row[] = [
  {
    name: "jitter",
    about: "1,000 clients whose connections are cut for 1–2 s every 15–20 s, and who are to be back at once",
    ours: jitter({ backoff: BACKOFF.tuned }),
    rounds: 1,
    lines: jitterLines({ p99: 2100, max: 3000, isWhole: true }),
  },
  {
    name: "jitter-default",
    about: "the same with the client library's waits between tries",
    ours: jitter({}),
    rounds: 1,
    lines: jitterLines({ isWhole: true }),
  },
  {
    name: "jitter-off",
    about: "the same without resume",
    ours: jitter({ resumes: false, backoff: BACKOFF.tuned }),
    rounds: 1,
    lines: jitterLines({ isWhole: false }),
  },
  {
    name: "resume-storm",
    about: "10,000 sessions come back at once, each to ten messages that it missed, beside 100 that chat",
    ours: storm,
    rounds: 1,
    lines: [
      info("until the last is back and has all", "ms", "backMs", { atMost: 3000 }),
      info("sessions resumed", "", "resumed", { better: "higher", atLeast: STORM.sessions }),
      info("server CPU of it", "s", "stormCpu"),
      line("p99 of others against quiet", "µs", "p99Micros", {
        control: (all) => get(all, "quietP99"),
        atMost: 2,
      }),
    ],
  },
  {
    name: "detached",
    about:
      "memory of a session whose client is away, with ten messages of its room waiting, and of what its connection left",
    ours: detached,
    rounds: 1,
    lines: [info("memory of each", "B", "bytes", { atMost: 4096 })],
  },
  {
    name: "history-memory",
    about: "chat in a room of 200 that keeps 100 messages in memory, against one that keeps none",
    ours: onGateway(room(200, 10, 4), { change: keeps("memory") }),
    control: onGateway(room(200, 10, 4)),
    lines: [
      line("deliveries", "/s", perSecond, { better: "higher", atLeast: 0.9 }),
      line("server CPU per delivery", "µs", cpuPerMessage),
    ],
  },
  {
    name: "history-disk",
    about:
      "chat in a room of 10 that keeps 100 messages on disk, 400 under way, beside 100 sessions that echo",
    ours: onDisk,
    lines: [
      info("acked", "/s", per("sent", "seconds"), { better: "higher", atLeast: 20_000 }),
      info("p50 of an ack", "ms", (all) => get(all, "p50Micros") / 1000, { atMost: 25 }),
      info("p99 of an ack", "ms", (all) => get(all, "p99Micros") / 1000),
      line("p99 of others against quiet", "µs", "othersP99", {
        control: (all) => get(all, "quietP99"),
        atMost: 1.5,
      }),
    ],
  },
];
