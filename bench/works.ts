// The works that are measured, as a table: who is compared with whom, under what load, and what is wanted. A work
// that compares the gateway with itself says so in its title; those with the gateway disturbed are in disturbances.ts,
// those of the policy engine in policy_works.ts.

import { disturbances } from "./disturbances.ts";
import type { LoadResult, Pace, Probe, Slow } from "./load_spec.ts";
import { policyWorks } from "./policy_works.ts";

/** Settings in which a gateway differs from bench.yaml: of `gateway`, and of the tenant's `delivery` and `policy`. */
export interface GatewaySettings {
  readonly gateway: Readonly<Record<string, number>>;
  readonly delivery: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly policy?: Readonly<Record<string, unknown>>;
  /** `policy` of a further tenant, which is otherwise the same. */
  readonly neighbour?: { readonly id: string; readonly policy: Readonly<Record<string, unknown>> };
}

/** A server: our gateway on a runtime, or a control of bench/controls by its file's name. */
export type ServerKind =
  | { readonly kind: "gateway"; readonly runtime: "bun" | "deno"; readonly settings?: GatewaySettings }
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
  /** 64 where it is not given. */
  readonly payloadBytes?: number;
  /** The last sessions read slowly; they count as members, not as receivers. */
  readonly slow?: Slow;
  /** The last session sends these beside the load. */
  readonly probe?: Probe;
}

/** One of the two things a work compares. */
export interface Side {
  readonly server: ServerKind;
  readonly shape: Shape;
  /** A tenant of which one session sends all it can, beside the load. */
  readonly flooded?: string;
}

/** Both sides measured, one after the other. */
export interface Measured {
  readonly ours: LoadResult;
  /** That of ours again where a work has one side only. */
  readonly control: LoadResult;
}

/** The number that is judged: one side's in terms of the other's, or ours as it is, in the line's unit. */
export type Judged = "ours/control" | "control/ours" | "ours";

