import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { TenantPolicy } from "../../src/policy/policy.ts";
import { GatewayQuotas } from "../../src/policy/quotas.ts";
import { PolicyState } from "../../src/policy/state.ts";
import { arrive, matterOf, policyOf, say, share, Speaking } from "./policies.ts";

/** Tokens that can be taken at once. */
function count(take: () => number): number {
  let taken = 0;
  while (taken < 100 && take() === 0) taken++;
  return taken;
}

const RATE = "rate_limit_rps: 10, rate_limit_burst: 3";

test("In scope connection each session has its own bucket and the tenant has none", () => {
  const p = policyOf(`${RATE}, rate_limit_scope: connection`);
  const [one, two] = [new Speaking(), new Speaking()];
  assert.equal(count(() => arrive(p, one, 0)), 3);
  assert.equal(arrive(p, one, 0), 100);
  assert.equal(count(() => arrive(p, two, 0)), 3);
  assert.equal(count(() => share(p, one, 0)), 100);
  assert.equal(arrive(p, one, 99), 1);
  assert.equal(arrive(p, one, 100), 0);
});

test("In scope tenant all sessions share one bucket and have none of their own", () => {
  const p = policyOf(`${RATE}, rate_limit_scope: tenant`), one = new Speaking();
  assert.equal(count(() => arrive(p, one, 0)), 100);
  assert.equal(one.standing.messagesFullAt, 0);
  assert.equal(count(() => share(p, one, 0)), 3);
  assert.equal(share(p, one, 50), 50);
  assert.equal(share(p, one, 100), 0);
});

test("In scope both a session is held to its own bucket and to the shared one", () => {
  const p = policyOf(`${RATE}, rate_limit_scope: both`), one = new Speaking();
  assert.equal(count(() => arrive(p, one, 0)), 3);
  assert.equal(count(() => share(p, one, 0)), 3);
  assert.equal(arrive(p, new Speaking(), 0), 0);
  assert.equal(share(p, one, 0), 100);
});

test("A refused session takes no token of what the tenant's sessions share", () => {
  const p = policyOf(`${RATE}, rate_limit_scope: both`), flooder = new Speaking();
  for (let i = 0; i < 1000; i++) arrive(p, flooder, 0);
  for (let i = 0; i < 1000; i++) assert.equal(say(p, flooder, { ext: "chat:send" })?.ruleId, "allowlist");
  for (let i = 0; i < 1000; i++) assert.equal(say(p, flooder, { hot: "1:1" })?.ruleId, "allowlist");
  assert.equal(count(() => share(p, flooder, 0)), 3);
});

test("A refusal takes no token either: the wait stays the same however often one asks", () => {
  const p = policyOf(`${RATE}, rate_limit_scope: both`), one = new Speaking();
  count(() => arrive(p, one, 0));
  count(() => share(p, one, 0));
  for (let i = 0; i < 50; i++) {
    assert.equal(arrive(p, one, 20), 80);
    assert.equal(share(p, one, 20), 80);
  }
});

test("Refusals are told as often as the rate allows messages, and always where the session has a rate", () => {
  const tenant = policyOf(`${RATE}, rate_limit_scope: tenant`), { standing } = new Speaking();
  const told = (p: TenantPolicy) => count(() => p.mayTellRefusal(standing, 0) ? 0 : 1);
  assert.equal(told(tenant), 3);
  assert.equal(tenant.mayTellRefusal(standing, 100), true);
  assert.equal(
    count(() => share(tenant, new Speaking(), 0)),
    3,
    "telling takes nothing of the shared bucket",
  );
  assert.equal(told(policyOf(`${RATE}, rate_limit_scope: connection`)), 100);
  assert.equal(told(policyOf(`${RATE}, rate_limit_scope: both`)), 100);
});

