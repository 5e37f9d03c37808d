import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Client, House, OPEN_POLICY } from "./house.ts";

interface Said {
  readonly type: string;
  readonly seq?: number;
  readonly offset?: number;
  // deno-lint-ignore no-explicit-any -- a test reads what it expects
  readonly data?: any;
}

const KEEPS = ['rooms: [{ match: "k*", history: { max_messages: 5, max_age_ms: 60000 } }]', OPEN_POLICY];

/** Clients of a test answer no pings. */
const PATIENT = "idle_timeout_ms: 600000";

async function house(tenant: readonly string[] = KEEPS, gateway?: string): Promise<House> {
  return await new House({ tenant, ...(gateway === undefined ? {} : { gateway }) }).start();
}

function join(client: Client, data: object = {}, room = "k"): Said[] {
  return client.ask("room", "join", { room, data }) as Said[];
}

let seq = 0;

/** @returns the ack, and what else came */
function chat(
  client: Client,
  msg: string,
  more: object = {},
  room = "k",
): { ack: Said | undefined; others: Said[] } {
  const own = ++seq;
  const came = client.ask("chat", "send", { room, seq: own, flags: 4, data: { msg }, ...more }) as Said[];
  const ack = came.find((one) => one.seq === own);
  return { ack, others: came.filter((one) => one !== ack) };
}

const heard = (said: readonly Said[]) =>
  said.filter(({ type }) => type === "msg").map(({ offset, data }) => [offset, data.msg]);

test("A room that keeps what is said numbers it from 1, tells the sender, and a joining member where it stands", async () => {
  const all = await house();
  const ann = all.connect("ann"), bob = all.connect("bob");
  const [joined] = join(ann);
  assert.deepEqual([joined!.data.offset, typeof joined!.data.epoch, joined!.data.recovered], [
    0,
    "string",
    undefined,
  ]);
  join(bob);
  const { ack, others } = chat(ann, "a");
  assert.deepEqual(ack!.data, { offset: 1, epoch: joined!.data.epoch });
  assert.deepEqual(heard(others), [[1, "a"]]);
  assert.deepEqual(heard(bob.link.read() as Said[]), [[1, "a"]]);
  assert.equal(chat(ann, "b").ack!.data.offset, 2);
  // A room of no class is as it was.
  join(ann, {}, "plain");
  assert.equal(chat(ann, "x", {}, "plain").ack!.data, undefined);
  assert.deepEqual(heard(chat(ann, "y", {}, "plain").others), [[undefined, "y"]]);
});

test("Who joins with a cursor is given all after it, then what is live, none twice and none missing", async () => {
  const all = await house();
  const ann = all.connect("ann"), bob = all.connect("bob");
  const { epoch } = join(ann)[0]!.data;
  for (const msg of ["1", "2", "3"]) chat(ann, msg);
  bob.tell("room", "join", { room: "k", data: { since: { epoch, offset: 1 } } });
  ann.tell("chat", "send", { room: "k", data: { msg: "4" } });
  all.turn();
  all.turn();
  const came = bob.link.read() as Said[];
  const { type, data } = came[0]!;
  assert.deepEqual([type, data.recovered, data.replayed, data.offset, data.reason], [
    "joined",
    true,
    2,
    3,
    undefined,
  ]);
  assert.deepEqual(heard(came), [[2, "2"], [3, "3"], [4, "4"]]);
});

