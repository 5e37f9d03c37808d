// On Bun a link tells its close from within our own call (see port.ts): nothing may be left behind then either.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { House } from "./house.ts";

const NOTHING = { sessions: 0, users: 0, rooms: 0, roomUsers: 0, timers: 0 };

test("A link that tells its close from within our close leaves nothing behind", async () => {
  const house = await new House().start();
  const client = house.connect("ann");
  client.join("a");
  client.link.close = (code, reason) => client.handler.onClose(code, reason);
  client.handler.text("nonsense");
  assert.deepEqual(house.census(), NOTHING);
});

test("A link that dies of the farewell that is written to it leaves nothing behind", async () => {
  const house = await new House().start();
  const client = house.connect("ann");
  client.join("a");
  client.link.write = () => {
    client.handler.onClose(1006, "");
    return 0;
  };
  client.handler.text("nonsense");
  assert.deepEqual(house.census(), NOTHING);
});

test("A link that dies of a ping leaves nothing behind", async () => {
  const house = await new House({ gateway: "ping_interval_ms: 5000, idle_timeout_ms: 60000" }).start();
  const client = house.connect("ann");
  client.link.ping = () => client.handler.onClose(1006, "");
  house.clock.advance(6000);
  assert.deepEqual(house.census(), NOTHING);
});

test("A peer that never answers our close is dropped after five seconds, and then nothing is left", async () => {
  const house = await new House().start();
  const client = house.connect("ann");
  client.handler.text("nonsense");
  client.link.terminate = () => client.handler.onClose(1006, "");
  house.clock.advance(4900);
  assert.equal((house.census() as typeof NOTHING).timers, 1);
  house.clock.advance(300);
  assert.deepEqual(house.census(), NOTHING);
});

test("A crowd that is too slow at once ends over several turns, and others are served in between", async () => {
  const policy =
    'policy: { ext_allowlist: ["room:*", "chat:*"], rate_limit_rps: 100000, rate_limit_burst: 100000 }';
  const tenant = [policy, "delivery: { reliable: { max_messages: 10 } }"];
  const house = await new House({ gateway: "socket_watermark_bytes: 1024", tenant }).start();
  const crowd = Array.from({ length: 100 }, (_, i) => house.connect(`slow ${i}`));
  const [ann, bob] = [house.connect("ann"), house.connect("bob")];
  for (const client of [...crowd, ann, bob]) client.join("a");
  for (const client of crowd) client.link.room = 0;
  const say = () => ann.tell("chat", "send", { room: "a", data: { msg: "x".repeat(2000) } });
  say();
  house.turn();
  for (let i = 0; i < 11; i++) say();
  const ended = () => crowd.filter(({ link }) => link.closed !== null).length;
  const counts: number[] = [];
  while (ended() < crowd.length && counts.length < 20) {
    house.turn();
    counts.push(ended());
  }
  assert.deepEqual(counts, [32, 64, 96, 100]);
  house.turn();
  assert.equal(bob.link.read().filter((message) => (message as { type?: string }).type === "msg").length, 12);
});