test("What the configuration says of sizes, rooms and refusals is what the policy says", () => {
  const preset = policyOf("rate_limit_rps: 1");
  assert.deepEqual([preset.maxFrameBytes, preset.answersHotErrors, preset.hotRequiresActiveRoom], [
    4096,
    true,
    true,
  ]);
  const other = policyOf("hot_error_mode: silent, hot_requires_active_room: false", {
    limits: "max_frame_bytes: 7",
  });
  assert.deepEqual([other.maxFrameBytes, other.answersHotErrors, other.hotRequiresActiveRoom], [
    7,
    false,
    false,
  ]);
  assert.deepEqual([other.size(7), other.size(8)?.ruleId], [null, "size"]);
});

test("Allowlists of the configuration are the policy's", () => {
  const p = policyOf('ext_allowlist: ["chat:*", "room:join"], hot_allowlist: ["1:2", "3:*"]');
  assert.deepEqual([p.allowsExt("chat", "x"), p.allowsExt("room", "join"), p.allowsExt("room", "leave")], [
    true,
    true,
    false,
  ]);
  assert.deepEqual([p.allowsHot(1, 2), p.allowsHot(1, 3), p.allowsHot(3, 255)], [true, false, true]);
});

test("Two tenants share nothing but the gateway's quota", () => {
  const gateway = new GatewayQuotas({ messages_per_second: 10, burst: 5 });
  const alone = [
    policyOf(`${RATE}, rate_limit_scope: tenant`),
    policyOf(`${RATE}, rate_limit_scope: tenant`),
  ];
  assert.deepEqual(
    alone.map((p) => {
      const cy = new Speaking("cy");
      return count(() => share(p, cy, 0));
    }),
    [3, 3],
  );
  const [a, b] = ["a", "b"].map(() => policyOf(`${RATE}, rate_limit_scope: tenant`, { gateway }));
  const ann = new Speaking("ann");
  assert.equal(count(() => share(a!, ann, 0)), 3);
  const bob = new Speaking("bob");
  assert.equal(count(() => share(b!, bob, 0)), 1, "of the two that are left, one stays for the others");
  const denial = say(b!, bob, { ext: "room:join" });
  assert.deepEqual([denial?.ruleId, denial?.reason], ["quota.gateway", "gateway_rate"]);
});

test("quotas go before rate_limit_*, level by level, and what they leave out stays", () => {
  const own = policyOf(
    `${RATE}, rate_limit_scope: both, quotas: { session: { messages_per_second: 1, burst: 2 } }`,
  );
  const ann = new Speaking();
  assert.equal(count(() => arrive(own, ann, 0)), 2);
  assert.equal(count(() => share(own, ann, 0)), 3);
  const preset = policyOf(
    "quotas: { session: { messages_per_second: 4 }, tenant: { messages_per_second: 3 } }",
  );
  const bob = new Speaking();
  assert.equal(count(() => arrive(preset, bob, 0)), 8, "two seconds' worth");
  assert.equal(count(() => share(preset, bob, 0)), 6);
  const bytes = policyOf(`${RATE}, quotas: { session: { bytes_per_second: 1000 } }`), cy = new Speaking();
  assert.deepEqual([1500, 600, 500].map((size) => arrive(bytes, cy, 0, size)), [0, 100, 0]);
  assert.ok(arrive(bytes, cy, 0, 1) > 0, "all bytes are gone");
});

test("A message that is larger than the burst needs all of it, and is paid off afterwards", () => {
  const p = policyOf("quotas: { tenant: { bytes_per_second: 1000, bytes_burst: 100 } }"),
    ann = new Speaking();
  assert.equal(share(p, ann, 1000, 10), 0);
  assert.equal(share(p, ann, 1000, 500), 10);
  assert.equal(share(p, ann, 1010, 500), 0);
  assert.equal(share(p, ann, 1010, 1), 401);
  assert.equal(share(p, ann, 1411, 1), 0);
});

test("A user's sessions share the user's quota, and nobody else does", () => {
  const p = policyOf("quotas: { user: { messages_per_second: 1, burst: 3, bytes_per_second: 100 } }");
  const [phone, laptop, bob] = [new Speaking("ann"), new Speaking("ann"), new Speaking("bob")];
  assert.deepEqual([phone, laptop, phone].map((one) => share(p, one, 0)), [0, 0, 0]);
  const denial = say(p, laptop, { ext: "room:join" });
  assert.deepEqual([denial?.ruleId, denial?.action, denial?.waitMs], ["quota.user", "drop", 1000]);
  assert.equal(share(p, bob, 0, 150), 0);
  assert.equal(share(p, bob, 0, 60), 100);
});

