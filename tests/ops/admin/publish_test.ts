// What publishing by the admin API delivers to whom, and what it answers.

import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { OPEN_POLICY } from "../../session/house.ts";
import { open, told } from "./admin_house.ts";

const NEWS = { svc: "orders", type: "news", data: { n: 1 } };
const heard = (room?: string) => ({
  v: 1,
  svc: "orders",
  type: "news",
  ...(room ? { room } : {}),
  data: { n: 1 },
});

test("A message goes to the members of rooms, once for each room, and the answer counts them", async () => {
  const house = await open();
  const [ann, bob, eve] = [house.enterAs("ann"), house.enterAs("bob"), house.enterAs("eve")];
  for (const room of ["a", "b"]) ann.client.join(room);
  bob.client.join("b");
  const { status, body } = await house.publish({ to: { rooms: ["a", "b", "b", "empty"] }, ...NEWS });
  assert.deepEqual([status, body], [200, { deliveries: 3 }]);
  assert.deepEqual(
    [told(ann.client), told(bob.client), told(eve.client)],
    [[heard("a"), heard("b")], [heard("b")], []],
  );
  const without = { to: { rooms: ["a", "b"] }, except: ann.session, ...NEWS };
  assert.deepEqual((await house.publish(without)).body, { deliveries: 1 });
  assert.deepEqual([told(ann.client), told(bob.client).length], [[], 1]);
});

test("A message goes to users, to sessions or to everybody of the tenant, and to nobody of another", async () => {
  const house = await open();
  const [one, two, bob] = [house.enterAs("ann"), house.enterAs("ann"), house.enterAs("bob")];
  const cases: [unknown, number, number[]][] = [
    [{ users: ["ann", "ann", "nobody"] }, 2, [1, 1, 0]],
    [{ sessions: [two.session, bob.session, "nobody"] }, 2, [0, 1, 1]],
    [{ all: true }, 3, [1, 1, 1]],
  ];
  for (const [to, deliveries, counts] of cases) {
    assert.deepEqual((await house.publish({ to, ...NEWS })).body, { deliveries });
    const messages = [one, two, bob].map(({ client }) => told(client));
    assert.deepEqual(messages, counts.map((count) => count === 0 ? [] : [heard()]));
  }
  assert.deepEqual((await house.publish({ to: { all: true }, except: bob.session, ...NEWS })).body, {
    deliveries: 2,
  });
  const elsewhere = await house.ask("POST", "/v1/tenants/other/publish", {
    body: { to: { users: ["ann"] }, ...NEWS },
  });
  assert.deepEqual(elsewhere.body, { deliveries: 0 });
});

test("A hot message arrives as a frame of its service", async () => {
  const house = await open();
  const { client } = house.enterAs("ann");
  const payload = Buffer.from([7, 8]).toString("base64");
  for (const hot of [{ svc_id: 1, opcode: 10, payload }, { svc_id: 9, opcode: 255 }]) {
    assert.deepEqual((await house.publish({ to: { all: true }, hot })).body, { deliveries: 1 });
  }
  assert.deepEqual(told(client), [[1, 1, 10, 0, 7, 8], [1, 9, 255, 0]]);
});

test("For a slow client a hot message waits on its service's lane, or on the one that is asked for", async () => {
  const house = await open({
    tenant: [
      OPEN_POLICY,
      "limits: { max_frame_bytes: 100000 }",
      "hot_services: [{ id: 1, kind: echo }, { id: 2, kind: relay, lane: latest }]",
    ],
  });
  const { client } = house.enterAs("ann");
  const { link } = client;
  link.room = 0;
  let count = 0;
  const publish = async (svc_id: number, opcode: number, more: { lane?: string; bytes?: number } = {}) => {
    const { bytes = 1, lane } = more;
    const payload = Buffer.alloc(bytes, ++count).toString("base64");
    const hot = { svc_id, opcode, payload, ...(lane === undefined ? {} : { lane }) };
    assert.equal((await house.publish({ to: { all: true }, hot })).status, 200);
  };
  await publish(1, 9, { bytes: 70_000 }); // 1: fills the socket
  await publish(2, 1); // 2: replaced by 4
  await publish(2, 2); // 3
  await publish(2, 1); // 4
  await publish(1, 1, { lane: "latest" }); // 5: replaced by 6
  await publish(1, 1, { lane: "latest" }); // 6
  await publish(1, 1); // 7
  await publish(1, 1); // 8
  await publish(2, 1, { lane: "lossy" }); // 9
  link.read();
  link.open();
  house.turn();
  assert.deepEqual(told(client).map((frame) => (frame as number[])[4]), [4, 3, 6, 7, 8, 9]);
});

