// Works of the policy engine: what a flood does to those who share its tenant, what it does to a neighbour, and what a
// policy costs that a message has nothing to do with.

import type { GatewaySettings, Line, Measured, ServerKind, Shape, Work } from "./works.ts";

/** A tenant's quota, and a hundred sessions that ask for half of it. */
const QUOTA = { quotas: { tenant: { messages_per_second: 1000 } } };
const polite: Shape = {
  service: "echo",
  sessions: 100,
  rooms: 0,
  pace: { kind: "open", publishersPerGroup: 100, perSecond: 5 },
  sampleEvery: 1,
};

function gateway(settings: Partial<GatewaySettings>): ServerKind {
  return { kind: "gateway", runtime: "bun", settings: { gateway: {}, delivery: {}, ...settings } };
}

function lines(title: string): Line[] {
  const latency = (name: string, of: (side: Measured["ours"]) => number, atMost: number | null): Line => ({
    title: `${title}: ${name}`,
    unit: "µs",
    better: "lower",
    ours: (pair) => of(pair.ours),
    control: (pair) => of(pair.control),
    judged: "ours/control",
    target: atMost === null ? null : { atMost },
  });
  return [
    {
      title: `${title}: share that gets through`,
      unit: "%",
      better: "higher",
      ours: (pair) => 100 * pair.ours.received / pair.ours.sent,
      control: (pair) => 100 * pair.control.received / pair.control.sent,
      judged: "ours",
      target: { atLeast: 99 },
    },
    latency("p99 against quiet", (side) => side.p99Micros, 1.5),
    latency("median of each second's p99", (side) => side.p99BySecondMicros, null),
    latency("p50", (side) => side.p50Micros, null),
  ];
}

const shared = gateway({ policy: QUOTA });
const apart = gateway({ neighbour: { id: "noisy", policy: QUOTA } });

/** 200 entries in both allowlists, and 50 rules on other messages; the echo's own entry is the last. */
const MANY = {
  ext_allowlist: Array.from({ length: 200 }, (_, n) => `svc-${n}:type-${n}`),
  hot_allowlist: [...Array.from({ length: 199 }, (_, n) => `${2 + n}:${n}`), "1:0"],
  rules: Array.from({ length: 50 }, (_, n) => ({
    id: `rule-${n}`,
    match: n % 2 === 0 ? { lane: "hot", service: `${2 + n}:*` } : { lane: "ext", service: `svc-${n}:*` },
    rate: { messages_per_second: 100 },
    max_bytes: 1000,
  })),
};
/** The same without anything that an echo does not need. */
const FEW = { ext_allowlist: [], hot_allowlist: ["1:0"] };

const echo200: Shape = {
  service: "echo",
  sessions: 200,
  rooms: 0,
  pace: { kind: "closed", publishersPerGroup: 200, inFlight: 1 },
  sampleEvery: 1,
};

/** Every work of the policy engine, in the order of the report. */
export const policyWorks: readonly Work[] = [
  {
    name: "tenant-fairness",
    ours: { server: shared, shape: polite, flooded: "bench" },
    control: { server: shared, shape: polite },
    seconds: { atLeast: 8 },
    lines: lines("tenant of 1,000/s, 100 at 5/s beside a flood"),
  },
  {
    name: "tenant-neighbour",
    ours: { server: apart, shape: polite, flooded: "noisy" },
    control: { server: apart, shape: polite },
    seconds: { atLeast: 8 },
    lines: lines("100 at 5/s, a flood in another tenant"),
  },
  {
    name: "policy-cost",
    ours: { server: gateway({ policy: MANY }), shape: echo200 },
    control: { server: gateway({ policy: FEW }), shape: echo200 },
    lines: [
      {
        title: "hot echo under 200 entries and 50 rules: server CPU per message",
        unit: "µs",
        better: "lower",
        ours: ({ ours }) => ours.serverCpuSeconds * 1e6 / ours.received,
        control: ({ control }) => control.serverCpuSeconds * 1e6 / control.received,
        judged: "ours/control",
        target: { atMost: 1.05 },
      },
      {
        title: "hot echo under 200 entries and 50 rules: messages out",
        unit: "/s",
        better: "higher",
        ours: ({ ours }) => ours.received / ours.seconds,
        control: ({ control }) => control.received / control.seconds,
        judged: "ours/control",
        target: { atLeast: 0.95 },
      },
    ],
  },
];
