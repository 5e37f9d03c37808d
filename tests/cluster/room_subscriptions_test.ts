import { strict as assert } from "node:assert";
import { test } from "node:test";
import { RoomSubscriptions } from "../../src/cluster/room_subscriptions.ts";
import { shardOf, Subjects, token } from "../../src/cluster/subjects.ts";
import { FakeNats } from "./fake_nats.ts";

function stage() {
  const nats = new FakeNats(), own = nats.link(), other = nats.link();
  const clock = { ms: 0 };
  const subjects = new Subjects("p"), heard: string[] = [];
  const subscriptions = new RoomSubscriptions({
    tenant: "acme",
    subjects,
    links: { m: own, h: own },
    heard: (payload) => void heard.push(new TextDecoder().decode(payload)),
    now: () => clock.ms,
  });
  const say = (room: string) => {
    other.publish(subjects.room("m", "acme", room), new TextEncoder().encode(room));
    nats.settle();
  };
  return { nats, clock, subscriptions, heard, say };
}

test("A room is heard from its first member on, and for a while after its last one", () => {
  const { clock, subscriptions, heard, say, nats } = stage();
  say("r");
  subscriptions.add("r");
  say("r");
  say("s");
  subscriptions.remove("r");
  clock.ms = 5000;
  subscriptions.sweep();
  subscriptions.add("r");
  say("r");
  subscriptions.remove("r");
  assert.equal(subscriptions.size, 2);
  clock.ms = 20_000;
  subscriptions.sweep();
  say("r");
  assert.deepEqual([heard, subscriptions.size, nats.listeners.size], [["r", "r"], 0, 0]);
});

test("Where rooms come and go by the dozens, their group is heard as a whole, and nothing twice", () => {
  const { clock, subscriptions, heard, say } = stage();
  const rooms = [...Array(20_000).keys()].map((i) => `room ${i}`).filter((room) => shardOf(room) === 7).slice(
    0,
    100,
  );
  assert.equal(rooms.length, 100);
  for (const room of rooms) subscriptions.add(room);
  assert.ok(subscriptions.size < 80, `${subscriptions.size}`);
  for (const room of rooms) say(room);
  assert.deepEqual(heard, rooms);
  for (const room of rooms) subscriptions.remove(room);
  clock.ms = 20_000;
  subscriptions.sweep();
  assert.equal(subscriptions.size, 0);
});

test("Names that a subject cannot have are written otherwise, each in its own way", () => {
  const names = ["r", "a.b", "a b", "ünï", "*", ">", "~x", "r".repeat(128), "a:b"];
  const tokens = names.map(token);
  assert.equal(new Set(tokens).size, names.length);
  for (const one of tokens) assert.match(one, /^[A-Za-z0-9_:~-]+$/);
});
