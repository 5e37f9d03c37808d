import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { Counts, Durations, TenantMetrics, Traffic } from "../../src/metrics/metrics.ts";
import { Exporter, type GatewayView } from "../../src/metrics/exporter.ts";

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Reads Prometheus' text format, version 0.0.4, line by line. @throws for any line that is none of it */
function parse(text: string): { samples: Sample[]; types: Map<string, string> } {
  const samples: Sample[] = [], types = new Map<string, string>();
  assert.ok(text.endsWith("\n"));
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("# HELP ")) continue;
    const type = /^# TYPE (\S+) (\S+)$/.exec(line);
    if (type !== null) {
      assert.ok(!types.has(type[1]!), `${type[1]} has two types`);
      types.set(type[1]!, type[2]!);
      continue;
    }
    const sample = /^([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    assert.ok(sample, `not a sample: ${line}`);
    const labels: Record<string, string> = {};
    let rest = sample[2] ?? "";
    while (rest !== "") {
      const label = /^([a-z_]\w*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/.exec(rest);
      assert.ok(label, `not a label: ${rest}`);
      labels[label[1]!] = label[2]!.replace(/\\(.)/g, (_, c) => c === "n" ? "\n" : c);
      rest = rest.slice(label[0].length);
    }
    samples.push({ name: sample[1]!, labels, value: Number(sample[3]) });
  }
  return { samples, types };
}

const LANES = ["control", "reliable", "lossy"];

function view(tenants: Record<string, TenantMetrics>, more: Partial<GatewayView> = {}): GatewayView {
  return {
    tenants: Object.entries(tenants).map(([id, metrics]) => ({
      id,
      metrics,
      rooms: () => 3,
      pending: () => 2,
    })),
    strayRejections: new Counts(),
    laneNames: LANES,
    build: { version: "1.2.3", commit: "abc", runtime: "bun 1" },
    draining: () => false,
    loopLag: () => new Durations(),
    heldBytes: () => 7,
    limiterEntries: () => 5,
    certificate: null,
    reload: { outcomes: new Counts(), lastMs: 0, hash: "00" },
    more: [],
    ...more,
  };
}

async function scrape(view: GatewayView) {
  const { samples, types } = parse(await new Exporter(view).render());
  const find = (name: string, labels: Record<string, string> = {}) => {
    const found = samples.filter((sample) =>
      sample.name === `wsprism_${name}` &&
      Object.entries(labels).every(([key, value]) => sample.labels[key] === value)
    );
    assert.equal(found.length, 1, `${name} ${JSON.stringify(labels)}`);
    return found[0]!;
  };
  return { samples, types, find };
}

test("Every metric that operators know has its name, its type and its labels", async () => {
  const metrics = new TenantMetrics(LANES), stray = new Counts();
  metrics.upgrades.add({ status: "ok" });
  metrics.handshakeRejections.add({ reason: "bad_ticket" });
  metrics.tickets.add({ way: "header", outcome: "ok" });
  metrics.denied.add({ lane: "hot", decision: "drop", reason: "tenant_rate" });
  metrics.drops.add(2, "full", 1, 10);
  metrics.closes.add({ name: "kicked" });
  stray.add({ reason: "unknown_tenant" });
  const { samples, types } = await scrape(view({ acme: metrics }, { strayRejections: stray }));
  const expected: Record<string, [type: string, labels: string]> = {
    ws_upgrades_total: ["counter", "status,tenant"],
    ws_sessions_active: ["gauge", "tenant"],
    policy_decisions_total: ["counter", "decision,lane,reason,tenant"],
    handshake_rejections_total: ["counter", "reason,tenant"],
    decode_errors_total: ["counter", "tenant"],
    service_errors_total: ["counter", "lane,tenant"],
    writer_timeouts_total: ["counter", "tenant"],
    unknown_service_total: ["counter", ""],
    egress_drop_total: ["counter", ""],
    drops_total: ["counter", "lane,reason,tenant"],
    dropped_bytes_total: ["counter", "lane,reason,tenant"],
    session_closes_total: ["counter", "name,tenant"],
    messages_in_total: ["counter", "lane,tenant"],
    bytes_in_total: ["counter", "lane,tenant"],
    messages_out_total: ["counter", "lane,tenant"],
    bytes_out_total: ["counter", "lane,tenant"],
    rooms_active: ["gauge", "tenant"],
    pending_links: ["gauge", "tenant"],
    tickets_total: ["counter", "outcome,tenant,way"],
    dispatch_duration_seconds: ["histogram", ""],
    event_loop_lag_seconds: ["histogram", ""],
    draining: ["gauge", ""],
    handshake_limiter_entries: ["gauge", ""],
    process_resident_memory_bytes: ["gauge", ""],
    process_heap_bytes: ["gauge", ""],
    build_info: ["gauge", "commit,runtime,version"],
  };
  for (const [name, [type, labels]] of Object.entries(expected)) {
    assert.equal(types.get(`wsprism_${name}`), type, name);
    if (type === "histogram") continue;
    const found = samples.filter((sample) => sample.name === `wsprism_${name}`);
    assert.ok(found.length > 0, name);
    for (const sample of found) assert.equal(Object.keys(sample.labels).sort().join(), labels, name);
  }
});

test("What was counted is what is scraped, each time anew", async () => {
  const metrics = new TenantMetrics(LANES);
  const exporter = new Exporter(view({ acme: metrics }));
  const read = async (line: string) =>
    (await exporter.render()).split("\n").filter((each) => each.startsWith(`wsprism_${line} `));
  metrics.sessions = 2;
  metrics.in.hot.add(3, 300);
  metrics.out[2]!.add(4, 400);
  metrics.decodeErrors = 7;
  metrics.drops.add(2, "full", 5, 50);
  metrics.drops.add(1, "closed", 1, 10);
  assert.deepEqual(await read('ws_sessions_active{tenant="acme"}'), [
    'wsprism_ws_sessions_active{tenant="acme"} 2',
  ]);
  assert.deepEqual(await read('bytes_in_total{tenant="acme",lane="hot"}'), [
    'wsprism_bytes_in_total{tenant="acme",lane="hot"} 300',
  ]);
  assert.deepEqual(await read('messages_out_total{tenant="acme",lane="lossy"}'), [
    'wsprism_messages_out_total{tenant="acme",lane="lossy"} 4',
  ]);
  assert.deepEqual(await read("egress_drop_total"), ["wsprism_egress_drop_total 6"]);
  assert.deepEqual(await read('dropped_bytes_total{tenant="acme",lane="lossy",reason="full"}'), [
    'wsprism_dropped_bytes_total{tenant="acme",lane="lossy",reason="full"} 50',
  ]);
  metrics.sessions = 1;
  metrics.decodeErrors++;
  assert.deepEqual(await read('ws_sessions_active{tenant="acme"}'), [
    'wsprism_ws_sessions_active{tenant="acme"} 1',
  ]);
  assert.deepEqual(await read('decode_errors_total{tenant="acme"}'), [
    'wsprism_decode_errors_total{tenant="acme"} 8',
  ]);
});

test("Tenants are counted apart and summed where there is no tenant label", async () => {
  const [one, two] = [new TenantMetrics(LANES), new TenantMetrics(LANES)];
  one.unknownServices = 2;
  two.unknownServices = 3;
  one.passed.ext = 9;
  const { find } = await scrape(view({ one, two }, { draining: () => true }));
  assert.equal(find("unknown_service_total").value, 5);
  assert.equal(find("policy_decisions_total", { tenant: "one", lane: "ext", decision: "pass" }).value, 9);
  assert.equal(find("policy_decisions_total", { tenant: "two", lane: "ext", decision: "pass" }).value, 0);
  assert.deepEqual([
    find("draining").value,
    find("rooms_active", { tenant: "two" }).value,
    find("handshake_limiter_entries").value,
  ], [1, 3, 5]);
  assert.equal(find("build_info").value, 1);
  assert.ok(find("process_resident_memory_bytes").value > 1e6 && find("process_heap_bytes").value > 1e5);
});

test("A label's value stays a value, whatever stands in it", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.string({ unit: fc.constantFrom('"', "\\", "\n", "}", "{", ",", "=", " ", "n", "é", "#") }),
      async (text) => {
        const metrics = new TenantMetrics(LANES);
        metrics.closes.add({ name: text }, 7);
        const { find } = await scrape(view({ [`t${text}`]: metrics }));
        assert.equal(find("session_closes_total", { tenant: `t${text}`, name: text }).value, 7);
      },
    ),
    { numRuns: 60 },
  );
});

