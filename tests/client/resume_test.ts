import { strict as assert } from "node:assert";
import { test } from "node:test";
import { connected, fate } from "./start.ts";

const resumable = { windowMs: 30_000 };

test("A session goes on over a lost connection: rooms, messages both ways, and replies", async () => {
  const { clock, gateway, client, states } = await connected(resumable);
  const said: string[] = [];
  const gaps: unknown[] = [];
  const joining = client.join<{ msg: { msg: string } }>("lobby").then((room) => {
    room.on("msg", ({ msg }) => said.push(msg));
    room.on("gap", (gap) => gaps.push(gap));
  });
  await clock.pass(10);
  await joining;
  // One reply is lost on its way, one request never arrives.
  const answered = client.request("echo", "say", "answered");
  await clock.pass(1.5);
  const asked = client.request("echo", "say", "asked");
  gateway.link.cut();
  gateway.publish("lobby", "msg", { msg: "missed" });
  await clock.pass(1100);
  gateway.publish("lobby", "msg", { msg: "live" });
  await clock.pass(10);
  assert.deepEqual([await answered, await asked, said, gaps], ["answered", "asked", ["missed", "live"], []]);
  assert.deepEqual(states.at(-1), "resumed");
  const kinds = gateway.taken.map(({ type, data }) => type === "say" ? data : type);
  assert.deepEqual(kinds, ["join", "answered", "asked"], "nothing is sent twice, no room is joined again");
});

test("A session goes on again and again, counts and all", async () => {
  const { clock, gateway, client } = await connected(resumable);
  const replies: unknown[] = [];
  for (let i = 0; i < 20; i++) {
    const waiting = client.request("echo", "say", i, { timeoutMs: 60_000 });
    await clock.pass(i % 4 / 2);
    gateway.link.cut();
    await clock.pass(31_000);
    if (i % 3 === 0) await clock.pass(60_000);
    replies.push(await fate(waiting));
  }
  // Back-off may reach the window's length: then the session is lost, and said to be.
  for (const [i, reply] of replies.entries()) {
    assert.ok(reply === i || reply === "CONNECTION_LOST", String(reply));
  }
  assert.ok(replies.filter((reply) => typeof reply === "number").length > 8);
});

test("The first try to resume takes no new ticket, the next one does", async () => {
  let tickets = 0;
  const { clock, gateway } = await connected(resumable, { ticket: () => `dev:ann#${++tickets}` });
  gateway.refuses = () => true;
  gateway.link.cut();
  await clock.pass(1100);
  assert.deepEqual([tickets, gateway.link.request.ticket, gateway.link.request.resume?.heard], [
    1,
    "dev:ann#1",
    0,
  ]);
  gateway.refuses = () => false;
  await clock.pass(2100);
  assert.deepEqual([tickets, gateway.link.request.ticket], [2, "dev:ann#2"]);
});

test("Beyond the window nothing is asked for that cannot be, and rooms recover by themselves", async () => {
  const { clock, gateway, client, states } = await connected({ ...resumable, history: 10 }, {
    backoff: { baseMs: 40_000, maxMs: 40_000 },
  });
  const joining = client.join("lobby");
  await clock.pass(10);
  const room = await joining;
  const messages: unknown[] = [];
  room.on("msg", (data) => messages.push(data));
  gateway.link.cut();
  gateway.publish("lobby", "msg", "missed");
  await clock.pass(40_100);
  assert.equal(gateway.link.request.resume, undefined);
  assert.deepEqual([states.at(-1), room.recovered, messages], ["connected", true, ["missed"]]);
});

test("A session that cannot be resumed is a new one, and what was in flight fails", async () => {
  const { clock, gateway, client, states } = await connected({ ...resumable, replayMax: 2 });
  const joining = client.join("lobby");
  await clock.pass(10);
  const room = await joining;
  gateway.link.cut();
  for (let i = 0; i < 5; i++) gateway.publish("lobby", "msg", i);
  await clock.pass(1100);
  assert.deepEqual([states.at(-1), room.recovered, client.session?.resumed?.reason], [
    "connected",
    false,
    "overflow",
  ]);
});

test("Closes that end the session are not followed by a resume", async () => {
  for (const code of [4000, 4005, 1009]) {
    const { clock, gateway } = await connected(resumable);
    gateway.link.close(code);
    await clock.pass(1100);
    assert.equal(gateway.link.request.resume, undefined, String(code));
  }
});

test("A page that was put away finds its session where it was: in its rooms, nothing missed", async () => {
  const { clock, gateway, client, page, states } = await connected(resumable);
  const heard: unknown[] = [];
  const joining = client.join("lobby").then((room) => {
    room.on("msg", (data) => heard.push(data));
    room.on("gap", () => heard.push("gap"));
  });
  await clock.pass(10);
  await joining;
  page.hide(true);
  await clock.pass(5);
  gateway.publish("lobby", "msg", "missed");
  clock.sleep(20_000);
  page.wake();
  await clock.pass(10);
  assert.deepEqual([states.at(-1), heard], ["resumed", ["missed"]]);
});

test("A link that is dead in one direction, or was never answered, takes no session along when it is given up", async () => {
  for (const opening of [false, true]) {
    const { clock, gateway, states } = await connected(resumable);
    if (opening) {
      gateway.link.cut();
      await clock.pass(1000);
    }
    gateway.link.hush();
    await clock.pass(28_000);
    assert.deepEqual([states.at(-1), gateway.links.length], ["resumed", opening ? 3 : 2]);
  }
});

test("The gateway is told how far the client is, and the client lets go of what the gateway has", async () => {
  const { clock, gateway, client } = await connected(resumable);
  const { session } = gateway.link;
  for (let i = 0; i < 70; i++) gateway.say(session!, { svc: "a", type: "b" });
  await clock.pass(5);
  const ping = gateway.taken.find(({ type }) => type === "ping");
  assert.ok(ping.data.heard >= 50 && ping.data.heard <= 70, JSON.stringify(ping));
  // And by bytes, which what is kept is bounded in too.
  gateway.taken.length = 0;
  for (let i = 0; i < 5; i++) gateway.say(session!, { svc: "a", type: "b", data: "x".repeat(10_000) });
  await clock.pass(5);
  assert.equal(gateway.taken.filter(({ type }) => type === "ping").length, 1);
  // A gateway that confirms nothing makes the client give the session up, not grow.
  gateway.intercept = () => true;
  for (let i = 0; i < 120; i++) void fate(client.send("a", "b", "x".repeat(10_000)));
  gateway.link.cut();
  await clock.pass(1100);
  assert.equal(gateway.link.request.resume, undefined);
});

test("Leaving while away is told when the session goes on, before the room is joined again", async () => {
  const { clock, gateway, client } = await connected(resumable);
  const joining = client.join("lobby");
  await clock.pass(10);
  const room = await joining;
  gateway.link.cut();
  const left = room.leave();
  const again = client.join("lobby");
  await clock.pass(1100);
  await left;
  await again;
  assert.deepEqual(gateway.taken.map(({ type }) => type), ["join", "leave", "join"]);
});

test("A join that was under way when the connection was lost is answered after the resume", async () => {
  for (const ms of [0.5, 1.5]) {
    const { clock, gateway, client } = await connected(resumable);
    const joining = client.join("lobby");
    await clock.pass(ms);
    gateway.link.cut();
    await clock.pass(1100);
    assert.equal((await joining).member, 1);
    assert.deepEqual(gateway.taken.map(({ type }) => type), ["join"]);
  }
});
