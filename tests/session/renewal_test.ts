// The end of a session's right, told ahead, met in time, and moved by a new ticket; and what a ticket takes away.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { SECRET, ticket } from "../admission/keys.ts";
import { type Client, elsewhere, House, type HouseOptions, OPEN_POLICY } from "./house.ts";

/** The house's clock starts a second after this. */
const START_S = 1_767_225_601;

// deno-lint-ignore no-explicit-any -- messages, of which a test says what it expects
type Message = any;

const auth = (more = "") =>
  `auth: { mode: jwt, jwt: { algorithms: [HS256], leeway_s: 0, keys: [{ secret: "${SECRET}" }] }, failure_delay_ms: 0${more} }`;
const start = (more = "", options: HouseOptions = {}) =>
  new House({
    gateway: "idle_timeout_ms: 600000",
    tenant: [auth(more), OPEN_POLICY, "limits: { max_frame_bytes: 16384 }"],
    ...options,
  }).start();

/** Enters with a ticket good for so many seconds, and reads the greeting. */
async function enter(house: House, seconds: number, claims: object = {}, query = "tenant=acme") {
  const now = Math.round(house.clock.unixMs() / 1000);
  const client = await house.enter(await ticket({ sub: "ann", exp: now + seconds, ...claims }), query);
  const [authed] = client.link.read() as [Message];
  assert.equal(authed.type, "authed", JSON.stringify(authed));
  return { client, authed };
}

/** Sends a new ticket. @returns what was said from then on, the answer last */
async function renew(house: House, client: Client, text: string): Promise<Message[]> {
  house.turn();
  client.link.read();
  client.tell("sys", "auth", { seq: 9, data: { ticket: text } });
  await elsewhere(() => {
    house.turn();
    return client.link.got.some((message) => typeof message === "string" && message.includes('"seq":9'));
  });
  return client.link.read() as Message[];
}

const advance = (house: House, client: Client, ms: number): Message[] => {
  house.clock.advance(ms);
  house.turn();
  return client.link.read() as Message[];
};

/** The close code; null while it is open. */
const codeOf = (client: Client) => client.link.closed?.code ?? null;

test("A session is told how long its ticket is good for, then that it ends soon, and is closed with 4004 on time", async () => {
  const house = await start();
  const { client, authed } = await enter(house, 300);
  assert.equal(authed.data.expires_in_ms, 300_000);
  const seen: [ms: number, message: Message][] = [];
  for (let ms = 100; ms <= 301_000 && codeOf(client) === null; ms += 100) {
    for (const message of advance(house, client, 100)) seen.push([ms, message]);
    client.handler.pong();
  }
  assert.deepEqual(seen.map(([, { type, data }]) => `${type} ${data.expires_in_ms ?? data.code}`), [
    `expiring ${seen[0]![1].data.expires_in_ms}`,
    "error AUTH_FAILED",
  ]);
  const [warned, ended] = seen.map(([ms]) => ms) as [number, number];
  assert.ok(warned >= 240_000 && warned <= 240_200, `warned at ${warned}`);
  assert.equal(seen[0]![1].data.expires_in_ms, 300_000 - warned);
  assert.ok(ended >= 300_000 && ended <= 300_200, `ended at ${ended}`);
  assert.equal(codeOf(client), 4004);
  assert.deepEqual(house.census(), { sessions: 0, users: 0, rooms: 0, roomUsers: 0, timers: 1 });
  assert.deepEqual(await house.metric("session_closes_total"), ['{tenant="acme",name="ticket_expired"} 1']);
});

test("The warning comes when the tenant says, at once for a ticket that is shorter, or never", async () => {
  const early = await start(", expiry_warning_ms: 120000");
  const { client } = await enter(early, 300);
  assert.deepEqual(advance(early, client, 179_900), []);
  assert.equal(advance(early, client, 200)[0].type, "expiring");
  const short = await start();
  const brief = await enter(short, 10);
  const [expiring] = advance(short, brief.client, 100);
  assert.deepEqual([expiring.type, expiring.data.expires_in_ms], ["expiring", 9900]);
  const silent = await start(", expiry_warning_ms: 0");
  const unwarned = await enter(silent, 10);
  assert.equal(advance(silent, unwarned.client, 10_100)[0].data.code, "AUTH_FAILED");
});

