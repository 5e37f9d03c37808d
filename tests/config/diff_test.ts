// What lies between two configurations: every kind of value, its wording, and that no secret is shown.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { diffConfigs, formatChange, withoutRestart } from "../../src/config/diff.ts";
import { configHash, openFingerprint } from "../../src/config/fingerprint.ts";
import type { Config } from "../../src/config/schema.ts";
import { accepted, oneTenant } from "./loading.ts";

const file = (gateway: string, ...tenant: readonly string[]) =>
  accepted(
    `version: 1\ngateway: { ${gateway} }\ntenants:\n  - id: acme\n${
      tenant.map((line) => `    ${line}\n`).join("")
    }`,
  ).config;

/** The changes of the one tenant, in words. */
function changes(before: readonly string[], after: readonly string[]): string[] {
  const { changes, added, removed } = diffConfigs(file("", ...before), file("", ...after));
  assert.deepEqual([added, removed], [[], []]);
  assert.ok(changes.every(({ tenant, restart }) => tenant === "acme" && !restart));
  return changes.map(formatChange);
}

test("Equal files differ in nothing, a default written out included", () => {
  assert.deepEqual(changes([], []), []);
  assert.deepEqual(changes([], ["limits: { max_frame_bytes: 4096 }"]), []);
});

test("A number, a flag and a choice are told with what they were", () => {
  assert.deepEqual(
    changes([], ["suspended: true", "policy: { rate_limit_rps: 5, rate_limit_scope: both }", "origins: []"]),
    [
      "suspended: false → true",
      "policy.rate_limit_rps: 200 → 5",
      'policy.rate_limit_scope: "connection" → "both"',
    ],
  );
});

test("Lists of texts tell what came and what went, and when only their order changed", () => {
  const allow = (list: string) => [`policy: { ext_allowlist: [${list}] }`];
  assert.deepEqual(changes(allow('"a:b", "c:d"'), allow('"c:d", "e:f"')), [
    'policy.ext_allowlist: - "a:b"',
    'policy.ext_allowlist: + "e:f"',
  ]);
  assert.deepEqual(changes(allow('"a:b", "c:d"'), allow('"c:d", "a:b"')), [
    "policy.ext_allowlist: an order → another order",
  ]);
});

test("Items of a list are matched by their name, whatever their place, or by their place where they have none", () => {
  const hot = (list: string) => [`hot_services: [${list}]`];
  assert.deepEqual(
    changes(
      hot("{ id: 1, kind: echo }, { id: 2, kind: state }"),
      hot("{ id: 2, kind: state, tick_ms: 20 }, { id: 3, kind: relay }"),
    ),
    [
      "hot_services[2].tick_ms: 50 → 20",
      'hot_services[3]: + {"id":3,"kind":"relay","lane":"lossy"}',
      'hot_services[1]: - {"id":1,"kind":"echo","lane":"lossy"}',
    ],
  );
  assert.deepEqual(
    changes(
      hot("{ id: 1, kind: echo }, { id: 2, kind: echo }"),
      hot("{ id: 2, kind: echo }, { id: 1, kind: echo }"),
    ),
    [
      "hot_services: an order → another order",
    ],
  );
  const tickets = (...names: string[]) => [
    `auth: { mode: static, static: { tickets: [${
      names.map((name) => `{ ticket: "${name}-0123456789", user: ${name} }`).join(", ")
    }] } }`,
  ];
  assert.deepEqual(changes(tickets("ann", "bob"), tickets("eve")), [
    "auth.static.tickets[0].ticket: changed, not shown",
    'auth.static.tickets[0].user: "ann" → "eve"',
    'auth.static.tickets[1]: - {"ticket":"(not shown)","user":"bob"}',
  ]);
});

test("A section that came or went is told key by key", () => {
  const http = [
    "auth: { mode: http, http: { url: 'https://auth.example/', secret: '0123456789012345678901234567890123' } }",
  ];
  const told = changes(["auth: { mode: dev }"], http);
  assert.ok(told.includes('auth.mode: "dev" → "http"'));
  assert.ok(told.includes('auth.http.url: + "https://auth.example/"'));
  assert.ok(told.includes("auth.http.secret: + (not shown)"));
});

test("What needs a restart says so, and is left out of what holds", () => {
  const [before, after] = [
    file("ping_interval_ms: 9000"),
    file('listen: ":81", max_header_bytes: 4096, drain_grace_ms: 1'),
  ];
  const { changes } = diffConfigs(before, after);
  assert.deepEqual(changes.map(formatChange), [
    'gateway.listen: "127.0.0.1:8080" → ":81" (needs a restart)',
    "gateway.ping_interval_ms: 9000 → 20000",
    "gateway.drain_grace_ms: 2000 → 1",
    "gateway.max_header_bytes: 16384 → 4096 (needs a restart)",
  ]);
  const kept = withoutRestart(before.gateway, after.gateway);
  assert.deepEqual(kept, { ...after.gateway, listen: "127.0.0.1:8080", max_header_bytes: 16_384 });
});

