import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { SchemaCompiler } from "../../src/config/data_schema.ts";
import { ruleSchema } from "../../src/config/policy_schema.ts";
import { UserViolations } from "../../src/policy/escalation.ts";
import { SessionPolicyState } from "../../src/policy/input.ts";
import { alone, TenantPolicy } from "../../src/policy/policy.ts";
import { accepted, oneTenant } from "../config/loading.ts";
import { NaiveRules } from "./naive_rules.ts";
import { matterOf, policyOf, type Said, say, Speaking } from "./policies.ts";

const OPEN =
  'ext_allowlist: ["a:*", "b:*", "1:*"], hot_allowlist: ["1:*", "2:*"], hot_requires_active_room: false';
const OPEN_TENANT = accepted(oneTenant(`policy: { ${OPEN} }`)).config.tenants[0]!;
/** Not to be made thousands of times. */
const TEXT = '{"type":"string"}';
const SCHEMAS = new Map([[TEXT, (new SchemaCompiler().compile(TEXT) as { code: string }).code]]);

const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const rateOf = fc.record({
  per: fc.constantFrom("session" as const, "user" as const, "room" as const, "tenant" as const),
  // So that times in whole milliseconds never come to a tie.
  messages_per_second: fc.constantFrom(3, 7, 11),
  burst: maybe(fc.integer({ min: 1, max: 4 })),
});
const steps = fc.array(
  fc.oneof(
    fc.constantFrom("observe" as const, "reject" as const, "drop" as const),
    fc.record({ mute_ms: fc.constantFrom(50, 500) }),
    fc.record({ close: fc.constantFrom(4507, 4005) }),
    fc.record({ ban_ms: fc.constant(1000) }),
  ),
  { minLength: 1, maxLength: 4 },
);
const ruleOf = fc.record({
  match: fc.record({
    lane: maybe(fc.constantFrom("ext" as const, "hot" as const)),
    service: maybe(fc.constantFrom("*", "a:x", "a:*", "*:x", "b:y", "1:2", "1:*", "*:2", "2:3", "*:*")),
    room: maybe(fc.constantFrom("r:*", "r:1", "*:1", "*", "s")),
  }),
  rate: maybe(rateOf),
  max_bytes: maybe(fc.constantFrom(10, 100)),
  schema_text: maybe(fc.constant('{"type":"string"}')),
  require: fc.subarray(["member", "claim:role=mod", "claim:level=3"], { maxLength: 2 }),
  window_ms: fc.constantFrom(100, 1000),
  then: steps,
  dry_run: fc.boolean(),
});

/** Leaves out what the configuration would refuse, and what is undefined. */
function plausible(rule: Record<string, unknown>, id: string): Record<string, unknown> {
  const { match, schema_text, ...rest } = rule as { match: Record<string, string>; schema_text?: string };
  const { service } = match;
  const words = service !== undefined && /[a-z]/.test(service);
  const lane = words ? (match.lane === undefined ? undefined : "ext") : match.lane;
  const schema = lane === "ext" || words ? schema_text : undefined;
  return { id, match: { ...match, lane }, ...rest, schema_text: schema };
}

const said: fc.Arbitrary<Said> = fc.oneof(
  fc.record({
    ext: fc.constantFrom("a:x", "a:z", "b:y", "b:x", "1:2"),
    room: fc.constantFrom(null, "r:1", "r:2", "s"),
    bytes: fc.constantFrom(5, 50, 500),
    data: fc.constantFrom("text", 1, undefined),
  }),
  fc.record({
    hot: fc.constantFrom("1:2", "1:3", "2:3", "2:2"),
    room: fc.constantFrom(null, "r:1", "s"),
    bytes: fc.constantFrom(5, 50, 500),
  }),
);

test("Compiled rules say of every message what a naive reading of them says", () => {
  let findings = 0, passed = 0;
  fc.assert(
    fc.property(
      fc.array(ruleOf, { minLength: 1, maxLength: 6 }),
      fc.array(fc.record({ said, who: fc.nat(2), gap: fc.constantFrom(0, 1, 17, 101, 499, 1500) }), {
        minLength: 20,
        maxLength: 60,
      }),
      (drawn, messages) => {
        const rules = drawn.map((rule, index) => plausible(rule, `rule-${index}`));
        const tenant = {
          ...OPEN_TENANT,
          policy: { ...OPEN_TENANT.policy, rules: rules.map((rule) => ruleSchema.parse(rule)) },
        };
        const compiled = new TenantPolicy({ ...alone(tenant), schemas: SCHEMAS });
        const naive = new NaiveRules(tenant.policy.rules);
        const [phone, laptop, bob] = [
          new Speaking("ann", { role: "mod", level: 3 }),
          new Speaking("ann"),
          new Speaking("bob", { role: "user", level: "3" }),
        ];
        phone!.rooms.add("r:1");
        bob!.rooms.add("s");
        let now = 10_000;
        for (const { said, who, gap } of messages) {
          now += gap;
          const from = [phone, laptop, bob][who]!;
          const matter = matterOf(from, said);
          const denial = compiled.judge(matter, matter.lane, now);
          const found = [...matter.findings, ...(denial === null ? [] : [denial])];
          const expected = naive.judge(from, said, now);
          assert.deepEqual(
            found.map(({ ruleId, action }) => `${ruleId} ${action}`),
            expected.map(({ id, action }) => `${id} ${action}`),
            `${JSON.stringify(said)} of ${who} at ${now}`,
          );
          assert.equal(denial !== null, expected.at(-1)?.passes === false);
          findings += found.length;
          if (denial === null) passed++;
        }
      },
    ),
    { numRuns: 1500 },
  );
  assert.ok(findings > 15_000 && passed > 15_000, `${findings} findings, ${passed} passed`);
});

