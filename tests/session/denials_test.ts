import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { LinkHandler } from "../../src/transport/port.ts";
import { type Client, House, type HouseOptions } from "./house.ts";

const OPEN =
  'ext_allowlist: ["room:*", "chat:*"], hot_allowlist: ["1:*"], rate_limit_rps: 100000, rate_limit_burst: 100000';

function house(policy: string, more: HouseOptions = {}): Promise<House> {
  return new House({ tenant: [`policy: { ${OPEN}, ${policy} }`], ...more }).start();
}

/** What the client is told of refusals: code, rule and time to wait. */
function errors(messages: readonly unknown[]): string[] {
  return (messages as { type: string; data: Record<string, unknown> }[])
    .filter(({ type }) => type === "error")
    .map(({ data }) =>
      [data.code, data.rule_id, data.retry_after_ms].filter((part) => part !== undefined).join(" ")
    );
}

const chat = (client: Client, data: unknown = { msg: "x" }) =>
  client.ask("chat", "send", { room: "a", data }) as { type: string }[];

test("Every refusal names the check or rule that refused, and how long to wait where that helps", async () => {
  const h = await house(
    'quotas: { session: { messages_per_second: 10, burst: 4 } }, rules: [{ id: small, match: { service: "chat:*" }, max_bytes: 120 }]',
  );
  const ann = h.connect("ann");
  assert.deepEqual(errors(ann.ask("t", "x")), ["NOT_ALLOWED allowlist"]);
  assert.deepEqual(errors(ann.askHot(1, 1, 1, 0)), ["BAD_REQUEST active-room"]);
  assert.deepEqual(errors(chat(ann, { msg: "x".repeat(120) })), ["PAYLOAD_TOO_LARGE small"]);
  assert.deepEqual(errors(ann.ask("chat", "send")), ["BAD_REQUEST"], "a service's own word");
  assert.deepEqual(errors(ann.ask("chat", "send")), ["RATE_LIMITED quota.session 100"]);
  ann.handler.text("x".repeat(5000));
  h.turn();
  assert.deepEqual(errors(ann.link.read()), ["PAYLOAD_TOO_LARGE size"]);
  const bob = h.connect("bob");
  bob.handler.text("{");
  h.turn();
  assert.deepEqual(errors(bob.link.read()), ["BAD_REQUEST decode"]);
});

test("A ladder is climbed: told, silent, muted, closed with the code that the rule says", async () => {
  const h = await house(
    "rules: [{ id: hush, match: { lane: ext, room: a }, require: [member], then: [reject, drop, { mute_ms: 2000 }, { close: 4005 }] }]",
  );
  const ann = h.connect("ann");
  assert.deepEqual(errors(chat(ann)), ["NOT_ALLOWED hush"]);
  assert.deepEqual(chat(ann), []);
  assert.deepEqual(errors(chat(ann)), ["NOT_ALLOWED hush 2000"]);
  h.clock.advance(500);
  assert.deepEqual(errors(chat(ann)), ["NOT_ALLOWED hush 1500"]);
  assert.deepEqual(chat(ann), [], "told once a second");
  assert.deepEqual(errors(ann.ask("sys", "ping")), [], "all else goes on");
  h.clock.advance(1500);
  assert.deepEqual(errors(chat(ann)), ["NOT_ALLOWED hush"]);
  assert.equal(ann.link.closed?.code, 4005);
  assert.deepEqual(
    (await h.metric("policy_rule_decisions_total")).map((line) => line.replace(/^.*rule_id=/, "")),
    [
      '"hush",action="reject",dry_run="false"} 1',
      '"hush",action="drop",dry_run="false"} 1',
      '"hush",action="mute",dry_run="false"} 3',
      '"hush",action="close",dry_run="false"} 1',
    ],
  );
});

test("A ban ends all of the user's sessions and holds at the door, for its time", async () => {
  const h = await house("rules: [{ id: no-a, match: { room: a }, then: [{ ban_ms: 60000 }] }]");
  const [phone, laptop, bob] = [h.connect("ann"), h.connect("ann"), h.connect("bob")];
  assert.deepEqual(errors(chat(phone)), ["NOT_ALLOWED no-a 60000"]);
  h.turn();
  assert.deepEqual([phone, laptop, bob].map(({ link }) => link.closed?.code), [4504, 4504, undefined]);
  assert.deepEqual((laptop.link.read() as { data: unknown }[]).map(({ data }) => data), [{
    reason: "banned",
  }]);
  h.clock.advance(10_000);
  const answer = h.upgrade("tenant=acme&ticket=dev:ann");
  assert.ok("refuse" in answer);
  assert.equal(answer.refuse.status, 403);
  assert.equal(answer.refuse.headers["retry-after"], "50");
  assert.deepEqual(JSON.parse(answer.refuse.body), {
    code: "NOT_ALLOWED",
    msg: "user is banned",
    rule_id: "no-a",
    retry_after_ms: 50_000,
  });
  assert.ok(
    "accept" in h.upgrade("tenant=other&ticket=dev:ann"),
    "another tenant's user of that name is another one",
  );
  h.clock.advance(50_000);
  h.connect("ann");
  assert.deepEqual((await h.metric("handshake_rejections_total")).length, 1);
});