test("What cannot be proven is said, with its reason, and the newest there is", async () => {
  const all = await house();
  const ann = all.connect("ann");
  const { epoch } = join(ann)[0]!.data;
  for (let i = 1; i <= 8; i++) chat(ann, String(i));
  const newest = [[4, "4"], [5, "5"], [6, "6"], [7, "7"], [8, "8"]];
  for (
    const [since, reason] of [
      [{ epoch, offset: 2 }, "trimmed"],
      [{ epoch, offset: 9 }, "ahead"],
      [{ epoch: "", offset: 8 }, "epoch"],
      [{ epoch: "other", offset: 8 }, "epoch"],
    ] as const
  ) {
    const bob = all.connect(`bob ${reason} ${since.epoch}`);
    const came = join(bob, { since });
    all.turn();
    came.push(...bob.link.read() as Said[]);
    assert.deepEqual([came[0]!.data.recovered, came[0]!.data.reason], [false, reason]);
    assert.deepEqual(heard(came), newest, reason);
    assert.equal(came[0]!.data.replayed, 5);
  }
  const cid = all.connect("cid");
  const came = join(cid, { last: 2 });
  all.turn();
  came.push(...cid.link.read() as Said[]);
  assert.deepEqual([came[0]!.data.recovered, came[0]!.data.replayed], [true, 2]);
  assert.deepEqual(heard(came), [[7, "7"], [8, "8"]]);
});

test("A member that joins again is given only what it has not heard", async () => {
  const all = await house();
  const ann = all.connect("ann"), bob = all.connect("bob");
  const { epoch } = join(ann)[0]!.data;
  for (const msg of ["1", "2", "3"]) chat(ann, msg);
  join(bob);
  chat(ann, "4");
  assert.deepEqual(heard(bob.link.read() as Said[]), [[4, "4"]]);
  const again = () => {
    const came = join(bob, { since: { epoch, offset: 1 } });
    all.turn();
    return [...came, ...bob.link.read() as Said[]];
  };
  const first = again();
  assert.deepEqual([first[0]!.data.recovered, first[0]!.data.replayed], [true, 2]);
  assert.deepEqual(heard(first), [[2, "2"], [3, "3"]]);
  assert.deepEqual(heard(again()), []);
});

test("room.history has pages for members, and needs its entry and a room that keeps something", async () => {
  const all = await house();
  const ann = all.connect("ann"), eve = all.connect("eve");
  const { epoch } = join(ann)[0]!.data;
  for (let i = 1; i <= 7; i++) chat(ann, String(i));
  const page = (data: object, client = ann, room = "k") =>
    (client.ask("room", "history", { room, seq: 1, data }) as Said[])[0]!;
  const { data } = page({ after: 3, limit: 2 });
  assert.deepEqual([data.epoch, data.first, data.last, data.more], [epoch, 3, 7, true]);
  assert.deepEqual(heard(data.messages), [[4, "4"], [5, "5"]]);
  assert.deepEqual(heard(page({ before: 7, limit: 2 }).data.messages), [[5, "5"], [6, "6"]]);
  assert.deepEqual(heard(page({}).data.messages).length, 5);
  assert.equal(page({ after: 7 }).data.messages.length, 0);
  for (
    const bad of [{ after: 1, before: 2 }, { limit: 0 }, { limit: 101 }, { after: -1 }, { after: "1" }, 5]
  ) {
    assert.equal(page(bad as object).data.code, "BAD_REQUEST", JSON.stringify(bad));
  }
  assert.equal(page({}, eve).data.code, "NOT_ALLOWED");
  join(ann, {}, "plain");
  assert.equal(page({}, ann, "plain").data.code, "NOT_FOUND");
  const closed = await house([KEEPS[0]!, 'policy: { ext_allowlist: ["room:join", "chat:send"] }']);
  const dan = closed.connect("dan");
  join(dan);
  assert.equal(page({}, dan).data.code, "NOT_ALLOWED");
});

test("The same user's message under the same key is published once, in any room, and others' keys are theirs", async () => {
  const all = await house(KEEPS, PATIENT);
  const ann = all.connect("ann"), bob = all.connect("bob");
  join(ann);
  join(bob);
  const first = chat(ann, "once", { key: "k1" });
  assert.deepEqual([first.ack!.data.offset, first.ack!.data.duplicate], [1, undefined]);
  const second = chat(ann, "once", { key: "k1" });
  assert.deepEqual([second.ack!.data.offset, second.ack!.data.duplicate], [1, true]);
  assert.deepEqual(heard(second.others), []);
  assert.deepEqual(heard(bob.link.read() as Said[]), [[1, "once"]]);
  assert.equal(chat(bob, "mine", { key: "k1" }).ack!.data.offset, 2);
  all.clock.advance(300_000);
  assert.equal(chat(ann, "much later", { key: "k1" }).ack!.data.offset, 3);
  join(ann, {}, "plain");
  assert.equal(chat(ann, "p", { key: "p1" }, "plain").ack!.data, undefined);
  assert.deepEqual(chat(ann, "p", { key: "p1" }, "plain").ack!.data, { duplicate: true });
  for (const key of ["", "a b", "ä", "x".repeat(65), 5]) {
    const eve = all.connect(`eve ${key}`);
    const [error] = eve.ask("chat", "send", { room: "k", key, data: { msg: "m" } }) as Said[];
    assert.equal(error?.data.code, "BAD_REQUEST", String(key));
  }
});

