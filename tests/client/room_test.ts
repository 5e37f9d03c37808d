import { strict as assert } from "node:assert";
import { test } from "node:test";
import { connected, fate, type Stage } from "./start.ts";
import type { Gap, JoinOptions, Room } from "../../clients/typescript/src/mod.ts";

interface Chat {
  msg: { readonly from: string; readonly msg: string };
}
interface Say {
  send: { readonly msg: string };
}

interface Heard {
  readonly room: Room<Chat, Say>;
  readonly said: string[];
  readonly gaps: Gap[];
}

async function join({ client, clock }: Stage, name = "lobby", options: JoinOptions = {}): Promise<Heard> {
  const said: string[] = [];
  const gaps: Gap[] = [];
  const joining = client.join<Chat, Say>(name, options).then((room) => {
    room.on("msg", ({ msg }) => said.push(msg));
    room.on("gap", (gap) => gaps.push(gap));
    return room;
  });
  await clock.pass(10);
  return { room: await joining, said, gaps };
}

const say = (all: Stage, msg: string, room = "lobby") =>
  all.gateway.publish(room, "msg", { from: "bob", msg });

test("Joining connects; joining again gives the same room; leaving twice is leaving once", async () => {
  const all = await connected();
  const { room } = await join(all);
  assert.equal(await all.client.join("lobby"), room);
  const left = room.leave();
  await all.clock.pass(10);
  await left;
  await room.leave();
  const kinds = () => all.gateway.taken.map(({ svc, type }) => `${svc}.${type}`);
  assert.deepEqual(kinds(), ["room.join", "room.leave"]);
  assert.equal(await fate(room.send("send", { msg: "x" })), "CLOSED");
  const { room: next } = await join(all);
  assert.notEqual(next, room);
});

test("A message is sent to the room, acknowledged, and heard", async () => {
  const all = await connected();
  const { room, said } = await join(all);
  const sent = room.send("send", { msg: "hello" });
  await all.clock.pass(10);
  assert.deepEqual(await sent, { offset: null, epoch: null, duplicate: false });
  assert.deepEqual(said, ["hello"]);
  const { seq, flags, key } = all.gateway.taken.at(-1);
  assert.deepEqual(
    [typeof seq, flags, key],
    ["number", 4, undefined],
    "no key where the gateway may not know of keys",
  );
});

test("What comes with the join waits for the handlers", async () => {
  const all = await connected({ history: 10, latencyMs: 0 });
  say(all, "one");
  say(all, "two");
  const { room, said } = await join(all, "lobby", { last: 1 });
  assert.deepEqual(said, ["two"]);
  assert.equal(room.recovered, true);
  assert.deepEqual(room.cursor?.offset, 2);
});

test("Who is told to have joined without having asked has missed something, and goes on from there", async () => {
  const all = await connected({ history: 10, latencyMs: 0 });
  const { room, said, gaps } = await join(all, "lobby", { last: 1 });
  say(all, "one");
  await all.clock.pass(10);
  const since = room.cursor, { member } = room;
  const data = { count: 1, epoch: "other", offset: 0, recovered: false, replayed: 0, reason: "epoch" };
  all.gateway.say(all.gateway.link.session!, { svc: "sys", type: "joined", room: "lobby", data });
  all.gateway.say(all.gateway.link.session!, {
    svc: "chat",
    type: "msg",
    room: "lobby",
    data: { msg: "two" },
    offset: 1,
  });
  await all.clock.pass(10);
  assert.deepEqual(gaps, [{ reason: "epoch", since }]);
  assert.deepEqual([said, room.recovered, room.member], [["one", "two"], false, member]);
  assert.deepEqual(room.cursor, { epoch: "other", offset: 1 });
});

test("for await reads what is said, in order, until the room is left", async () => {
  const all = await connected();
  const { room } = await join(all);
  const read: string[] = [];
  const reading = (async () => {
    for await (const { type, data } of room) {
      if (type === "msg") read.push(data.msg);
      if (read.length === 3) break;
    }
    for await (const { data } of room) read.push(data.msg);
    return "left";
  })();
  for (const msg of ["1", "2", "3", "4"]) {
    say(all, msg);
    await all.clock.pass(2);
  }
  void room.leave();
  await all.clock.pass(10);
  assert.equal(await reading, "left");
  assert.deepEqual(read, ["1", "2", "3", "4"]);
});

test("A reader that does not read is told so, once too much waits", async () => {
  const all = await connected();
  const { room } = await join(all);
  const reader = room[Symbol.asyncIterator]();
  const first = reader.next();
  for (let i = 0; i < 1100; i++) say(all, String(i));
  await all.clock.pass(10);
  await first;
  assert.equal(await fate(reader.next()), "OVERFLOW");
  assert.deepEqual(await reader.next(), { done: true, value: undefined });
});

