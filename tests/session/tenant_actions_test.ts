// What an action does to a tenant, and which of its limits hold it up.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { Action, Performed } from "../../src/service/action.ts";
import { SECRET, ticket } from "../admission/keys.ts";
import { type Client, House, OPEN_POLICY } from "./house.ts";

/** A house with these limits, and a way to act in it. */
async function open(limits = "{}") {
  const house = await new House({ tenant: [OPEN_POLICY, `limits: ${limits}`] }).start();
  const actions = house.gateway.tenant("acme").actions;
  const act = (action: Action, session: string | null = null): Performed => {
    const performed = actions.perform(action, { svc: "orders", session });
    house.turn();
    return performed as Performed;
  };
  return { house, act };
}

const done = (deliveries: number): Performed => ({ ok: true, deliveries });

function code(performed: Performed): string {
  return performed.ok ? "ok" : performed.code;
}

function connect(house: House, user: string): { client: Client; session: string } {
  const client = house.connect(user, { greet: false });
  house.turn();
  const [{ data }] = client.link.read() as [{ data: { session: string } }];
  return { client, session: data.session };
}

function told(client: Client): unknown[] {
  return (client.link.read() as Record<string, unknown>[]).map(({ trace_id: _, ...message }) => message);
}

test("publish goes to a room's members under the service's name, but not to the one that is left out", async () => {
  const { house, act } = await open();
  const [ann, bob, eve] = [connect(house, "ann"), connect(house, "bob"), connect(house, "eve")];
  ann.client.join("a");
  bob.client.join("a");
  const message = { v: 1, svc: "orders", type: "news", room: "a", data: { n: 1 } };
  assert.deepEqual(act({ action: "publish", room: "a", type: "news", data: { n: 1 } }), done(2));
  assert.deepEqual([told(ann.client), told(bob.client), told(eve.client)], [[message], [message], []]);
  const without = { action: "publish", room: "a", type: "news" } as const;
  assert.deepEqual(act({ ...without, except: ann.session }), done(1));
  assert.deepEqual([told(ann.client), told(bob.client).length], [[], 1]);
  assert.deepEqual(act({ ...without, except: eve.session }), done(2), "she is no member");
  assert.deepEqual(act({ ...without, except: "nobody" }), done(2));
  assert.deepEqual(act({ ...without, room: "empty" }), done(0));
});

test("send goes to every session of a user or to one, and a session that is not there is refused", async () => {
  const { house, act } = await open();
  const [one, two, bob] = [connect(house, "ann"), connect(house, "ann"), connect(house, "bob")];
  const message = { v: 1, svc: "orders", type: "note", data: 5 };
  assert.deepEqual(act({ action: "send", to: { user: "ann" }, type: "note", data: 5 }), done(2));
  assert.deepEqual([told(one.client), told(two.client), told(bob.client)], [[message], [message], []]);
  assert.deepEqual(act({ action: "send", to: { session: bob.session }, type: "note", data: 5 }), done(1));
  assert.deepEqual(told(bob.client), [message]);
  assert.deepEqual(act({ action: "send", to: { user: "nobody" }, type: "note" }), done(0));
  assert.equal(code(act({ action: "send", to: { session: "nobody" }, type: "note" })), "NOT_FOUND");
  one.client.gone();
  assert.equal(code(act({ action: "send", to: { session: one.session }, type: "note" })), "NOT_FOUND");
});

test("join and leave act on the session that called or on another, which is told, within the limits", async () => {
  const { house, act } = await open("{ max_rooms_per_user: 1 }");
  const [ann, bob] = [connect(house, "ann"), connect(house, "bob")];
  assert.deepEqual(act({ action: "join", room: "a" }, ann.session), done(1));
  assert.deepEqual(act({ action: "join", room: "a", session: bob.session }, ann.session), done(1));
  const joined = (member: number) => ({
    v: 1,
    svc: "sys",
    type: "joined",
    room: "a",
    data: { member, count: member },
  });
  assert.deepEqual([told(ann.client), told(bob.client)], [[joined(1)], [joined(2)]]);
  assert.equal(code(act({ action: "join", room: "b" }, ann.session)), "RESOURCE_EXHAUSTED");
  assert.deepEqual(told(ann.client), []);
  assert.deepEqual(act({ action: "leave", room: "a" }, ann.session), done(1));
  assert.deepEqual(told(ann.client), [{ v: 1, svc: "sys", type: "left", room: "a" }]);
  assert.deepEqual(act({ action: "leave", room: "a" }, ann.session), done(0), "it had left already");
  assert.equal(code(act({ action: "join", room: "a" })), "BAD_REQUEST", "nobody called");
  assert.equal(code(act({ action: "join", room: "a", session: "nobody" }, ann.session)), "NOT_FOUND");
});

test("kick tells a session why and ends it", async () => {
  const { house, act } = await open();
  const [ann, bob] = [connect(house, "ann"), connect(house, "bob")];
  assert.deepEqual(act({ action: "kick", reason: "enough" }, ann.session), done(1));
  assert.deepEqual(told(ann.client), [{ v: 1, svc: "sys", type: "kicked", data: { reason: "enough" } }]);
  assert.equal(ann.client.link.closed?.code, 4501);
  assert.equal(bob.client.link.closed, null);
  assert.equal(code(act({ action: "kick", reason: "enough" }, ann.session)), "NOT_FOUND");
});

test("A message that is too large, or cannot be written, is refused and goes to nobody", async () => {
  const { house, act } = await open("{ max_frame_bytes: 200 }");
  const { client } = connect(house, "ann");
  client.join("a");
  const publish = (data: unknown) => code(act({ action: "publish", room: "a", type: "t", data }));
  const empty = JSON.stringify({ v: 1, svc: "orders", type: "t", room: "a", data: "" }).length;
  assert.equal(publish("x".repeat(200 - empty)), "ok");
  assert.equal(publish("x".repeat(201 - empty)), "PAYLOAD_TOO_LARGE");
  assert.equal(publish("ä".repeat(200 - empty)), "PAYLOAD_TOO_LARGE");
  assert.equal(publish(1n), "BAD_REQUEST");
  assert.equal(code(act({ action: "send", to: { user: "ann" }, type: "t", data: 1n })), "BAD_REQUEST");
  assert.equal(told(client).length, 1);
});

test("A ticket's rooms hold for joins by action too", async () => {
  const auth =
    `auth: { mode: jwt, jwt: { algorithms: [HS256], keys: [{ secret: "${SECRET}" }] }, failure_delay_ms: 0 }`;
  const house = await new House({ tenant: [OPEN_POLICY, auth] }).start();
  const exp = Math.round(house.clock.unixMs() / 1000) + 60;
  const client = await house.enter(await ticket({ sub: "ann", exp, rooms: ["a"] }));
  const [{ data }] = client.link.read() as [{ data: { session: string } }];
  const join = (room: string) =>
    house.gateway.tenant("acme").actions.perform({ action: "join", room }, {
      svc: "x",
      session: data.session,
    });
  assert.equal(code(join("b")), "NOT_ALLOWED");
  assert.deepEqual(join("a"), done(1));
});