test("TLS can neither come nor go without a restart, but its files can be others", () => {
  const plain = file("");
  const secure = (cert_file: string): Config => ({
    ...plain,
    gateway: { ...plain.gateway, tls: { cert_file, key_file: "key.pem" } },
  });
  const of = (before: Config, after: Config) =>
    diffConfigs(before, after).changes.map(({ key, restart }) => [key, restart]);
  const both = [["gateway.tls.cert_file", true], ["gateway.tls.key_file", true]];
  assert.deepEqual([of(plain, secure("a")), of(secure("a"), plain)], [both, both]);
  assert.deepEqual(of(secure("a"), secure("b")), [["gateway.tls.cert_file", false]]);
  assert.deepEqual(withoutRestart(plain.gateway, secure("a").gateway), plain.gateway);
  assert.deepEqual(withoutRestart(secure("a").gateway, plain.gateway), secure("a").gateway);
  assert.deepEqual(withoutRestart(secure("a").gateway, secure("b").gateway), secure("b").gateway);
});

test("Tenants that came and went are told by their ids, and their order does not matter", () => {
  const of = (...ids: string[]) =>
    accepted(`version: 1\ntenants:\n${ids.map((id) => `  - id: ${id}\n`).join("")}`).config;
  assert.deepEqual(diffConfigs(of("a", "b", "c"), of("d", "c", "a")), {
    changes: [],
    added: ["d"],
    removed: ["b"],
  });
});

test("A hash does not depend on what a gateway was started with, if it runs by the same now", () => {
  const [one, other] = [file("drain_grace_ms: 1"), file("drain_grace_ms: 2")];
  const tls = { cert_file: "a", key_file: "b" };
  const secure: Config = { ...other, gateway: { ...other.gateway, tls } };
  for (const next of [other, secure]) {
    const running = { ...one, gateway: { ...one.gateway, ...(next === secure ? { tls } : {}) } };
    const reloaded = { ...next, gateway: withoutRestart(running.gateway, next.gateway) };
    assert.deepEqual(reloaded, next);
    assert.equal(configHash(reloaded, []), configHash(next, []));
  }
});

test("What the schema's shape does not describe counts too, and is not shown", () => {
  const { tenants: [tenant], ...general } = file("");
  const strange = (value: unknown): Config => ({
    ...general,
    tenants: [{ ...tenant!, strange: value } as never],
  });
  const { changes } = diffConfigs(strange(1), strange(2));
  assert.deepEqual(changes.map(formatChange), ["strange: changed, not shown"]);
});

test("Fingerprints differ with any key but secrets, and a hash with any tenant", () => {
  const one = (more: string) => accepted(oneTenant(more)).config;
  const ticket = (text: string) =>
    one(`auth: { mode: static, static: { tickets: [{ ticket: "${text}", user: u }] } }`);
  const print = (config: Config) => openFingerprint(config.tenants[0]!);
  assert.equal(print(ticket("0123456789abcdef")), print(ticket("fedcba9876543210")));
  assert.notEqual(print(one("suspended: true")), print(one("suspended: false")));
  assert.notEqual(configHash(one(""), ["a"]), configHash(one(""), ["b"]));
  assert.notEqual(configHash(file("drain_grace_ms: 1"), []), configHash(file("drain_grace_ms: 2"), []));
});

test("Whatever two tenants say, a difference is told exactly when there is one, and no secret ever", () => {
  const name = fc.stringMatching(/^[a-c]$/);
  const secret = fc.stringMatching(/^[x-z]{40}$/).map((text) => `hush${text}`);
  const tenant = fc.record({
    rps: fc.integer({ min: 1, max: 3 }),
    allow: fc.array(name.map((svc) => `"${svc}:*"`), { maxLength: 3 }),
    hot: fc.uniqueArray(fc.integer({ min: 0, max: 3 }), { maxLength: 3 }),
    tickets: fc.uniqueArray(secret, { minLength: 1, maxLength: 2 }),
  }).map(({ rps, allow, hot, tickets }) =>
    file(
      "",
      `policy: { rate_limit_rps: ${rps}, ext_allowlist: [${allow.join(", ")}] }`,
      `hot_services: [${hot.map((id) => `{ id: ${id}, kind: echo }`).join(", ")}]`,
      `auth: { mode: static, static: { tickets: [${
        tickets.map((t) => `{ ticket: ${t}, user: u }`).join(", ")
      }] } }`,
    )
  );
  fc.assert(
    fc.property(tenant, tenant, (before, after) => {
      const { changes } = diffConfigs(before, after);
      const same = JSON.stringify(before) === JSON.stringify(after);
      assert.equal(changes.length === 0, same);
      assert.doesNotMatch(changes.map(formatChange).join("\n"), /hush/);
    }),
    { numRuns: 200 },
  );
});