test("Messages that are too old go, and a room that nobody uses goes with its epoch", async () => {
  const all = await house(KEEPS, PATIENT);
  const ann = all.connect("ann");
  const { epoch } = join(ann)[0]!.data;
  chat(ann, "1");
  all.clock.advance(61_000);
  const [again] = join(ann, { since: { epoch, offset: 0 } });
  assert.deepEqual([again!.data.recovered, again!.data.reason, again!.data.offset], [false, "trimmed", 1]);
  assert.equal(chat(ann, "2").ack!.data.offset, 2);
  ann.gone(1000);
  all.clock.advance(130_000);
  assert.equal((all.census() as { rooms: number }).rooms, 0);
  const bob = all.connect("bob");
  const [fresh] = join(bob, { since: { epoch, offset: 2 } });
  assert.deepEqual([fresh!.data.recovered, fresh!.data.reason, fresh!.data.offset], [false, "epoch", 0]);
});

test("Above max_history_bytes the room that was idle longest begins anew, and its members go on", async () => {
  const all = await house(['rooms: [{ match: "k*", history: {} }]', OPEN_POLICY], "max_history_bytes: 6000");
  const ann = all.connect("ann");
  const before = join(ann, {}, "k1")[0]!.data.epoch;
  for (let i = 0; i < 20; i++) chat(ann, "x".repeat(50), {}, "k1");
  join(ann, {}, "k2");
  for (let i = 0; i < 20; i++) chat(ann, "x".repeat(150), {}, "k2");
  const { ack } = chat(ann, "after", {}, "k1");
  assert.equal(ack!.data.offset, 1);
  assert.notEqual(ack!.data.epoch, before);
  const [again] = join(ann, { since: { epoch: before, offset: 20 } }, "k1");
  assert.deepEqual([again!.data.recovered, again!.data.reason, again!.data.replayed], [false, "epoch", 0]);
});

test("Where a class says so members are told of joins and leaves without asking, each after an offset", async () => {
  const all = await house(['rooms: [{ match: "k", history: {}, presence: true }]', OPEN_POLICY]);
  const ann = all.connect("ann"), bob = all.connect("bob");
  join(ann);
  chat(ann, "1");
  ann.link.read();
  join(bob);
  const [told] = ann.link.read() as Said[];
  assert.deepEqual([told!.type, told!.data.event, told!.data.at], ["presence", "join", 1]);
  bob.ask("room", "leave", { room: "k" });
  const [left] = ann.link.read() as Said[];
  assert.deepEqual([left!.data.event, left!.data.at], ["leave", 1]);
});

test("A resumed session is told what its rooms kept as it would have been live, once", async () => {
  const all = await house(["resume: {}", ...KEEPS]);
  const client = await all.enter(null, "tenant=acme&ticket=dev:ann&resume=1");
  const token = (client.link.read() as Said[])[0]!.data.resume.token;
  const bob = all.connect("bob");
  join(client);
  join(bob);
  chat(bob, "1");
  assert.deepEqual(heard(client.link.read() as Said[]), [[1, "1"]]);
  client.gone();
  chat(bob, "2");
  const back = await all.enter(null, `tenant=acme&resume=${token}&heard=2`);
  all.turn();
  const came = back.link.read() as Said[];
  assert.equal(came[0]!.type, "resumed");
  assert.deepEqual(heard(came), [[2, "2"]]);
});
