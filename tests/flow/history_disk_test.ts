// Rooms that are kept on disk: what goes on over a restart, what administrators do with it, and a tenant's disk that is full.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Admin, adminConfig } from "./admin_client.ts";
import { Client, type Message } from "./client.ts";
import { Folder, GatewayProcess } from "./gateway_process.ts";

const folder = new Folder();
after(() => folder[Symbol.dispose]());

const history = { max_messages: 10_000, max_bytes: 10_000_000, max_age_ms: 300_000, store: "disk" };
const config = {
  gateway: {
    state_dir: `${folder.path}/state`,
    state_max_bytes: 1_048_576,
    state_tenant_max_bytes: 65_536,
    drain_grace_ms: 0,
  },
  admin: adminConfig({ root: { tenants: ["*"], permissions: ["read", "publish"] } }),
  tenants: ["acme", "other"].map((id) => ({
    id,
    policy: { ext_allowlist: ["room:*", "chat:*"], rate_limit_rps: 10_000, rate_limit_burst: 10_000 },
    rooms: [{ match: "kept:*", history }],
  })),
};

const start = (mayComplain = false) => GatewayProcess.start(config, { keeps: folder.path, mayComplain });

/** Says something and waits for what becomes of it, past what else is heard. */
async function say(client: Client, room: string, msg: string, key?: string): Promise<Message> {
  const keyed = key === undefined ? {} : { key };
  client.send({ svc: "chat", type: "send", room, seq: 1, flags: 7, data: { msg }, ...keyed });
  for (;;) {
    const message = await client.take("what becomes of it");
    if (!(message instanceof Uint8Array) && (message.type === "ack" || message.type === "error")) {
      return message;
    }
  }
}

test("epoch, offsets, messages and keys go on over a restart", async () => {
  const room = "kept:restart";
  let first: Message["data"];
  {
    await using gateway = await start();
    const ann = await Client.open(gateway, { user: "ann" });
    await ann.join(room);
    first = (await say(ann, room, "a", "k1")).data;
    assert.equal(first.offset, 1);
    assert.equal((await say(ann, room, "b")).data.offset, 2);
    await gateway.stop();
  }
  await using gateway = await start();
  const ann = await Client.open(gateway, { user: "ann" });
  ann.send({ svc: "room", type: "join", room, data: { since: first } });
  const joined = (await ann.next("sys.joined")).data;
  assert.equal(joined.recovered, true, "a restart alone is no loss");
  assert.equal(joined.epoch, first.epoch);
  assert.equal(joined.offset, 2);
  assert.equal((await ann.next("chat.msg")).data.msg, "b");
  const again = (await say(ann, room, "a", "k1")).data;
  assert.deepEqual([again.duplicate, again.offset, again.epoch], [true, 1, first.epoch]);
  const next = (await say(ann, room, "c")).data;
  assert.deepEqual([next.offset, next.epoch], [3, first.epoch]);
  const ben = await Client.open(gateway, { tenant: "other" });
  ben.send({ svc: "room", type: "join", room, data: { since: { epoch: first.epoch, offset: 0 } } });
  const his = (await ben.next("sys.joined")).data;
  assert.deepEqual([his.recovered, his.reason, his.replayed], [false, "epoch", 0], "another tenant's room");
  await ben.close();
  await ann.close();
  await gateway.stop();
});

test("administrators read what a room keeps, and let go of it; then a new epoch begins", async () => {
  const room = "kept:admin";
  await using gateway = await start();
  const admin = await Admin.of(gateway, "root");
  const path = `/v1/tenants/acme/rooms/${encodeURIComponent(room)}/history`;
  const ann = await Client.open(gateway);
  await ann.join(room);
  const { epoch } = (await say(ann, room, "a")).data;
  await say(ann, room, "b");
  const page = await admin.good("GET", path);
  assert.deepEqual([page.epoch, page.first, page.last, page.more], [epoch, 1, 2, false]);
  assert.deepEqual(page.messages.map(({ offset }: { offset: number }) => offset), [1, 2]);
  const cleared = await admin.good("DELETE", path);
  assert.notEqual(cleared.epoch, epoch);
  const next = (await say(ann, room, "c")).data;
  assert.deepEqual([next.offset, next.epoch], [1, cleared.epoch]);
  const ben = await Client.open(gateway);
  ben.send({ svc: "room", type: "join", room, data: { since: { epoch, offset: 2 } } });
  const joined = (await ben.next("sys.joined")).data;
  assert.deepEqual([joined.recovered, joined.reason], [false, "epoch"]);
  await ben.close();
  await ann.close();
  await gateway.stop();
});

