// The hot lane: headers by the byte, echo, relay and state, the active room, and what becomes of frames that are
// none.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, hex, hot, KINDS, u32 } from "./client.ts";
import { lastly, sharedGateway, until } from "./gateway_process.ts";

const ECHO = 1, RELAY = 2, STATE = 3, SLOW_STATE = 4, NOWHERE = 9;
const hot_services = [
  { id: ECHO, kind: "echo" },
  { id: RELAY, kind: "relay" },
  { id: STATE, kind: "state", tick_ms: 10 },
  { id: SLOW_STATE, kind: "state", tick_ms: 300 },
];
const hot_allowlist = ["1:*", "2:*", "3:*", "4:*", "9:1"];

const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  tenants: [
    { id: "acme", hot_services, policy: { hot_allowlist } },
    { id: "free", hot_services, policy: { hot_allowlist, hot_requires_active_room: false } },
    { id: "mute", hot_services, policy: { hot_allowlist: ["1:7"], hot_error_mode: "silent" } },
    { id: "few", hot_services, policy: { hot_allowlist: ["1:7", "2:0", "2:255"] } },
  ],
});

/** Clients that have joined a room of theirs, in this order. */
async function members(room: string, count: number, tenant = "acme"): Promise<Client[]> {
  const clients: Client[] = [];
  for (let i = 0; i < count; i++) {
    const client = await Client.open(gateway, { tenant });
    assert.equal((await client.join(room)).member, i + 1);
    clients.push(client);
  }
  return clients;
}

async function closeAll(clients: readonly Client[]): Promise<void> {
  await Promise.all(clients.map((client) => client.close()));
}

for (const kind of KINDS) {
  test(`echo without a room sends the bare payload back (${kind})`, async () => {
    const client = await Client.open(gateway, { tenant: "free", kind });
    client.binary(hot(ECHO, 0, { payload: [1, 2, 3] }));
    assert.deepEqual(await client.nextBytes(), Uint8Array.of(1, 2, 3));
    client.binary(hot(ECHO, 255, { payload: [0], seq: 0xffffffff }));
    assert.deepEqual(await client.nextBytes(), Uint8Array.of(0));
    const large = Uint8Array.from({ length: 4092 }, (_, i) => i * 31);
    client.binary(hot(ECHO, 1, { payload: large }));
    assert.equal(hex(await client.nextBytes()), hex(large));
    // Nothing to send back.
    client.binary(hot(ECHO, 1));
    await client.hearsNothing();
    await client.close();
  });
}

test("echo in a room goes to everybody there, the sender too, and to nobody else", async () => {
  const room = await members("echo", 3);
  const outside = await Client.open(gateway);
  await outside.join("other");
  room[1]!.binary(hot(ECHO, 5, { payload: [9, 8, 7] }));
  for (const client of room) assert.equal(hex(await client.nextBytes()), "090807");
  for (const client of [...room, outside]) await client.hearsNothing();
  await closeAll([...room, outside]);
});

test("relay goes to the others, with the sender's number and its seq", async () => {
  const [ann, bob, cid] = await members("relay", 3) as [Client, Client, Client];
  bob.binary(hot(RELAY, 7, { payload: [0xaa, 0xbb] }));
  for (const client of [ann, cid]) {
    assert.equal(hex(await client.nextBytes()), "01020704" + "02000000" + "aabb");
  }
  cid.binary(hot(RELAY, 8, { payload: [0xcc], seq: 0x01020304 }));
  for (const client of [ann, bob]) {
    assert.equal(hex(await client.nextBytes()), "01020805" + "04030201" + "03000000" + "cc");
  }
  // A frame without a payload is a message too.
  ann.binary(hot(RELAY, 9));
  for (const client of [bob, cid]) assert.equal(hex(await client.nextBytes()), "01020904" + "01000000");
  // That an ack was asked for is between the sender and the gateway.
  ann.binary(hot(RELAY, 10, { seq: 1, flags: 2, payload: [1] }));
  assert.equal(hex(await ann.nextBytes()), "01020a03" + "01000000");
  for (const client of [bob, cid]) {
    assert.equal(hex(await client.nextBytes()), "01020a0501000000" + "01000000" + "01");
  }
  for (const client of [ann, bob, cid]) await client.hearsNothing();
  await closeAll([ann, bob, cid]);
});

test("relay to an empty room reaches nobody", async () => {
  const [ann] = await members("relay alone", 1) as [Client];
  ann.binary(hot(RELAY, 1, { payload: [1] }));
  await ann.hearsNothing();
  await ann.close();
});

