// What an operator can get wrong in `admin`. No message may show a secret.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { accepted, oneTenant, refusals, warned } from "./loading.ts";

const SECRET = "s3cr3t-0123456789-abcdefghij-XYZ"; // 32 characters
const OTHER = "0ther-s3cr3t-0123456789-abcdefghij";

interface KeyText {
  readonly [key: string]: unknown;
}

const KEY: KeyText = { id: "ops", secret: SECRET, tenants: ["acme"], permissions: ["read"] };

/** A file with this `admin`; JSON is YAML. */
function withAdmin(keys: unknown, more: object = {}, before = ""): string {
  const admin = JSON.stringify({ listen: "127.0.0.1:9090", keys, ...more });
  return `${before}admin: ${admin}\n${oneTenant()}`;
}

function faults(text: string): string[] {
  const lines = refusals(text);
  for (const line of lines) assert.ok(!line.includes("s3cr3t"), line);
  return lines.map((line) => line.replace(/ \(\d+, \d+\)$/, ""));
}

function notices(text: string): string[] {
  const lines = warned(text);
  for (const line of lines) assert.ok(!line.includes("s3cr3t"), line);
  return lines.map((line) => line.replace(/ \(\d+, \d+\)$/, ""));
}

test("Without admin there is none, and with it every key has its defaults", () => {
  assert.equal(accepted(oneTenant()).config.admin, undefined);
  const { config } = accepted(withAdmin([KEY]));
  assert.deepEqual(config.admin, {
    listen: "127.0.0.1:9090",
    keys: [{ ...KEY, rps: 1000, burst: 2000 }],
    console: false,
    max_body_bytes: 1_048_576,
  });
});

test("What a key lacks, or has too much of, is refused", () => {
  const cases: [KeyText, string][] = [
    [{ ...KEY, id: undefined }, "admin.keys[0].id is missing; it must be 1–64 of A–Z a–z 0–9 . _ -"],
    [
      { ...KEY, secret: SECRET.slice(1) },
      "admin.keys[0].secret must be 32–512 printable ASCII characters without spaces, got a value that is not shown",
    ],
    [
      { ...KEY, secret: `${SECRET} ` },
      "admin.keys[0].secret must be 32–512 printable ASCII characters without spaces, got a value that is not shown",
    ],
    [
      { ...KEY, tenants: [] },
      'admin.keys[0].tenants must be a list of tenants, or ["*"], got an empty list',
    ],
    [
      { ...KEY, tenants: ["a b"] },
      'admin.keys[0].tenants[0] must be "*" or a tenant\'s id: 1–64 of A–Z a–z 0–9 . _ -, got "a b"',
    ],
    [
      { ...KEY, permissions: ["write"] },
      'admin.keys[0].permissions[0] must be one of "read", "publish", "disconnect", "reload", got "write"',
    ],
    [{ ...KEY, colour: 1 }, "admin.keys[0].colour is not a known key"],
  ];
  for (const [key, expected] of cases) assert.deepEqual(faults(withAdmin([key])), [expected]);
  assert.match(faults(withAdmin([]))[0] ?? "", /^admin.keys must be a list of at least one key/);
  assert.match(faults(withAdmin(SECRET)).join(), /^admin.keys must be a list.*not shown$/);
  assert.match(faults(withAdmin([SECRET])).join(), /^admin.keys\[0\] must be .*not shown$/);
});

test("Keys have ids and secrets of their own", () => {
  assert.deepEqual(faults(withAdmin([KEY, { ...KEY, secret: OTHER }])), [
    "admin.keys[1].id must be unique, but is also admin.keys[0].id",
  ]);
  assert.deepEqual(faults(withAdmin([KEY, { ...KEY, id: "two" }])), [
    "admin.keys[1].secret must be unique, but is also admin.keys[0].secret",
  ]);
  accepted(withAdmin([KEY, { ...KEY, id: "two", secret: OTHER }]));
});

test("The listener is not the public one, and the metrics do not cover the API", () => {
  const at = (listen: string) => `gateway: { listen: "${listen}" }\n`;
  assert.deepEqual(faults(withAdmin([KEY], {}, at("127.0.0.1:9090"))), [
    'admin.listen must not be gateway.listen, got "127.0.0.1:9090"',
  ]);
  accepted(withAdmin([KEY], {}, at("127.0.0.1:9091")));
  accepted(withAdmin([KEY], { listen: "127.0.0.1:0" }, at("127.0.0.1:0")));
  assert.match(faults(withAdmin([KEY], { listen: "9090" }))[0] ?? "", /^admin.listen must be "host:port"/);
  const path = (text: string) => `metrics: { path: ${text} }\n`;
  assert.deepEqual(faults(withAdmin([KEY], {}, path("/v1/metrics"))), [
    "metrics.path must not be below /v1, where the admin listener has its API",
  ]);
  accepted(withAdmin([KEY], {}, path("/v11")));
  accepted(`${path("/v1/metrics")}${oneTenant()}`);
});

test("What is unwise is a warning: everybody's network, every tenant's writes, nobody's tenant", () => {
  assert.deepEqual(notices(withAdmin([KEY])), []);
  for (const listen of ["localhost:1", "[::1]:1", "127.1.2.3:1"]) {
    assert.deepEqual(notices(withAdmin([KEY], { listen })), [], listen);
  }
  for (const listen of [":9090", "0.0.0.0:9090", "10.0.0.1:9090", "[::]:9090", "127.example:1"]) {
    assert.match(
      notices(withAdmin([KEY], { listen }))[0] ?? "",
      /^admin.listen is not this machine only/,
      listen,
    );
  }
  const key = (tenants: string[], permissions: string[]) =>
    notices(withAdmin([{ ...KEY, tenants, permissions }]));
  assert.deepEqual(key(["*"], ["read", "reload"]), []);
  assert.deepEqual(key(["*"], ["read", "publish", "disconnect"]), [
    "admin.keys[0].tenants lets this key publish, disconnect in every tenant",
  ]);
  assert.deepEqual(key(["acme", "gone"], ["publish"]), [
    "admin.keys[0].tenants[1] names a tenant that this file doesn't have",
  ]);
  assert.deepEqual(key(["*", "acme"], ["read"]), [
    "admin.keys[0].tenants[0] makes the other entries pointless",
  ]);
  assert.deepEqual(notices(withAdmin([{ ...KEY, secret: "abcdefgh".repeat(8) }])), [
    "admin.keys[0].secret repeats itself: take random characters",
  ]);
});
