// Thousands of sessions come and go, politely and not, and nothing of them stays.

import assert from "node:assert/strict";
import { test } from "node:test";
import { closePayload, frame, OP, RawClient } from "../raw_client.ts";
import { Client, hot, target } from "./client.ts";
import { lastly, sharedGateway, until } from "./gateway_process.ts";

const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  tenants: [{
    id: "acme",
    limits: { max_rooms_total: 40, max_rooms_per_user: 3 },
    hot_services: [{ id: 1, kind: "echo" }, { id: 2, kind: "relay" }, { id: 3, kind: "state", tick_ms: 10 }],
    policy: { ext_allowlist: ["room:*", "chat:send"], hot_allowlist: ["1:*", "2:*", "3:*"] },
  }],
});

/** How a session ends: the ways of the world in turn. */
const ENDS: readonly ((client: RawClient) => void)[] = [
  (client) => client.close(1000),
  (client) => client.destroy(),
  (client) => client.reset(),
  (client) => client.end(),
  // In the middle of a frame.
  (client) => {
    client.send(frame(OP.text, "x".repeat(100)).subarray(0, 50));
    client.destroy();
  },
  (client) => {
    client.text("not an envelope");
    client.destroy();
  },
  (client) => {
    client.send(frame(OP.close, closePayload(1001)));
    client.end();
  },
];

let born = 0;

/** One session: it enters, joins two rooms, says something on both lanes, and is left to `ends`. */
async function live(): Promise<RawClient> {
  const number = born++;
  const client = await RawClient.open(gateway.port, target({ user: `churn-${number}` }));
  for (const room of [number % 20, 20 + number % 20]) {
    client.text(JSON.stringify({ v: 1, svc: "room", type: "join", room: `room ${room}`, seq: room }));
  }
  client.binary(hot(3, 1, { payload: [number & 255] }));
  client.binary(hot(2, 1, { payload: [1] }));
  client.text(
    JSON.stringify({ v: 1, svc: "chat", type: "send", room: `room ${number % 20}`, data: { msg: "hello" } }),
  );
  // The ack of the second join: it is in.
  for (;;) {
    const { opcode, payload } = await client.frame();
    if (opcode === OP.text && payload.includes('"joined"') && payload.includes(`room ${20 + number % 20}`)) {
      break;
    }
  }
  return client;
}

/** Sessions come one after the other in each of these lines, and are kept a while before they end. */
async function wave(lines: number, length: number, kept: number): Promise<void> {
  await Promise.all(Array.from({ length: lines }, async () => {
    const here: RawClient[] = [];
    const over: Promise<void>[] = [];
    const goodbye = () => {
      const client = here.shift()!;
      ENDS[born % ENDS.length]!(client);
      over.push(client.gone);
    };
    for (let i = 0; i < length; i++) {
      here.push(await live());
      if (here.length > kept) goodbye();
    }
    while (here.length > 0) goodbye();
    await Promise.all(over);
  }));
}

test("over 3,000 sessions come and go in waves, and nothing of them stays", async () => {
  await wave(20, 30, 5);
  await gateway.empty();
  const settled = gateway.residentBytes();
  for (let i = 0; i < 4; i++) await wave(20, 34, 5);
  await gateway.empty();
  assert.equal(born, 20 * 30 + 4 * 20 * 34);
  const metrics = await gateway.metrics();
  assert.equal(metrics.sum("wsprism_ws_upgrades_total", { status: "ok" }), born);
  assert.equal(metrics.sum("wsprism_ws_sessions_active"), 0);
  assert.equal(metrics.sum("wsprism_rooms_active"), 0);
  // Whatever a session left behind would be there 2,700 times: 48 KB of each would show. Less would not, for V8
  // lets 80 MB gather before it collects them (seen over 10,000 sessions: the memory then stays as it is).
  const grown = gateway.residentBytes() - settled;
  assert.ok(grown < 128 * 1024 * 1024, `grown by ${Math.round(grown / 1024)} KB`);
});

test("500 sessions at once in one room are gone at once when their sockets are reset", async () => {
  const crowd = await Promise.all(Array.from({ length: 500 }, async (_, i) => {
    const client = await RawClient.open(gateway.port, target({ user: `crowd-${i}` }));
    client.text('{"v":1,"svc":"room","type":"join","room":"crowd"}');
    return client;
  }));
  const watcher = await Client.open(gateway);
  await until("the room to be full", async () => {
    const { count } = await watcher.join("crowd");
    await watcher.leave("crowd");
    return count === 501 ? true : null;
  });
  for (const client of crowd) client.reset();
  await gateway.metricsUntil(
    "the crowd to be gone",
    (metrics) => metrics.sum("wsprism_ws_sessions_active") === 1 && metrics.sum("wsprism_rooms_active") === 0,
  );
  // Their rooms and their numbers are free again, and a new session works.
  for (let i = 0; i < 3; i++) assert.deepEqual(await watcher.join(`room ${i}`), { member: 1, count: 1 });
  watcher.send({ svc: "chat", type: "send", room: "room 2", data: { msg: "still here" } });
  assert.equal((await watcher.next("chat.msg")).data.msg, "still here");
  await watcher.close();
});

lastly(gateway);
