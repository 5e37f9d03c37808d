// Presence, membership and sessions over several nodes, and what becomes of them when a node dies.

import { strict as assert } from "node:assert";
import process from "node:process";
import { test } from "node:test";
import { WITHOUT_NATS } from "../nats/find.ts";
import { NatsServer } from "../nats/server.ts";
import { Client, type Message } from "./client.ts";
import { acquainted, membersKnown, sessionsKnown, startNode } from "./cluster_nodes.ts";

const CONFIG = {
  tenants: [{
    id: "acme",
    rooms: [{ match: "*", presence: true }],
    limits: { max_users_per_room: 3 },
    policy: {
      ext_allowlist: ["room:*", "chat:send"],
      sessions: { max_sessions_per_user: 2, on_exceed: "kick_oldest" },
    },
  }],
};

/** The next presence event, which must be of this kind and about this user. */
async function presence(client: Client, event: string, user: string): Promise<Message["data"]> {
  const { data } = await client.next("sys.presence", 30_000);
  assert.deepEqual([data.event, data.user], [event, user]);
  return data;
}

test("Joins and leaves on one node are told once on the others, with counts of all nodes", {
  skip: WITHOUT_NATS,
}, async () => {
  await using nats = await NatsServer.start();
  await using one = await startNode(nats, CONFIG, { name: "one" });
  await using two = await startNode(nats, CONFIG, { name: "two" });
  await acquainted(one, two);
  const ann = await Client.open(one, { user: "ann" });
  const { member } = await ann.join("r");
  await membersKnown(two, 1);
  const bob = await Client.open(two, { user: "bob" });
  assert.equal((await bob.join("r")).count, 2);
  assert.equal((await presence(bob, "join", "bob")).count, 2);
  assert.equal((await presence(ann, "join", "ann")).count, 1);
  assert.equal((await presence(ann, "join", "bob")).count, 2);
  await bob.leave("r");
  assert.equal((await presence(ann, "leave", "bob")).count, 1);
  const eve = await Client.open(two, { user: "eve" });
  await eve.join("r");
  await presence(eve, "join", "eve");
  await presence(ann, "join", "eve");
  await ann.close();
  const left = await presence(eve, "leave", "ann");
  assert.deepEqual([left.member, left.count, left.reason], [member, 1, undefined]);
  await eve.hearsNothing();
  await eve.close();
  await bob.close();
  await one.stop();
  await two.stop();
});

test(
  "A killed node's members leave once, soon, with the reason; a frozen one's later; a paused one's do not",
  {
    skip: WITHOUT_NATS,
  },
  async () => {
    await using nats = await NatsServer.start();
    await using one = await startNode(nats, CONFIG, { name: "one" });
    await using two = await startNode(nats, CONFIG, { name: "two" });
    await using three = await startNode(nats, CONFIG, { name: "three" });
    await acquainted(one, two, three);
    const ann = await Client.open(one, { user: "ann" }), bob = await Client.open(two, { user: "bob" });
    const eve = await Client.open(three, { user: "eve" });
    await ann.join("r");
    await presence(ann, "join", "ann");
    await bob.join("r");
    await presence(ann, "join", "bob");
    await eve.join("r");
    await presence(ann, "join", "eve");

    process.kill(three.pid, "SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, 2000));
    process.kill(three.pid, "SIGCONT");
    await eve.settled();
    await ann.hearsNothing();
    assert.equal((await one.metrics()).sum("wsprism_cluster_nodes_lost_total"), 0);

    await two.crash();
    const lost = await presence(ann, "leave", "bob");
    assert.deepEqual([lost.reason, lost.count], ["node_lost", 2]);
    process.kill(three.pid, "SIGSTOP");
    assert.deepEqual((await presence(ann, "leave", "eve")).reason, "node_lost");
    process.kill(three.pid, "SIGCONT");
    // It lives after all, and so do its members.
    await presence(ann, "join", "eve");
    await ann.hearsNothing();
    await ann.close();
    await eve.close();
    await one.stop();
    await three.stop();
  },
);

test("A user's sessions are one user's on all nodes: the same sid replaces, and the oldest gives way", {
  skip: WITHOUT_NATS,
}, async () => {
  await using nats = await NatsServer.start();
  await using one = await startNode(nats, CONFIG, { name: "one" });
  await using two = await startNode(nats, CONFIG, { name: "two" });
  await acquainted(one, two);
  const first = await Client.open(one, { user: "ann", sid: "phone" });
  await sessionsKnown(two, 1);
  const second = await Client.open(two, { user: "ann", sid: "phone" });
  await first.ended(4502);
  await sessionsKnown(one, 1);
  const third = await Client.open(one, { user: "ann", sid: "desk" });
  await sessionsKnown(two, 1);
  const fourth = await Client.open(one, { user: "ann", sid: "pad" });
  await third.ended(4501);
  await fourth.hearsNothing();
  await second.hearsNothing();

  const others = await Promise.all(["b", "c", "d"].map((user) => Client.open(two, { user })));
  for (const other of others) await other.join("full");
  await membersKnown(one, 3);
  fourth.send({ svc: "room", type: "join", room: "full" });
  await fourth.nextError("RESOURCE_EXHAUSTED");
  for (const client of [second, fourth, ...others]) await client.close();
  await one.stop();
  await two.stop();
});