/** What each message comes to. */
function briefs(policy: TenantPolicy, ann: Speaking, times: readonly number[]): string[] {
  return times.map((now) => say(policy, ann, { ext: "a:x" }, now)?.action ?? "pass");
}

test("The nth violation within the window takes the nth step, the last one repeats, and quiet starts anew", () => {
  const p = policyOf(
    `${OPEN}, rules: [{ id: no, window_ms: 1000, then: [observe, reject, drop, { mute_ms: 1 }] }]`,
  );
  assert.deepEqual(briefs(p, new Speaking(), [0, 100, 200, 300, 400, 999]), [
    "pass",
    "reject",
    "drop",
    "mute",
    "mute",
    "mute",
  ]);
  const ann = new Speaking();
  assert.deepEqual(briefs(p, ann, [0, 999, 1000, 1999, 5000]), [
    "pass",
    "reject",
    "reject",
    "reject",
    "pass",
  ]);
  assert.deepEqual(briefs(p, new Speaking(), [5000]), ["pass"], "each session climbs its own escalation");
});

test("A mute refuses what the rule matches for its time, counts no violation, and says how long it lasts", () => {
  const p = policyOf(
    `${OPEN}, rules: [{ id: hush, match: { service: "a:x" }, max_bytes: 10, then: [{ mute_ms: 500 }, reject] }]`,
  );
  const ann = new Speaking();
  const at = (now: number, bytes: number, ext = "a:x") => {
    const denial = say(p, ann, { ext, bytes }, now);
    return denial === null ? "pass" : `${denial.action} ${denial.waitMs} ${denial.told}`;
  };
  assert.equal(at(0, 10), "pass");
  assert.equal(at(0, 11), "mute 500 each");
  assert.equal(at(100, 1), "mute 400 first");
  assert.equal(at(499, 99), "mute 1 first");
  assert.equal(at(300, 99, "a:y"), "pass", "other messages go on");
  assert.equal(at(500, 1), "pass");
  assert.equal(at(500, 11), "reject 0 each");
});

test("Each kind of violation has its code, and its message names the rule", () => {
  const told = (rule: string, said: Said, from = new Speaking()) => {
    const denial = say(policyOf(`${OPEN}, rules: [{ id: r, ${rule} }]`), from, { ext: "a:x", ...said });
    return denial === null ? null : `${denial.refusal.code} ${denial.refusal.msg}`;
  };
  assert.equal(told("max_bytes: 10", { bytes: 11 }), "PAYLOAD_TOO_LARGE r: message is too large");
  assert.equal(
    told("require: [member]", { room: "s" }),
    "NOT_ALLOWED r: only for members of the message's room",
  );
  assert.equal(told("require: [member]", {}), "NOT_ALLOWED r: only for members of the message's room");
  assert.equal(told('require: ["claim:a=b"]', {}), "NOT_ALLOWED r: only with another a in the ticket");
  assert.equal(told('require: ["claim:a=b"]', {}, new Speaking("ann", { a: "b" })), null);
  assert.equal(
    told('require: ["claim:a=b"]', {}, new Speaking("ann", { a: ["b"] })),
    "NOT_ALLOWED r: only with another a in the ticket",
  );
  assert.equal(
    told('require: ["claim:toString=x"]', {}),
    "NOT_ALLOWED r: only with another toString in the ticket",
  );
  assert.equal(told('require: ["claim:a=b=c"]', {}, new Speaking("ann", { a: "b=c" })), null);
  const schema = `match: { lane: ext }, schema_text: '{"type":"object","required":["msg"]}'`;
  assert.equal(told(schema, { data: {} }), "BAD_REQUEST r: data must have required property 'msg'");
  assert.equal(told(schema, {}), "BAD_REQUEST r: data must be object");
  assert.equal(told(schema, { data: { msg: 1 } }), null);
  assert.equal(told("match: {}", {}), "NOT_ALLOWED r: such messages are not allowed");
});