test("an ack is an empty frame with the same service, opcode and seq, after what it acknowledges", async () => {
  const [ann] = await members("acks", 1) as [Client];
  ann.binary(hot(ECHO, 33, { seq: 0x89abcdef, flags: 2, payload: [1] }));
  const heard = [hex(await ann.nextBytes()), hex(await ann.nextBytes())].sort();
  assert.deepEqual(heard, ["01", "01012103efcdab89"]);
  ann.binary(hot(ECHO, 34, { seq: 7, flags: 2 }));
  assert.equal(hex(await ann.nextBytes()), "01012203" + "07000000");
  await ann.close();
});

test("state sends each member the latest of the others, once a tick however often it changed", async () => {
  const [ann, bob, cid] = await members("state", 3) as [Client, Client, Client];
  const updates = 60;
  for (let i = 1; i <= updates; i++) ann.binary(hot(SLOW_STATE, 1, { seq: i, payload: [i] }));
  bob.binary(hot(SLOW_STATE, 1, { payload: [0xb1] }));
  bob.binary(hot(SLOW_STATE, 2, { payload: [0xb2] }));
  await ann.hearsNothing();
  const last = `01040105${hex(Uint8Array.from(u32(updates)))}01000000${hex(Uint8Array.of(updates))}`;
  const ofBob = ["0104010402000000b1", "0104020402000000b2"];
  const hearUntil = async (client: Client, final: readonly string[]) => {
    const heard: string[] = [];
    while (!final.every((wanted) => heard.includes(wanted))) heard.push(hex(await client.nextBytes()));
    return heard;
  };
  const [toAnn, toBob, toCid] = [
    await hearUntil(ann, ofBob),
    await hearUntil(bob, [last]),
    await hearUntil(cid, [last, ...ofBob]),
  ];
  // A tick in the middle of the burst may send an older one before, but never more than one each.
  assert.ok(toBob.length <= 2, `${toBob}`);
  assert.ok(toCid.length <= 4, `${toCid}`);
  assert.equal(toAnn.length, 2, `${toAnn}`);
  for (const client of [ann, bob, cid]) await client.hearsNothing();
  await closeAll([ann, bob, cid]);
});

test("state tells who joins all there is, and who leaves is forgotten", async () => {
  const room = "state joined";
  const [ann, bob] = await members(room, 2) as [Client, Client];
  ann.binary(hot(STATE, 1, { payload: [0xa1] }));
  ann.binary(hot(STATE, 2, { payload: [0xa2] }));
  bob.binary(hot(STATE, 1, { payload: [0xb1] }));
  const [a1, a2, b1] = ["0103010401000000a1", "0103020401000000a2", "0103010402000000b1"];
  assert.deepEqual(new Set([hex(await bob.nextBytes()), hex(await bob.nextBytes())]), new Set([a1, a2]));
  assert.equal(hex(await ann.nextBytes()), b1);
  const cid = await Client.open(gateway);
  await cid.join(room);
  const heard = new Set((await cid.settled()).map((bytes) => hex(bytes as Uint8Array)));
  assert.deepEqual(heard, new Set([a1, a2, b1]));
  await ann.leave(room);
  const dan = await Client.open(gateway);
  await dan.join(room);
  assert.deepEqual((await dan.settled()).map((bytes) => hex(bytes as Uint8Array)), [b1]);
  // Back again with a new number, ann is told of bob and has no past.
  await ann.join(room);
  assert.deepEqual((await ann.settled()).map((bytes) => hex(bytes as Uint8Array)), [b1]);
  await bob.close();
  const eve = await Client.open(gateway);
  await until("bob to be forgotten", async () => {
    await eve.join(room);
    const known = await eve.settled();
    await eve.leave(room);
    return known.length === 0 ? true : null;
  });
  for (const client of [ann, cid, dan]) await client.hearsNothing();
  await closeAll([ann, cid, dan, eve]);
});

test("an opcode or service that isn't allowed is NOT_ALLOWED with its seq, and the session goes on", async () => {
  const [ann] = await members("few", 1, "few") as [Client];
  for (const [svc, opcode] of [[1, 6], [1, 8], [2, 1], [2, 254], [3, 7], [0, 0], [255, 255]] as const) {
    ann.binary(hot(svc, opcode, { seq: 77, flags: 2, payload: [1] }));
    assert.equal((await ann.nextError("NOT_ALLOWED")).seq, 77, `${svc}:${opcode}`);
    ann.binary(hot(svc, opcode));
    assert.equal("seq" in await ann.nextError("NOT_ALLOWED"), false);
  }
  for (const [svc, opcode] of [[1, 7], [2, 0], [2, 255]] as const) {
    ann.binary(hot(svc, opcode, { seq: 1, flags: 2 }));
    assert.equal((await ann.nextBytes())[2], opcode);
  }
  await ann.hearsNothing();
  await ann.close();
});

