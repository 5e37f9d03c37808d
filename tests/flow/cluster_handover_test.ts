// Sessions that move between nodes because their clients come back to another one: nobody notices but the nodes.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { WITHOUT_NATS } from "../nats/find.ts";
import { NatsServer } from "../nats/server.ts";
import { Admin, adminConfig } from "./admin_client.ts";
import { Client } from "./client.ts";
import { acquainted, membersKnown, metricsOf, startNode } from "./cluster_nodes.ts";
import { type GatewayProcess, until } from "./gateway_process.ts";
import { RecoveringClient } from "./recovering_client.ts";
import { ALL_DOORS, doorsOf } from "./wires.ts";

const SKIP = { skip: WITHOUT_NATS };

function config(more: object = {}): object {
  return {
    gateway: { drain_grace_ms: 0 },
    tenants: [{
      id: "acme",
      resume: { window_ms: 30_000 },
      rooms: [{ match: "*", presence: true }],
      policy: {
        ext_allowlist: ["room:*", "chat:send", "sys:ping"],
        rate_limit_rps: 10_000,
        rate_limit_burst: 10_000,
      },
      ...more,
    }],
  };
}

const said = (msg: string, room = "r") => ({ svc: "chat", type: "send", room, data: { msg } });

/** Resolves when a client hears nothing any more that was said before. */
async function caughtUp(client: RecoveringClient): Promise<void> {
  const pongs = () => client.messages.filter(({ type }) => type === "pong").length, before = pongs();
  client.ping();
  await client.until(() => pongs() > before, "an answer");
}

test(
  "A client that comes back to another node finds its session there, and its rooms have not noticed",
  SKIP,
  async () => {
    await using nats = await NatsServer.start();
    await using one = await startNode(nats, config(), { name: "one" });
    await using two = await startNode(nats, config(), { name: "two" });
    await acquainted(one, two);
    const bob = await Client.open(two, { user: "bob" });
    await bob.join("r");
    await bob.next("sys.presence");
    const ann = new RecoveringClient(one, { user: "ann", sid: "tab" });
    const authed = await ann.connect();
    ann.send({ svc: "room", type: "join", room: "r", seq: 1 });
    const heard = (type: string) => ann.messages.some((message) => message.type === type);
    await ann.until(() => heard("joined") && heard("presence"), "to be in the room");
    const { member } = ann.messages.find(({ type }) => type === "joined")!.data;
    assert.equal((await bob.next("sys.presence")).data.count, 2);
    ann.cut();
    await until(
      "it to be away",
      async () => (await one.metrics()).sum("wsprism_sessions_detached") === 1 ? true : null,
    );
    bob.send(said("while away"));
    await bob.next("chat.msg");
    ann.turnTo(two);
    const resumed = await ann.connect({ ticket: false });
    assert.deepEqual([resumed.type, "data" in resumed && resumed.data.session], [
      "resumed",
      "data" in authed && authed.data.session,
    ]);
    assert.equal("data" in resumed && resumed.data.node, "two");
    assert.equal("data" in resumed && resumed.data.replay, 1);
    ann.send(said("here again"));
    await caughtUp(ann);
    assert.deepEqual(ann.chat, ["while away", "here again"]);
    assert.deepEqual((await bob.next("chat.msg")).data.msg, "here again");
    bob.send({ svc: "room", type: "members", room: "r", seq: 5 });
    const { data } = await bob.next("room.reply");
    assert.deepEqual(
      data.members.map((
        one: { user: string; member: number },
      ) => [one.user, one.user === "ann" && one.member]),
      [["bob", false], ["ann", member]],
    );
    await bob.hearsNothing();
    assert.equal((await one.metrics()).sum("wsprism_sessions_detached"), 0);
    assert.equal((await one.metrics()).sum("wsprism_cluster_members"), 2);
    assert.equal((await two.metrics()).sum("wsprism_cluster_members"), 0);
    ann.close(1000);
    assert.deepEqual([(await bob.next("sys.presence")).data.event], ["leave"]);
    await membersKnown(one, 1);
    await bob.close();
    await one.stop();
    await two.stop();
  },
);

