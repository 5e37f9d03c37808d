// One node answers administrators for all, and what one decides holds on all.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { WITHOUT_NATS } from "../nats/find.ts";
import { NatsServer } from "../nats/server.ts";
import { Admin, adminConfig } from "./admin_client.ts";
import { Client } from "./client.ts";
import { acquainted, membersKnown, sessionsKnown, startNode } from "./cluster_nodes.ts";
import { until } from "./gateway_process.ts";

const PERMISSIONS = ["read", "publish", "disconnect", "reload"];
const TENANTS = [{ id: "acme", policy: { ext_allowlist: ["room:*", "chat:send"] } }];
const CONFIG = { tenants: TENANTS };
const ADMIN = { ...CONFIG, admin: adminConfig({ root: { tenants: ["*"], permissions: PERMISSIONS } }) };

test("Sessions, rooms and members of all nodes are listed by one, with the node of each", {
  skip: WITHOUT_NATS,
}, async () => {
  await using nats = await NatsServer.start();
  await using one = await startNode(nats, ADMIN, { name: "one" });
  await using two = await startNode(nats, CONFIG, { name: "two" });
  await acquainted(one, two);
  const ann = await Client.open(one, { user: "ann" }), bob = await Client.open(two, { user: "bob" });
  await ann.join("r");
  await bob.join("r");
  await bob.join("only-there");
  await membersKnown(one, 2);
  await membersKnown(two, 1);
  const admin = await Admin.of(one, "root");
  const nodes = (await admin.ask("GET", "/v1/nodes")).body.nodes;
  assert.deepEqual(
    nodes.map((node: { node: string; self: boolean }) => [node.node, node.self]),
    [["one", true], ["two", false]],
  );
  const { sessions } = (await admin.ask("GET", "/v1/tenants/acme/sessions")).body;
  const placed = sessions.map((session: { user: string; node: string }) => [session.user, session.node])
    .sort();
  assert.deepEqual(placed, [["ann", "one"], ["bob", "two"]]);
  const page = (await admin.ask("GET", "/v1/tenants/acme/sessions?limit=1")).body;
  const rest = (await admin.ask("GET", `/v1/tenants/acme/sessions?limit=1&cursor=${page.next}`)).body;
  const ids = (list: { session: string }[]) => list.map(({ session }) => session);
  assert.deepEqual(ids([...page.sessions, ...rest.sessions]), ids(sessions));
  const { rooms } = (await admin.ask("GET", "/v1/tenants/acme/rooms")).body;
  assert.deepEqual(rooms, [
    { room: "only-there", members: 1, users: 1 },
    { room: "r", members: 2, users: 2 },
  ]);
  const { members } = (await admin.ask("GET", "/v1/tenants/acme/rooms/r/members")).body;
  assert.deepEqual(
    members.map((member: { user: string; node: string }) => [member.user, member.node]).sort(),
    [["ann", "one"], ["bob", "two"]],
  );
  const bobs = sessions.find(({ user }: { user: string }) => user === "bob").session;
  const seen = (await admin.ask("GET", `/v1/tenants/acme/sessions/${bobs}`)).body;
  assert.deepEqual([seen.node, seen.rooms.length], ["two", 2]);
  assert.equal((await admin.ask("GET", "/v1/tenants/acme/stats")).body.sessions, 2);

  const to = (target: object) => ({ to: target, svc: "news", type: "flash", data: 1 });
  const publish = (target: object) => admin.ask("POST", "/v1/tenants/acme/publish", to(target));
  assert.equal((await publish({ users: ["bob"] })).body.deliveries, 1);
  await bob.next("news.flash");
  assert.equal((await publish({ sessions: [bobs] })).body.deliveries, 1);
  await bob.next("news.flash");
  assert.equal((await publish({ all: true })).body.deliveries, 2);
  await ann.next("news.flash");
  await bob.next("news.flash");
  await publish({ rooms: ["only-there"] });
  await bob.next("news.flash");

  assert.equal((await admin.ask("PUT", `/v1/tenants/acme/rooms/moved/members/${bobs}`)).body.room, "moved");
  await bob.next("sys.joined");
  const removed = await admin.ask("DELETE", "/v1/tenants/acme/rooms/r");
  assert.equal(removed.body.removed, 2);
  await ann.next("sys.left");
  await bob.next("sys.left");
  assert.equal((await admin.ask("POST", "/v1/tenants/acme/users/bob/disconnect")).body.disconnected, 1);
  await bob.next("sys.kicked");
  await bob.ended(4501);
  assert.equal((await admin.ask("GET", `/v1/tenants/acme/sessions/${bobs}`)).status, 404);
  await ann.close();
  await one.stop();
  await two.stop();
});

test("Bans and suspensions of one node hold on all, on those that come later, and until taken back", {
  skip: WITHOUT_NATS,
}, async () => {
  await using nats = await NatsServer.start();
  await using one = await startNode(nats, ADMIN, { name: "one" });
  await using two = await startNode(nats, CONFIG, { name: "two" });
  await acquainted(one, two);
  const bob = await Client.open(two, { user: "bob" });
  await sessionsKnown(one, 1);
  const admin = await Admin.of(one, "root");
  assert.equal((await admin.ask("POST", "/v1/tenants/acme/users/bob/ban")).body.disconnected, 1);
  await bob.next("sys.kicked");
  await bob.ended(4504);
  await using three = await startNode(nats, CONFIG, { name: "three" });
  await acquainted(one, two, three);
  for (const node of [two, three]) await assert.rejects(Client.open(node, { user: "bob" }), /403/);
  await admin.ask("DELETE", "/v1/tenants/acme/users/bob/ban");
  const letsIn = (user: string) =>
    until(`${user} to be let in`, async () => {
      try {
        const client = await Client.open(two, { user });
        await client.close();
        return true;
      } catch {
        return null;
      }
    });
  await letsIn("bob");
  const eve = await Client.open(two, { user: "eve" });
  await admin.ask("POST", "/v1/tenants/acme/suspend");
  await eve.next("sys.error");
  await eve.ended(4509);
  await admin.ask("POST", "/v1/tenants/acme/resume");
  await letsIn("eve");
  for (const node of [one, two, three]) await node.stop();
});