test("A client that brings its ticket later is told of a ban and closed", async () => {
  const h = await new House({
    tenant: [
      "auth: { mode: dev, first_message: true }",
      `policy: { ${OPEN}, rules: [{ id: no-a, match: { room: a }, then: [{ ban_ms: 60000 }] }] }`,
    ],
  }).start();
  chat(h.connect("ann"));
  const late = await h.enter(null);
  late.tell("sys", "auth", { data: { ticket: "dev:ann" } });
  h.turn();
  assert.deepEqual(errors(late.link.read()), ["NOT_ALLOWED no-a 60000"]);
  assert.equal(late.link.closed?.code, 4504);
});

test("Whoever goes on above its quota is not read for a while, and at the third time closed with 4005", async () => {
  const h = await house("quotas: { session: { messages_per_second: 10, burst: 20 } }");
  const eve = h.connect("eve"), ann = h.connect("ann");
  const flood = (messages: number) => {
    for (let i = 0; i < messages; i++) eve.tell("sys", "ping");
    h.turn();
    return errors(eve.link.read());
  };
  assert.deepEqual(flood(20 + 100), ["RATE_LIMITED quota.session 100"]);
  assert.equal(eve.link.paused, false);
  assert.deepEqual(flood(1), ["RATE_LIMITED quota.session 1000"], "the 101st that is refused");
  assert.equal(eve.link.paused, true);
  assert.deepEqual(flood(10), [], "those that were on their way are not even looked at");
  h.clock.advance(1900);
  assert.equal(
    eve.link.paused,
    true,
    "each of them prolongs the rest by what it would have taken of the quota",
  );
  h.clock.advance(200);
  assert.equal(eve.link.paused, false);
  assert.deepEqual(flood(20 + 101 + 1), [
    "RATE_LIMITED quota.session 100",
    "RATE_LIMITED quota.session 1000",
  ]);
  assert.deepEqual(flood(10_000), []);
  h.clock.advance(9900);
  assert.equal(eve.link.paused, true, "and no more than ten seconds");
  h.clock.advance(200);
  assert.equal(eve.link.paused, false);
  const told = flood(20 + 101 + 1);
  assert.deepEqual([told.at(-1), eve.link.closed?.code], ["RATE_LIMITED quota.session", 4005]);
  assert.equal(eve.link.paused, true, "what it sends on is not read");
  h.clock.advance(1100);
  assert.equal(eve.link.terminated, 1);
  assert.equal(ann.ask("sys", "ping").length, 1);
});

test("A session that is above its quota now and then, or always by a little, is never shown out", async () => {
  const h = await house("quotas: { session: { messages_per_second: 10, burst: 20 } }");
  const [twice, rarely] = [h.connect("twice"), h.connect("rarely")];
  const answered = new Map([[twice, 0], [rarely, 0]]);
  for (let i = 0; i < 3000; i++) {
    twice.tell("sys", "ping");
    if (i % 600 === 0) { for (let j = 0; j < 200; j++) rarely.tell("sys", "ping"); }
    for (const client of [twice, rarely]) {
      if (client.link.pings === answered.get(client)) continue;
      answered.set(client, client.link.pings);
      client.handler.pong();
    }
    h.clock.advance(52);
  }
  assert.deepEqual([twice, rarely].map(({ link }) => [link.closed, link.paused]), [[null, false], [
    null,
    false,
  ]]);
});

test("Where the transport cannot stop reading, whoever sends on and on into its rest is closed", async () => {
  const h = await house("quotas: { session: { messages_per_second: 10, burst: 20 } }");
  const eve = h.connect("eve");
  let sent = 0;
  while (eve.link.closed === null && sent < 100_000) {
    eve.tell("sys", "ping");
    sent++;
  }
  assert.equal(eve.link.closed?.code, 4005);
  assert.equal(sent, 20 + 100 + 1 + 65_536 + 1);
  const counted = (await h.metric("policy_decisions_total")).filter((line) =>
    line.includes('reason="flood"')
  );
  assert.deepEqual(counted, [
    '{tenant="acme",lane="ext",decision="drop",reason="flood"} 65537',
    '{tenant="acme",lane="ext",decision="close",reason="flood"} 1',
  ]);
});