test("What another check refuses takes nothing from a rule's rate, and what a rule refuses nothing from a quota", () => {
  const p = policyOf(
    `${OPEN}, quotas: { tenant: { messages_per_second: 1, burst: 4 } }, rules: [` +
      "{ id: common, rate: { per: tenant, messages_per_second: 1, burst: 3 } }, { id: small, max_bytes: 10 }]",
  );
  const eve = new Speaking("eve"), ann = new Speaking();
  for (let i = 0; i < 50; i++) assert.equal(say(p, eve, { ext: "a:x", bytes: 11 })?.ruleId, "small");
  assert.deepEqual([1, 2, 3, 4].map(() => say(p, ann, { ext: "a:x" })?.ruleId), [
    undefined,
    undefined,
    undefined,
    "common",
  ]);
  assert.equal(p.judge(matterOf(ann, {}), "sys", 0), null, "of the quota one is left");
  assert.equal(p.judge(matterOf(ann, {}), "sys", 0)?.ruleId, "quota.tenant");
});

test("The protocol's own messages are no rule's business", () => {
  const p = policyOf("rules: [{ id: none }]");
  assert.equal(p.judge(matterOf(new Speaking(), { ext: "sys:ping" }), "sys", 0), null);
});

test("A session that comes to other rules keeps what it owes to those of the same id", () => {
  const rule = (id: string, burst: number) =>
    `${OPEN}, rules: [{ id: ${id}, rate: { messages_per_second: 1, burst: ${burst} }, then: [{ mute_ms: 900 }] }]`;
  const ann = new Speaking(), before = policyOf(rule("r", 2));
  assert.deepEqual(briefs(before, ann, [0, 0, 0]), ["pass", "pass", "mute"]);
  const same = policyOf(rule("r", 5));
  same.applyTo(ann.standing, 0);
  assert.deepEqual(briefs(same, ann, [0, 1000, 1000]), ["mute", "pass", "pass"]);
  const other = policyOf(rule("s", 1));
  other.applyTo(ann.standing, 1000);
  assert.deepEqual(briefs(other, ann, [1000]), ["pass"]);
  assert.equal(ann.standing.ofRule("r"), undefined, "forgotten");
  assert.equal(new SessionPolicyState().ofRule("r"), undefined);
});

test("A escalation that ends sessions is the user's: another connection goes on where the last one was", () => {
  const rules = [
    '{ id: out, match: { service: "a:*" }, then: [reject, { close: 4507 }, { ban_ms: 1000 }] }',
    '{ id: own, match: { service: "b:x" }, then: [reject, drop] }',
    '{ id: pace, match: { service: "b:y" }, rate: { per: user, messages_per_second: 1, burst: 1 }, then: [reject, drop] }',
  ];
  const p = policyOf(`${OPEN}, rules: [${rules.join(", ")}]`);
  const action = (from: Speaking, ext: string, now: number) => say(p, from, { ext }, now)?.action ?? "pass";
  assert.equal(action(new Speaking("ann"), "a:x", 1000), "reject");
  assert.equal(action(new Speaking("ann"), "a:x", 2000), "close");
  assert.equal(action(new Speaking("bob"), "a:x", 2000), "reject", "another user's is another one");
  assert.equal(action(new Speaking("ann"), "a:x", 3000), "ban");
  // At the edges of the window.
  assert.equal(action(new Speaking("bob"), "a:x", 11_999), "close");
  assert.equal(action(new Speaking("bob"), "a:x", 21_999), "reject");
  const [one, other] = [new Speaking("cy"), new Speaking("cy")];
  assert.deepEqual([action(one!, "b:x", 1000), action(one!, "b:x", 1000), action(other!, "b:x", 1000)], [
    "reject",
    "drop",
    "reject",
  ]);
  assert.equal(action(new Speaking("dee"), "b:y", 1000), "pass");
  assert.deepEqual([1, 2].map(() => action(new Speaking("dee"), "b:y", 1000)), ["reject", "drop"]);
});

test("Users' ladders are forgotten when their window is over, and bounded in number", () => {
  const violations = new UserViolations(1000);
  for (let i = 0; i < 5000; i++) violations.of(`user ${i}`, -1000).push(i);
  assert.ok(violations.size <= 1000 && violations.size > 990, String(violations.size));
  for (let i = 0; i < 2000; i++) violations.of(`later ${i}`, 10_000).push(10_001);
  assert.ok(violations.size <= 1000);
  assert.deepEqual(violations.of("later 1999", 10_000), [10_001]);
  const few = new UserViolations();
  for (let i = 0; i < 5000; i++) few.of(`user ${i}`, i * 100 - 1000).push(i * 100);
  assert.ok(few.size < 30, String(few.size));
});