test("A room without history says that something may have been missed, after each reconnect", async () => {
  const all = await connected();
  const { room, said, gaps } = await join(all);
  say(all, "before");
  await all.clock.pass(10);
  all.gateway.link.cut();
  say(all, "missed");
  await all.clock.pass(1100);
  say(all, "after");
  await all.clock.pass(10);
  assert.deepEqual(said, ["before", "after"]);
  assert.deepEqual([room.recovered, gaps], [false, [{ reason: "no_history", since: undefined }]]);
});

test("A room with history goes on from its cursor, nothing missing and nothing twice", async () => {
  const all = await connected({ history: 100 });
  const { room, said, gaps } = await join(all);
  for (let i = 1; i <= 9; i++) {
    say(all, String(i));
    if (i % 3 === 0) {
      await all.clock.pass(i === 3 ? 10 : 0.5);
      all.gateway.link.cut();
      await all.clock.pass(i === 6 ? 1001 : 8100);
    }
  }
  await all.clock.pass(100);
  assert.deepEqual(said, ["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
  assert.deepEqual([room.recovered, gaps, room.cursor?.offset], [true, [], 9]);
});

test("A replay that is cut goes on where it was cut", async () => {
  const all = await connected({ history: 100 });
  const { said } = await join(all);
  all.gateway.link.cut();
  for (let i = 1; i <= 50; i++) say(all, String(i));
  await all.clock.pass(1002);
  // The join is on its way; its replay comes in one go, of which the link takes twenty messages.
  let count = 0;
  const { link } = all.gateway;
  const deliver = link.deliver.bind(link);
  link.deliver = (message) => {
    deliver(message);
    if (++count === 21) link.deliver = () => {};
  };
  await all.clock.pass(5);
  link.cut();
  await all.clock.pass(2100);
  assert.deepEqual(said, Array.from({ length: 50 }, (_, i) => String(i + 1)));
});

test("What is lost is said to be lost: trimmed, another epoch, and the client goes on from there", async () => {
  const all = await connected({ history: 3 });
  const { room, said, gaps } = await join(all);
  say(all, "0");
  await all.clock.pass(5);
  const { epoch } = room.cursor!;
  all.gateway.link.cut();
  for (let i = 1; i <= 5; i++) say(all, String(i));
  await all.clock.pass(1100);
  assert.deepEqual(said, ["0", "3", "4", "5"]);
  assert.deepEqual([room.recovered, gaps], [false, [{ reason: "trimmed", since: { epoch, offset: 1 } }]]);
  all.gateway.link.cut();
  all.gateway.newEpoch("lobby");
  say(all, "a");
  await all.clock.pass(2100);
  assert.deepEqual(said.slice(4), ["a"]);
  assert.deepEqual([room.recovered, gaps[1]?.reason, room.cursor?.offset], [false, "epoch", 1]);
  all.gateway.link.cut();
  say(all, "b");
  await all.clock.pass(4100);
  assert.deepEqual([room.recovered, gaps.length, said.slice(5)], [true, 2, ["b"]]);
});

test("A cursor of an earlier day is gone on from, and told apart from one that is too old", async () => {
  const all = await connected({ history: 3 });
  for (let i = 1; i <= 5; i++) say(all, String(i));
  const { epoch } = all.gateway.rooms.get("lobby")!;
  const good = await join(all, "lobby", { since: { epoch, offset: 3 } });
  assert.deepEqual([good.room.recovered, good.said], [true, ["4", "5"]]);
  void good.room.leave();
  const old = await join(all, "lobby", { since: { epoch, offset: 1 } });
  assert.deepEqual([old.room.recovered, old.said, old.gaps[0]?.reason], [false, ["3", "4", "5"], "trimmed"]);
});

test("A message that comes twice all the same is heard once", async () => {
  const all = await connected({ history: 100 });
  const { said, room } = await join(all);
  say(all, "one");
  say(all, "two");
  for (const message of all.gateway.rooms.get("lobby")!.messages) {
    all.gateway.say(all.gateway.link.session!, message);
  }
  await all.clock.pass(10);
  assert.deepEqual([said, room.cursor?.offset], [["one", "two"], 2]);
});

test("What is asked of a room is not asked again by itself", async () => {
  const all = await connected({ history: 100 });
  const { room } = await join(all);
  const members = fate(room.members());
  all.gateway.link.cut();
  assert.equal(await members, "CONNECTION_LOST");
});

test("A message in flight when the connection is lost is published once, by its key", async () => {
  const all = await connected({ history: 100 });
  const { room, said } = await join(all);
  const sent = room.send("send", { msg: "once" });
  await all.clock.pass(1.5);
  all.gateway.link.cut();
  await all.clock.pass(1100);
  assert.deepEqual(await sent, { offset: 1, epoch: room.cursor!.epoch, duplicate: true });
  assert.deepEqual(said, ["once"]);
  const lost = room.send("send", { msg: "on its way" });
  all.gateway.link.cut();
  await all.clock.pass(2100);
  assert.deepEqual(await lost, { offset: 2, epoch: room.cursor!.epoch, duplicate: false });
});

test("Where the room has forgotten the key, nobody knows what became of the message", async () => {
  const all = await connected({ history: 100 });
  const { room } = await join(all);
  const sent = fate(room.send("send", { msg: "once" }));
  all.gateway.link.cut();
  all.gateway.newEpoch("lobby");
  await all.clock.pass(1100);
  assert.equal(await sent, "CONNECTION_LOST");
});

test("The room that was joined last, or made active, is joined last again", async () => {
  const all = await connected();
  const a = await join(all, "a");
  await join(all, "b");
  const active = a.room.activate();
  await all.clock.pass(10);
  await active;
  all.gateway.link.cut();
  await all.clock.pass(1100);
  assert.deepEqual(all.gateway.taken.map(({ room }) => room), ["a", "b", "a", "b", "a"]);
});

test("A refusal is an error with what the gateway said; one that passes is asked for again", async () => {
  const all = await connected();
  let refusals: object[] = [{ code: "NOT_ALLOWED", msg: "no", rule_id: "allowlist" }];
  all.gateway.intercept = ({ type, seq }, { session }) => {
    const data = type === "join" ? refusals.shift() : undefined;
    if (data !== undefined) all.gateway.say(session!, { svc: "sys", type: "error", seq, data });
    return data !== undefined;
  };
  const refused = assert.rejects(all.client.join("lobby"), {
    name: "WsPrismError",
    code: "NOT_ALLOWED",
    ruleId: "allowlist",
  });
  await all.clock.pass(10);
  await refused;
  refusals = [{ code: "RATE_LIMITED", msg: "later", retry_after_ms: 500 }];
  const joining = all.client.join("lobby");
  await all.clock.pass(499);
  assert.equal(all.gateway.rooms.size, 0);
  await all.clock.pass(600);
  await joining;
  // Refused on the way back in: the room is left, and its reader is told.
  const room = await joining;
  const left: string[] = [];
  room.on("left", ({ code }) => left.push(code));
  refusals = [{ code: "RESOURCE_EXHAUSTED", msg: "room is full" }];
  all.gateway.link.cut();
  await all.clock.pass(1100);
  assert.deepEqual(left, ["RESOURCE_EXHAUSTED"]);
});

test("A room that the gateway takes the client out of is left, and not entered again", async () => {
  const all = await connected();
  const { room } = await join(all);
  const reading = fate(room[Symbol.asyncIterator]().next());
  all.gateway.say(all.gateway.link.session!, { svc: "sys", type: "left", room: "lobby" });
  await all.clock.pass(5);
  assert.equal(await reading, "NOT_ALLOWED");
  all.gateway.link.cut();
  await all.clock.pass(1100);
  assert.equal(all.gateway.rooms.get("lobby")!.members.size, 0);
});

test("Presence is a live list, right again after each reconnect", async () => {
  const all = await connected();
  const bob = await connected({}, { transport: all.gateway, clock: all.clock, ticket: "dev:bob" });
  const { room } = await join(all, "lobby", { presence: true });
  const names = () => [...room.presence.get().values()].map(({ user }) => user).sort();
  const changes: string[] = [];
  room.on("presence", ({ event, user }) => changes.push(`${event} ${user}`));
  assert.deepEqual(names(), ["ann"]);
  const theirs = bob.client.join("lobby");
  await all.clock.pass(10);
  await theirs;
  assert.deepEqual(names(), ["ann", "bob"]);
  all.gateway.links[0]!.cut();
  void bob.client.dispose();
  await all.clock.pass(1100);
  assert.deepEqual(names(), ["ann"]);
  assert.deepEqual(changes, ["join bob"]);
});

test("A page of history is typed as the room's messages", async () => {
  const all = await connected({ history: 100 });
  const { room } = await join(all);
  for (let i = 1; i <= 5; i++) say(all, String(i));
  const asked = room.history({ after: 1, limit: 2 });
  await all.clock.pass(10);
  const { messages, more } = await asked;
  assert.deepEqual([messages.map(({ data }) => data.msg), more], [["2", "3"], true]);
});
