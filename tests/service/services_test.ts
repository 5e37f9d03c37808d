// The built-in services, asked as a client asks them.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Client, House } from "../session/house.ts";

type Message = Record<string, unknown> & { data?: unknown };

/** Without what only says which session it was. */
function told(messages: readonly unknown[]): Message[] {
  return (messages as Message[]).map(({ trace_id: _, ...message }) => message);
}

const error = (code: string, seq: number) => ({ type: "error", code, seq });
function errors(messages: readonly unknown[]): unknown[] {
  return (messages as { type: string; seq: number; data: { code: string } }[]).map(({ type, seq, data }) => ({
    type,
    code: data.code,
    seq,
  }));
}

const joined = (room: string, member: number, count: number, seq?: number) => ({
  v: 1,
  svc: "sys",
  type: "joined",
  room,
  data: { member, count },
  ...(seq === undefined ? {} : { seq }),
});

test('room.join makes a member, says its number and how many there are, and the room defaults to "default"', async () => {
  const house = await new House().start();
  const [ann, bob] = [house.connect("ann"), house.connect("bob")];
  assert.deepEqual(told(ann.ask("room", "join", { seq: 1 })), [joined("default", 1, 1, 1)]);
  assert.deepEqual(told(bob.ask("room", "join", { room: "default" })), [joined("default", 2, 2)]);
  assert.deepEqual(
    told(ann.ask("room", "join", { room: "default" })),
    [joined("default", 1, 2)],
    "joining twice changes nothing",
  );
  assert.deepEqual(told(ann.ask("room", "join", { room: "片🎲" })), [joined("片🎲", 1, 1)]);
});

test("room.leave leaves the room named or the active one, and says the same to who is in none", async () => {
  const house = await new House().start();
  const ann = house.connect("ann");
  const left = (room: string | null, seq?: number) => ({
    v: 1,
    svc: "sys",
    type: "left",
    ...(room === null ? {} : { room }),
    ...(seq === undefined ? {} : { seq }),
  });
  ann.join("a");
  ann.join("b");
  assert.deepEqual(told(ann.ask("room", "leave", { seq: 5 })), [left("b", 5)]);
  assert.deepEqual(told(ann.ask("room", "leave")), [left(null)], "the one before is not active again");
  assert.deepEqual(told(ann.ask("room", "leave", { room: "a" })), [left("a")]);
  assert.deepEqual(told(ann.ask("room", "leave", { room: "a" })), [left("a")]);
  assert.deepEqual(house.census(), { sessions: 1, users: 1, rooms: 0, roomUsers: 0, timers: 1 });
});

test("room.members lists the members to members only", async () => {
  const house = await new House().start();
  const [ann, bob] = [house.connect("ann"), house.connect("bob")];
  ann.join("a");
  const second = house.connect("ann");
  second.join("a");
  const [reply] = told(ann.ask("room", "members", { room: "a", seq: 3 })) as [
    Message & { data: { members: { member: number }[] } },
  ];
  reply.data.members.sort((a, b) => a.member - b.member);
  assert.deepEqual(reply, {
    v: 1,
    svc: "room",
    type: "reply",
    seq: 3,
    data: { members: [{ user: "ann", member: 1 }, { user: "ann", member: 2 }], count: 2 },
  });
  assert.deepEqual(errors(bob.ask("room", "members", { room: "a", seq: 4 })), [error("NOT_ALLOWED", 4)]);
  assert.deepEqual(errors(bob.ask("room", "members", { room: "nobody's", seq: 5 })), [
    error("NOT_ALLOWED", 5),
  ]);
  assert.deepEqual(errors(ann.ask("room", "members", { seq: 6 })), [error("BAD_REQUEST", 6)]);
});

