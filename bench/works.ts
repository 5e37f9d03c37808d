// The works that are measured, as a table: who is compared with whom, under what load, and what is wanted.
// The ratio is always ours to the control; a work that compares the gateway with itself says so in its name.

import type { LoadResult, Pace } from "./load_spec.ts";

/** A server: our gateway on a runtime, or a control of bench/controls by its file's name. */
export type ServerKind =
  | { readonly kind: "gateway"; readonly runtime: "bun" | "deno" }
  | { readonly kind: "control"; readonly name: string; readonly runtime: "bun" | "deno" };

/** What a side of a work does to its server. */
export interface Shape {
  /** What messages are sent to; a control always answers as `echo` does. Idle works send none. */
  readonly service: "echo" | "relay" | "state" | "chat";
  readonly sessions: number;
  /** Rooms; 0: none is joined. Sessions are spread over them evenly. */
  readonly rooms: number;
  readonly pace: Pace;
  readonly sampleEvery: number;
}

/** One of the two things a work compares. */
export interface Side {
  readonly server: ServerKind;
  readonly shape: Shape;
}

/** A number taken from each measurement of a work, one row of the report. */
export interface Line {
  readonly title: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  readonly value: (result: LoadResult) => number;
  /** The ratio wanted; null: reported without a judgement. */
  readonly target: number | null;
}

/**
 * One comparison. With `halfOf`, an open loop's rate is found first: the slower side's closed loop of that
 * pace is run, and half of its rate is taken, at most the rate that the shape names.
 */
export interface Work {
  readonly name: string;
  readonly ours: Side;
  readonly control: Side;
  readonly lines: readonly Line[];
  readonly halfOf?: Pace;
}

const gateway = {
  bun: { kind: "gateway", runtime: "bun" },
  deno: { kind: "gateway", runtime: "deno" },
} as const;

function control(name: string): ServerKind {
  return { kind: "control", name, runtime: name.startsWith("deno") ? "deno" : "bun" };
}

const perSecond = (result: LoadResult) => result.received / result.seconds;
const cpuMicros = (result: LoadResult) => result.serverCpuSeconds * 1e6 / result.received;

function throughput(title: string, target: number | null): Line {
  return { title, unit: "/s", better: "higher", value: perSecond, target };
}

function cpu(title: string, target: number | null = null): Line {
  return { title, unit: "µs", better: "lower", value: cpuMicros, target };
}

/** Ten publishers with four messages in flight each. */
const tenByFour: Pace = { kind: "closed", publishersPerGroup: 10, inFlight: 4 };

const echo200: Shape = {
  service: "echo",
  sessions: 200,
  rooms: 0,
  pace: { kind: "closed", publishersPerGroup: 200, inFlight: 1 },
  sampleEvery: 1,
};

function oneRoom(sessions: number): Shape {
  return { service: "echo", sessions, rooms: 1, pace: tenByFour, sampleEvery: 64 };
}

const smallRooms: Shape = {
  service: "echo",
  sessions: 10_000,
  rooms: 500,
  pace: { kind: "open", publishersPerGroup: 20, perSecond: 20 },
  sampleEvery: 64,
};

const idle: Shape = {
  service: "echo",
  sessions: 10_000,
  rooms: 500,
  pace: { kind: "idle", baselineSessions: 2000 },
  sampleEvery: 1,
};

const game: Shape = {
  service: "relay",
  sessions: 100,
  rooms: 1,
  pace: { kind: "open", publishersPerGroup: 100, perSecond: 60 },
  sampleEvery: 64,
};

/** Every work, in the order of the report. */
export const works: readonly Work[] = [
  {
    name: "echo",
    ours: { server: gateway.bun, shape: echo200 },
    control: { server: control("bun_echo"), shape: echo200 },
    lines: [
      throughput("hot echo, 200 sessions, 1 in flight", 0.8),
      cpu("hot echo, server CPU per message"),
    ],
  },
  {
    name: "fanout",
    ours: { server: gateway.bun, shape: oneRoom(200) },
    control: { server: control("bun_publish"), shape: oneRoom(200) },
    lines: [
      throughput("one room of 200, 10 publishers × 4, deliveries", 1),
      cpu("one room of 200, server CPU per delivery"),
    ],
  },
  {
    name: "rooms",
    ours: { server: gateway.bun, shape: smallRooms },
    control: { server: control("bun_publish"), shape: smallRooms },
    halfOf: { kind: "closed", publishersPerGroup: 20, inFlight: 1 },
    lines: [cpu("500 rooms of 20, all publish, server CPU per delivery")],
  },
  {
    name: "chat",
    ours: { server: gateway.bun, shape: { ...oneRoom(200), service: "chat" } },
    control: { server: gateway.bun, shape: oneRoom(200) },
    lines: [throughput("chat in a room of 200 to our own hot fan-out, deliveries", null)],
  },
  {
    name: "idle",
    ours: { server: gateway.bun, shape: idle },
    control: { server: control("bun_idle"), shape: { ...idle, rooms: 0 } },
    lines: [{
      title: "10,000 idle sessions in rooms of 20, memory each",
      unit: "B",
      better: "lower",
      value: (result) => result.bytesPerSession,
      target: null,
    }],
  },
  {
    name: "deno-echo",
    ours: { server: gateway.deno, shape: echo200 },
    control: { server: control("deno_ws_echo"), shape: echo200 },
    lines: [
      throughput("Deno: hot echo, 200 sessions, 1 in flight", null),
      cpu("Deno: hot echo, server CPU per message"),
    ],
  },
  {
    name: "deno-fanout",
    ours: { server: gateway.deno, shape: oneRoom(200) },
    control: { server: control("deno_ws_fanout"), shape: oneRoom(200) },
    lines: [throughput("Deno: one room of 200, deliveries", null)],
  },
  {
    name: "latency",
    ours: {
      server: gateway.bun,
      shape: { ...oneRoom(200), pace: { kind: "open", publishersPerGroup: 10, perSecond: 100_000 } },
    },
    control: {
      server: control("bun_publish"),
      shape: { ...oneRoom(200), pace: { kind: "open", publishersPerGroup: 10, perSecond: 100_000 } },
    },
    halfOf: tenByFour,
    lines: [{
      title: "one room of 200 at half of the maximum, p99",
      unit: "µs",
      better: "lower",
      value: (result) => result.p99Micros,
      target: null,
    }],
  },
  ...[1_000, 10_000].map((members): Work => ({
    name: `room-${members}`,
    ours: { server: gateway.bun, shape: oneRoom(members) },
    control: { server: gateway.bun, shape: oneRoom(100) },
    lines: [cpu(`a room of ${members} to one of 100, server CPU per delivery`)],
  })),
  {
    name: "state",
    ours: { server: gateway.bun, shape: { ...game, service: "state" } },
    control: { server: gateway.bun, shape: game },
    lines: [{
      title: "state (50 ms) to relay, room of 100 at 60/s each, CPU",
      unit: "s/s",
      better: "lower",
      value: (result) => result.serverCpuSeconds / result.seconds,
      target: null,
    }],
  },
];