test("On the hot lane a rule's refusal is told or, in silent mode, only counted; a close is told in any case", async () => {
  const rules =
    'rules: [{ id: op-2, match: { service: "1:2" } }, { id: op-3, match: { service: "1:3" }, then: [{ close: 4507 }] }]';
  const loud = await house(rules);
  const ann = loud.connect("ann");
  ann.join("a");
  assert.deepEqual(errors(ann.askHot(1, 1, 2, 1, 9, 0, 0, 0)), ["NOT_ALLOWED op-2"]);
  const quiet = await house(`hot_error_mode: silent, ${rules}`);
  const bob = quiet.connect("bob");
  bob.join("a");
  assert.deepEqual(bob.askHot(1, 1, 2, 0), []);
  assert.deepEqual(errors(bob.askHot(1, 1, 3, 0)), ["NOT_ALLOWED op-3"]);
  assert.equal(bob.link.closed?.code, 4507);
});

test("A rule knows the room that a message has in mind where it names none", async () => {
  const h = await house(
    'rules: [{ id: not-here, match: { service: "room:*", room: default }, require: ["claim:vip=yes"] }]',
  );
  const ann = h.connect("ann");
  assert.deepEqual(errors(ann.ask("room", "join")), ["NOT_ALLOWED not-here"]);
  assert.deepEqual(errors(ann.ask("room", "join", { room: "default" })), ["NOT_ALLOWED not-here"]);
  ann.join("a");
  assert.deepEqual(errors(ann.ask("room", "leave")), []);
});

test("A rule in dry run, and one that observes, count and log what they find and let it pass", async () => {
  const h = await house(
    "rules: [{ id: watch, match: { room: a }, then: [observe] }, { id: trial, match: { room: a }, dry_run: true, then: [{ ban_ms: 1000 }] }]",
  );
  const ann = h.connect("ann");
  ann.join("a");
  assert.equal(chat(ann)[0]?.type, "msg");
  assert.deepEqual(
    (await h.metric("policy_rule_decisions_total")).map((line) => line.replace(/^.*rule_id=/, "")),
    ['"watch",action="observe",dry_run="false"} 2', '"trial",action="ban",dry_run="true"} 2'],
  );
  const lines = h.logged.filter(({ message }) => message === "message would be denied");
  assert.deepEqual(lines.map(({ fields }) => [fields.rule_id, fields.action, fields.service]), [
    ["watch", "observe", "room:join"],
    ["trial", "ban", "room:join"],
  ]);
});

test("A dry run of the whole policy denies nothing and counts all that it would have denied", async () => {
  const h = await new House({
    tenant: [
      'policy: { ext_allowlist: ["room:join"], hot_allowlist: [], rate_limit_rps: 1, rate_limit_burst: 2, ' +
      "rules: [{ id: no-a, match: { room: a }, then: [{ ban_ms: 1000 }] }] }",
    ],
    policyDryRun: true,
  }).start();
  const ann = h.connect("ann");
  ann.join("a");
  assert.equal(chat(ann)[0]?.type, "msg", "not in the allowlist");
  assert.deepEqual(ann.askHot(1, 1, 1, 0, 42), [[42]]);
  assert.equal(ann.ask("sys", "ping").length, 1, "above the rate");
  const large = { v: 1, svc: "sys", type: "ping", data: "x".repeat(5000) };
  ann.handler.text(JSON.stringify(large));
  h.turn();
  assert.equal(ann.link.read().length, 1);
  assert.equal(ann.link.closed, null);
  h.connect("ann");
  const found = (await h.metric("policy_rule_decisions_total")).map((line) =>
    /rule_id="(.*)",action="(.*)",dry_run="true"} (\d+)$/.exec(line)?.slice(1).join(" ")
  );
  assert.deepEqual(found, [
    "no-a ban 3",
    "allowlist reject 2",
    "quota.session drop 2",
    "size close 1",
  ]);
});

test("The log has the first denial of a rule and session in each second, with how many it left out", async () => {
  const h = await house(
    'rules: [{ id: r, match: { service: "chat:*" } }, { id: s, match: { service: "room:*" } }]',
  );
  const ann = h.connect("ann"), bob = h.connect("bob");
  for (let i = 0; i < 10; i++) chat(ann);
  chat(bob);
  ann.ask("room", "join", { room: "a" });
  h.clock.advance(1000);
  chat(ann);
  const lines = h.logged.filter(({ message }) => message === "message denied").map(({ fields }) =>
    `${fields.user} ${fields.rule_id} ${fields.action} ${fields.service} ${fields.unlogged}`
  );
  assert.deepEqual(lines, [
    "ann r reject chat:send 0",
    "bob r reject chat:send 0",
    "ann s reject room:join 0",
    "ann r reject chat:send 9",
  ]);
});