test("Room limits are exact and told as RESOURCE_EXHAUSTED", async () => {
  const house = await new House({
    tenant: [
      "limits: { max_rooms_total: 2, max_users_per_room: 2, max_rooms_per_user: 1 }",
      'policy: { ext_allowlist: ["room:*"] }',
    ],
  }).start();
  const [ann, bob, eve] = [house.connect("ann"), house.connect("bob"), house.connect("eve")];
  const full = (client: Client, room: string) => errors(client.ask("room", "join", { room, seq: 1 }));
  ann.join("a");
  bob.join("a");
  assert.deepEqual(full(eve, "a"), [error("RESOURCE_EXHAUSTED", 1)], "users in a room");
  assert.deepEqual(full(ann, "b"), [error("RESOURCE_EXHAUSTED", 1)], "rooms of a user");
  eve.join("b");
  const fay = house.connect("fay");
  assert.deepEqual(full(fay, "c"), [error("RESOURCE_EXHAUSTED", 1)], "rooms");
  eve.ask("room", "leave");
  fay.join("c");
  ann.gone();
  eve.join("a");
});

test("Presence is told to those who asked, and takes the right to ask for the members", async () => {
  const house = await new House().start();
  const [ann, bob] = [house.connect("ann"), house.connect("bob")];
  ann.ask("room", "join", { room: "a", data: { presence: true } });
  bob.join("a");
  house.turn();
  const event = (event: string, count: number) => ({ event, user: "bob", member: 2, count });
  assert.deepEqual(told(ann.link.read()).map(({ type, data }) => [type, data]), [[
    "presence",
    event("join", 2),
  ]]);
  bob.gone();
  house.turn();
  assert.deepEqual(told(ann.link.read()).map(({ type, data }) => [type, data]), [[
    "presence",
    event("leave", 1),
  ]]);
  ann.ask("room", "join", { room: "a" });
  house.connect("eve").join("a");
  assert.equal(ann.link.read().length, 1, "a join that does not say keeps it");
  ann.ask("room", "join", { room: "a", data: { presence: false } });
  house.connect("fay").join("a");
  assert.deepEqual(ann.link.read(), []);

  const shy = await new House({ tenant: ['policy: { ext_allowlist: ["room:join"] }'] }).start();
  const gil = shy.connect("gil");
  assert.deepEqual(errors(gil.ask("room", "join", { seq: 1, data: { presence: true } })), [
    error("NOT_ALLOWED", 1),
  ]);
  assert.deepEqual(
    shy.census(),
    { sessions: 1, users: 1, rooms: 0, roomUsers: 0, timers: 1 },
    "and does not join",
  );
  assert.equal(gil.ask("room", "join", { data: { presence: false } }).length, 1);
});

test("room.join takes data that it understands and no other", async () => {
  const house = await new House().start();
  const ann = house.connect("ann");
  for (const data of ["x", 1, true, { presence: 1 }, { presence: "yes" }, { presence: null }]) {
    assert.deepEqual(
      errors(ann.ask("room", "join", { seq: 1, data })),
      [error("BAD_REQUEST", 1)],
      JSON.stringify(data),
    );
  }
  for (const data of [null, {}, { other: 1 }]) {
    assert.equal(told(ann.ask("room", "join", { data }))[0]!.type, "joined");
  }
});

test("chat.send says it to all members, the sender included, with the sender's name and nothing else of the message", async () => {
  const house = await new House().start();
  const [ann, bob, eve] = [house.connect("ann"), house.connect("bob"), house.connect("eve")];
  for (const client of [ann, bob]) client.join("a");
  eve.join("b");
  ann.tell("chat", "send", { room: "a", seq: 9, data: { msg: "hi 🎲", from: "bob", extra: 1 } });
  house.turn();
  const message = { v: 1, svc: "chat", type: "msg", room: "a", data: { from: "ann", msg: "hi 🎲" } };
  assert.deepEqual(ann.link.read(), [message]);
  assert.deepEqual(bob.link.read(), [message]);
  assert.deepEqual(eve.link.read(), []);
});

