// The gateway's own work against the least that the same runtime can do: echo, fan-out, rooms, chat, state, memory.

import type { Pace } from "../generator/load_spec.ts";
import { amount, line, per, type Row } from "../row.ts";
import { onControl, onGateway, type Shape } from "./load_row.ts";

const cpuPerMessage = per("serverCpuSeconds", "received", 1e6);
const perSecond = per("received", "seconds");

/** Ten publishers with four messages in flight each. */
const tenByFour: Pace = { kind: "closed", publishersPerGroup: 10, inFlight: 4 };

export const echo200: Shape = {
  service: "echo",
  sessions: 200,
  rooms: 0,
  pace: { kind: "closed", publishersPerGroup: 200, inFlight: 1 },
  sampleEvery: 1,
};

export function oneRoom(sessions: number, pace: Pace = tenByFour): Shape {
  return { service: "echo", sessions, rooms: 1, pace, sampleEvery: 64 };
}

/** The rate of the slowest side's closed loop. */
function probing(shape: Shape) {
  const of = per("sent", "seconds");
  return { ours: onGateway(shape), control: onControl("bun_publish", shape), of };
}

const ROOMS: Shape = {
  service: "echo",
  sessions: 10_000,
  rooms: 500,
  pace: { kind: "open", publishersPerGroup: 20, perSecond: NaN },
  sampleEvery: 64,
  seconds: { atLeast: 5 },
};
export const IDLE: Shape = { ...ROOMS, pace: { kind: "idle" }, baselineSessions: 2000 };
const GAME: Shape = {
  service: "relay",
  sessions: 100,
  rooms: 1,
  pace: { kind: "open", publishersPerGroup: 100, perSecond: 60 },
  sampleEvery: 64,
  seconds: { atLeast: 5 },
};
const STEADY: Shape = {
  ...oneRoom(200, { kind: "open", publishersPerGroup: 10, perSecond: NaN }),
  sampleEvery: 32,
  seconds: { atLeast: 10 },
};

export const hot: readonly Row[] = [
  {
    name: "echo",
    about: "hot echo, 200 sessions with one in flight each, against a bare Bun.serve",
    ours: onGateway(echo200),
    control: onControl("bun_echo", echo200),
    lines: [
      line("messages", "/s", perSecond, { better: "higher", atLeast: 0.9 }),
      line("p99", "µs", "p99Micros", { atMost: 1.5 }),
      line("p50", "µs", "p50Micros"),
      line("server CPU per message", "µs", cpuPerMessage),
    ],
  },
  {
    name: "fanout",
    about: "hot fan-out in a room of 200, ten publishers with four in flight, against server.publish",
    ours: onGateway(oneRoom(200)),
    control: onControl("bun_publish", oneRoom(200)),
    lines: [
      line("deliveries", "/s", perSecond, { better: "higher", atLeast: 1.2 }),
      line("server CPU per delivery", "µs", cpuPerMessage, { atMost: 0.9 }),
      line("p99", "µs", "p99Micros"),
      line("p50", "µs", "p50Micros"),
    ],
  },
  {
    name: "fanout-one",
    about: "the same with one publisher that has one message in flight",
    ours: onGateway(oneRoom(200, { kind: "closed", publishersPerGroup: 1, inFlight: 1 })),
    control: onControl("bun_publish", oneRoom(200, { kind: "closed", publishersPerGroup: 1, inFlight: 1 })),
    lines: [
      line("deliveries", "/s", perSecond, { better: "higher" }),
      line("server CPU per delivery", "µs", cpuPerMessage),
    ],
  },
  {
    name: "latency",
    about: "fanout as an open loop at half of what the slowest side reaches",
    ours: onGateway(STEADY),
    control: onControl("bun_publish", STEADY),
    probe: probing(oneRoom(200)),
    lines: [
      line("p99", "µs", "p99Micros", { atMost: 1.2 }),
      line("median of each second's p99", "µs", "p99BySecondMicros"),
      line("p50", "µs", "p50Micros"),
    ],
  },
  {
    name: "rooms",
    about: "500 rooms of 20, everybody publishes, an open loop at half of what the slowest side reaches",
    ours: onGateway(ROOMS),
    control: onControl("bun_publish", ROOMS),
    probe: probing({ ...ROOMS, pace: { kind: "closed", publishersPerGroup: 20, inFlight: 1 } }),
    lines: [line("server CPU per delivery", "µs", cpuPerMessage, { judged: "control/ours", atLeast: 1.2 })],
  },
  {
    name: "chat",
    about: "chat in a room of 200 against our own hot fan-out",
    ours: onGateway({ ...oneRoom(200), service: "chat" }),
    control: onGateway(oneRoom(200)),
    lines: [
      line("deliveries", "/s", perSecond, { better: "higher", atLeast: 0.7 }),
      line("server CPU per delivery", "µs", cpuPerMessage),
    ],
  },
  {
    name: "state",
    about: "state (50 ms) against relay, a room of 100 at 60 messages/s each",
    ours: onGateway({ ...GAME, service: "state" }),
    control: onGateway(GAME),
    lines: [line("server CPU", "s/s", per("serverCpuSeconds", "seconds"), { atMost: 0.25 })],
  },
  {
    name: "idle",
    about: "10,000 idle sessions in rooms of 20, memory of each, beside a Bun.serve that holds them",
    ours: onGateway(IDLE),
    control: onControl("bun_idle", { ...IDLE, rooms: 0 }),
    lines: [line("memory of a session", "B", "bytesPerSession", { judged: "ours", atMost: 4096 })],
  },
  {
    name: "deno-echo",
    about: "echo on Deno against node:http with ws",
    ours: onGateway(echo200, { runtime: "deno" }),
    control: onControl("deno_ws_echo", echo200),
    lines: [
      line("messages", "/s", perSecond, { better: "higher", atLeast: 0.85 }),
      line("server CPU per message", "µs", cpuPerMessage),
    ],
  },
  {
    name: "deno-fanout",
    about: "fanout on Deno against a send loop over ws",
    ours: onGateway(oneRoom(200), { runtime: "deno" }),
    control: onControl("deno_ws_fanout", oneRoom(200)),
    lines: [line("deliveries", "/s", perSecond, { better: "higher", atLeast: 8 })],
  },
  ...[1_000, 10_000].map((members): Row => ({
    name: `room-${members}`,
    about: `hot fan-out in a room of ${amount(members)} against one of 100`,
    ours: onGateway(oneRoom(members)),
    control: onGateway(oneRoom(100)),
    lines: [line("server CPU per delivery", "µs", cpuPerMessage, { atLeast: 0.75, atMost: 1.25 })],
  })),
];
