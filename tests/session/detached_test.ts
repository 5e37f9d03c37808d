// What becomes of a session while its client is away: limits, tickets, reloads, bans, drains, and other tenants.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { SECRET, ticket } from "../admission/keys.ts";
import { open } from "../ops/admin/admin_house.ts";
import { Counting, msgs, refusal, resumable, RESUME, type Said } from "./counting.ts";
import { Client, elsewhere, type House, OPEN_POLICY } from "./house.ts";

const NOTHING = { sessions: 0, users: 0, rooms: 0, roomUsers: 0, timers: 0 };
const JWT =
  `auth: { mode: jwt, first_message: true, jwt: { algorithms: [HS256], leeway_s: 0, keys: [{ secret: "${SECRET}" }] }, ` +
  "failure_delay_ms: 0, expiry_warning_ms: 5000 }";

/** Enters with a ticket that is good for so many seconds, and asks for a way back. */
async function enterFor(house: House, seconds: number, more = ""): Promise<{ client: Client; authed: Said }> {
  const exp = Math.round(house.clock.unixMs() / 1000) + seconds;
  const client = await house.enter(await ticket({ sub: "ann", exp }), `tenant=acme&resume=1${more}`);
  const [authed] = client.link.read() as Said[];
  assert.equal(authed?.type, "authed");
  return { client, authed: authed! };
}

test("A gateway that drains takes the sessions along whose clients are away, at once", async () => {
  const house = await resumable();
  const ann = await Counting.enter(house, "ann");
  ann.say("room", "join", { room: "lobby" });
  ann.client.gone();
  const bob = await Counting.enter(house, "bob");
  const drained = house.gateway.drain();
  assert.equal((house.census() as { sessions: number }).sessions, 1, "only who is there is still in");
  house.turn();
  const [draining] = bob.client.link.read() as Said[];
  assert.equal(draining?.type, "draining");
  // Its client goes at once, as it was told; nobody can come back, and the session ends in its turn.
  bob.client.gone(1001);
  house.clock.advance(60_000);
  await drained;
  assert.deepEqual((house.census() as { sessions: number }).sessions, 0);
});

test("A reload that takes resuming away ends who is away, and leaves who is there until it is lost", async () => {
  const house = await resumable();
  const ann = await Counting.enter(house, "ann"), bob = await Counting.enter(house, "bob");
  bob.say("room", "join", { room: "lobby" });
  ann.client.gone();
  assert.equal((await house.reload({ tenant: [OPEN_POLICY] })).outcome, "applied");
  house.clock.advance(200);
  assert.deepEqual(await refusal(house, `resume=${ann.token}&heard=0`), [401, "unknown"]);
  assert.equal((house.census() as { sessions: number }).sessions, 1);
  for (let i = 0; i < 50; i++) assert.deepEqual(msgs(bob.chat(String(i))), [String(i)]);
  bob.client.gone();
  assert.deepEqual(house.census(), NOTHING);
});

test("A reload that shortens the window or makes less room holds for who is away already", async () => {
  const house = await resumable();
  const ann = await Counting.enter(house, "ann");
  ann.client.gone();
  house.clock.advance(2000);
  const bob = await Counting.enter(house, "bob"), cid = await Counting.enter(house, "cid");
  bob.client.gone();
  cid.client.gone();
  const less = (keys: string) => house.reload({ tenant: [`resume: { ${keys} }`, OPEN_POLICY] });
  assert.equal((await less("window_ms: 1000")).outcome, "applied");
  house.clock.advance(200);
  assert.deepEqual(await refusal(house, `resume=${ann.token}&heard=0`), [401, "expired"]);
  assert.equal((await less("max_detached: 1")).outcome, "applied");
  assert.deepEqual(await refusal(house, `resume=${bob.token}&heard=0`), [401, "expired"]);
  await cid.comeBack();
});

test("A suspension, a ban and a revocation end a session whose client is away", async () => {
  for (
    const [path, body, status, msg] of [
      ["users/ann/ban", undefined, 401, "ended"],
      ["tickets/revoke", { user: "ann" }, 401, "ended"],
      ["users/ann/disconnect", undefined, 401, "ended"],
      ["suspend", { over_ms: 0 }, 403, "tenant is suspended"],
    ] as const
  ) {
    const house = await open({ tenant: RESUME });
    const ann = await Counting.enter(house, "ann");
    ann.client.gone();
    const answer = await house.ask("POST", `/v1/tenants/acme/${path}`, body === undefined ? {} : { body });
    assert.equal(answer.status, 200, `${path}: ${answer.text}`);
    // A suspension takes the time of a drain.
    house.clock.advance(15_000);
    assert.equal((house.census() as { sessions: number }).sessions, 0, path);
    assert.deepEqual(await refusal(house, `resume=${ann.token}&heard=0`), [status, msg], path);
  }
});

