import { strict as assert } from "node:assert";
import { test } from "node:test";
import { accepted, oneTenant, refusals, warned } from "./loading.ts";

const delivery = (keys: string) => oneTenant(`delivery: { ${keys} }`);
const gateway = (keys: string) => `gateway: { ${keys} }\n${oneTenant()}`;
const hot = (keys: string) => oneTenant(`hot_services: [{ id: 1, ${keys} }]`);

test("A tenant without delivery keys has the bounds of the contract", () => {
  const { tenants, gateway } = accepted(oneTenant()).config;
  assert.deepEqual(tenants[0]?.delivery, {
    reliable: { max_bytes: 1_048_576, max_messages: 4096 },
    latest: { max_bytes: 262_144, max_age_ms: 0 },
    lossy: { max_bytes: 262_144, max_age_ms: 0, on_full: "drop_oldest" },
  });
  assert.equal(gateway.max_outbox_bytes, 268_435_456);
  assert.equal(gateway.socket_watermark_bytes, 65_536);
  assert.deepEqual(tenants[0]?.hot_services, [{ id: 1, kind: "echo", lane: "lossy" }]);
});

test("One delivery key given leaves the defaults of its lane and of the others", () => {
  const { tenants } = accepted(delivery("lossy: { max_age_ms: 250 }, reliable: {}")).config;
  assert.deepEqual(tenants[0]?.delivery, {
    reliable: { max_bytes: 1_048_576, max_messages: 4096 },
    latest: { max_bytes: 262_144, max_age_ms: 0 },
    lossy: { max_bytes: 262_144, max_age_ms: 250, on_full: "drop_oldest" },
  });
});

test("Each tenant has delivery bounds of its own", () => {
  const { tenants } = accepted(
    "version: 1\ntenants: [{ id: a, delivery: { latest: { max_bytes: 2048 } } }, { id: b }]",
  ).config;
  assert.deepEqual(tenants.map((tenant) => tenant.delivery.latest.max_bytes), [2048, 262_144]);
});

/** Number keys: where they stand, their range, and a file with one value. */
const RANGES: readonly [path: string, min: number, max: number, file: (value: string) => string][] = [
  ["gateway.max_outbox_bytes", 0, Number.MAX_SAFE_INTEGER, (v) => gateway(`max_outbox_bytes: ${v}`)],
  ["gateway.socket_watermark_bytes", 1024, 16_777_216, (v) => gateway(`socket_watermark_bytes: ${v}`)],
  ["gateway.socket_unsent_bytes", 0, 16_777_216, (v) => gateway(`socket_unsent_bytes: ${v}`)],
  ["reliable.max_bytes", 1024, 1_073_741_824, (v) => delivery(`reliable: { max_bytes: ${v} }`)],
  ["reliable.max_messages", 1, 1_000_000, (v) => delivery(`reliable: { max_messages: ${v} }`)],
  ["latest.max_bytes", 1024, 1_073_741_824, (v) => delivery(`latest: { max_bytes: ${v} }`)],
  ["latest.max_age_ms", 0, 3_600_000, (v) => delivery(`latest: { max_age_ms: ${v} }`)],
  ["lossy.max_bytes", 1024, 1_073_741_824, (v) => delivery(`lossy: { max_bytes: ${v} }`)],
  ["lossy.max_age_ms", 0, 3_600_000, (v) => delivery(`lossy: { max_age_ms: ${v} }`)],
];

for (const [path, min, max, file] of RANGES) {
  test(`${path} takes ${min}..${max} and nothing beside it`, () => {
    const full = path.startsWith("gateway") ? path : `tenants[0].delivery.${path}`;
    for (const value of [min, max]) accepted(file(String(value)));
    for (const value of [`${min - 1}`, `${max + 1}`, `${min + 0.5}`, "lots", "true"]) {
      const [line, ...others] = refusals(file(value));
      assert.deepEqual(others, [], value);
      assert.ok(line?.startsWith(`${full} must be `), line ?? "nothing");
      assert.ok(line?.includes(`, got ${value === "lots" ? '"lots"' : value} (`), line ?? "nothing");
    }
  });
}

test("A delivery error names the action, the value, the wish and the place", () => {
  assert.deepEqual(refusals(delivery("lossy: { on_full: drop }, latest: { max_bytes: 12 }")), [
    'tenants[0].delivery.lossy.on_full must be one of "drop_oldest", "drop_newest", got "drop" (4, 35)',
    "tenants[0].delivery.latest.max_bytes must be 1024..1073741824, got 12 (4, 64)",
  ]);
});

