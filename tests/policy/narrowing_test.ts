import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { type Narrowing, readNarrowing, UNNARROWED } from "../../src/policy/narrowing.ts";
import { Patterns } from "../../src/protocol/patterns.ts";
import { ROOM_NOT_ALLOWED } from "../../src/policy/denial.ts";
import { alone, TenantPolicy } from "../../src/policy/policy.ts";
import { accepted } from "../config/loading.ts";
import { arrive, say, share, Speaking } from "./policies.ts";

function narrowing(claims: Record<string, unknown>): Narrowing {
  const read = readNarrowing(claims);
  if (typeof read === "string") assert.fail(read);
  return read;
}

function tenant(policy: string, limits = "{}"): TenantPolicy {
  const text = `version: 1\ntenants: [{ id: acme, policy: { ${policy} }, limits: ${limits} }]\n`;
  return new TenantPolicy(alone(accepted(text).config.tenants[0]!));
}

test("A ticket without narrowing claims narrows nothing, and a prototype's are none", () => {
  assert.equal(readNarrowing({}), UNNARROWED);
  assert.equal(readNarrowing({ plan: "pro", __proto__: { rooms: ["a"] } }), UNNARROWED);
  assert.equal(readNarrowing(JSON.parse('{"__proto__": {"rooms": ["a"]}}')), UNNARROWED);
});

test("A claim that cannot be read refuses the ticket, as ignoring it would widen the session's rights", () => {
  const many = Array.from({ length: 257 }, () => "a");
  const bad: Record<string, unknown[]> = {
    rooms: ["lobby", [1], [null], {}, many, null, true],
    services: ["chat:send", [1], ["chat"], [""], many, null, {}],
    limits: [[], "1", null, { max_frame_bytes: 0 }, { max_frame_bytes: 1.5 }, { max_frame_bytes: "9" }, {
      speed: 1,
    }],
    sid: [1, "", "a b", "x".repeat(65), null],
  };
  for (const [claim, values] of Object.entries(bad)) {
    for (const value of values) {
      const read = readNarrowing({ [claim]: value });
      assert.ok(typeof read === "string" && read.startsWith(claim), `${claim} ${JSON.stringify(value)}`);
    }
  }
});