test("A batch is published in order, and answered message by message", async () => {
  const house = await open({ tenant: [OPEN_POLICY, "limits: { max_frame_bytes: 200 }"] });
  const { client } = house.enterAs("ann");
  const messages = [
    { to: { users: ["ann"] }, svc: "a", type: "one" },
    { to: { users: ["ann"] }, svc: "a", type: "large", data: "x".repeat(300) },
    { to: { users: ["nobody"] }, svc: "a", type: "two" },
    { to: { all: true }, hot: { svc_id: 1, opcode: 1, payload: Buffer.alloc(300).toString("base64") } },
    { to: { all: true }, svc: "a", type: "three" },
  ];
  const { status, body } = await house.publish({ messages });
  const tooLarge = { code: "PAYLOAD_TOO_LARGE", msg: "message is larger than the tenant's max_frame_bytes" };
  assert.equal(status, 200);
  assert.deepEqual(body, {
    deliveries: 2,
    results: [{ deliveries: 1 }, tooLarge, { deliveries: 0 }, tooLarge, { deliveries: 1 }],
  });
  assert.deepEqual(told(client).map((message) => (message as { type: string }).type), ["one", "three"]);
  const alone = await house.publish(messages[1]);
  assert.deepEqual([alone.status, alone.body], [413, tooLarge]);
});

test("A large batch gives way between its messages", async () => {
  const house = await open();
  const clients = Array.from({ length: 300 }, (_, i) => house.enterAs(`user-${i}`).client);
  const messages = Array.from(
    { length: 200 },
    (_, n) => ({ to: { all: true }, svc: "a", type: "t", data: n }),
  );
  let turns = 0;
  const { transport } = house;
  const turn = transport.turn.bind(transport);
  transport.turn = () => {
    const ran = turn();
    turns += ran;
    return ran;
  };
  const { body } = await house.publish({ messages });
  assert.equal(body.deliveries, 60_000);
  assert.ok(turns >= 3, `${turns}: after each 20,000 deliveries, beside what is flushed`);
  const numbers = told(clients[7]!).map((message) => (message as { data: number }).data);
  assert.deepEqual(numbers, messages.map((_, n) => n));
});

test("The same idempotency key publishes once, however often it is asked; another message under it is refused", async () => {
  const house = await open();
  const { client } = house.enterAs("ann");
  const message = { to: { users: ["ann"] }, ...NEWS, idempotency_key: "order-1" };
  assert.deepEqual((await house.publish(message)).body, { deliveries: 1 });
  house.enterAs("ann");
  assert.deepEqual((await house.publish(message)).body, { deliveries: 1 }, "as it was answered before");
  const batch = await house.publish({ messages: [message, { ...message, idempotency_key: "order-2" }] });
  assert.deepEqual(batch.body, { deliveries: 3, results: [{ deliveries: 1 }, { deliveries: 2 }] });
  assert.equal(told(client).length, 2);
  const other = await house.publish({ ...message, data: 2 });
  assert.deepEqual([other.status, other.body.code], [409, "RESOURCE_EXHAUSTED"]);
  // Somebody else's keys are their own.
  assert.deepEqual((await house.publish(message, { key: "acme" })).body, { deliveries: 2 });
  house.clock.advance(600_000);
  house.enterAs("ann");
  assert.deepEqual((await house.publish(message)).body, { deliveries: 1 }, "forgotten after ten minutes");
});

test("What was refused may be asked again under the same idempotency key", async () => {
  const house = await open({ tenant: [OPEN_POLICY, "limits: { max_frame_bytes: 60 }"] });
  house.enterAs("ann");
  const message = { to: { all: true }, svc: "a", type: "t", data: "x".repeat(100), idempotency_key: "k" };
  assert.equal((await house.publish(message)).status, 413);
  assert.equal((await house.publish({ ...message, data: 1 })).status, 200);
});