test("A new ticket of the same user moves the end, and the session goes on in place", async () => {
  const house = await start();
  const { client, authed } = await enter(house, 100);
  client.join("lobby");
  house.clock.advance(90_000);
  client.link.read();
  const [again] = await renew(
    house,
    client,
    await ticket({ sub: "ann", exp: START_S + 90 + 500, jti: "t2", plan: "pro" }),
  );
  assert.deepEqual([again.type, again.seq, again.data.session], ["authed", 9, authed.data.session]);
  assert.equal(again.data.expires_in_ms, 500_000);
  for (let i = 0; i < 4; i++) {
    assert.deepEqual(advance(house, client, 50_000).filter(({ type }) => type !== "expiring"), []);
    client.handler.pong();
  }
  const [members] = client.ask("room", "members", { room: "lobby" }) as [Message];
  assert.equal(members.data.count, 1);
  for (let i = 0; i < 6; i++) {
    advance(house, client, 50_000);
    client.handler.pong();
  }
  assert.equal(codeOf(client), 4004);
});

test("A ticket of another user, for another sid or no good at all changes nothing, and the old end holds", async () => {
  const house = await start();
  const { client } = await enter(house, 100, {}, "tenant=acme&sid=tab-1");
  const bad: [string, RegExp][] = [
    [await ticket({ sub: "bob", exp: START_S + 9000 }), /another user's/],
    [await ticket({ sub: "ann", exp: START_S + 9000, sid: "tab-2" }), /another sid/],
    [await ticket({ sub: "ann", exp: START_S + 9000 }, { key: `${SECRET}x` }), /not valid/],
    [await ticket({ sub: "ann", exp: START_S - 1 }), /expired/],
    [await ticket({ sub: "ann", exp: START_S + 9000, rooms: "lobby" }), /claim/],
    ["nonsense", /not valid/],
    ["x".repeat(8193), /not valid/],
  ];
  for (const [text, msg] of bad) {
    const [error] = await renew(house, client, text);
    assert.deepEqual([error.type, error.seq, error.data.code], ["error", 9, "AUTH_FAILED"]);
    assert.match(error.data.msg, msg);
    house.clock.advance(2000);
  }
  assert.equal(codeOf(client), null);
  const left = 100_000 - bad.length * 2000;
  advance(house, client, left - 40_000 - 100);
  client.handler.pong();
  advance(house, client, 40_000);
  assert.equal(codeOf(client), null);
  advance(house, client, 300);
  assert.equal(codeOf(client), 4004);
});

test("sys.auth without a ticket is a bad request, and more than one a second is too much", async () => {
  const house = await start();
  const { client } = await enter(house, 100);
  for (const data of [undefined, null, {}, { ticket: 7 }, { ticket: "" }, [], "t", { Ticket: "t" }]) {
    const [error] = client.ask("sys", "auth", { seq: 1, data }) as [Message];
    assert.deepEqual([error.data.code, error.seq], ["BAD_REQUEST", 1]);
  }
  const [first] = await renew(house, client, "nonsense");
  assert.equal(first.data.code, "AUTH_FAILED");
  const [second] = client.ask("sys", "auth", { seq: 2, data: { ticket: "nonsense" } }) as [Message];
  assert.deepEqual([second.data.code, second.data.retry_after_ms, second.seq], ["RATE_LIMITED", 1000, 2]);
  house.clock.advance(1000);
  assert.equal((await renew(house, client, "nonsense"))[0].data.code, "AUTH_FAILED");
});

test("While a ticket is verified no other is, and one that comes back after the end finds nobody", async () => {
  const house = await start();
  const { client } = await enter(house, 100);
  const good = await ticket({ sub: "ann", exp: START_S + 9000 });
  client.tell("sys", "auth", { data: { ticket: good } });
  house.clock.advance(5000);
  const [error] = client.ask("sys", "auth", { data: { ticket: good } }) as [Message];
  assert.equal(error.data.code, "RATE_LIMITED");
  await elsewhere(() => {
    house.turn();
    return client.link.got.length > 0;
  });
  assert.equal((client.link.read() as [Message])[0].type, "authed");
  house.clock.advance(2000);
  client.tell("sys", "auth", { data: { ticket: good } });
  client.gone();
  await new Promise((resolve) => setTimeout(resolve, 20));
  house.turn();
  assert.deepEqual(client.link.read(), []);
  assert.deepEqual(house.census(), { sessions: 0, users: 0, rooms: 0, roomUsers: 0, timers: 0 });
});

test("A ticket's rooms bound what is joined, and a renewal that takes rooms away leaves them", async () => {
  const house = await start();
  const { client } = await enter(house, 100, { rooms: ["party:*", "lobby"] });
  client.join("party:1");
  client.join("party:2");
  client.join("lobby");
  const [refused] = client.ask("room", "join", { room: "office", seq: 3 }) as [Message];
  assert.deepEqual([refused.data.code, refused.seq], ["NOT_ALLOWED", 3]);
  const [noDefault] = client.ask("room", "join") as [Message];
  assert.equal(noDefault.data.code, "NOT_ALLOWED", "the default room is a room");
  const told = await renew(
    house,
    client,
    await ticket({ sub: "ann", exp: START_S + 50, rooms: ["party:2"] }),
  );
  assert.deepEqual(told.map(({ type, room }) => room === undefined ? type : `${type} ${room}`).sort(), [
    "authed",
    "left lobby",
    "left party:1",
  ]);
  assert.equal((house.census() as Message).rooms, 1);
  house.clock.advance(1000);
  await renew(house, client, await ticket({ sub: "ann", exp: START_S + 50 }));
  client.join("office");
});

test("A ticket's services bound what is sent on both lanes, within what the tenant allows", async () => {
  const house = await start();
  const { client } = await enter(house, 100, { services: ["room:join", "chat:send", "sys:*", "2:1", "9:*"] });
  client.join("lobby");
  const code = ([message]: Message[]) =>
    message === undefined ? "silence" : message.data?.code ?? message.type ?? "bytes";
  assert.equal(code(client.ask("chat", "send", { room: "lobby", data: { msg: "hi" } })), "msg");
  assert.equal(code(client.ask("room", "leave", { room: "lobby" })), "NOT_ALLOWED");
  assert.equal(code(client.ask("t", "x")), "NOT_ALLOWED");
  assert.equal(code(client.askHot(1, 1, 1, 0)), "NOT_ALLOWED", "echo");
  assert.equal(code(client.askHot(1, 2, 2, 0)), "NOT_ALLOWED", "another opcode");
  assert.equal(code(client.askHot(1, 9, 1, 0)), "NOT_ALLOWED", "the tenant has not allowed it");
  assert.equal(code(client.ask("sys", "ping")), "pong");
  const other = await enter(house, 100, { sub: "bob" });
  other.client.join("lobby");
  client.link.read();
  assert.equal(code(other.client.ask("room", "leave", { room: "lobby" })), "left", "others are not narrowed");
});

test("A ticket's frame size is told, and enforced", async () => {
  const house = await start();
  const { client, authed } = await enter(house, 100, { limits: { max_frame_bytes: 100 } });
  assert.equal(authed.data.max_frame_bytes, 100);
  client.ask("sys", "ping", { data: "x".repeat(200) });
  assert.equal(codeOf(client), 4508);
});

test("Claims that the gateway does not read are for services, and follow the renewals", async () => {
  const seen: unknown[] = [];
  const house = await start("", {
    services: {
      t: (context) => {
        seen.push(context.claims);
        return { ok: true };
      },
    },
  });
  const { client } = await enter(house, 100, {
    jti: "1",
    iss: "me",
    plan: "free",
    teams: ["a"],
    rooms: ["*"],
  });
  client.ask("t", "x");
  await renew(house, client, await ticket({ sub: "ann", exp: START_S + 50, plan: "pro" }));
  client.ask("t", "x");
  house.clock.advance(1000);
  await renew(house, client, await ticket({ sub: "ann", exp: START_S + 50 }));
  client.ask("t", "x");
  assert.deepEqual(seen, [{ plan: "free", teams: ["a"] }, { plan: "pro" }, {}]);
  assert.ok(seen.every((claims) => Object.isFrozen(claims)));
});

test("A claim named __proto__ is a claim like any other", async () => {
  const seen: unknown[] = [];
  const house = await start("", {
    services: {
      t: (context) => {
        seen.push(Object.getOwnPropertyNames(context.claims), (context.claims as Message).admin);
        return { ok: true };
      },
    },
  });
  const claims = JSON.parse('{"__proto__":{"admin":true,"rooms":["*"]},"constructor":1}');
  const { client } = await enter(house, 100, claims);
  client.ask("t", "x");
  assert.equal(seen[1], undefined);
});

test("A ticket may name the session's sid, and then a client cannot choose another", async () => {
  const house = await start();
  const { authed } = await enter(house, 100, { sid: "device-1" });
  assert.equal(authed.data.sid, "device-1");
  await enter(house, 100, { sid: "device-1" }, "tenant=acme&sid=device-1");
  const text = await ticket({ sub: "ann", exp: START_S + 100, sid: "device-1" });
  const answer = await house.knock("tenant=acme&sid=device-2", { authorization: `Bearer ${text}` });
  assert.ok("refuse" in answer && answer.refuse.status === 401);
  assert.match(answer.refuse.body, /another sid/);
});
