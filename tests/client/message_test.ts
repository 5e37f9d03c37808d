import { strict as assert } from "node:assert";
import { test } from "node:test";
import { connected, fate, stage } from "./start.ts";

test("A request brings its reply, and a refusal its code", async () => {
  const { clock, client } = await connected();
  const [reply, refused] = [client.request("echo", "say", { a: 1 }), fate(client.request("nobody", "say"))];
  await clock.pass(10);
  assert.deepEqual([await reply, await refused], [{ a: 1 }, "NOT_FOUND"]);
});

test("A request ends by its time or its signal, and a late reply disturbs nobody", async () => {
  const { clock, client, gateway } = await connected();
  gateway.intercept = ({ svc }) => svc === "echo";
  const late = fate(client.request("echo", "say", 1, { timeoutMs: 500 }));
  const control = new AbortController();
  const aborted = fate(client.request("echo", "say", 2, { signal: control.signal }));
  control.abort(new Error("no longer wanted"));
  assert.equal(await aborted, "Error: no longer wanted");
  await clock.pass(501);
  assert.equal(await late, "TIMEOUT");
  const heard: unknown[] = [];
  client.on("echo", "reply", (data) => heard.push(data));
  gateway.say(gateway.link.session!, { svc: "echo", type: "reply", seq: 1, data: "late" });
  await clock.pass(5);
  assert.deepEqual(heard, ["late"]);
  assert.equal(
    await fate(client.request("echo", "say", 3, { signal: AbortSignal.abort(new Error("before")) })),
    "Error: before",
  );
});

test("Offline, a message is refused at once", async () => {
  const { clock, client, gateway } = stage();
  assert.equal(await fate(client.send("echo", "say")), "OFFLINE");
  void client.connect();
  assert.equal(await fate(client.request("echo", "say")), "OFFLINE");
  await clock.pass(10);
  gateway.link.cut();
  assert.equal(await fate(client.send("echo", "say")), "OFFLINE");
});

test("An outbox keeps messages while offline, so many and for so long", async () => {
  const { clock, client, gateway } = stage({}, { outbox: { max: 2, ttlMs: 5000 } });
  gateway.refuses = () => true;
  void client.connect();
  const first = fate(client.request("echo", "say", 1));
  await clock.pass(4000);
  const second = fate(client.request("echo", "say", 2));
  assert.equal(await fate(client.request("echo", "say", 3)), "OUTBOX_FULL");
  await clock.pass(1001);
  assert.equal(await first, "EXPIRED");
  gateway.refuses = () => false;
  await clock.pass(3999);
  assert.equal(await second, 2);
  assert.deepEqual(gateway.taken.map(({ data }) => data), [2]);
});

test("A message that was sent, and may have been taken, is not sent twice by itself", async () => {
  const { clock, client, gateway } = await connected({}, { outbox: true });
  const sent = fate(client.request("echo", "say", 1));
  await clock.pass(1);
  gateway.link.cut();
  assert.equal(await sent, "CONNECTION_LOST");
  await clock.pass(1100);
  assert.equal(gateway.taken.length, 1);
});

test("A message larger than the tenant allows is refused here, and its bytes are counted", async () => {
  const { clock, client, gateway } = await connected({ maxFrameBytes: 300 });
  assert.equal(await fate(client.request("echo", "say", "x".repeat(400))), "PAYLOAD_TOO_LARGE");
  assert.equal(await fate(client.request("echo", "say", "ü".repeat(140))), "PAYLOAD_TOO_LARGE");
  const fits = client.request("echo", "say", "x".repeat(200));
  await clock.pass(10);
  assert.equal((await fits as string).length, 200);
  assert.equal(gateway.links.length, 1);
});

test("Messages of no room, and the gateway's own, can be listened to by service and type", async () => {
  const { clock, client, gateway } = await connected();
  const heard: unknown[] = [];
  const off = client.on<{ n: number }>("orders", "filled", ({ n }) => heard.push(n));
  client.on<{ lane: string }>("sys", "gap", ({ lane }) => heard.push(lane));
  const { session } = gateway.link;
  gateway.say(session!, { svc: "orders", type: "filled", data: { n: 1 } });
  gateway.say(session!, { svc: "sys", type: "gap", data: { lane: "lossy" } });
  await clock.pass(5);
  off();
  gateway.say(session!, { svc: "orders", type: "filled", data: { n: 2 } });
  await clock.pass(5);
  assert.deepEqual(heard, [1, "lossy"]);
});

test("A caller's own key is sent as it is, to any service", async () => {
  const { clock, client, gateway } = await connected();
  void fate(client.send("orders", "place", 1, { key: "order-7" }));
  await clock.pass(5);
  assert.equal(gateway.taken[0].key, "order-7");
});

test("What is disposed of fails at once: what was sent may have arrived, what was not has not", async () => {
  const { clock, client, gateway } = await connected();
  gateway.intercept = () => true;
  const fates = [
    fate(client.request("echo", "say")),
    fate(client.join("lobby")),
    fate(client.send("a", "b")),
  ];
  const gone = client.dispose();
  assert.deepEqual(await Promise.all(fates), ["CONNECTION_LOST", "CLOSED", "CONNECTION_LOST"]);
  await clock.pass(2000);
  await gone;
  assert.equal(clock.waiting, 0);
});
