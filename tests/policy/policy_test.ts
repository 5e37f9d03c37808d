import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Bucket, PolicyState, TenantPolicy } from "../../src/policy/policy.ts";
import { accepted, oneTenant } from "../config/loading.ts";

function policy(keys: string, limits = ""): TenantPolicy {
  const text = oneTenant(`policy: { ${keys} }`) + (limits === "" ? "" : `    limits: { ${limits} }\n`);
  return new TenantPolicy({ config: accepted(text).config.tenants[0]!, state: new PolicyState() });
}

const bucket = (): Bucket => ({ rateFullAt: 0 });
/** Tokens that can be taken at once. */
function count(take: () => number): number {
  let taken = 0;
  while (taken < 100 && take() === 0) taken++;
  return taken;
}

const RATE = "rate_limit_rps: 10, rate_limit_burst: 3";

test("In scope connection each session has its own bucket and the tenant has none", () => {
  const p = policy(`${RATE}, rate_limit_scope: connection`);
  const [one, two] = [bucket(), bucket()];
  assert.equal(count(() => p.takeSession(one, 0)), 3);
  assert.equal(p.takeSession(one, 0), 100);
  assert.equal(count(() => p.takeSession(two, 0)), 3);
  assert.equal(count(() => p.takeTenant(0)), 100);
  assert.equal(p.takeSession(one, 99), 1);
  assert.equal(p.takeSession(one, 100), 0);
});

test("In scope tenant all sessions share one bucket and have none of their own", () => {
  const p = policy(`${RATE}, rate_limit_scope: tenant`);
  const one = bucket();
  assert.equal(count(() => p.takeSession(one, 0)), 100);
  assert.equal(one.rateFullAt, 0);
  assert.equal(count(() => p.takeTenant(0)), 3);
  assert.equal(p.takeTenant(50), 50);
  assert.equal(p.takeTenant(100), 0);
});

test("In scope both a session is held to its own bucket and to the shared one", () => {
  const p = policy(`${RATE}, rate_limit_scope: both`);
  const one = bucket();
  assert.equal(count(() => p.takeSession(one, 0)), 3);
  assert.equal(count(() => p.takeTenant(0)), 3);
  assert.equal(p.takeSession(bucket(), 0), 0);
  assert.equal(p.takeTenant(0), 100);
});

test("A refused session takes no token of what the tenant's sessions share", () => {
  const p = policy(`${RATE}, rate_limit_scope: both`);
  const flooder = bucket();
  for (let i = 0; i < 1000; i++) p.takeSession(flooder, 0);
  assert.equal(p.allowsExt("chat", "send"), false);
  assert.equal(p.allowsHot(1, 1), false);
  assert.equal(count(() => p.takeTenant(0)), 3);
});

test("A refusal takes no token either: the wait stays the same however often one asks", () => {
  const p = policy(`${RATE}, rate_limit_scope: both`);
  const one = bucket();
  count(() => p.takeSession(one, 0));
  count(() => p.takeTenant(0));
  for (let i = 0; i < 50; i++) {
    assert.equal(p.takeSession(one, 20), 80);
    assert.equal(p.takeTenant(20), 80);
  }
});

test("Refusals are told as often as the rate allows messages, and always where the session has a rate", () => {
  const tenant = policy(`${RATE}, rate_limit_scope: tenant`), one = bucket();
  const told = (p: TenantPolicy) => count(() => p.mayTellRefusal(one, 0) ? 0 : 1);
  assert.equal(told(tenant), 3);
  assert.equal(tenant.mayTellRefusal(one, 100), true);
  assert.equal(count(() => tenant.takeTenant(0)), 3, "telling takes nothing of the shared bucket");
  assert.equal(told(policy(`${RATE}, rate_limit_scope: connection`)), 100);
  assert.equal(told(policy(`${RATE}, rate_limit_scope: both`)), 100);
});

test("What the configuration says of sizes, rooms and refusals is what the policy says", () => {
  const preset = policy("rate_limit_rps: 1");
  assert.deepEqual([preset.maxFrameBytes, preset.answersHotErrors, preset.hotRequiresActiveRoom], [
    4096,
    true,
    true,
  ]);
  const other = policy("hot_error_mode: silent, hot_requires_active_room: false", "max_frame_bytes: 7");
  assert.deepEqual([other.maxFrameBytes, other.answersHotErrors, other.hotRequiresActiveRoom], [
    7,
    false,
    false,
  ]);
});

test("Allowlists of the configuration are the policy's", () => {
  const p = policy('ext_allowlist: ["chat:*", "room:join"], hot_allowlist: ["1:2", "3:*"]');
  assert.deepEqual([p.allowsExt("chat", "x"), p.allowsExt("room", "join"), p.allowsExt("room", "leave")], [
    true,
    true,
    false,
  ]);
  assert.deepEqual([p.allowsHot(1, 2), p.allowsHot(1, 3), p.allowsHot(3, 255)], [true, false, true]);
});

test("Two tenants share nothing", () => {
  const [a, b] = [policy(`${RATE}, rate_limit_scope: tenant`), policy(`${RATE}, rate_limit_scope: tenant`)];
  assert.equal(count(() => a.takeTenant(0)), 3);
  assert.equal(count(() => b.takeTenant(0)), 3);
});
