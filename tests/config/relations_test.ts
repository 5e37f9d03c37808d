import { strict as assert } from "node:assert";
import { test } from "node:test";
import { accepted, oneTenant, refusals } from "./loading.ts";

const gateway = (keys: string) => `gateway: { ${keys} }\n${oneTenant()}`;

test("The idle timeout is greater than the ping interval, defaults included", () => {
  accepted(gateway("ping_interval_ms: 9999, idle_timeout_ms: 10000"));
  assert.deepEqual(refusals(gateway("ping_interval_ms: 10000, idle_timeout_ms: 10000")), [
    "gateway.idle_timeout_ms must be greater than gateway.ping_interval_ms (10000), got 10000 (1, 54)",
  ]);
  assert.deepEqual(refusals(gateway("idle_timeout_ms: 20000")), [
    "gateway.idle_timeout_ms must be greater than gateway.ping_interval_ms (20000, the default), got 20000 (1, 29)",
  ]);
  assert.deepEqual(refusals(gateway("ping_interval_ms: 60000")), [
    "gateway.ping_interval_ms must be less than gateway.idle_timeout_ms (60000), got 60000 (1, 30)",
  ]);
});

test("A relation with a faulty value is left alone", () => {
  assert.equal(refusals(gateway("ping_interval_ms: 60000, idle_timeout_ms: lots")).length, 1);
  assert.equal(refusals(gateway('ping_interval_ms: "${UNSET}", idle_timeout_ms: 10000')).length, 1);
  assert.equal(
    refusals(oneTenant("policy: { sessions: { mode: single, max_sessions_per_user: 0 } }")).length,
    1,
  );
});

test("Mode single needs one session per user, also where that is the default's turn", () => {
  accepted(oneTenant("policy: { sessions: { mode: single, max_sessions_per_user: 1 } }"));
  accepted(oneTenant("policy: { sessions: { mode: multi, max_sessions_per_user: 1 } }"));
  assert.deepEqual(refusals(oneTenant("policy: { sessions: { mode: single, max_sessions_per_user: 2 } }")), [
    'tenants[0].policy.sessions.max_sessions_per_user must be 1 with mode "single", got 2 (4, 64)',
  ]);
  assert.deepEqual(refusals(oneTenant("policy: { sessions: { mode: single } }")), [
    'tenants[0].policy.sessions.max_sessions_per_user must be 1 with mode "single", got 4, the default (4, 25)',
  ]);
});

test("Ids and names are unique where they must be, and only there", () => {
  assert.deepEqual(refusals("version: 1\ntenants: [{ id: a }, { id: b }, { id: a }]"), [
    'tenants[2].id must be unique, but "a" is also tenants[0].id in line 2 (2, 39)',
  ]);
  assert.deepEqual(refusals(oneTenant("services: [{ svc: a, builtin: chat }, { svc: a, builtin: chat }]")), [
    'tenants[0].services[1].svc must be unique, but "a" is also tenants[0].services[0].svc in line 4 (4, 50)',
  ]);
  assert.deepEqual(refusals(oneTenant("hot_services: [{ id: 1, kind: echo }, { id: 0x1, kind: relay }]")), [
    "tenants[0].hot_services[1].id must be unique, but 0x1 is also tenants[0].hot_services[0].id in line 4 (4, 49)",
  ]);
  const services = "services: [{ svc: a, builtin: chat }], hot_services: [{ id: 1, kind: echo }]";
  accepted(`version: 1\ntenants: [{ id: a, ${services} }, { id: A, ${services} }]`);
});

test("No service takes the name of one that every tenant has", () => {
  for (const name of ["room", "sys"]) {
    const [line, ...others] = refusals(oneTenant(`services: [{ svc: ${name}, builtin: chat }]`));
    assert.deepEqual(others, []);
    assert.equal(
      line,
      `tenants[0].services[0].svc must not be "${name}", a service that every tenant has already (4, 23)`,
    );
  }
});
