// What a backend costs: an HTTP service against asking the backend directly, webhooks beside chat, publishing by the
// admin API, and a webhook that has nothing to tell.

import { setTimeout as delay } from "node:timers/promises";
import type { HttpPace } from "../generator/load_spec.ts";
import { AUTHORIZATION, type Config, type Gateway, type Lab, SECRET } from "../lab.ts";
import { cpuSeconds, residentBytes } from "../proc.ts";
import { get, info, line, type Measure, per, type Row } from "../row.ts";
import { type Shape, toLoad } from "./load_row.ts";

/** Sessions, and connections of the direct caller. */
const CALLERS = 64;
/** Requests a second for the added latency, well below what either side can do. */
const CALM_PER_SECOND = 500;

const callers: Shape = {
  service: "chat",
  sessions: CALLERS,
  rooms: 0,
  pace: { kind: "closed", publishersPerGroup: CALLERS, inFlight: 1 },
  sampleEvery: 1,
  text: '{"v":1,"svc":"ask","type":"ask","seq":1,"data":"@"}',
};

/** At most, then at a calm rate. */
function service(ms: number, isDirect: boolean): Measure {
  return async (lab) => {
    const backend = await lab.backend();
    const url = `http://127.0.0.1:${backend.port}/service/${ms}`;
    const change = ({ tenants: [tenant] }: Config) => {
      (tenant!.policy["ext_allowlist"] as string[]).push("ask:*");
      const http = { url, secret: SECRET, max_concurrent: 512, max_queued: 100_000 };
      tenant!.services.push({ svc: "ask", http });
    };
    const gateway = isDirect ? null : await lab.gateway({ change });
    const seconds = lab.seconds(4);
    const measure = async (perSecond: number | null) => {
      const load = gateway !== null ? paced(gateway, perSecond) : {
        ...toLoad({ ...callers, sessions: 0 }, backend),
        pace: { ...request(backend.port, `/service/${ms}`, '{"data":"@"}', CALLERS), perSecond },
      };
      const result = await (await lab.crowd(load)).measure(seconds);
      const kind = isDirect
        ? ["probeP50Micros", "probeP99Micros", "requests"]
        : ["p50Micros", "p99Micros", "received"];
      const [p50, p99, answered] = kind.map((name) => get(result, name));
      return { p50Ms: p50! / 1e3, p99Ms: p99! / 1e3, perSecond: answered! / result.seconds };
    };
    const { perSecond } = await measure(null);
    return { ...await measure(CALM_PER_SECOND), perSecond };
  };
}

function paced(gateway: Gateway, perSecond: number | null) {
  const open = { kind: "open", publishersPerGroup: CALLERS, perSecond: (perSecond ?? 0) / CALLERS } as const;
  return toLoad({ ...callers, pace: perSecond === null ? callers.pace : open }, gateway);
}

function request(port: number, path: string, body: string, connections: number): HttpPace {
  const headers = AUTHORIZATION;
  return {
    kind: "http",
    port,
    path,
    body,
    connections,
    headers,
    perSecond: null,
    batch: 1,
    untilDelivered: false,
  };
}

/** 200 sessions in rooms of 5, all of whom talk; each message is an event too. */
const chatters = (perSecond: number): Shape => ({
  service: "chat",
  sessions: 200,
  rooms: 40,
  pace: { kind: "open", publishersPerGroup: 5, perSecond: perSecond / 200 },
  sampleEvery: 7,
  warmupSeconds: 2,
});
const EVENTS_PER_SECOND = 10_000;

function hook(port: number, event: string) {
  return ({ gateway, tenants: [tenant] }: Config) => {
    gateway["state_dir"] = "./state";
    const webhook = { id: "bench", url: `http://127.0.0.1:${port}/hooks`, secret: SECRET, events: [event] };
    Object.assign(tenant!, { webhooks: [webhook] });
  };
}

/** The gateway may use both CPUs: the queue has a thread of its own. */
function webhook(isTold: boolean): Measure {
  return async (lab) => {
    const backend = await lab.backend();
    const change = isTold ? hook(backend.port, "message.ext") : () => {};
    const gateway = await lab.gateway({ change, free: true, admin: true });
    const crowd = await lab.crowd(toLoad(chatters(EVENTS_PER_SECOND), gateway));
    const result = await crowd.measure(lab.seconds(4));
    if (!isTold) return result;
    const waiting = await gateway.metric("wsprism_webhook_queue_events");
    const events: number = await (await fetch(`http://127.0.0.1:${backend.port}/events`)).json();
    if (events === 0) throw new Error("no event came");
    return { ...result, waiting, taken: events };
  };
}

