// Those who watch sessions: what they are told, and that a session begins only once they agree.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { SessionWatcher } from "../../src/session/watcher.ts";
import { type Client, House, OPEN_POLICY, settle } from "./house.ts";

/** A house whose watcher agrees when the test says so. */
async function watched(policy = OPEN_POLICY) {
  const house = await new House({ tenant: [policy] }).start();
  const told: unknown[] = [];
  const answers: ((yes: boolean) => void)[] = [];
  const watcher: SessionWatcher = {
    detached: () => {},
    resumed: () => {},
    opened: ({ user }) => {
      told.push(["opened", user]);
      return new Promise((resolve) => answers.push(resolve));
    },
    closed: ({ user }, { code, reason, durationMs }) =>
      void told.push(["closed", user, code, reason, durationMs]),
    message: ({ user }, { svc, type }) => void told.push(["message", user, svc, type]),
    denied: ({ user }, { ruleId, untold }) => void told.push(["denied", user, ruleId, untold]),
  };
  house.gateway.tenant("acme").watchers.push(watcher);
  const answer = async (yes: boolean) => {
    answers.shift()!(yes);
    await settle();
    house.turn();
  };
  return { house, told, answer };
}

function types(client: Client): string[] {
  return (client.link.read() as { type: string }[]).map(({ type }) => type);
}

test("A session begins when the watcher agrees: nothing is said to it before, and what it said is heard then", async () => {
  const { house, told, answer } = await watched();
  const ann = house.connect("ann", { greet: false });
  ann.tell("room", "join", { room: "a" });
  ann.handler.text(JSON.stringify({ v: 1, svc: "sys", type: "ping" }));
  house.gateway.tenant("acme").actions.perform(
    { action: "send", to: { user: "ann" }, type: "note" },
    { svc: "x", session: null },
  );
  house.turn();
  assert.deepEqual(types(ann), []);
  await answer(true);
  assert.deepEqual(types(ann), ["authed", "joined", "pong"]);
  assert.deepEqual(told, [["opened", "ann"], ["message", "ann", "room", "join"]]);
  ann.gone(1001);
  assert.deepEqual(told.slice(2), [["closed", "ann", 1001, "client_closed", 0]]);
});

test("A session that the watcher cannot record is closed, and one that has gone meanwhile is left alone", async () => {
  const { house, told, answer } = await watched();
  const ann = house.connect("ann", { greet: false });
  await answer(false);
  assert.deepEqual(types(ann), ["error"]);
  assert.equal(ann.link.closed?.code, 4003);
  assert.deepEqual(told, [["opened", "ann"], ["closed", "ann", 4003, "internal", 0]]);
  const bob = house.connect("bob", { greet: false });
  house.clock.advance(300);
  bob.gone();
  await answer(true);
  assert.deepEqual(bob.link.got, []);
  assert.deepEqual(told.slice(2), [["opened", "bob"], ["closed", "bob", 1006, "connection_lost", 300]]);
  const eve = house.connect("eve", { greet: false, sid: "tab" });
  const next = house.connect("eve", { greet: false, sid: "tab" });
  assert.equal(eve.link.closed?.code, 4502, "replaced before it began");
  await answer(true);
  await answer(true);
  assert.deepEqual([types(eve), types(next)], [[], ["authed"]]);
  assert.deepEqual(house.census(), { sessions: 1, users: 1, rooms: 0, roomUsers: 0, timers: 3 });
});

test("A client that says too much before it is greeted is closed", async () => {
  const { house, told } = await watched();
  const ann = house.connect("ann", { greet: false });
  for (let i = 0; i < 16; i++) ann.tell("room", "join", { room: "a" });
  assert.deepEqual(told, [["opened", "ann"]]);
  ann.tell("room", "join", { room: "a" });
  house.turn();
  assert.equal(ann.link.closed?.code, 4005);
  assert.deepEqual(told.at(-1), ["closed", "ann", 4005, "rate_limited", 0]);
});

test("A flood of denied messages is told of once a second, with the number of those in between", async () => {
  const { house, told, answer } = await watched('policy: { ext_allowlist: ["room:*"], hot_allowlist: [] }');
  const ann = house.connect("ann", { greet: false });
  await answer(true);
  for (let i = 0; i < 5; i++) ann.tell("other", "thing");
  house.clock.advance(1000);
  ann.tell("other", "thing");
  assert.deepEqual(told.slice(1), [["denied", "ann", "allowlist", 0], ["denied", "ann", "allowlist", 4]]);
});
