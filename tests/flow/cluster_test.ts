// Several nodes as their users have them: real gateways, a real NATS.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { WITHOUT_NATS } from "../nats/find.ts";
import { NatsServer } from "../nats/server.ts";
import { Client, hot } from "./client.ts";
import { acquainted, membersKnown, startNode } from "./cluster_nodes.ts";

const TENANT = {
  id: "acme",
  hot_services: [{ id: 1, kind: "relay", lane: "latest" }, { id: 2, kind: "state", tick_ms: 20 }],
  policy: {
    ext_allowlist: ["room:*", "chat:send"],
    hot_allowlist: ["1:*", "2:*"],
    sessions: { max_sessions_per_user: 2, on_exceed: "kick_oldest" },
  },
};
const CONFIG = { tenants: [TENANT] };

test(
  "Who joins a room with state gets what members on other nodes have",
  { skip: WITHOUT_NATS },
  async () => {
    await using nats = await NatsServer.start();
    await using one = await startNode(nats, CONFIG, { name: "one" });
    await using two = await startNode(nats, CONFIG, { name: "two" });
    await using three = await startNode(nats, CONFIG, { name: "three" });
    await acquainted(one, two, three);
    const ann = await Client.open(one, { user: "ann" }), bob = await Client.open(two, { user: "bob" });
    await ann.join("r");
    await membersKnown(two, 1);
    await bob.join("r");
    await membersKnown(one, 1);
    ann.binary(hot(2, 7, { payload: [1] }));
    assert.deepEqual([...await bob.nextBytes()].slice(-1), [1]);
    bob.binary(hot(2, 7, { payload: [2] }));
    assert.deepEqual([...await ann.nextBytes()].slice(-1), [2]);
    const eve = await Client.open(three, { user: "eve" });
    await eve.join("r");
    const states = [[...await eve.nextBytes()].at(-1), [...await eve.nextBytes()].at(-1)];
    assert.deepEqual(states.sort(), [1, 2]);
    for (const client of [ann, bob, eve]) await client.close();
    for (const node of [one, two, three]) await node.stop();
  },
);

test("Messages of both lanes reach the members of a room on every node, and nobody twice", {
  skip: WITHOUT_NATS,
}, async () => {
  await using nats = await NatsServer.start();
  await using one = await startNode(nats, CONFIG, { name: "one" });
  await using two = await startNode(nats, CONFIG, { name: "two" });
  await acquainted(one, two);
  const ann = await Client.open(one, { user: "ann" }), bob = await Client.open(two, { user: "bob" });
  assert.deepEqual([ann.authed.node, bob.authed.node], ["one", "two"]);
  const annsNumber = (await ann.join("r")).member;
  await membersKnown(two, 1);
  const { member: bobsNumber, count } = await bob.join("r");
  assert.equal(count, 2);
  assert.notEqual(annsNumber, bobsNumber);
  ann.send({ svc: "chat", type: "send", room: "r", data: { msg: "hello" } });
  for (const who of [ann, bob]) {
    assert.deepEqual((await who.next("chat.msg")).data, { from: "ann", msg: "hello" });
  }
  await membersKnown(one, 1);
  bob.binary(hot(1, 7, { payload: [42] }));
  const heard = await ann.nextBytes();
  assert.deepEqual([...heard.slice(-1)], [42]);
  ann.send({ svc: "room", type: "members", room: "r", seq: 1 });
  const { members, count: all } = (await ann.next("room.reply")).data;
  const named = [[annsNumber, "ann"], [bobsNumber, "bob"]].sort();
  assert.deepEqual(
    members.map((one: { member: number; user: string }) => [one.member, one.user]).sort(),
    named,
  );
  assert.equal(all, 2);
  for (const who of [ann, bob]) await who.hearsNothing();
  await ann.close();
  await bob.close();
  await one.stop();
  await two.stop();
});