test("Administrators see how long a client is away, hear of its loss, of its return, and of the end only when it ends", async () => {
  const house = await open({ tenant: RESUME });
  const events = await house.watch(
    "/v1/events?tenant=acme&kind=session",
  );
  const ann = await Counting.enter(house, "ann");
  const shown = async () => {
    const { body } = await house.get("/v1/tenants/acme/sessions");
    return body.sessions.map((one: { detached_ms: number | null }) => one.detached_ms);
  };
  assert.deepEqual(await shown(), [null]);
  ann.client.gone();
  house.clock.advance(1500);
  assert.deepEqual(await shown(), [1500]);
  await ann.comeBack();
  assert.deepEqual(await shown(), [null]);
  ann.client.gone(1001);
  house.clock.advance(31_000);
  house.turn();
  const seen: unknown[] = [];
  for (let type = ""; type !== "session.disconnected";) {
    const event = await events.next();
    type = event!.type;
    if (type !== "open" && type !== "session.connected") seen.push([type, event!.data.data]);
  }
  assert.deepEqual(seen, [
    ["session.detached", { reason: "connection_lost", code: 1006 }],
    ["session.resumed", { detached_ms: 1500 }],
    ["session.detached", { reason: "connection_lost", code: 1001 }],
    ["session.disconnected", { reason: "connection_lost", code: 1006, duration_ms: 31_500 }],
  ]);
});

test("A ticket runs on while its client is away: the warning waits, and its end is the session's", async () => {
  const house = await resumable([JWT, ...RESUME]);
  const { client, authed } = await enterFor(house, 20);
  client.gone();
  house.clock.advance(16_000);
  const back = await house.enter(null, `tenant=acme&resume=${authed.data.resume.token}&heard=0`);
  house.turn();
  const [resumed, expiring] = back.link.read() as Said[];
  assert.deepEqual([resumed?.type, resumed?.data.replay, expiring?.type], ["resumed", 1, "expiring"]);
  assert.ok(resumed!.data.expires_in_ms <= 4000);
  back.gone();
  house.clock.advance(5000);
  assert.deepEqual(house.census(), { ...NOTHING, timers: 0 });
  assert.deepEqual(await refusal(house, `resume=${resumed!.data.resume.token}&heard=1`), [401, "ended"]);
});

test("A new ticket answers with a greeting that has the token, and says nothing of a failed return any more", async () => {
  const house = await resumable([JWT, ...RESUME]);
  const exp = Math.round(house.clock.unixMs() / 1000) + 60;
  const text = await ticket({ sub: "ann", exp });
  const client = await house.enter(text, `tenant=acme&resume=${"x".repeat(32)}&heard=0`);
  const [first] = client.link.read() as Said[];
  assert.deepEqual(first?.data.resumed, { ok: false, reason: "unknown" });
  client.tell("sys", "auth", { seq: 9, data: { ticket: text } });
  await elsewhere(() => {
    house.turn();
    return client.link.got.length > 0;
  });
  const [second] = client.link.read() as Said[];
  assert.equal(second?.type, "authed");
  assert.equal(second?.data.resumed, undefined);
  assert.equal(second?.data.resume.token, first?.data.resume.token);
});

test("A client that sends its ticket as its first message asks in its handshake, and comes back without a ticket", async () => {
  const house = await resumable([JWT, ...RESUME]);
  const client = await house.enter(null, "tenant=acme&resume=1");
  const exp = Math.round(house.clock.unixMs() / 1000) + 60;
  client.tell("sys", "auth", { data: { ticket: await ticket({ sub: "ann", exp }) } });
  await elsewhere(() => {
    house.turn();
    return client.link.got.length > 0;
  });
  const [authed] = client.link.read() as Said[];
  client.gone();
  const back = await house.enter(null, `tenant=acme&resume=${authed!.data.resume.token}&heard=0`);
  const [resumed] = back.link.read() as Said[];
  // The ticket was the first message of its connection: of the session it is none.
  assert.deepEqual([resumed?.type, resumed?.data.heard], ["resumed", 0]);
});

test("For another session of its user a session gives way whose client is away, before one whose client is there", async () => {
  const policy = OPEN_POLICY.replace("{ ", "{ sessions: { max_sessions_per_user: 2, on_exceed: deny }, ");
  const house = await resumable([RESUME[0]!, policy]);
  const one = await Counting.enter(house, "ann"), two = await Counting.enter(house, "ann");
  two.client.gone();
  const three = await Counting.enter(house, "ann");
  assert.deepEqual(await refusal(house, `resume=${two.token}&heard=0`), [401, "ended"]);
  for (const { client } of [one, three]) assert.equal(client.link.closed, null);
});

test("Whose client is away counts in the tenant's maximum, and coming back needs no other place", async () => {
  const house = await resumable([...RESUME, "limits: { max_sessions_total: 1 }"]);
  const ann = await Counting.enter(house, "ann");
  ann.client.gone();
  assert.equal((await refusal(house, "ticket=dev:bob"))[0], 503);
  await ann.comeBack();
});

