import { strict as assert } from "node:assert";
import { test } from "node:test";
import { accepted, oneTenant, refusals, warned } from "./loading.ts";

const rules = (...rules: string[]) => oneTenant(`policy: { rules: [${rules.join(", ")}] }`);
const schema = (text: object) => ({ files: { "s.json": JSON.stringify(text) } });
const EXT = "match: { lane: ext }";

test("A rule with nothing but an id has the defaults of the contract", () => {
  assert.deepEqual(accepted(rules("{ id: r }")).config.tenants[0]!.policy.rules, [{
    id: "r",
    match: {},
    require: [],
    window_ms: 10_000,
    then: ["reject"],
    dry_run: false,
  }]);
});

test("The example of the contract is taken as it is", () => {
  const rule = `{ id: chat-flood, match: { lane: ext, service: "chat:send", room: "match:*" },
    rate: { per: session, messages_per_second: 5, burst: 10 }, max_bytes: 2048, schema: ./schemas/chat-send.json,
    require: [member, "claim:role=mod"], window_ms: 10000,
    then: [reject, { mute_ms: 5000 }, { close: 4507 }, { ban_ms: 60000 }], dry_run: false }`;
  const text = '{"type":"object"}';
  const { config } = accepted(rules(rule.replace(/\s+/g, " ")), {
    files: { "./schemas/chat-send.json": text },
  });
  const [loaded] = config.tenants[0]!.policy.rules;
  assert.equal(loaded?.schema_text, text);
  assert.deepEqual(loaded?.then, ["reject", { mute_ms: 5000 }, { close: 4507 }, { ban_ms: 60_000 }]);
});

