import { strict as assert } from "node:assert";
import { test } from "node:test";
import { explain, type Explanation, type Question } from "../../src/policy/explain.ts";
import { alone, TenantPolicy } from "../../src/policy/policy.ts";
import { readNarrowing } from "../../src/policy/narrowing.ts";
import { formatPath, placesIn } from "../../src/config/places.ts";
import { accepted } from "../config/loading.ts";
import { Speaking } from "./policies.ts";

const FILE = `version: 1
tenants:
  - id: other
  - id: acme
    limits: { max_frame_bytes: 200 }
    policy:
      ext_allowlist:
        - "room:*"
        - "chat:send"
      hot_allowlist: ["2:10"]
      quotas:
        user: { bytes_per_second: 1000 }
      rules:
        - id: mods
          match: { service: "chat:send", room: "mods" }
          require: [member, "claim:role=mod"]
        - id: trial
          match: { room: "mods" }
          max_bytes: 10
          dry_run: true
        - id: moves
          match: { service: "2:10" }
          max_bytes: 8
          then: [{ close: 4507 }]
`;

const { config } = accepted(FILE);
const tenant = config.tenants[1]!;
const lineOf = placesIn(FILE, {});

function ask(
  question: Partial<Question> & { text?: object },
  claims: Record<string, unknown> = {},
): Explanation {
  const { text, ...more } = question;
  const subject = new Speaking("ann", claims);
  subject.rooms.add("mods");
  const narrowing = readNarrowing(claims);
  if (typeof narrowing === "string") assert.fail(narrowing);
  const message = new TextEncoder().encode(JSON.stringify({ v: 1, ...text }));
  const policy = new TenantPolicy(alone(tenant)).narrowed(narrowing);
  return explain(policy, { lane: "ext", message, subject, active: null, rooms: narrowing.rooms, ...more }, {
    config: tenant,
    index: 1,
  });
}

function briefly({ steps }: Explanation): string[] {
  return steps.map(({ check, verdict, at }) =>
    `${check} ${verdict} ${at.length === 0 ? "" : lineOf(at)}`.trim()
  );
}

const say = { svc: "chat", type: "send", room: "mods", data: {} };

test("Every check is told in its order, with its verdict and its line, up to the one that denies", () => {
  assert.deepEqual(briefly(ask({ text: say }, { role: "mod" })), [
    "size pass 5",
    "quota.session pass null",
    "decode pass",
    "allowlist pass 9",
    "mods pass 14",
    "trial note 17",
    "moves skip 21",
    "quota.user pass 12",
    "quota.gateway pass null",
  ]);
  const denied = ask({ text: say });
  assert.deepEqual(briefly(denied).slice(-2), ["allowlist pass 9", "mods deny 14"]);
  assert.equal(denied.allowed, false);
  assert.match(denied.steps.at(-1)!.why, /^NOT_ALLOWED: mods: only with another role in the ticket; reject$/);
});

test("What cannot be read, or is too large, ends where it would end", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  assert.deepEqual(briefly(ask({ message: bytes("{") })).at(-1), "decode deny");
  assert.deepEqual(briefly(ask({ message: Uint8Array.of(0xff, 0xfe) })).at(-1), "decode deny");
  assert.deepEqual(briefly(ask({ message: bytes(" ".repeat(201)) })), ["size deny 5"]);
  assert.deepEqual(briefly(ask({ text: { svc: "chat", type: "shout" } })).at(-1), "allowlist deny 7");
});

test("On the hot lane the active room counts", () => {
  const frame = Uint8Array.of(1, 2, 10, 0, 1, 2, 3, 4);
  assert.deepEqual(briefly(ask({ lane: "hot", message: frame })).at(-1), "active-room deny null");
  const there = ask({ lane: "hot", message: frame, active: "a" });
  assert.deepEqual([there.allowed, briefly(there)[3]], [true, "allowlist pass 10"]);
  const large = ask({ lane: "hot", message: Uint8Array.of(...frame, 5), active: "a" });
  assert.deepEqual(briefly(large).at(-1), "moves deny 21");
  assert.equal(large.steps.at(-1)!.denial?.refusal.close?.code, 4507);
});

test("A ticket that takes something away is told by name", () => {
  const narrow = ask({ text: say }, { role: "mod", services: ["chat:other"] });
  assert.deepEqual(briefly(narrow).at(-1), "ticket deny");
  const join = { svc: "room", type: "join", room: "b" };
  const elsewhere = ask({ text: join }, { rooms: ["a:*"] });
  assert.deepEqual([elsewhere.allowed, briefly(elsewhere).at(-1)], [false, "room deny"]);
  assert.equal(ask({ text: join }, { rooms: ["b"] }).allowed, true);
});

test("The protocol's own messages meet no allowlist and no rule", () => {
  assert.deepEqual(briefly(ask({ text: { svc: "sys", type: "ping" } })), [
    "size pass 5",
    "quota.session pass null",
    "decode pass",
    "quota.user pass 12",
    "quota.gateway pass null",
  ]);
});

test("Places are those of the file, and null for what it does not say", () => {
  const rule = ["tenants", 1, "policy", "rules", 2];
  assert.equal(formatPath(rule), "tenants[1].policy.rules[2]");
  assert.deepEqual([lineOf(rule), lineOf([...rule, "max_bytes"]), lineOf(["gateway"])], [21, 23, null]);
});