/** CPU while nothing happens, memory, and CPU per message of chat. */
function quiet(hasHook: boolean): Measure {
  return async (lab) => {
    const gateway = await lab.gateway({ change: hasHook ? hook(1, "policy.denied") : () => {} });
    await delay(2000);
    const seconds = lab.seconds(10);
    const before = cpuSeconds(gateway.pid);
    await delay(seconds * 1000);
    const idleCpu = (cpuSeconds(gateway.pid) - before) / seconds * 1000;
    const resident = residentBytes(gateway.pid) / 2 ** 20;
    const crowd = await lab.crowd(toLoad(chatters(EVENTS_PER_SECOND / 2), gateway));
    return { ...await crowd.measure(lab.seconds(4)), idleCpu, resident };
  };
}

const LISTENERS = 10_000;
const WAYS = {
  all: { about: "to all, the next when the last session has it", connections: 1, batch: 1 },
  one: { about: "to one user each, 32 at a time", connections: 32, batch: 1 },
  batch: { about: "to one user each in batches of 1,000", connections: 2, batch: 1000 },
} as const;

function publish(way: keyof typeof WAYS): Measure {
  const to = way === "all" ? '{"all":true}' : '{"users":["u%u"]}';
  const body = `{"to":${to},"svc":"news","type":"flash","data":"@"}`;
  return async (lab: Lab) => {
    const gateway = await lab.gateway({ admin: true });
    const { batch, connections } = WAYS[way];
    const http = request(gateway.adminPort, "/v1/tenants/bench/publish", body, connections);
    const pace = { ...http, batch, untilDelivered: way === "all" };
    const shape: Shape = { ...callers, sessions: LISTENERS, pace };
    return await (await lab.crowd(toLoad(shape, gateway))).measure(lab.seconds(4));
  };
}

export const backend: readonly Row[] = [
  ...[1, 10, 100].map((ms): Row => ({
    name: `service-${ms}ms`,
    about: `an HTTP service that takes ${ms} ms, asked by 64 sessions, against 64 connections to it`,
    ours: service(ms, false),
    control: service(ms, true),
    lines: [
      line("requests, one of each under way", "/s", "perSecond", { better: "higher" }),
      line(`p50 at ${CALM_PER_SECOND}/s`, "ms", "p50Ms", { judged: "added" }),
      line(`p99 at ${CALM_PER_SECOND}/s`, "ms", "p99Ms", { judged: "added" }),
    ],
  })),
  {
    name: "webhook",
    about: "chat beside 10,000 durable webhook events/s, against chat without them",
    ours: webhook(true),
    control: webhook(false),
    lines: [
      line("chat p99", "µs", "p99Micros", { atMost: 2 }),
      line("median of each second's p99", "µs", "p99BySecondMicros"),
      line("chat p50", "µs", "p50Micros"),
      line("CPU of the gateway", "s/s", per("serverCpuSeconds", "seconds")),
      info("messages sent, each an event", "/s", per("sent", "seconds"), { better: "higher" }),
      info("events that wait at the end", "events", "waiting"),
    ],
  },
  {
    name: "webhook-quiet",
    about: "a webhook with state_dir that nothing happens for, against neither",
    ours: quiet(true),
    control: quiet(false),
    lines: [
      line("CPU while nothing happens", "ms/s", "idleCpu", { judged: "added" }),
      line("resident memory", "MiB", "resident", { judged: "added" }),
      line("CPU per message of chat", "µs", per("serverCpuSeconds", "sent", 1e6), { atMost: 1.05 }),
    ],
  },
  ...(Object.keys(WAYS) as (keyof typeof WAYS)[]).map((way): Row => ({
    name: `publish-${way}`,
    about: `the admin API publishes to 10,000 sessions: ${WAYS[way].about}`,
    ours: publish(way),
    lines: [
      info("requests", "/s", per("requests", "seconds"), { better: "higher" }),
      info("deliveries", "/s", per("received", "seconds"), { better: "higher" }),
      info("p50 until a session has it", "µs", "p50Micros"),
      info("p99 until a session has it", "µs", "p99Micros"),
      info("CPU of the gateway", "s/s", per("serverCpuSeconds", "seconds")),
      info("CPU of the generator", "s/s", per("loadCpuSeconds", "seconds")),
    ],
  })),
];
