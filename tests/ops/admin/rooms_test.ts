// Rooms by the admin API: which there are, who is in them, and moving sessions in and out.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { OPEN_POLICY } from "../../session/house.ts";
import { open, told } from "./admin_house.ts";

const ROOMS = "/v1/tenants/acme/rooms";

test("Rooms are listed by name with their members and users, page after page", async () => {
  const house = await open();
  const [one, two] = [house.enterAs("ann"), house.enterAs("ann")];
  for (const room of ["c", "a", "b"]) one.client.join(room);
  two.client.join("b");
  const first = await house.get(`${ROOMS}?limit=2`);
  assert.deepEqual(first.body, {
    rooms: [{ room: "a", members: 1, users: 1 }, { room: "b", members: 2, users: 1 }],
    next: "b",
  });
  const second = await house.get(`${ROOMS}?limit=2&cursor=b`);
  assert.deepEqual(second.body, { rooms: [{ room: "c", members: 1, users: 1 }], next: null });
});

test("Members are listed by when they joined, however they came and went since", async () => {
  const house = await open();
  const entered = Array.from({ length: 6 }, (_, i) => house.enterAs(`user-${i}`));
  for (const { client } of entered) client.join("a/b");
  entered[1]!.client.gone();
  const path = `${ROOMS}/a%2Fb/members?limit=3`;
  const first = await house.get(path);
  const second = await house.get(`${path}&cursor=${first.body.next}`);
  const users = [...first.body.members, ...second.body.members].map(({ user }) => user);
  assert.deepEqual(users, [0, 2, 3, 4, 5].map((i) => `user-${i}`));
  assert.deepEqual(first.body.members[1], {
    session: entered[2]!.session,
    user: "user-2",
    member: 3,
  });
  assert.equal(second.body.next, null);
  assert.equal((await house.get(`${ROOMS}/none/members`)).status, 404);
});

test("A session is put into a room and taken out again, and is told", async () => {
  const house = await open();
  const { client, session } = house.enterAs("ann");
  const path = `${ROOMS}/a/members/${session}`;
  assert.deepEqual((await house.ask("PUT", path)).body, { room: "a", session, member: 1, count: 1 });
  assert.deepEqual(told(client), [{
    v: 1,
    svc: "sys",
    type: "joined",
    room: "a",
    data: { member: 1, count: 1 },
  }]);
  assert.deepEqual((await house.ask("PUT", path)).body, { room: "a", session, member: 1, count: 1 });
  assert.deepEqual(told(client), [], "it was there already");
  assert.deepEqual((await house.ask("DELETE", path)).body, { removed: 1 });
  assert.deepEqual(told(client), [{ v: 1, svc: "sys", type: "left", room: "a" }]);
  assert.equal((await house.ask("DELETE", path)).status, 404);
  assert.equal((await house.ask("PUT", `${ROOMS}/a/members/nobody`)).status, 404);
  assert.equal((await house.ask("DELETE", `${ROOMS}/a/members/nobody`)).status, 404);
});

test("The tenant's limits hold for whoever is put into a room", async () => {
  const house = await open({ tenant: [OPEN_POLICY, "limits: { max_users_per_room: 1 }"] });
  const [ann, bob] = [house.enterAs("ann"), house.enterAs("bob")];
  ann.client.join("a");
  const { status, body } = await house.ask("PUT", `${ROOMS}/a/members/${bob.session}`);
  assert.deepEqual([status, body.code], [409, "RESOURCE_EXHAUSTED"]);
});

test("Emptying a room has everybody leave it, and nobody another", async () => {
  const house = await open();
  const [ann, bob, eve] = [house.enterAs("ann"), house.enterAs("bob"), house.enterAs("eve")];
  for (const { client } of [ann, bob]) client.join("a");
  for (const { client } of [bob, eve]) client.join("b");
  assert.deepEqual((await house.ask("DELETE", `${ROOMS}/a`)).body, { removed: 2 });
  const left = { v: 1, svc: "sys", type: "left", room: "a" };
  assert.deepEqual([told(ann.client), told(bob.client), told(eve.client)], [[left], [left], []]);
  assert.equal((await house.ask("DELETE", `${ROOMS}/a`)).status, 404);
  assert.equal((await house.get(`${ROOMS}/b/members`)).body.members.length, 2);
});