test("Room patterns match as regular expressions with .* for * do", () => {
  const part = fc.string({ unit: fc.constantFrom("a", "b", "*", ":"), maxLength: 6 });
  const room = fc.string({ unit: fc.constantFrom("a", "b", ":"), minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(fc.array(part, { maxLength: 3 }), room, (patterns, room) => {
      const expected = patterns.some((pattern) =>
        new RegExp(`^${pattern.split("*").map((text) => text.replace(/[^a-z]/g, "\\$&")).join(".*")}$`).test(
          room,
        )
      );
      assert.equal(new Patterns(patterns).allows(room), expected, `${patterns} ${room}`);
    }),
    { numRuns: 3000 },
  );
});

test("A pattern of many stars takes no longer than it is long", () => {
  const pattern = `${"*a".repeat(4000)}*b`;
  const since = performance.now();
  for (let i = 0; i < 100; i++) assert.equal(new Patterns([pattern]).allows("a".repeat(128)), false);
  assert.ok(performance.now() - since < 1000);
});

test("An empty list of rooms or services leaves nothing", () => {
  assert.equal(narrowing({ rooms: [] }).rooms!.allows("a"), false);
  const policy = tenant('ext_allowlist: ["chat:*"], hot_allowlist: ["1:*"]').narrowed(
    narrowing({ services: [] }),
  );
  assert.ok(!policy.allowsExt("chat", "send") && !policy.allowsHot(1, 1));
  assert.equal(ROOM_NOT_ALLOWED.code, "NOT_ALLOWED");
});

test("What a narrowed session may send is what both the tenant and the ticket allow", () => {
  const ext = fc.subarray(["a:x", "a:y", "a:*", "b:x", "b:*", "c:x"]);
  const hot = fc.subarray(["1:1", "1:2", "1:*", "2:1", "2:*", "3:7"]);
  fc.assert(fc.property(ext, ext, hot, hot, (ext, theirExt, hot, theirHot) => {
    const whole = tenant(`ext_allowlist: ${JSON.stringify(ext)}, hot_allowlist: ${JSON.stringify(hot)}`);
    const policy = whole.narrowed(narrowing({ services: [...theirExt, ...theirHot] }));
    const lets = (entries: readonly string[], svc: string, type: string) =>
      entries.includes(`${svc}:*`) || entries.includes(`${svc}:${type}`);
    for (const svc of ["a", "b", "c", "d"]) {
      for (const type of ["x", "y", "z"]) {
        assert.equal(policy.allowsExt(svc, type), lets(ext, svc, type) && lets(theirExt, svc, type));
      }
    }
    for (const id of [1, 2, 3, 4]) {
      for (const op of [1, 2, 7]) {
        const expected = lets(hot, String(id), String(op)) && lets(theirHot, String(id), String(op));
        assert.equal(policy.allowsHot(id, op), expected);
      }
    }
    for (const svc of ["a", "b"]) {
      assert.equal(whole.allowsExt(svc, "x"), lets(ext, svc, "x"), "the tenant's own stays");
    }
  }));
});

test("Limits of a ticket count only below the tenant's", () => {
  const whole = tenant("rate_limit_rps: 10, rate_limit_burst: 10", "{ max_frame_bytes: 1000 }");
  const frame = (max_frame_bytes: number) =>
    whole.narrowed(narrowing({ limits: { max_frame_bytes } })).maxFrameBytes;
  assert.deepEqual([frame(10), frame(1000), frame(5000)], [10, 1000, 1000]);
  const burst = (limits: object) => {
    const policy = whole.narrowed(narrowing({ limits }));
    const ann = new Speaking();
    let sent = 0;
    while (arrive(policy, ann, 0) === 0) sent++;
    return sent;
  };
  assert.deepEqual([
    burst({ rate_limit_burst: 3 }),
    burst({ rate_limit_burst: 99 }),
    burst({ max_frame_bytes: 1 }),
  ], [
    3,
    10,
    10,
  ]);
});

test("A ticket's rate holds for its session also where the tenant's is for all together, and takes of that too", () => {
  const whole = tenant("rate_limit_rps: 10, rate_limit_burst: 10, rate_limit_scope: tenant");
  const policy = whole.narrowed(narrowing({ limits: { rate_limit_rps: 1, rate_limit_burst: 2 } }));
  const ann = new Speaking();
  assert.deepEqual([1, 2, 3].map(() => arrive(policy, ann, 0) === 0), [true, true, false]);
  for (let i = 0; i < 6; i++) assert.equal(share(policy, ann, 0), 0);
  for (let i = 0; i < 4; i++) assert.equal(share(whole, ann, 0), 0);
  assert.ok(share(policy, ann, 0) > 0 && share(whole, ann, 0) > 0, "the bucket is one");
});

test("Sessions that lose the same share a policy, one that loses nothing has the tenant's, and few are kept", () => {
  const whole = tenant('ext_allowlist: ["chat:*"]');
  assert.equal(whole.narrowed(UNNARROWED), whole);
  assert.equal(whole.narrowed(narrowing({ rooms: ["a"], sid: "s" })), whole);
  const claims = { services: ["chat:send"] };
  assert.equal(whole.narrowed(narrowing(claims)), whole.narrowed(narrowing({ ...claims, rooms: ["b"] })));
  const first = whole.narrowed(narrowing({ services: ["chat:0"] }));
  for (let i = 1; i <= 300; i++) whole.narrowed(narrowing({ services: [`chat:${i}`] }));
  assert.notEqual(whole.narrowed(narrowing({ services: ["chat:0"] })), first, "the oldest was forgotten");
});

test("A refusal tells whether it was the tenant's allowlist or the session's ticket", () => {
  const whole = tenant('ext_allowlist: ["chat:*"], hot_allowlist: ["1:*"], hot_requires_active_room: false');
  const policy = whole.narrowed(narrowing({ services: ["chat:send", "1:1"] }));
  const by = (said: { ext?: string; hot?: string }) => say(policy, new Speaking(), said)?.ruleId;
  assert.deepEqual([by({ ext: "chat:send" }), by({ ext: "chat:shout" }), by({ ext: "room:join" })], [
    undefined,
    "ticket",
    "allowlist",
  ]);
  assert.deepEqual([by({ hot: "1:1" }), by({ hot: "1:2" }), by({ hot: "2:1" })], [
    undefined,
    "ticket",
    "allowlist",
  ]);
});