test("What a rule cannot be is refused, with its place and what it should be", () => {
  const why = (rule: string) =>
    refusals(rules(rule)).map((line) => line.replace("tenants[0].policy.rules[0].", ""));
  assert.match(why("{ id: A_b }")[0]!, /^id must be 1–64 of a–z 0–9 -, got "A_b" \(4, /);
  assert.match(why(`{ id: ${"x".repeat(65)} }`)[0]!, /^id must be/);
  assert.match(why("{ id: r, then: [] }")[0]!, /^then must be a list of 1–16 actions/);
  assert.match(why("{ id: r, then: [warn] }")[0]!, /^then\[0\] must be one of "observe", .*, got "warn"/);
  assert.match(
    why("{ id: r, then: [{ mute_ms: 1, close: 4507 }] }")[0]!,
    /^then\[0\] must be one of .*, got a map/,
  );
  assert.match(
    why("{ id: r, then: [{ close: 1000 }] }")[0]!,
    /^then\[0\]\.close must be one of 4000, .*got 1000/,
  );
  assert.match(
    why("{ id: r, then: [{ mute: 5 }] }")[1]!,
    /^then\[0\]\.mute is not a known key; did you mean "mute_ms"/,
  );
  assert.match(why('{ id: r, match: { service: "chat" } }')[0]!, /^match\.service must be "svc:type"/);
  assert.match(why('{ id: r, match: { service: "a*:b" } }')[0]!, /^match\.service must be/);
  assert.match(
    why('{ id: r, match: { lane: hot, service: "chat:send" } }')[0]!,
    /^match\.service must be .* in numbers/,
  );
  assert.match(
    why('{ id: r, match: { lane: hot, service: "256:1" } }')[0]!,
    /^match\.service must be .* in numbers/,
  );
  assert.match(
    why("{ id: r, require: [admin] }")[0]!,
    /^require\[0\] must be "member" or "claim:name=value"/,
  );
  assert.match(why("{ id: r, rate: { burst: 5 } }")[0]!, /^rate\.messages_per_second is missing/);
  assert.match(why("{ id: r, max_byte: 5 }")[0]!, /^max_byte is not a known key; did you mean "max_bytes"/);
});

test("Two rules of one id are refused, and two tenants may have the same", () => {
  const [failure, ...others] = refusals(rules("{ id: a }", "{ id: b }", "{ id: a }"));
  assert.match(
    failure ?? "",
    /^tenants\[0\]\.policy\.rules\[2\]\.id must be unique, but rules\[0\] has the id "a"/,
  );
  assert.deepEqual(others, []);
  accepted(`${rules("{ id: a }")}  - { id: other, policy: { rules: [{ id: a }] } }\n`);
});

test("A burst needs its rate, at every level", () => {
  for (const level of ["tenant", "user", "session"]) {
    const [failure] = refusals(oneTenant(`policy: { quotas: { ${level}: { burst: 5 } } }`));
    assert.match(
      failure ?? "",
      new RegExp(`quotas\\.${level}\\.burst needs messages_per_second beside it \\(4, `),
    );
  }
  const text = "version: 1\ngateway: { quotas: { bytes_burst: 5 } }\ntenants: [{ id: a }]";
  assert.match(
    refusals(text)[0] ?? "",
    /^gateway\.quotas\.bytes_burst needs bytes_per_second beside it \(2, /,
  );
});

test("A quota that goes before what the file says of rate_limit_rps is warned of", () => {
  const quota = "quotas: { session: { messages_per_second: 5 } }";
  const [warning] = warned(oneTenant(`policy: { rate_limit_rps: 9, rate_limit_burst: 9, ${quota} }`));
  assert.match(warning ?? "", /session\.messages_per_second goes before rate_limit_rps/);
  assert.deepEqual(warned(oneTenant(`policy: { ${quota} }`)), []);
  const scope = "rate_limit_rps: 9, rate_limit_burst: 9, rate_limit_scope: tenant";
  assert.deepEqual(warned(oneTenant(`policy: { ${scope}, ${quota} }`)), []);
});

test("A schema is for the ext lane, from a file or written out, and not both", () => {
  const files = schema({ type: "object" });
  for (
    const match of ["", 'match: { service: "1:2" },', "match: { lane: hot },", 'match: { service: "*" },']
  ) {
    const [failure] = refusals(rules(`{ id: r, ${match} schema: s.json }`), files);
    assert.match(failure ?? "", /\.schema (needs match\.lane "ext"|is for the ext lane)/, match);
  }
  for (const match of [EXT, 'match: { service: "chat:send" }', 'match: { service: "*:send" }']) {
    accepted(rules(`{ id: r, ${match}, schema: s.json }`), files);
  }
  const both = refusals(rules(`{ id: r, ${EXT}, schema: s.json, schema_text: "{}" }`), files);
  assert.match(both[0] ?? "", /schema_text does not go with schema/);
  accepted(rules(`{ id: r, ${EXT}, schema_text: '{"type":"string"}' }`));
});

test("A schema that cannot be read, or means nothing, is refused where the file names it", () => {
  const why = (files: Record<string, string>) =>
    refusals(rules(`{ id: r, ${EXT}, schema: s.json }`), { files }).join("\n");
  assert.match(why({}), /rules\[0\]\.schema must name a file that can be read: .* \(4, \d+\)/);
  assert.match(why({ "s.json": "{" }), /must name a JSON Schema, but the file is not JSON/);
  assert.match(why({ "s.json": "[]" }), /the file is no JSON Schema: that is an object/);
  assert.match(why({ "s.json": '{"typ":"object"}' }), /unknown keyword: "typ"/);
  assert.match(why({ "s.json": '{"type":"objekt"}' }), /schema is invalid/);
  assert.match(why({ "s.json": " ".repeat(65_537) }), /must name a file of at most 65536 bytes/);
});

test("A schema may refer to itself and to nothing outside, and no strangers' text makes it take long", () => {
  const load = (text: object) => {
    const result = rules(`{ id: r, ${EXT}, schema: s.json }`);
    return {
      accepts: () => accepted(result, schema(text)),
      why: () => refusals(result, schema(text)).join("\n"),
    };
  };
  load({ $defs: { id: { type: "string" } }, properties: { a: { $ref: "#/$defs/id" } } }).accepts();
  load({ properties: { $ref: { type: "string" }, uniqueItems: { const: { uniqueItems: true } } } }).accepts();
  assert.match(
    load({ $ref: "https://example.com/s.json" }).why(),
    /refers to https:\/\/example.com\/s.json, which is not in it/,
  );
  assert.match(load({ $ref: "other.json" }).why(), /refers to other.json/);
  assert.match(
    load({ $schema: "http://json-schema.org/draft-07/schema#" }).why(),
    /no schema with key or ref/,
  );
  assert.match(load({ pattern: "(?=a)b" }).why(), /invalid or unsupported/);
  assert.match(load({ pattern: "(a)\\1" }).why(), /invalid escape/);
  load({ pattern: "^(a+)+$" }).accepts();
  assert.match(load({ uniqueItems: true }).why(), /uniqueItems, which needs a maxItems of at most 256/);
  assert.match(load({ properties: { a: { uniqueItems: true, maxItems: 999 } } }).why(), /uniqueItems/);
  load({ type: "array", uniqueItems: true, maxItems: 256 }).accepts();
  assert.match(load({ $async: true, type: "object" }).why(), /\$async/);
});

test("A format, which is not checked, is warned of", () => {
  const [warning] = warned(
    rules(`{ id: r, ${EXT}, schema: s.json }`),
    schema({ type: "string", format: "email" }),
  );
  assert.match(warning ?? "", /schema has a format, which is not checked: use pattern/);
});