test("However many sessions are denied, a tenant's log stays readable", async () => {
  const h = await house('rules: [{ id: r, match: { service: "chat:*" } }]');
  for (let i = 0; i < 500; i++) chat(h.connect(`user ${i}`));
  const lines = h.logged.filter(({ message }) => message === "message denied");
  assert.equal(lines.length, 100);
});

test("What all sessions are sent counts towards the tenant's outbound quota, a room's messages for all its members", async () => {
  const h = await house(
    "quotas: { tenant: { outbound_bytes_per_second: 10000, outbound_bytes_burst: 10000 } }",
  );
  const members = ["ann", "bob", "cy", "dee"].map((user) => h.connect(user));
  for (const member of members) member.join("a");
  const text = { msg: "x".repeat(3000) };
  assert.equal(chat(members[0]!, text).length, 1, "some 3,000 bytes for each of four");
  const [told] = errors(chat(members[1]!, text));
  assert.match(told ?? "", /^RATE_LIMITED quota\.outbound \d{3}$/);
  h.clock.advance(Number(told!.split(" ")[2]));
  members[1]!.link.read();
  assert.deepEqual(errors(chat(members[1]!, text)), []);
});

test("Replies, events, errors and what administrators send count towards the outbound quota too", async () => {
  const quota = "quotas: { tenant: { outbound_bytes_per_second: 1, outbound_bytes_burst: 10000 } }";
  const ways: Readonly<Record<string, (h: House, ann: Client, time: number) => void>> = {
    replies: (_, ann) => ann.ask("sys", "ping", { data: "x".repeat(3900) }),
    events: (h, _, time) => void h.connect(`bob ${time}`).ask("room", "join", { room: "a" }),
    errors: (_, ann) => ann.ask("nobody", "hears"),
    "what is sent": (h) => {
      h.gateway.tenant("acme").actions.perform({
        action: "send",
        to: { user: "ann" },
        type: "t",
        data: "x".repeat(999),
      }, {
        svc: "backend",
        session: null,
      });
    },
  };
  for (const [way, send] of Object.entries(ways)) {
    const h = await house(quota);
    const ann = h.connect("ann");
    ann.ask("room", "join", { room: "a", data: { presence: true } });
    // Told once a second.
    const refused = () => {
      h.clock.advance(1000);
      return errors(ann.ask("room", "leave", { room: "b" })).some((text) => text.includes("outbound"));
    };
    assert.equal(refused(), false, way);
    let times = 0;
    while (!refused()) {
      send(h, ann, times);
      assert.ok(++times < 100, `${way} cost nothing`);
    }
    assert.ok(times > 1, way);
  }
});

for (
  const [what, send] of [
    ["pings and fragments", (handler: LinkHandler) => handler.control(0)],
    ["pongs that answer nothing", (handler: LinkHandler) => handler.pong()],
  ] as const
) {
  test(`Whoever floods with ${what} is paused, and then closed, as with messages`, async () => {
    for (
      const quota of ["quotas: { session: { messages_per_second: 10, burst: 20 } }", "rate_limit_rps: 50"]
    ) {
      const h = await new House({ tenant: [`policy: { ${quota} }`] }).start();
      const eve = h.connect("eve");
      let sent = 0;
      while (!eve.link.paused) {
        send(eve.handler);
        assert.ok(++sent < 10_000, `${sent} frames, and nobody minded`);
      }
      assert.equal(eve.link.closed, null);
      while (eve.link.closed === null) {
        send(eve.handler);
        assert.ok(++sent < 200_000, `${sent} frames, and still open`);
      }
      assert.equal((eve.link.closed as { code: number }).code, 4005);
    }
  });
}

test("Pongs that were asked for, and a ping now and then, cost nobody a message", async () => {
  const h = await house("quotas: { session: { messages_per_second: 1, burst: 2 } }");
  const ann = h.connect("ann");
  let answered = 0;
  for (let i = 0; i < 600; i++) {
    h.clock.advance(1000);
    if (i % 10 === 0) ann.handler.control(4);
    for (; answered < ann.link.pings; answered++) ann.handler.pong();
  }
  assert.equal(ann.link.closed, null);
  ann.tell("sys", "ping");
  assert.match(String(ann.link.got.at(-1)), /pong/);
});
