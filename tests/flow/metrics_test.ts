// What an operator sees: liveness, readiness, and metrics that agree with what was sent.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { RawClient } from "../raw_client.ts";
import { Client, hot, target } from "./client.ts";
import { GatewayProcess, lastly, ROOT, sharedGateway, TARGET } from "./gateway_process.ts";
import type { Metrics } from "./metrics_text.ts";

const policy = { ext_allowlist: ["room:*", "chat:send", "nobody:*"], hot_allowlist: ["1:*"] };
const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  tenants: [
    { id: "acme", policy },
    { id: "counted", policy, limits: { max_frame_bytes: 512 } },
    { id: "full", limits: { max_sessions_total: 1 } },
  ],
});

test("the gateway says that it lives and that it is ready", async () => {
  for (const [path, body] of [["/healthz", "ok"], ["/readyz", "ready"]] as const) {
    const answer = await gateway.get(path);
    assert.equal(answer.status, 200);
    assert.equal(answer.body, body);
  }
});

/** Every metric of v1, and what joined them: type and label names. */
const NAMES: Readonly<Record<string, readonly [string, ...string[]]>> = {
  wsprism_ws_upgrades_total: ["counter", "status", "tenant"],
  wsprism_ws_sessions_active: ["gauge", "tenant"],
  wsprism_policy_decisions_total: ["counter", "decision", "lane", "reason", "tenant"],
  wsprism_handshake_rejections_total: ["counter", "reason", "tenant"],
  wsprism_decode_errors_total: ["counter", "tenant"],
  wsprism_service_errors_total: ["counter", "lane", "tenant"],
  wsprism_writer_timeouts_total: ["counter", "tenant"],
  wsprism_unknown_service_total: ["counter"],
  wsprism_egress_drop_total: ["counter"],
  wsprism_draining: ["gauge"],
  wsprism_dispatch_duration_seconds: ["histogram", "lane", "tenant"],
  wsprism_messages_in_total: ["counter", "lane", "tenant"],
  wsprism_bytes_in_total: ["counter", "lane", "tenant"],
  wsprism_messages_out_total: ["counter", "lane", "tenant"],
  wsprism_bytes_out_total: ["counter", "lane", "tenant"],
  wsprism_rooms_active: ["gauge", "tenant"],
  wsprism_event_loop_lag_seconds: ["histogram"],
  wsprism_process_resident_memory_bytes: ["gauge"],
  wsprism_build_info: ["gauge", "commit", "runtime", "version"],
};

test("every metric is there with its type and labels, in a text that parses line by line", async () => {
  const refused = await RawClient.connect(gateway.port);
  await refused.upgrade("/v1/ws?tenant=acme");
  refused.destroy();
  const client = await Client.open(gateway);
  const { headers, status } = await gateway.get("/metrics");
  assert.equal(status, 200);
  assert.match(headers.get("content-type")!, /^text\/plain; version=0\.0\.4; charset=utf-8$/);
  const metrics = await gateway.metrics();
  for (const [name, [type, ...labels]] of Object.entries(NAMES)) {
    const family = metrics.families.get(name);
    assert.ok(family !== undefined, `${name} is missing`);
    assert.equal(family.type, type, name);
    assert.ok(family.samples.length > 0, `${name} has no samples`);
    for (const sample of family.samples) {
      const names = [...sample.labels.keys()].filter((label) => label !== "le").sort();
      assert.deepEqual(names, labels, name);
    }
  }
  assert.ok([...metrics.families.keys()].every((name) => name.startsWith("wsprism_")));
  const runtime = metrics.samples("wsprism_build_info")[0]!.labels.get("runtime")!;
  assert.match(runtime, TARGET.startsWith("deno") ? /^deno \d/ : /^bun \d/);
  const resident = metrics.sum("wsprism_process_resident_memory_bytes");
  assert.ok(Math.abs(resident / gateway.residentBytes() - 1) < 0.25, `${resident}`);
  await client.close();
});

test("the dashboard and the alerts ask for labels that the metrics have", async () => {
  const metrics = await gateway.metrics();
  const dashboard = readFileSync(`${ROOT}/config/deploy/grafana.json`, "utf8").replaceAll('\\"', '"');
  const alerts = readFileSync(`${ROOT}/config/deploy/alerts.yaml`, "utf8");
  let seen = 0;
  for (const line of (dashboard + alerts).split("\n").filter((line) => /^ *"?expr"?:/.test(line))) {
    const kept = [...line.matchAll(/by \(([^)]*)\)/g)].flatMap(([, names]) => names!.split(", "));
    for (const [, name, matchers = ""] of line.matchAll(/\b(wsprism_\w+)(?:\{([^}]*)\})?/g)) {
      const family = metrics.families.get(name!) ??
        metrics.families.get(name!.replace(/_(bucket|sum|count)$/, ""));
      if (family === undefined || family.samples.length === 0) continue; // of parts that this gateway does without
      const labels = new Set([
        "job",
        "instance",
        ...family.samples.flatMap((sample) => [...sample.labels.keys()]),
      ]);
      const asked = [...kept, ...[...matchers.matchAll(/(\w+)(?:=|!)/g)].map(([, label]) => label!)];
      assert.deepEqual(asked.filter((label) => !labels.has(label)), [], line);
      seen++;
    }
  }
  assert.ok(seen > 20, `${seen}`);
});