test("one idempotency key publishes in every room that is named, once", async () => {
  await using gateway = await start();
  const admin = await Admin.of(gateway, "root");
  const rooms = ["kept:one", "kept:two", "plain"];
  const ann = await Client.open(gateway);
  for (const room of rooms) await ann.join(room);
  const message = { to: { rooms }, svc: "news", type: "flash", data: 1, idempotency_key: "order-1" };
  for (let time = 0; time < 2; time++) await admin.good("POST", "/v1/tenants/acme/publish", message);
  const heard = (await ann.settled()) as Message[];
  assert.deepEqual(heard.map(({ room }) => room).sort(), rooms.toSorted());
  await ann.close();
  await gateway.stop();
});

test("an idempotency key is known after a crash, and another message under it is refused", async () => {
  const message = {
    to: { rooms: ["kept:orders"] },
    svc: "news",
    type: "flash",
    data: 1,
    idempotency_key: "order-2",
  };
  const publish = async (more: object = {}) => {
    const admin = await Admin.of(gateway, "root");
    return await admin.ask("POST", "/v1/tenants/acme/publish", { ...message, ...more });
  };
  let gateway = await start(true);
  after(() => gateway.kill());
  const first = (await publish()).body;
  assert.deepEqual([first.stored[0].offset, first.stored[0].duplicate], [1, false]);
  assert.deepEqual((await publish()).body, first, "answered as before");
  await gateway.crash();
  gateway = await start();
  const again = (await publish()).body;
  assert.deepEqual(again.stored, [{ ...first.stored[0], duplicate: true }]);
  const other = await publish({ data: 2 });
  assert.match(JSON.stringify(other.body), /idempotency_key was used for another message already/);
  const admin = await Admin.of(gateway, "root");
  const path = `/v1/tenants/acme/rooms/${encodeURIComponent("kept:orders")}/history`;
  assert.equal((await admin.good("GET", path)).last, 1);
  await gateway.stop();
});

test("who looks at a room that nobody has used begins none, and a key of the API is known in each room", async () => {
  await using gateway = await start();
  const admin = await Admin.of(gateway, "root");
  for (const method of ["GET", "DELETE"]) {
    const { status } = await admin.ask(method, "/v1/tenants/acme/rooms/kept:never/history");
    assert.equal(status, 404, method);
  }
  const message = { to: { rooms: ["kept:k1", "kept:k2"] }, svc: "news", type: "flash", data: 1, key: "once" };
  for (const duplicate of [false, true]) {
    const { stored } = await admin.good("POST", "/v1/tenants/acme/publish", message);
    assert.deepEqual(stored.map((one: { duplicate: boolean }) => one.duplicate), [duplicate, duplicate]);
  }
  const bad = await admin.ask("POST", "/v1/tenants/acme/publish", { ...message, idempotency_key: "x" });
  assert.equal(bad.status, 400);
  await gateway.stop();
});

test("a tenant that may keep no more is refused with UNAVAILABLE, without holes, and goes on when there is room", async () => {
  const room = "kept:full";
  await using gateway = await start(true);
  const admin = await Admin.of(gateway, "root");
  const ann = await Client.open(gateway);
  await ann.join(room);
  const text = "x".repeat(3000);
  let last = 0, refused: Message | null = null;
  for (let i = 0; i < 40 && refused === null; i++) {
    const answer = await say(ann, room, text);
    if (answer.type === "error") refused = answer;
    else assert.equal(answer.data.offset, ++last);
  }
  assert.equal(refused?.data.code, "UNAVAILABLE");
  const other = await Client.open(gateway, { tenant: "other" });
  await other.join(room);
  assert.equal((await say(other, room, text)).data.offset, 1, "another tenant has room");
  await admin.good("DELETE", `/v1/tenants/acme/rooms/${encodeURIComponent(room)}/history`);
  assert.equal((await say(ann, room, text)).data.offset, 1);
  await other.close();
  await ann.close();
  await gateway.stop();
});