test("chat refuses what has no room, no text or no member behind it", async () => {
  const house = await new House().start();
  const ann = house.connect("ann"), bob = house.connect("bob");
  bob.join("b");
  ann.join("a");
  const send = (more: Record<string, unknown>) => errors(ann.ask("chat", "send", { seq: 1, ...more }));
  assert.deepEqual(send({ data: { msg: "x" } }), [error("BAD_REQUEST", 1)]);
  for (const data of [undefined, null, "x", 1, [], {}, { msg: 1 }, { msg: null }, { msg: ["x"] }]) {
    assert.deepEqual(send({ room: "a", data }), [error("BAD_REQUEST", 1)], JSON.stringify(data));
  }
  assert.deepEqual(send({ room: "b", data: { msg: "x" } }), [error("NOT_ALLOWED", 1)]);
  assert.deepEqual(errors(ann.ask("chat", "msg", { seq: 2, room: "a", data: { msg: "x" } })), [
    error("NOT_FOUND", 2),
  ]);
  assert.deepEqual(bob.link.read(), []);
  assert.equal(
    ann.ask("chat", "send", { room: "a", data: { msg: "" } }).length,
    1,
    "an empty text is a text",
  );
});

test("A chat of another name answers to that name and speaks under it", async () => {
  const house = await new House({
    tenant: [
      "services: [{ svc: talk, builtin: chat }]",
      'policy: { ext_allowlist: ["room:*", "talk:*", "chat:*"] }',
    ],
  }).start();
  const ann = house.connect("ann");
  ann.join("a");
  const [said] = ann.ask("talk", "send", { room: "a", data: { msg: "x" } }) as [Message];
  assert.equal(said.svc, "talk");
  assert.deepEqual(errors(ann.ask("chat", "send", { room: "a", seq: 1, data: { msg: "x" } })), [
    error("NOT_FOUND", 1),
  ]);
});

const HOT_TENANT = [
  "hot_services: [{ id: 1, kind: echo }, { id: 2, kind: relay }]",
  'policy: { ext_allowlist: ["room:*"], hot_allowlist: ["1:*", "2:*"], hot_requires_active_room: false }',
];

test("echo sends the bare payload to the active room, its sender included, or back to who has no room", async () => {
  const house = await new House({ tenant: HOT_TENANT }).start();
  const [ann, bob, eve] = [house.connect("ann"), house.connect("bob"), house.connect("eve")];
  assert.deepEqual(ann.askHot(1, 1, 5, 0, 7, 8), [[7, 8]]);
  for (const client of [ann, bob]) client.join("a");
  eve.join("b");
  assert.deepEqual(ann.askHot(1, 1, 5, 1, 9, 9, 9, 9, 7, 8), [[7, 8]], "without seq");
  assert.deepEqual(bob.link.read(), [[7, 8]]);
  assert.deepEqual(eve.link.read(), []);
  assert.deepEqual(ann.askHot(1, 1, 5, 0), [], "an empty payload has no echo");
  assert.deepEqual(ann.askHot(1, 1, 5, 3, 9, 9, 9, 9), [[1, 1, 5, 3, 9, 9, 9, 9]], "but its ack");
  assert.deepEqual(bob.link.read(), []);
});

test("relay sends the frame with the sender's number to the others in the active room", async () => {
  const house = await new House({ tenant: HOT_TENANT }).start();
  const [ann, bob, eve] = [house.connect("ann"), house.connect("bob"), house.connect("eve")];
  assert.deepEqual(ann.askHot(1, 2, 5, 0, 7), [], "nobody to tell without a room");
  for (const client of [ann, bob, eve]) client.join("a");
  assert.deepEqual(bob.askHot(1, 2, 5, 1, 1, 2, 3, 4, 7), []);
  const frame = [1, 2, 5, 5, 1, 2, 3, 4, 2, 0, 0, 0, 7];
  assert.deepEqual([ann.link.read(), eve.link.read()], [[frame], [frame]]);
  assert.deepEqual(ann.askHot(1, 2, 6, 0), []);
  assert.deepEqual(bob.link.read(), [[1, 2, 6, 4, 1, 0, 0, 0]], "an empty payload is relayed all the same");
});
