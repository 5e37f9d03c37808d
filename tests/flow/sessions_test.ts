// How many sessions a user may have and which one goes, and the limits of rooms at their exact edge, reached by
// many sessions at once.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, type ClientOptions, KINDS, type Message } from "./client.ts";
import { lastly, sharedGateway, until } from "./gateway_process.ts";

const open = { ext_allowlist: ["room:*", "chat:*"] };
const sessions = (mode: string, max_sessions_per_user: number, on_exceed: string) => ({
  ...open,
  sessions: { mode, max_sessions_per_user, on_exceed },
});

const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  tenants: [
    { id: "deny", policy: sessions("multi", 2, "deny") },
    { id: "kick", policy: sessions("multi", 3, "kick_oldest") },
    { id: "single", policy: sessions("single", 1, "kick_oldest") },
    { id: "single-deny", policy: sessions("single", 1, "deny") },
    { id: "rooms", limits: { max_rooms_total: 5 }, policy: sessions("multi", 100, "deny") },
    { id: "users", limits: { max_users_per_room: 4 }, policy: sessions("multi", 100, "deny") },
    { id: "each", limits: { max_rooms_per_user: 3 }, policy: sessions("multi", 100, "deny") },
    { id: "acme", policy: sessions("multi", 100, "deny") },
  ],
});

async function closeAll(clients: readonly Client[]): Promise<void> {
  await Promise.all(clients.map((client) => client.close()));
}

const openAs = (tenant: string, user: string, more: ClientOptions = {}) =>
  Client.open(gateway, { tenant, user, ...more });

for (const kind of KINDS) {
  test(`with deny, a session too many is told TOO_MANY_SESSIONS and closed with 4503 (${kind})`, async () => {
    const kept = [await openAs("deny", "ann", { kind }), await openAs("deny", "ann", { kind })];
    const other = await openAs("deny", "bob", { kind });
    const third = await Client.connect(gateway, { tenant: "deny", user: "ann", kind });
    await third.nextError("TOO_MANY_SESSIONS");
    await third.ended(4503, "too many sessions of this user");
    assert.deepEqual(third.waiting, []);
    for (const client of [...kept, other]) await client.hearsNothing();
    await kept[0]!.close();
    const next = await until("a place for ann", async () => {
      const client = await Client.connect(gateway, { tenant: "deny", user: "ann", kind });
      return (await client.take("the first message") as Message).type === "authed" ? client : null;
    });
    await closeAll([...kept, other, next]);
  });

  test(`with kick_oldest, the user's oldest session is told sys.kicked and closed with 4501 (${kind})`, async () => {
    const [first, second, third] = [
      await openAs("kick", "ann", { kind }),
      await openAs("kick", "ann", { kind }),
      await openAs("kick", "ann", { kind }),
    ];
    const other = await openAs("kick", "bob", { kind });
    const fourth = await openAs("kick", "ann", { kind });
    assert.deepEqual((await first.next("sys.kicked")).data, { reason: "max_sessions_exceeded" });
    await first.ended(4501, "kicked");
    const fifth = await openAs("kick", "ann", { kind });
    await second.next("sys.kicked");
    await second.ended(4501);
    for (const client of [third, other, fourth, fifth]) await client.hearsNothing();
    await closeAll([third, other, fourth, fifth]);
  });

  test(`a session of the same user and sid is replaced with 4502, another's is not (${kind})`, async () => {
    const tab = await openAs("deny", "ann", { sid: "tab", kind });
    const more = await openAs("deny", "ann", { sid: "more", kind });
    const others = [
      await openAs("deny", "bob", { sid: "tab", kind }),
      await openAs("kick", "ann", { sid: "tab", kind }),
    ];
    await tab.join("kept");
    // Ann has her maximum; replacing is no session more.
    const again = await openAs("deny", "ann", { sid: "tab", kind });
    assert.deepEqual((await tab.next("sys.kicked")).data, { reason: "replaced" });
    await tab.ended(4502, "replaced by a newer session with the same sid");
    // What the old one had joined is not the new one's.
    again.send({ svc: "chat", type: "send", room: "kept", data: { msg: "x" } });
    await again.nextError("NOT_ALLOWED");
    for (const client of [more, ...others, again]) await client.hearsNothing();
    await closeAll([more, ...others, again]);
  });
}

