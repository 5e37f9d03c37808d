// The policy engine: what a flood does to those who share its tenant, what it does to another tenant, and what a policy
// costs that a message has nothing to do with.

import type { Config, Lab } from "../lab.ts";
import { get, info, line, type Measure, per, type Row } from "../row.ts";
import { echo200 } from "./hot.ts";
import { onGateway, type Shape, toLoad } from "./load_row.ts";

/** A tenant's quota, and a hundred sessions that ask for half of it. */
const QUOTA = { quotas: { tenant: { messages_per_second: 1000 } } };
const polite: Shape = {
  service: "echo",
  sessions: 100,
  rooms: 0,
  pace: { kind: "open", publishersPerGroup: 100, perSecond: 5 },
  sampleEvery: 1,
};

/** With and without a session that echoes all it can, in the tenant `bench` or in one beside it. */
function flooded(tenant: "bench" | "noisy", isFlooded: boolean): Measure {
  const change = ({ tenants }: Config) => {
    const [bench] = tenants;
    if (tenant === "bench") Object.assign(bench!.policy, QUOTA);
    else tenants.push({ ...bench!, id: "noisy", policy: { ...bench!.policy, ...QUOTA } });
  };
  return async (lab: Lab) => {
    const gateway = await lab.gateway({ change });
    const crowd = await lab.crowd(toLoad(polite, gateway), true);
    const seconds = lab.seconds(8);
    if (!isFlooded) return await crowd.measure(seconds);
    // A hot echo of 64 bytes: a client frame with a mask key of 0.
    const bytes = new Uint8Array(6 + 4 + 64);
    bytes.set([0x82, 0x80 | 68, 0, 0, 0, 0, 1, 1]);
    const job = {
      kind: "session",
      port: gateway.port,
      sockets: 1,
      tenant,
      units: [{ bytes: bytes.toBase64() }],
    };
    const neighbour = await lab.disturber("bench/generator/neighbour.ts", job);
    const [measured] = await Promise.all([crowd.measure(seconds), neighbour.ask(seconds)]);
    return measured;
  };
}

function row(name: string, about: string, tenant: "bench" | "noisy"): Row {
  return {
    name,
    about,
    ours: flooded(tenant, true),
    control: flooded(tenant, false),
    lines: [
      info("messages that got through", "%", per("received", "sent", 100), { better: "higher", atLeast: 99 }),
      line("p99 against quiet", "µs", "p99Micros", { atMost: 1.5 }),
      line("median of each second's p99", "µs", "p99BySecondMicros"),
      line("p50", "µs", "p50Micros"),
    ],
  };
}

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

const under = (policy: object) =>
  onGateway(echo200, { change: ({ tenants }) => void Object.assign(tenants[0]!.policy, policy) });

export const policy: readonly Row[] = [
  row("tenant-fairness", "100 sessions at 5 echoes/s in a tenant of 1,000/s beside a flood in it", "bench"),
  row("tenant-neighbour", "the same with the flood in another tenant", "noisy"),
  {
    name: "policy-cost",
    about: "echo under 200 allowlist entries and 50 rules that do not concern it, against none",
    ours: under(MANY),
    control: under(FEW),
    lines: [
      line("server CPU per message", "µs", per("serverCpuSeconds", "received", 1e6), { atMost: 1.05 }),
      line("messages", "/s", (all) => get(all, "received") / get(all, "seconds"), {
        better: "higher",
        atLeast: 0.95,
      }),
    ],
  },
];