test("histograms are cumulative and end in their count", async () => {
  const metrics = await gateway.metrics();
  for (const [name, { type, samples }] of metrics.families) {
    if (type !== "histogram") continue;
    const groups = Map.groupBy(
      samples.filter((sample) => sample.name === `${name}_bucket`),
      ({ labels }) => [...labels].filter(([label]) => label !== "le").map(([, value]) => value).join(),
    );
    for (const buckets of groups.values()) {
      const bounds = buckets.map(({ labels }) => Number(labels.get("le")!.replace("+Inf", "Infinity")));
      assert.deepEqual(bounds, bounds.toSorted((a, b) => a - b));
      assert.equal(bounds.at(-1), Infinity);
      const values = buckets.map(({ value }) => value);
      assert.deepEqual(values, values.toSorted((a, b) => a - b), name);
      const rest = Object.fromEntries([...buckets[0]!.labels].filter(([label]) => label !== "le"));
      assert.equal(metrics.sum(`${name}_count`, rest), values.at(-1));
    }
  }
});

test("the counters agree with what was sent and received", async () => {
  const tenant = "counted";
  const read = (metrics: Metrics) => {
    const of = (name: string, labels: Record<string, string> = {}) =>
      metrics.sum(`wsprism_${name}`, { tenant, ...labels });
    const decision = (lane: string, decision: string, reason: string) =>
      of("policy_decisions_total", { lane, decision, reason });
    return {
      upgrades: of("ws_upgrades_total", { status: "ok" }),
      upgrades401: of("ws_upgrades_total", { status: "401" }),
      noTicket: of("handshake_rejections_total", { reason: "no_ticket" }),
      badTicket: of("handshake_rejections_total", { reason: "bad_ticket" }),
      active: of("ws_sessions_active"),
      rooms: of("rooms_active"),
      extIn: [of("messages_in_total", { lane: "ext" }), of("bytes_in_total", { lane: "ext" })],
      hotIn: [of("messages_in_total", { lane: "hot" }), of("bytes_in_total", { lane: "hot" })],
      extPass: decision("ext", "pass", "ok"),
      hotPass: decision("hot", "pass", "ok"),
      extDenied: decision("ext", "reject", "allowlist"),
      hotDenied: decision("hot", "reject", "allowlist"),
      noRoom: decision("hot", "reject", "no_active_room"),
      tooLarge: decision("ext", "close", "size"),
      tooMany: decision("session", "reject", "TOO_MANY_SESSIONS"),
      control: of("messages_out_total", { lane: "control" }),
      reliable: of("messages_out_total", { lane: "reliable" }),
      lossy: [of("messages_out_total", { lane: "lossy" }), of("bytes_out_total", { lane: "lossy" })],
      serviceErrors: of("service_errors_total", { lane: "ext" }),
      unknown: metrics.sum("wsprism_unknown_service_total"),
      decodeErrors: of("decode_errors_total"),
      dispatched: of("dispatch_duration_seconds_count", { lane: "ext" }),
      closedBad: of("session_closes_total", { name: "bad_message" }),
      closedLarge: of("session_closes_total", { name: "message_too_large" }),
      drops: metrics.sum("wsprism_egress_drop_total"),
    };
  };
  assert.deepEqual(new Set(Object.values(read(await gateway.metrics())).flat()), new Set([0]));
  for (const ticket of ["", "&ticket=no", "&ticket=never"]) {
    const refused = await RawClient.connect(gateway.port);
    assert.equal((await refused.upgrade(`/v1/ws?tenant=${tenant}${ticket}`)).status, 401);
    refused.destroy();
  }
  const ann = await Client.open(gateway, { tenant });
  let extBytes = 0;
  const send = (message: object | string) => {
    const text = typeof message === "string" ? message : JSON.stringify({ v: 1, ...message });
    extBytes += Buffer.byteLength(text);
    ann.send(text);
  };
  ann.binary(hot(1, 1, { payload: [1, 2, 3] }));
  await ann.nextError("BAD_REQUEST");
  send({ svc: "room", type: "join", room: "büro" });
  await ann.next("sys.joined");
  send({ svc: "chat", type: "send", room: "büro", data: { msg: "ä€😀" } });
  await ann.next("chat.msg");
  send({ svc: "sys", type: "ping" });
  await ann.next("sys.pong");
  send({ svc: "room", type: "members", room: "büro" });
  await ann.next("room.reply");
  send({ svc: "chat", type: "shout" });
  await ann.nextError("NOT_ALLOWED");
  send({ svc: "nobody", type: "home" });
  await ann.nextError("NOT_FOUND");
  send({ svc: "chat", type: "send", room: "elsewhere", data: { msg: "x" } });
  await ann.nextError("NOT_ALLOWED");
  for (let i = 0; i < 10; i++) {
    ann.binary(hot(1, 1, { payload: [1, 2, 3] }));
    await ann.nextBytes();
  }
  ann.binary(hot(2, 1));
  await ann.nextError("NOT_ALLOWED");
  const during = read(await gateway.metrics());
  assert.deepEqual([during.active, during.rooms], [1, 1]);
  send("{");
  await ann.nextError("BAD_REQUEST");
  await ann.ended(4505);
  const bob = await Client.open(gateway, { tenant });
  const large = "x".repeat(513);
  bob.send(large);
  await bob.nextError("PAYLOAD_TOO_LARGE");
  await bob.ended(4508);
  assert.deepEqual(read(await gateway.metrics()), {
    upgrades: 2,
    upgrades401: 3,
    noTicket: 1,
    badTicket: 2,
    active: 0,
    rooms: 0,
    extIn: [9, extBytes + large.length],
    hotIn: [12, 12 * 4 + 11 * 3],
    extPass: 6,
    hotPass: 10,
    extDenied: 1,
    hotDenied: 1,
    noRoom: 1,
    tooLarge: 1,
    tooMany: 0,
    // authed, joined, pong, six errors; and authed and one more for bob
    control: 11,
    reliable: 2,
    lossy: [10, 30],
    serviceErrors: 2,
    unknown: 1,
    decodeErrors: 1,
    dispatched: 5,
    closedBad: 1,
    closedLarge: 1,
    drops: 0,
  });
});