/** What is wanted of the judged number; both ends count as met. */
export interface Target {
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** Numbers taken from each pair of measurements of a work: one row of the report. */
export interface Line {
  readonly title: string;
  readonly unit: string;
  /** Which way the numbers of both sides, not the judged one, are better. */
  readonly better: "higher" | "lower";
  readonly ours: (pair: Measured) => number;
  readonly control: (pair: Measured) => number;
  readonly judged: Judged;
  /** Null: reported without a judgement. */
  readonly target: Target | null;
}

/**
 * One comparison. With `halfOf`, an open loop's rate is found first: the slower side's closed loop of that
 * pace is run, and half of its rate is taken for both sides, at most the rate that the shape names.
 */
export interface Work {
  readonly name: string;
  readonly ours: Side;
  /** Null: the lines compare numbers of one and the same run. */
  readonly control: Side | null;
  readonly lines: readonly Line[];
  readonly halfOf?: Pace;
  /** A measurement takes this long at least; with --quick, it does not matter unless `always` says so. */
  readonly seconds?: { readonly atLeast: number; readonly always?: true };
  /** What the reader of the row must know, given the messages per second of one publisher and of all. */
  readonly note?: (perSecond: { readonly each: number; readonly all: number }) => string;
}

const gateway = {
  bun: { kind: "gateway", runtime: "bun" },
  deno: { kind: "gateway", runtime: "deno" },
} as const;

function control(name: string): ServerKind {
  return { kind: "control", name, runtime: name.startsWith("deno") ? "deno" : "bun" };
}

/** The same number of both sides. */
export function ofBoth(value: (result: LoadResult) => number): Pick<Line, "ours" | "control"> {
  return { ours: (pair) => value(pair.ours), control: (pair) => value(pair.control) };
}

function throughput(title: string, atLeast: number | null): Line {
  return {
    title: `${title}: messages out`,
    unit: "/s",
    better: "higher",
    ...ofBoth((result) => result.received / result.seconds),
    judged: "ours/control",
    target: atLeast === null ? null : { atLeast },
  };
}

function cpu(title: string, wanted: { judged: Judged; target: Target } | null = null): Line {
  return {
    title: `${title}: server CPU per message out`,
    unit: "µs",
    better: "lower",
    ...ofBoth((result) => result.serverCpuSeconds * 1e6 / result.received),
    judged: "ours/control",
    target: null,
    ...wanted,
  };
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

/** Ten publishers of an open loop, whose rate `halfOf` finds. */
const steady: Shape = {
  ...oneRoom(200),
  pace: { kind: "open", publishersPerGroup: 10, perSecond: 100_000 },
  sampleEvery: 32,
};

/** Every work, in the order of the report. */
export const works: readonly Work[] = [
  {
    name: "echo",
    ours: { server: gateway.bun, shape: echo200 },
    control: { server: control("bun_echo"), shape: echo200 },
    lines: [throughput("hot echo, 200 sessions × 1 in flight", 0.9), cpu("hot echo")],
  },
  {
    name: "fanout",
    ours: { server: gateway.bun, shape: oneRoom(200) },
    control: { server: control("bun_publish"), shape: oneRoom(200) },
    lines: [throughput("room of 200, 10 publishers × 4 in flight", 1.2), cpu("room of 200")],
  },
  {
    name: "rooms",
    ours: { server: gateway.bun, shape: smallRooms },
    control: { server: control("bun_publish"), shape: smallRooms },
    halfOf: { kind: "closed", publishersPerGroup: 20, inFlight: 1 },
    seconds: { atLeast: 5 },
    lines: [
      cpu("500 rooms of 20, all publish", { judged: "control/ours", target: { atLeast: 1.2 } }),
    ],
    note: ({ each, all }) =>
      `every member published ${each.toFixed(2)}/s instead of 20/s, ${
        amount(all * 20)
      } deliveries/s: 4,000,000/s ` +
      "are beyond one CPU of this machine, so both sides ran at half of the slower side's closed loop",
  },
  {
    name: "chat",
    ours: { server: gateway.bun, shape: { ...oneRoom(200), service: "chat" } },
    control: { server: gateway.bun, shape: oneRoom(200) },
    lines: [throughput("chat in a room of 200 against our hot fan-out", 0.7)],
  },
  {
    name: "state",
    ours: { server: gateway.bun, shape: { ...game, service: "state" } },
    control: { server: gateway.bun, shape: game },
    seconds: { atLeast: 5 },
    lines: [{
      title: "state (50 ms) against relay, room of 100 at 60/s each: server CPU per second",
      unit: "s",
      better: "lower",
      ...ofBoth((result) => result.serverCpuSeconds / result.seconds),
      judged: "ours/control",
      target: { atMost: 0.25 },
    }],
  },
  {
    name: "idle",
    ours: { server: gateway.bun, shape: idle },
    control: { server: control("bun_idle"), shape: { ...idle, rooms: 0 } },
    lines: [{
      title: "10,000 idle sessions in rooms of 20: memory each",
      unit: "B",
      better: "lower",
      ...ofBoth((result) => result.bytesPerSession),
      judged: "ours",
      target: { atMost: 4096 },
    }],
  },
  {
    name: "latency",
    ours: { server: gateway.bun, shape: steady },
    control: { server: control("bun_publish"), shape: steady },
    halfOf: tenByFour,
    seconds: { atLeast: 10 },
    lines: [
      {
        title: "room of 200 at half of its maximum: p99",
        unit: "µs",
        better: "lower",
        ...ofBoth((result) => result.p99Micros),
        judged: "ours/control",
        target: { atMost: 1.2 },
      },
      {
        title: "room of 200 at half of its maximum: median of each second's p99",
        unit: "µs",
        better: "lower",
        ...ofBoth((result) => result.p99BySecondMicros),
        judged: "ours/control",
        target: null,
      },
      {
        title: "room of 200 at half of its maximum: p50",
        unit: "µs",
        better: "lower",
        ...ofBoth((result) => result.p50Micros),
        judged: "ours/control",
        target: null,
      },
    ],
    note: ({ all }) =>
      `${amount(all)} messages/s, ${amount(all * 200)} deliveries/s on both sides: half of the slower ` +
      "side's closed loop",
  },
  {
    name: "deno-echo",
    ours: { server: gateway.deno, shape: echo200 },
    control: { server: control("deno_ws_echo"), shape: echo200 },
    lines: [throughput("Deno: hot echo, 200 sessions × 1 in flight", 0.85), cpu("Deno: hot echo")],
  },
  {
    name: "deno-fanout",
    ours: { server: gateway.deno, shape: oneRoom(200) },
    control: { server: control("deno_ws_fanout"), shape: oneRoom(200) },
    lines: [throughput("Deno: room of 200 against a send loop", 8)],
  },
  ...[1_000, 10_000].map((members): Work => ({
    name: `room-${members}`,
    ours: { server: gateway.bun, shape: oneRoom(members) },
    control: { server: gateway.bun, shape: oneRoom(100) },
    lines: [
      cpu(`room of ${amount(members)} against one of 100`, {
        judged: "ours/control",
        target: { atLeast: 0.75, atMost: 1.25 },
      }),
    ],
  })),
  ...disturbances,
  ...policyWorks,
];

/** A number as people read it. */
function amount(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}