test("A histogram counts each duration in every bucket that it fits, and ends with all of them", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.oneof(fc.double({ min: 0, max: 10_000, noNaN: true }), fc.constantFrom(0, 0.01, 0.5, 1, 50, 5000)),
        { size: "max", maxLength: 60 },
      ),
      async (times) => {
        const metrics = new TenantMetrics(LANES);
        for (const ms of times) metrics.dispatch.ext.observe(ms);
        const { samples, find } = await scrape(view({ acme: metrics }));
        const buckets = samples.filter(({ name, labels }) =>
          name === "wsprism_dispatch_duration_seconds_bucket" && labels.lane === "ext"
        );
        assert.equal(buckets.at(-1)!.labels.le, "+Inf");
        let before = 0;
        for (const { labels, value } of buckets) {
          const bound = labels.le === "+Inf" ? Number.POSITIVE_INFINITY : Number(labels.le);
          assert.ok(bound > before, "bounds rise");
          before = bound;
          assert.equal(value, times.filter((ms) => ms / 1000 <= bound).length, `le=${labels.le}`);
        }
        const where = { tenant: "acme", lane: "ext" };
        assert.equal(find("dispatch_duration_seconds_count", where).value, times.length);
        const sum = times.reduce((sum, ms) => sum + ms, 0) / 1000;
        assert.ok(Math.abs(find("dispatch_duration_seconds_sum", where).value - sum) < 1e-6);
      },
    ),
    { numRuns: 40 },
  );
});