test("What a message makes others get is charged to whoever sent it, before the next one", () => {
  let delivered = 0;
  const p = policyOf("quotas: { tenant: { outbound_bytes_per_second: 1000, outbound_bytes_burst: 1000 } }", {
    delivered: () => delivered,
  });
  const ann = new Speaking("ann"), bob = new Speaking("bob");
  for (const who of [bob, ann]) assert.equal(say(p, who, { ext: "room:join" }, 5000), null);
  delivered = 3000;
  p.settle(ann.standing, 5000);
  const denial = say(p, bob, { ext: "room:join" }, 5000);
  assert.equal(denial?.ruleId, "quota.outbound");
  assert.equal(Math.round(denial?.waitMs ?? 0), 2001);
  assert.equal(share(p, bob, 5000), 0, "the protocol's own messages go on");
  assert.equal(say(p, bob, { ext: "room:join" }, 7002), null);
  assert.equal(say(p, ann, { ext: "room:join" }, 7002)?.ruleId, "quota.outbound", "it is ahead of bob");
});

test("A dry run denies nothing, finds everything, and takes nothing for what would not pass", () => {
  const state = new PolicyState(), quota = "quotas: { tenant: { messages_per_second: 1, burst: 1 } }";
  const dry = policyOf(quota, { dryRun: true, state }), strict = policyOf(quota, { state });
  dry.apply(0);
  const ann = new Speaking(), matter = matterOf(ann, { ext: "chat:send" });
  assert.equal(dry.judge(matter, "ext", 0), null);
  assert.deepEqual(matter.findings.map(({ ruleId, dryRun }) => [ruleId, dryRun]), [["allowlist", true]]);
  const after = policyOf(quota, { state });
  after.apply(0);
  assert.equal(share(after, ann, 0), 0, "the token is still there");
  assert.ok(share(after, ann, 0) > 0);
  assert.equal(say(strict, ann, { ext: "chat:send" })?.ruleId, "allowlist");
});

test("Refusals are excessive once they are more than the quota itself, a hundred of them or a tenth of a second apart", () => {
  const borne = (keys: string) => {
    const p = policyOf(keys), { standing } = new Speaking();
    return [0, 1000].map((now) => {
      let count = 0;
      while (count < 5000 && !p.isExcessive(standing, now)) count++;
      return count;
    });
  };
  assert.deepEqual(borne(RATE), [100, 10]);
  assert.deepEqual(borne("rate_limit_rps: 2000, rate_limit_burst: 4000"), [200, 200]);
  const tenant =
    "rate_limit_rps: 9000, rate_limit_burst: 9000, quotas: { tenant: { messages_per_second: 50 } }";
  assert.deepEqual(borne(tenant), [100, 50], "the tenant's, where that is less");
});

test("A new policy goes on with the old one's buckets, at its own numbers", () => {
  const state = new PolicyState();
  const quotas = (perSecond: number, burst: number) =>
    `quotas: { tenant: { messages_per_second: ${perSecond}, burst: ${burst} }, user: { messages_per_second: 1, burst: 9 } }`;
  const before = policyOf(quotas(1, 4), { state }), ann = new Speaking();
  before.apply(0);
  assert.equal(count(() => share(before, ann, 0)), 4);
  const same = policyOf(quotas(1, 4), { state });
  same.apply(0);
  assert.equal(share(same, ann, 0), 1000);
  const faster = policyOf(quotas(10, 4), { state });
  assert.equal(share(before, ann, 0), 1000, "made, and not begun");
  faster.apply(0);
  assert.equal(share(faster, ann, 0), 100, "empty, and filled faster");
  assert.equal(count(() => share(faster, ann, 500)), 4);
  const later = [1, 2, 3].map(() => say(faster, ann, { ext: "room:join" }, 1000)?.ruleId);
  assert.deepEqual(later, [undefined, undefined, "quota.user"], "nine of the user's, and one that came back");
});