test("refusals are counted by reason, for a known tenant under its name", async () => {
  const ann = await Client.open(gateway, { tenant: "full" });
  const before = await gateway.metrics();
  const cases: [string, string, string][] = [
    ["/v1/other?tenant=acme", "acme", "path"],
    ["/v1/ws?tenant=acme&ticket=dev&sid=%20", "acme", "bad_sid"],
    ["/v1/ws?tenant=nobody", "", "unknown_tenant"],
    ["/v1/ws", "", "unknown_tenant"],
    ["/v1/ws?tenant=%ff", "", "bad_query"],
    [target({ tenant: "full" }), "full", "capacity"],
  ];
  for (const [path] of cases) {
    const client = await RawClient.connect(gateway.port);
    assert.notEqual((await client.upgrade(path)).status, 101);
    client.destroy();
  }
  const metrics = await gateway.metrics();
  for (const [path, tenant, reason] of cases) {
    const same = cases.filter(([, t, r]) => t === tenant && r === reason).length;
    const count = (of: Metrics) => of.sum("wsprism_handshake_rejections_total", { tenant, reason });
    assert.equal(count(metrics) - count(before), same, path);
  }
  await ann.close();
});

test("nothing that a stranger sends becomes a label", async () => {
  const shape = (metrics: Metrics) =>
    [...metrics.families.values()].flatMap(({ samples }) =>
      samples.map(({ name, labels }) => `${name} ${[...labels].join(" ")}`)
    );
  const knock = async (i: number) => {
    for (
      const path of [
        `/v1/ws?tenant=evil-${i}`,
        `/v1/ws?tenant=evil%22%0A${i}&ticket=evil`,
        `/evil/${i}?tenant=evil-${i}`,
        `/v1/ws?tenant=acme&ticket=evil-${i}`,
        `/v1/ws?tenant=acme&ticket=dev&sid=evil%20${i}`,
        `/v1/ws?tenant=%zz${i}`,
      ]
    ) {
      const client = await RawClient.connect(gateway.port);
      assert.notEqual((await client.upgrade(path)).status, 101);
      client.destroy();
    }
    const ann = await Client.open(gateway, { user: `evil-${i}"\\`, sid: `evil-${i}` });
    ann.send({ svc: `evil-${i}`, type: `evil-${i}`, room: `evil-${i}` });
    await ann.nextError("NOT_ALLOWED");
    ann.send({ svc: "nobody", type: `evil-${i}` });
    await ann.nextError("NOT_FOUND");
    await ann.join(`evil-${i}`);
    ann.binary(hot(i, i));
    await ann.nextError("NOT_ALLOWED");
    await ann.close();
  };
  await knock(100);
  const before = shape(await gateway.metrics());
  await Promise.all(Array.from({ length: 20 }, (_, i) => knock(101 + i)));
  const after = shape(await gateway.metrics());
  assert.deepEqual(after, before);
  assert.ok(!after.some((line) => line.includes("evil")));
});

test("metrics can be served elsewhere, or nowhere", async () => {
  const tenants = [{ id: "acme" }];
  await using elsewhere = await GatewayProcess.start({ metrics: { path: "/ops/prometheus" }, tenants });
  assert.match((await elsewhere.get("/ops/prometheus")).body, /wsprism_build_info/);
  assert.equal((await elsewhere.get("/metrics")).status, 404);
  await using nowhere = await GatewayProcess.start({ metrics: { enabled: false }, tenants });
  assert.equal((await nowhere.get("/metrics")).status, 404);
});

lastly(gateway);