test("in single mode the newer session wins, or with deny the older one", async () => {
  const first = await openAs("single", "ann");
  const second = await openAs("single", "ann");
  await first.next("sys.kicked");
  await first.ended(4501);
  await second.close();
  const kept = await openAs("single-deny", "ann");
  const late = await Client.connect(gateway, { tenant: "single-deny", user: "ann" });
  await late.nextError("TOO_MANY_SESSIONS");
  await late.ended(4503);
  await kept.hearsNothing();
  await kept.close();
});

test("fifty sessions of one user at once: exactly as many stay as are allowed", async () => {
  for (const [tenant, stay] of [["deny", 2], ["kick", 3]] as const) {
    const clients = await Promise.all(
      Array.from({ length: 50 }, () => Client.connect(gateway, { tenant, user: "crowd" })),
    );
    const ends: number[] = [];
    for (const client of clients) void client.closed.then(({ code }) => ends.push(code));
    await until(`${50 - stay} ends`, () => ends.length >= 50 - stay ? true : null);
    const metrics = await gateway.metrics();
    assert.equal(metrics.sum("wsprism_ws_sessions_active", { tenant }), stay);
    assert.deepEqual(new Set(ends), new Set([tenant === "deny" ? 4503 : 4501]));
    assert.equal(ends.length, 50 - stay);
    await closeAll(clients);
  }
});

/** Sends everybody's joins before any answer is read; returns which came in. */
async function joinAll(
  clients: readonly Client[],
  roomOf: (i: number) => string,
): Promise<{ inside: number[]; refused: number[] }> {
  clients.forEach((client, i) => client.send({ svc: "room", type: "join", room: roomOf(i), seq: i }));
  const inside: number[] = [], refused: number[] = [];
  for (const [i, client] of clients.entries()) {
    const answer = await client.take("an answer to a join") as Message;
    assert.equal(answer.seq, i);
    if (answer.type === "joined") inside.push(i);
    else {
      assert.equal(answer.data.code, "RESOURCE_EXHAUSTED", JSON.stringify(answer));
      refused.push(i);
    }
  }
  return { inside, refused };
}

test("max_rooms_total holds exactly when many sessions make rooms at once", async () => {
  const clients = await Promise.all(
    Array.from({ length: 40 }, (_, i) => openAs("rooms", `maker-${i}`, { kind: i % 2 ? "own" : "ws" })),
  );
  const { inside, refused } = await joinAll(clients, (i) => `room ${i}`);
  assert.deepEqual([inside.length, refused.length], [5, 35]);
  assert.equal((await gateway.metrics()).sum("wsprism_rooms_active", { tenant: "rooms" }), 5);
  // A room that is there can be joined, and one that empties makes place for one.
  const there = `room ${inside[0]}`;
  await clients[refused[0]!]!.join(there);
  await clients[inside[0]!]!.leave(there);
  clients[refused[1]!]!.send({ svc: "room", type: "join", room: "new" });
  await clients[refused[1]!]!.nextError("RESOURCE_EXHAUSTED");
  await clients[refused[0]!]!.leave(there);
  const again = await joinAll(refused.slice(1).map((i) => clients[i]!), (i) => `new ${i}`);
  assert.equal(again.inside.length, 1);
  await closeAll(clients);
});

