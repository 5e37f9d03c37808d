// Gateways whose NATS is three servers, and gateways that have one port together.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { WITHOUT_NATS } from "../nats/find.ts";
import { freePort, NatsCluster } from "../nats/three.ts";
import { Client } from "./client.ts";
import { acquainted, membersKnown } from "./cluster_nodes.ts";
import { GatewayProcess, NATIVE_DENO, TARGET, until } from "./gateway_process.ts";
import { NatsServer } from "../nats/server.ts";

const TENANTS = [{
  id: "acme",
  rooms: [{ match: "*", presence: true }],
  policy: { ext_allowlist: ["room:*", "chat:send"] },
}];

test(
  "When one of three NATS servers dies, the gateways that were on it go on with another, and nobody leaves",
  {
    skip: WITHOUT_NATS,
  },
  async () => {
    await using nats = await NatsCluster.start();
    const [first, second] = nats.servers;
    // Each begins on a server of its own.
    const start = (name: string, url: string) =>
      GatewayProcess.start({ cluster: { nats: { servers: [url] }, node: name }, tenants: TENANTS });
    await using one = await start("one", first!.url);
    await using two = await start("two", second!.url);
    for (const node of [one, two]) await node.logged("joined the cluster", () => true, 30_000);
    await acquainted(one, two);
    const ann = await Client.open(one, { user: "ann" }), bob = await Client.open(two, { user: "bob" });
    await ann.join("r");
    await membersKnown(two, 1);
    await bob.join("r");
    await membersKnown(one, 1);
    await bob.settled();
    await ann.settled();
    await first!.kill();
    for (const link of ["reliable", "hot"]) {
      await one.logged("NATS is back", (line) => line["link"] === link, 30_000);
    }
    await until(
      "ready",
      async () => (await one.get("/readyz")).body === "ready" ? true : null,
      30_000,
    );
    ann.send({ svc: "chat", type: "send", room: "r", data: { msg: "still here" } });
    assert.equal((await bob.next("chat.msg")).data.msg, "still here");
    bob.send({ svc: "chat", type: "send", room: "r", data: { msg: "so am I" } });
    await bob.next("chat.msg");
    assert.equal((await ann.next("chat.msg")).data.msg, "still here");
    assert.equal((await ann.next("chat.msg")).data.msg, "so am I");
    assert.equal((await one.metrics()).sum("wsprism_cluster_nodes_lost_total"), 0);
    for (const client of [ann, bob]) await client.hearsNothing();
    for (const client of [ann, bob]) await client.close();
    await one.stop();
    await two.stop();
  },
);

test(
  "Processes with one port are nodes of one cluster, and when one is killed its port goes on with the other",
  {
    skip: WITHOUT_NATS !== false ? WITHOUT_NATS : NATIVE_DENO ? "not with this transport" : false,
  },
  async () => {
    await using nats = await NatsServer.start();
    const port = await freePort();
    const start = (name: string) =>
      GatewayProcess.start({
        gateway: { listen: `127.0.0.1:${port}`, reuse_port: true },
        cluster: { nats: { servers: [nats.url] }, node: name },
        tenants: TENANTS,
      }, { target: TARGET });
    await using one = await start("one");
    await using two = await start("two");
    for (const node of [one, two]) await node.logged("joined the cluster", () => true, 30_000);
    for (const node of [one, two]) await node.logged("node has come", () => true, 30_000);
    assert.equal(one.port, two.port);
    // The kernel spreads connections by chance: both are met sooner or later.
    const met = new Map<string, Client>();
    while (met.size < 2) {
      const client = await Client.open(one);
      if (met.has(client.authed.node)) await client.close();
      else met.set(client.authed.node, client);
    }
    const ann = met.get("one")!, bob = met.get("two")!;
    await ann.join("r");
    await until(
      "the other to know",
      async () => (await bob.join("r")).count === 2 ? true : (await bob.leave("r"), null),
    );
    await ann.settled();
    await bob.settled();
    ann.send({ svc: "chat", type: "send", room: "r", data: { msg: "hello" } });
    assert.equal((await bob.next("chat.msg")).data.msg, "hello");
    await one.crash();
    assert.equal((await bob.next("sys.presence", 30_000)).data.reason, "node_lost");
    const eve = await Client.open(two);
    assert.equal(eve.authed.node, "two");
    for (const client of [bob, eve]) await client.close();
    await two.stop();
  },
);