test("A handshake refused before its tenant was known has an empty tenant", async () => {
  const strayRejections = new Counts(), metrics = new TenantMetrics(LANES);
  strayRejections.add({ reason: "draining" }, 2);
  metrics.handshakeRejections.add({ reason: "draining" }, 3);
  const { find } = await scrape(view({ acme: metrics }, { strayRejections }));
  assert.equal(find("handshake_rejections_total", { tenant: "" }).value, 2);
  assert.equal(find("handshake_rejections_total", { tenant: "acme" }).value, 3);
});

test("The same labels are one count, others another", () => {
  const counts = new Counts();
  counts.add({ lane: "hot", reason: "full" });
  counts.add({ lane: "hot", reason: "full" }, 4);
  counts.add({ lane: "hot", reason: "closed" });
  assert.deepEqual([...counts], [
    { labels: { lane: "hot", reason: "full" }, value: 5 },
    { labels: { lane: "hot", reason: "closed" }, value: 1 },
  ]);
});

test("Traffic adds up messages and bytes", () => {
  const traffic = new Traffic();
  traffic.add(2, 30);
  traffic.add(0, 0);
  traffic.add(1, 5);
  assert.deepEqual([traffic.messages, traffic.bytes], [3, 35]);
});

test("A tenant's own metrics are all that name it, and nothing of others or of the process", async () => {
  const acme = new TenantMetrics(LANES), other = new TenantMetrics(LANES);
  for (const metrics of [acme, other]) metrics.upgrades.add({ status: "ok" });
  const exporter = new Exporter(view({ acme, other, "acme.2": new TenantMetrics(LANES) }));
  const all = parse(await exporter.render()), own = parse(await exporter.renderTenant("acme"));
  assert.deepEqual(own.samples, all.samples.filter(({ labels }) => labels["tenant"] === "acme"));
  assert.ok(own.samples.some(({ name }) => name === "wsprism_dispatch_duration_seconds_bucket"));
  const names = new Set(own.samples.map(({ name }) => name.replace(/_(bucket|sum|count)$/, "")));
  assert.deepEqual([...own.types.keys()].toSorted(), [...names].toSorted(), "and no metric without a sample");
  assert.equal((await exporter.renderTenant("none")).trim(), "");
});

test("With many tenants the text is written piece by piece, and is the same", async () => {
  const tenants = Object.fromEntries(
    Array.from({ length: 500 }, (_, i) => [`t${i}`, new TenantMetrics(LANES)] as const),
  );
  for (const metrics of Object.values(tenants)) metrics.upgrades.add({ status: "ok" });
  const exporter = new Exporter(view(tenants));
  let rests = 0;
  const text = await exporter.render(() => {
    rests++;
    return Promise.resolve();
  });
  const { samples, types } = parse(text);
  assert.ok(rests > samples.length / 250, `${rests} rests for ${samples.length} samples`);
  assert.equal(text.match(/^# TYPE wsprism_ws_upgrades_total /gm)!.length, 1);
  assert.equal(samples.filter(({ name }) => name === "wsprism_ws_upgrades_total").length, 500);
  assert.ok(types.size > 30);
  assert.doesNotMatch(text.replaceAll("\n\n# HELP", ""), /\n\n/, "empty lines stand between metrics alone");
});