test(
  "Moving from node to node under traffic, a session hears everything once, and each speaker in order",
  SKIP,
  async () => {
    await using nats = await NatsServer.start();
    const names = ["one", "two", "three"];
    await using one = await startNode(nats, config({ rooms: [] }), { name: "one" });
    await using two = await startNode(nats, config({ rooms: [] }), { name: "two" });
    await using three = await startNode(nats, config({ rooms: [] }), { name: "three" });
    const nodes = [one, two, three];
    await acquainted(...nodes);
    const speakers = await Promise.all(nodes.map((node, i) => Client.open(node, { user: `speaker-${i}` })));
    const ann = new RecoveringClient(one, { user: "ann" });
    await ann.connect();
    for (const room of ["r", "q"]) {
      ann.send({ svc: "room", type: "join", room, seq: 1, data: { presence: true } });
    }
    await ann.until(() => ann.messages.filter(({ type }) => type === "joined").length === 2, "to be in");
    for (const speaker of speakers) for (const room of ["r", "q"]) await speaker.join(room);
    await membersKnown(one, 4);
    let count = 0, speaking = true;
    const spoken = (async () => {
      while (speaking) {
        speakers.forEach((speaker, i) => {
          for (const room of ["r", "q"]) speaker.send(said(`${i} ${room} ${count}`, room));
        });
        count++;
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    })();
    for (let move = 1; move <= 30; move++) {
      const before = ann.chat.length;
      await ann.until(() => ann.chat.length > before + 20, "some talk");
      if (move % 3 > 0) ann.cut();
      ann.turnTo(nodes[move % 3]!);
      const arrival = await ann.connect({ ticket: false });
      assert.equal(arrival.type, "resumed", `move ${move} to ${names[move % 3]}: ${JSON.stringify(arrival)}`);
    }
    speaking = false;
    await spoken;
    await ann.until(() => ann.chat.length >= count * 6, "all that was said");
    await caughtUp(ann);
    for (let i = 0; i < speakers.length; i++) {
      for (const room of ["r", "q"]) {
        assert.deepEqual(
          ann.chat.filter((text) => text.startsWith(`${i} ${room} `)),
          Array.from({ length: count }, (_, n) => `${i} ${room} ${n}`),
        );
      }
    }
    const comings = ann.messages.filter(({ type }) => type === "presence").map(({ data }) => data.event);
    assert.equal(comings.includes("leave"), false);
    await until("one place", async () => {
      const members = await Promise.all(
        nodes.map(async (node) => (await node.metrics()).sum("wsprism_cluster_members")),
      );
      return members.reduce((sum, n) => sum + n, 0) === 16 ? true : null;
    });
    for (const speaker of speakers) await speaker.close();
    ann.close(1000);
    for (const node of nodes) await node.stop();
  },
);

test("By whichever door a client comes to the other node, its session has gone there", SKIP, async () => {
  await using nats = await NatsServer.start();
  const settings = { ...config({ rooms: [] }), gateway: { drain_grace_ms: 0, ...ALL_DOORS.gateway } };
  await using one = await startNode(nats, settings, { name: "one", ...ALL_DOORS.options });
  await using two = await startNode(nats, settings, { name: "two", ...ALL_DOORS.options });
  await acquainted(one, two);
  const [here, there] = [await doorsOf(one), await doorsOf(two)], names = Object.keys(here);
  for (const [i, name] of names.entries()) {
    const room = `by-${name}`, bob = await Client.open(two, { user: "bob" });
    await bob.join(room);
    const ann = new RecoveringClient(one, { user: `ann-${name}` }, here[name]);
    await ann.connect();
    ann.send({ svc: "room", type: "join", room, seq: 1 });
    await ann.until(() => ann.messages.some(({ type }) => type === "joined"), "to be in the room");
    await until(
      "bob to know",
      async () => (await two.metrics()).sum("wsprism_cluster_members") === 1 ? true : null,
    );
    ann.cut();
    bob.send(said("by any way", room));
    // The same door, and then the next one.
    for (const dial of [there[name]!, here[names[(i + 1) % names.length]!]!]) {
      ann.cut();
      ann.turnTo(Object.values(there).includes(dial) ? two : one, dial);
      assert.equal((await ann.connect({ ticket: false })).type, "resumed", name);
      ann.send(said("here", room));
      await caughtUp(ann);
    }
    assert.deepEqual(ann.chat, ["by any way", "here", "here"], name);
    ann.close(1000);
    await bob.close();
    await until(
      "ann to be gone",
      async () => (await two.metrics()).sum("wsprism_cluster_members") === 0 ? true : null,
    );
  }
  await one.stop();
  await two.stop();
});

test("Who is banned while its session moves is not let in by that", SKIP, async () => {
  await using nats = await NatsServer.start();
  const admin = adminConfig({ root: { tenants: ["*"], permissions: ["read", "disconnect"] } });
  await using one = await startNode(nats, { ...config(), admin }, { name: "one" });
  await using two = await startNode(nats, { ...config(), admin }, { name: "two" });
  await acquainted(one, two);
  for (let i = 0; i < 20; i++) {
    const user = `ann-${i}`, ann = new RecoveringClient(one, { user });
    await ann.connect();
    ann.send({ svc: "room", type: "join", room: "r", seq: 1 });
    await ann.until(() => ann.messages.some(({ type }) => type === "joined"), "to be in the room");
    ann.turnTo(two);
    const { ask } = await Admin.of(i % 2 === 0 ? one : two, "root").then((root) => ({
      ask: root.ask.bind(root),
    }));
    const moving = ann.connect({ ticket: false });
    await new Promise((resolve) => setTimeout(resolve, i / 2));
    const banned = await ask("POST", `/v1/tenants/acme/users/${user}/ban`, { for_ms: 60_000 });
    assert.equal(banned.status, 200, JSON.stringify(banned.body));
    await moving;
    await until("it to be out", () => ann.isConnected ? null : true);
  }
  await until("nobody to be left", async () => {
    const left = await Promise.all(
      [one, two].map(async (node) => (await metricsOf(node)).sum("wsprism_rooms_active")),
    );
    return left.every((count) => count === 0) ? true : null;
  });
  for (const node of [one, two]) await node.stop();
});

/** A client that goes to the next node whenever its connection ends. */
class Resident {
  readonly client: RecoveringClient;
  moves = 0;
  /** Why it could not come back to its session. */
  fault: string | null = null;
  readonly #nodes: readonly { readonly node: GatewayProcess }[];
  #at: number;
  #isGone = false;

  constructor(nodes: readonly { readonly node: GatewayProcess }[], user: string, at: number) {
    this.#nodes = nodes;
    this.#at = at;
    this.client = new RecoveringClient(nodes[at]!.node, { user });
  }

  async open(): Promise<void> {
    await this.client.connect();
    void this.#stay();
  }

  leave(): void {
    this.#isGone = true;
    this.client.close(1000);
  }

  async #stay(): Promise<void> {
    for (;;) {
      while (this.client.isConnected) await new Promise((resolve) => setTimeout(resolve, 5));
      if (this.#isGone) return;
      for (let arrival = "lost"; arrival !== "resumed";) {
        this.#at = (this.#at + 1) % this.#nodes.length;
        this.client.turnTo(this.#nodes[this.#at]!.node);
        const came = await this.client.connect({ ticket: false });
        arrival = came.type;
        // 503: it drains, or does not serve yet.
        if (came.type === "authed" || came.type === "refused" && came.status !== 503) {
          this.fault ??= `${this.#at}: ${JSON.stringify(came)}`;
          return;
        }
        if (arrival !== "resumed") await new Promise((resolve) => setTimeout(resolve, 20));
      }
      this.moves++;
    }
  }
}

test(
  "Three nodes are restarted one after the other, and nobody has lost a message, heard one twice or left a room",
  SKIP,
  async () => {
    await using nats = await NatsServer.start();
    const settings = {
      ...config({ rooms: [{ match: "kept", history: { store: "nats", max_messages: 10_000 } }] }),
      gateway: { drain_grace_ms: 500 },
    };
    const start = (name: string) => startNode(nats, settings, { name });
    const names = ["one", "two", "three"];
    const nodes = await Promise.all(names.map(async (name) => ({ node: await start(name) })));
    try {
      await acquainted(...nodes.map(({ node }) => node));
      const residents = Array.from({ length: 24 }, (_, i) => new Resident(nodes, `u${i}`, i % 3));
      const clients = residents.map(({ client }) => client);
      for (const resident of residents) await resident.open();
      const rooms = ["plain", "kept"];
      for (const client of clients) {
        for (const room of rooms) {
          client.send({ svc: "room", type: "join", room, seq: 1, data: { presence: true } });
        }
      }
      const isIn = ({ messages }: RecoveringClient) =>
        messages.filter(({ type }) => type === "joined").length === 2;
      for (const client of clients) await client.until(() => isIn(client), "to be in both rooms");
      await acquainted(...nodes.map(({ node }) => node));
      await Promise.all(nodes.map(({ node }) => membersKnown(node, 32)));
      let count = 0, isSpeaking = true;
      const speaking = (async () => {
        while (isSpeaking) {
          clients.forEach((client, i) => client.send(said(`${i} ${count}`, rooms[i % 2])));
          count++;
          await new Promise((resolve) => setTimeout(resolve, 40));
        }
      })();
      for (const place of nodes) {
        const { node } = place;
        const before = count;
        await until("some talk", () => count > before + 10 ? true : null);
        await node.stop();
        await until("everybody elsewhere", () => {
          for (const { fault } of residents) assert.equal(fault, null);
          return clients.every(({ isConnected }) => isConnected) ? true : null;
        });
        place.node = await start(names[nodes.indexOf(place)]!);
        await acquainted(...nodes.map(({ node }) => node));
      }
      isSpeaking = false;
      await speaking;
      for (const client of clients) {
        await client.until(() => client.chat.length >= count * clients.length, "all that was said");
        await caughtUp(client);
        for (let i = 0; i < clients.length; i++) {
          assert.deepEqual(
            client.chat.filter((text) => text.startsWith(`${i} `)),
            Array.from({ length: count }, (_, n) => `${i} ${n}`),
          );
        }
        const left = client.messages.filter(({ type, data }) =>
          type === "presence" && data.event === "leave"
        );
        assert.deepEqual(left, []);
      }
      assert.ok(residents.every(({ moves }) => moves > 0), "everybody has moved");
      for (const resident of residents) resident.leave();
    } finally {
      for (const { node } of nodes) await node.stop();
    }
  },
);