test("What is no message is refused with the place of the fault", async () => {
  const house = await open();
  const to = { all: true };
  const deep = JSON.parse("[".repeat(600) + "]".repeat(600));
  const cases: [unknown, RegExp][] = [
    ["{", /JSON/],
    ["", /JSON/],
    [[], /^body: /],
    [{}, /^body(\.\w+)?: /],
    [{ to, svc: "a" }, /^body.type: /],
    [{ to, svc: "a b", type: "t" }, /^body.svc: must be 1–64 of/],
    [{ to, svc: "sys", type: "kicked" }, /^body.svc: must not be "sys"/],
    [{ to: { rooms: [] }, svc: "a", type: "t" }, /^body.to.rooms: /],
    [{ to: { rooms: ["a\n"] }, svc: "a", type: "t" }, /^body.to.rooms\[0\]: must be 1..128 bytes/],
    [{ to: { rooms: ["a"], users: ["b"] }, svc: "a", type: "t" }, /^body.to: /],
    [{ to: { all: false }, svc: "a", type: "t" }, /^body.to.all: /],
    [{ to, svc: "a", type: "t", more: 1 }, /^body: .*more/],
    [{ to, svc: "a", type: "t", data: deep }, /^body is nested deeper than 516/],
    [{ to, hot: { svc_id: 256, opcode: 0 } }, /^body.hot.svc_id: /],
    [{ to, hot: { svc_id: 1, opcode: 0, payload: "a?" } }, /^body.hot.payload: /],
    [{ messages: [] }, /^body.messages: /],
    [{ messages: [{ to, svc: "a", type: "t" }, { to, svc: 1, type: "t" }] }, /^body.messages\[1\].svc: /],
    [{ messages: Array.from({ length: 1001 }, () => ({ to, svc: "a", type: "t" })) }, /^body.messages: /],
  ];
  for (const [body, expected] of cases) {
    const { status, body: answer } = await house.publish(body);
    assert.equal(status, 400, JSON.stringify(body));
    assert.equal(answer.code, "BAD_REQUEST");
    assert.match(answer.msg, expected, JSON.stringify(body).slice(0, 200));
  }
  const text = await house.publish("x=1", {
    headers: { "content-type": "application/x-www-form-urlencoded" },
  });
  assert.match(text.body.msg, /content-type: application\/json/);
});

test("A body that is too large is refused, whether it says its length or not", async () => {
  const house = await open();
  const large = JSON.stringify({ to: { all: true }, svc: "a", type: "t", data: "x".repeat(140_000) });
  assert.equal((await house.publish(large)).status, 413);
  const lying = await house.publish("{}", { headers: { "content-length": "140000" } });
  assert.equal(lying.status, 413);
});

test("A room with too much to deliver already takes nothing more, and the answer names it", async () => {
  const house = await open({ tenant: [OPEN_POLICY, "limits: { max_frame_bytes: 65536 }"] });
  for (let i = 0; i < 300; i++) house.enterAs(`user-${i}`).client.join("full");
  house.enterAs("ann").client.join("free");
  const actions = house.gateway.tenant("acme").actions;
  const fill = (data: string) =>
    (actions.perform({ action: "publish", room: "full", type: "t", data }, { svc: "a", session: null }) as {
      ok: boolean;
    }).ok;
  // First the deliveries of one turn, and then the bytes that may wait for the next.
  for (let i = 0; i < 334; i++) assert.ok(fill(""));
  while (fill("x".repeat(60_000)));
  const message = { svc: "a", type: "t", data: "x".repeat(60_000) };
  const both = await house.publish({ to: { rooms: ["full", "free"] }, ...message }, { turns: false });
  assert.deepEqual([both.status, both.body], [200, { deliveries: 1, busy: ["full"] }]);
  const alone = await house.publish({ to: { rooms: ["full"] }, ...message }, { turns: false });
  assert.deepEqual([alone.status, alone.body.code], [503, "UNAVAILABLE"]);
  house.turn();
  assert.deepEqual((await house.publish({ to: { rooms: ["full"] }, ...message })).body, { deliveries: 300 });
});

test("A message to rooms that do not exist is delivered to nobody, and refused where it could not be sent", async () => {
  const house = await open();
  const rooms = Array.from({ length: 1000 }, (_, i) => `absent-${i}`);
  const data = "x".repeat(1000);
  const messages = Array.from({ length: 5 }, () => ({ to: { rooms }, svc: "a", type: "t", data }));
  const { status, body } = await house.publish({ messages });
  assert.equal(status, 200);
  assert.equal(body.deliveries, 0);
  assert.equal(body.results.length, 5);
  const tooLarge = await house.publish({ to: { rooms }, svc: "a", type: "t", data: "x".repeat(10_000) });
  assert.equal(tooLarge.status, 413, "what no room could be sent is refused where none is there");
});

test("A body that is compressed is refused as such", async () => {
  const house = await open();
  const { status, body } = await house.ask("POST", "/v1/tenants/acme/publish", {
    body: "\u001f\u008b",
    headers: { "content-encoding": "gzip" },
  });
  assert.equal(status, 415);
  assert.match(body.msg, /without content-encoding: gzip/);
});

test("A limit that is no number is refused with what it may be", async () => {
  const house = await open();
  for (const limit of ["banana", "1.5", "0", "-1", "100000"]) {
    const { status, body } = await house.get(`/v1/tenants/acme/sessions?limit=${limit}`);
    assert.equal(status, 400);
    assert.equal(body.msg, "query.limit: must be a whole number 1..1000");
  }
});