test("an allowed service that the tenant doesn't have is NOT_FOUND", async () => {
  const [ann] = await members("nowhere", 1) as [Client];
  ann.binary(hot(NOWHERE, 1, { seq: 5, flags: 2 }));
  assert.equal((await ann.nextError("NOT_FOUND")).seq, 5);
  await ann.hearsNothing();
  await ann.close();
});

test("in silent mode refused frames are counted and not answered", async () => {
  const decisions = (reason: string) =>
    ["wsprism_policy_decisions_total", { tenant: "mute", lane: "hot", reason }] as const;
  const ann = await Client.open(gateway, { tenant: "mute" });
  ann.binary(hot(ECHO, 7, { payload: [1] })); // no active room
  await ann.join("mute");
  ann.binary(hot(ECHO, 8, { payload: [1] }));
  ann.binary(hot(RELAY, 7, { seq: 1, flags: 2 }));
  await ann.hearsNothing();
  const metrics = await gateway.metrics();
  assert.equal(metrics.sum(...decisions("no_active_room")), 1);
  assert.equal(metrics.sum(...decisions("allowlist")), 2);
  ann.binary(hot(ECHO, 7, { payload: [1] }));
  assert.equal(hex(await ann.nextBytes()), "01");
  await ann.close();
});

test("frames go to the room joined last, and to none once that is left", async () => {
  const [first] = await members("room a", 1) as [Client];
  const [second] = await members("room b", 1) as [Client];
  const ann = await Client.open(gateway);
  const say = () => ann.binary(hot(RELAY, 1, { seq: 4, payload: [0xdd] }));
  const refused = async () => assert.equal((await ann.nextError("BAD_REQUEST")).seq, 4);
  say();
  await refused();
  await ann.join("room a");
  await ann.join("room b");
  say();
  assert.equal(hex(await second.nextBytes()).slice(-2), "dd");
  // Another join of a room that was joined before makes it active again.
  await ann.join("room a");
  say();
  assert.equal(hex(await first.nextBytes()).slice(-2), "dd");
  await ann.leave("room b");
  say();
  assert.equal(hex(await first.nextBytes()).slice(-2), "dd");
  await ann.join("room b");
  ann.send({ svc: "room", type: "leave" });
  assert.equal((await ann.next("sys.left")).room, "room b");
  // Still a member of room a, which doesn't become active by itself.
  say();
  await refused();
  await ann.join("room a");
  say();
  assert.equal(hex(await first.nextBytes()).slice(-2), "dd");
  for (const client of [first, second, ann]) await client.hearsNothing();
  await closeAll([first, second, ann]);
});

test("a frame that cannot be read is BAD_REQUEST, and closes its session with 4505", async () => {
  const frames: readonly (readonly number[])[] = [
    [],
    [1],
    [1, ECHO],
    [1, ECHO, 1],
    [1, ECHO, 1, 1],
    [1, ECHO, 1, 1, 0, 0, 0],
    [1, ECHO, 1, 3, 0, 0, 0],
    [1, ECHO, 1, 2],
    [1, ECHO, 1, 2, 0, 0, 0, 0],
    // SENDER_PRESENT is the gateway's to set.
    [1, ECHO, 1, 4, 1, 0, 0, 0],
    [1, ECHO, 1, 5, 1, 0, 0, 0, 1, 0, 0, 0],
    ...[3, 4, 5, 6, 7].map((bit) => [1, ECHO, 1, 1 << bit, 0, 0, 0, 0]),
    [1, ECHO, 1, 255, 0, 0, 0, 0, 0, 0, 0, 0],
  ];
  await Promise.all(frames.map(async (frame) => {
    for (const tenant of ["acme", "mute"]) {
      const client = await Client.open(gateway, { tenant });
      client.binary(frame);
      await client.nextError("BAD_REQUEST");
      await client.ended(4505);
      assert.deepEqual(client.waiting, [], `${frame}`);
    }
  }));
});

test("a frame of another version is UNSUPPORTED_VERSION, and closes its session with 4506", async () => {
  await Promise.all([0, 2, 0x7b, 0xa1, 255].map(async (v) => {
    const client = await Client.open(gateway);
    client.binary(hot(ECHO, 1, { v, payload: [1] }));
    await client.nextError("UNSUPPORTED_VERSION");
    await client.ended(4506);
  }));
});

test("hundreds of frames sent at once come back complete and in order", async () => {
  const [ann, bob] = await members("burst", 2) as [Client, Client];
  // Within the burst of the tenant's rate.
  const count = 380;
  for (let i = 0; i < count; i++) ann.binary(hot(ECHO, 1, { payload: [i & 255, i >> 8] }));
  for (const client of [ann, bob]) {
    for (let i = 0; i < count; i++) {
      assert.deepEqual(await client.nextBytes(), Uint8Array.of(i & 255, i >> 8));
    }
  }
  await closeAll([ann, bob]);
});

lastly(gateway);