test("Another tenant's token is one that nobody knows, and costs at the limiter as a bad ticket does", async () => {
  const house = await resumable(
    RESUME,
    "handshake_limit: { enabled: true, per_ip_rps: 1, per_ip_burst: 10, failed_auth_cost: 5 }",
  );
  const ann = await Counting.enter(house, "ann");
  ann.client.gone();
  const guess = async () => {
    const answer = await house.knock(`tenant=other&resume=${ann.token}&heard=0`, {}, "192.0.2.9");
    assert.ok("refuse" in answer);
    return [answer.refuse.status, JSON.parse(answer.refuse.body).msg] as [number, string];
  };
  assert.deepEqual(await guess(), [401, "unknown"]);
  // Two attempts, and what two failures cost, are more than ten.
  assert.deepEqual(await guess(), [401, "unknown"]);
  assert.equal((await guess())[0], 429);
  await ann.comeBack();
});

test("What a client says before it is greeted counts, and its answers come after the greeting", async () => {
  const house = await resumable();
  let yes: (may: boolean) => void = () => {};
  house.gateway.tenant("acme").watchers.push({
    opened: () => new Promise((resolve) => yes = resolve),
    closed: () => {},
    detached: () => {},
    resumed: () => {},
    message: () => {},
    denied: () => {},
  });
  const client = await house.enter(null, "tenant=acme&ticket=dev:ann&resume=1");
  client.tell("room", "join", { room: "lobby" });
  yes(true);
  await elsewhere(() => {
    house.turn();
    return client.link.got.length > 1;
  });
  const [authed, joined] = client.link.read() as Said[];
  assert.deepEqual([authed?.type, joined?.type], ["authed", "joined"]);
  client.gone();
  const back = await house.enter(null, `tenant=acme&resume=${authed!.data.resume.token}&heard=1`);
  const [resumed] = back.link.read() as Said[];
  assert.deepEqual([resumed?.data.heard, resumed?.data.replay], [1, 0]);
});

test("In CBOR a session is resumed as in JSON, and what waits is kept as it travels", async () => {
  const house = await resumable();
  const offer = { "sec-websocket-protocol": "wsprism.v1.cbor" };
  const enter = async (query: string) => {
    const answer = await house.knock(`tenant=acme&${query}`, offer);
    assert.ok("accept" in answer, JSON.stringify(answer));
    const client = new Client(house, answer.accept, "192.0.2.1");
    answer.accept.open(client.link);
    house.turn();
    return client;
  };
  const ann = await enter("ticket=dev:ann&resume=1"), bob = house.connect("bob");
  const [authed] = ann.link.read() as Said[];
  ann.tell("room", "join", { room: "lobby" });
  house.turn();
  ann.link.read();
  bob.join("lobby");
  ann.gone();
  for (const msg of ["1", "2"]) bob.ask("chat", "send", { room: "lobby", data: { msg } });
  const back = await enter(`resume=${authed!.data.resume.token}&heard=1`);
  house.turn();
  assert.ok(back.link.got.every((payload) => typeof payload !== "string"));
  const [resumed, ...others] = back.link.read() as Said[];
  assert.equal(resumed?.type, "resumed");
  assert.deepEqual(msgs(others), ["1", "2"]);
});

test("A crowd that is away is bounded by gateway.max_outbox_bytes: who holds most ends first", async () => {
  const house = await resumable(
    ["resume: { max_messages: 100000 }", OPEN_POLICY],
    "max_outbox_bytes: 1048576",
  );
  const clients: Counting[] = [];
  for (let i = 0; i < 8; i++) {
    const one = await Counting.enter(house, `u${i}`);
    one.say("room", "join", { room: "lobby" });
    clients.push(one);
  }
  for (const { client } of clients) client.gone();
  const bob = house.connect("bob");
  bob.join("lobby");
  const msg = "x".repeat(2000);
  for (let i = 0; i < 110; i++) bob.ask("chat", "send", { room: "lobby", data: { msg } });
  const reasons: string[] = [];
  for (const { token, heard } of clients) {
    const answer = await house.knock(`tenant=acme&resume=${token}&heard=${heard}`);
    reasons.push("refuse" in answer ? (JSON.parse(answer.refuse.body) as { msg: string }).msg : "back");
  }
  assert.ok(reasons.includes("overflow") && reasons.includes("back"), reasons.join());
});

test("A connection that is taken over lets nobody go, though as many are away as may be", async () => {
  const house = await resumable(["resume: { max_detached: 1 }", OPEN_POLICY]);
  const ann = await Counting.enter(house, "ann"), bob = await Counting.enter(house, "bob");
  ann.client.gone();
  await bob.comeBack();
  await ann.comeBack();
});

test("A token that was heard is good, though it was never answered for, and the one before is not", async () => {
  const house = await resumable();
  const ann = await Counting.enter(house, "ann");
  const first = ann.token;
  await ann.comeBack();
  const second = ann.token;
  // The answer to this return is lost on the way.
  const lost = await house.enter(null, `tenant=acme&resume=${second}&heard=0`);
  lost.gone();
  assert.deepEqual(await refusal(house, `resume=${first}&heard=0`), [401, "unknown"]);
  await ann.comeBack({ token: second });
});