test("max_users_per_room counts users, not sessions, and holds exactly when all come at once", async () => {
  // Ten users with three sessions each.
  const clients = await Promise.all(
    Array.from({ length: 30 }, (_, i) => openAs("users", `guest-${i % 10}`)),
  );
  const { inside } = await joinAll(clients, () => "party");
  const users = new Set(inside.map((i) => i % 10));
  assert.equal(users.size, 4);
  assert.equal(inside.length, 12);
  // A user counts until the last session has left.
  const sessionsOf = (user: number) => inside.filter((i) => i % 10 === user).map((i) => clients[i]!);
  const [gone] = [...users];
  const stranger = clients.find((_, i) => !users.has(i % 10))!;
  const mine = sessionsOf(gone!);
  for (const [i, client] of mine.entries()) {
    stranger.send({ svc: "room", type: "join", room: "party" });
    await stranger.nextError("RESOURCE_EXHAUSTED");
    if (i < mine.length - 1) await client.leave("party");
    else await client.close();
  }
  await until("a place at the party", async () => {
    stranger.send({ svc: "room", type: "join", room: "party" });
    return (await stranger.take("an answer") as Message).type === "joined" ? true : null;
  });
  await closeAll(clients);
});

test("max_rooms_per_user counts rooms over all sessions of the user, each room once", async () => {
  const clients = await Promise.all(Array.from({ length: 12 }, () => openAs("each", "roamer")));
  const { inside } = await joinAll(clients, (i) => `place ${i}`);
  assert.equal(inside.length, 3);
  const [a, b] = inside.map((i) => `place ${i}`) as [string, string];
  // Everybody of the user may come into a room the user is in already.
  for (const client of clients) await client.join(a);
  const rest = clients.filter((_, i) => !inside.includes(i));
  const again = await joinAll(rest, (i) => `other ${i}`);
  assert.equal(again.inside.length, 0);
  await clients[inside[1]!]!.leave(b);
  const freed = await joinAll(rest, (i) => `other ${i}`);
  assert.equal(freed.inside.length, 1);
  const somebody = await openAs("each", "somebody else");
  for (const room of ["x", "y", "z"]) await somebody.join(room);
  await closeAll([...clients, somebody]);
});

test("who asked for presence hears of every coming and going, with user, number and count", async () => {
  const watcher = await openAs("acme", "watcher");
  const deaf = await openAs("acme", "deaf");
  await deaf.join("lobby");
  assert.deepEqual(await watcher.join("lobby", { presence: true }), { member: 2, count: 2 });
  const heard = async (event: string, user: string, member: number, count: number) => {
    const { room, data } = await watcher.next("sys.presence");
    assert.equal(room, "lobby");
    assert.deepEqual(data, { event, user, member, count });
  };
  const ann = await openAs("acme", "ann"), annToo = await openAs("acme", "ann");
  await ann.join("lobby");
  await heard("join", "ann", 3, 3);
  await annToo.join("lobby");
  await heard("join", "ann", 4, 4);
  // No change, no event.
  await ann.join("lobby");
  await ann.leave("lobby");
  await heard("leave", "ann", 3, 3);
  annToo.terminate();
  await heard("leave", "ann", 4, 2);
  await deaf.hearsNothing();
  // A join that doesn't say leaves it as it is, and false ends it.
  await watcher.join("lobby");
  await ann.join("lobby");
  await heard("join", "ann", 5, 3);
  await watcher.join("lobby", { presence: false });
  await ann.leave("lobby");
  await watcher.hearsNothing();
  await closeAll([watcher, deaf, ann]);
});

test("a kicked session is out of its rooms before the new one is told it is in", async () => {
  const watcher = await openAs("acme", "guard");
  await watcher.join("gate", { presence: true });
  const old = await openAs("acme", "ann", { sid: "phone" });
  await old.join("gate");
  assert.equal((await watcher.next("sys.presence")).data.event, "join");
  const young = await openAs("acme", "ann", { sid: "phone" });
  assert.deepEqual((await watcher.next("sys.presence")).data, {
    event: "leave",
    user: "ann",
    member: 2,
    count: 1,
  });
  assert.deepEqual(await young.join("gate"), { member: 3, count: 2 });
  await old.ended(4502);
  await closeAll([watcher, young]);
});

lastly(gateway);
