// What becomes of several nodes while NATS is away, and once it is back.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { WITHOUT_NATS } from "../nats/find.ts";
import { NatsServer } from "../nats/server.ts";
import { Client } from "./client.ts";
import { acquainted, membersKnown, startNode } from "./cluster_nodes.ts";
import { GatewayProcess, until } from "./gateway_process.ts";

const CONFIG = {
  tenants: [{
    id: "acme",
    rooms: [{ match: "*", presence: true }],
    policy: { ext_allowlist: ["room:*", "chat:send"] },
  }],
};

test(
  "A gateway that starts without NATS waits, and says so; then it serves",
  { skip: WITHOUT_NATS },
  async () => {
    await using nats = await NatsServer.start();
    await nats.kill();
    await using node = await GatewayProcess.start({ cluster: { nats: { servers: [nats.url] } }, ...CONFIG });
    const ready = await node.get("/readyz");
    assert.deepEqual([ready.status, ready.body], [503, "waiting for the cluster"]);
    await assert.rejects(Client.open(node, {}), /503/);
    await nats.resume();
    await node.logged("joined the cluster", () => true, 30_000);
    assert.equal((await node.get("/readyz")).body, "ready");
    const client = await Client.open(node, {});
    await client.close();
    await node.stop();
  },
);

test(
  "While NATS is away nodes serve those they have, and once it is back they agree again, with nobody told twice",
  {
    skip: WITHOUT_NATS,
  },
  async () => {
    await using nats = await NatsServer.start();
    await using one = await startNode(nats, CONFIG, { name: "one" });
    await using two = await startNode(nats, CONFIG, { name: "two" });
    await acquainted(one, two);
    const ann = await Client.open(one, { user: "ann" }), bob = await Client.open(two, { user: "bob" });
    const eve = await Client.open(two, { user: "eve" });
    await ann.join("r");
    await membersKnown(two, 1);
    await bob.join("r");
    await membersKnown(one, 1);
    await ann.settled();
    await bob.settled();
    await nats.kill();
    const degraded = async (node: GatewayProcess) =>
      (await node.get("/readyz")).body === "degraded" ? true : null;
    for (const node of [one, two]) await until("degraded", () => degraded(node), 30_000);
    ann.send({ svc: "chat", type: "send", room: "r", seq: 1, data: { msg: "alone" } });
    assert.deepEqual((await ann.settled()).map((message) => "type" in message && message.type), ["msg"]);
    // Somebody new while nobody can be told.
    await eve.join("r");
    await bob.settled();
    const late = await Client.open(one, { user: "late" });
    await late.close();
    await nats.resume();
    for (const node of [one, two]) {
      await until("ready", async () => (await node.get("/readyz")).body === "ready" ? true : null, 30_000);
    }
    await membersKnown(one, 2);
    const told = (await ann.settled()).map((message) =>
      "data" in message && [message.data.event, message.data.user]
    );
    assert.deepEqual(told, [["join", "eve"]]);
    await bob.hearsNothing();
    ann.send({ svc: "chat", type: "send", room: "r", data: { msg: "together" } });
    assert.equal((await bob.next("chat.msg")).data.msg, "together");
    for (const client of [ann, bob, eve]) await client.close();
    await one.stop();
    await two.stop();
  },
);