test("The lossy lane takes both ways to be full, the others have only theirs", () => {
  for (const way of ["drop_oldest", "drop_newest"] as const) {
    const { tenants } = accepted(delivery(`lossy: { on_full: ${way} }`)).config;
    assert.equal(tenants[0]?.delivery.lossy.on_full, way);
  }
  for (const lane of ["latest", "reliable"]) {
    assert.match(
      refusals(delivery(`${lane}: { on_full: drop_oldest }`)).join(),
      /on_full is not a known key/,
    );
  }
  assert.match(refusals(delivery("reliable: { max_age_ms: 1 }")).join(), /max_age_ms is not a known key/);
  assert.match(refusals(delivery("control: { max_bytes: 4096 }")).join(), /control is not a known key/);
});

test("A misspelt delivery key is refused with the one that was meant", () => {
  assert.match(refusals(delivery("losy: {}")).join(), /losy.*"?lossy"?/);
  assert.match(refusals(delivery("lossy: { max_age: 5 }")).join(), /max_age .*max_age_ms/);
  assert.match(refusals(gateway("max_outbox: 5")).join(), /max_outbox .*max_outbox_bytes/);
});

test("A hot service is lossy unless it says latest, and state is always latest", () => {
  const lane = (keys: string) => accepted(hot(keys)).config.tenants[0]?.hot_services[0]?.lane;
  assert.equal(lane("kind: echo"), "lossy");
  assert.equal(lane("kind: relay"), "lossy");
  assert.equal(lane("kind: state"), "latest");
  assert.equal(lane("kind: state, lane: latest"), "latest");
  for (const kind of ["echo", "relay"]) {
    assert.equal(lane(`kind: ${kind}, lane: latest`), "latest");
    assert.equal(lane(`kind: ${kind}, lane: lossy`), "lossy");
    for (const other of ["reliable", "control", "newest"]) {
      const [line, ...others] = refusals(hot(`kind: ${kind}, lane: ${other}`));
      assert.deepEqual(others, []);
      assert.match(line ?? "", new RegExp(`\\.lane must be one of "lossy", "latest", got "${other}"`));
    }
  }
  const [line, ...others] = refusals(hot("kind: state, lane: lossy"));
  assert.deepEqual(others, []);
  assert.match(line ?? "", /\.lane must be "latest", got "lossy"/);
});

test("A hot service of no known kind is told of its kind alone, whichever lane it has", () => {
  for (const lane of ["lossy", "latest"]) {
    const [line, ...others] = refusals(hot(`kind: rellay, lane: ${lane}`));
    assert.deepEqual(others, []);
    assert.match(line ?? "", /\.kind must be one of "echo", "relay", "state", got "rellay"/);
  }
});

test("Reliable bounds that an honest client can hit are warned of", () => {
  const bytes = "tenants[0].delivery.reliable.max_bytes";
  assert.deepEqual(warned(oneTenant("limits: { max_frame_bytes: 2000000 }")).map(withoutPlace), [
    `${bytes} is less than limits.max_frame_bytes, so that one large message can end the session of a slow reader`,
  ]);
  assert.deepEqual(warned(delivery("reliable: { max_bytes: 65536 }")).map(withoutPlace), [
    `${bytes} is no more than gateway.socket_watermark_bytes, so that a socket which holds that much ends its session`,
  ]);
  assert.deepEqual(warned(delivery("reliable: { max_bytes: 65537 }")), []);
  assert.deepEqual(warned(oneTenant("limits: { max_frame_bytes: 1048576 }")), []);
});

test("A variable that the process may not read is named, with the mend", () => {
  const guarded = Object.defineProperty({}, "SECRET", {
    enumerable: true,
    get: () => {
      throw new Error("NotCapable");
    },
  });
  assert.deepEqual(refusals(oneTenant('limits: { max_rooms_total: "${SECRET}" }'), { env: guarded }), [
    "tenants[0].limits.max_rooms_total needs the environment variable SECRET, which this process may not read; " +
    "allow it (--allow-env=SECRET) (4, 32)",
  ]);
});

function withoutPlace(line: string): string {
  return line.replace(/ \(\d+, \d+\)$/, "");
}
