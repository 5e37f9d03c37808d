import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Counting, msgs, refusal, resumable, RESUME, type Said } from "./counting.ts";
import { Client, House, OPEN_POLICY, settle } from "./house.ts";

test("Without asking, or where the tenant has none, nobody hears of resuming and a loss is an end", async () => {
  const plain = await resumable([OPEN_POLICY]);
  const client = await plain.enter(null, "tenant=acme&ticket=dev:ann&resume=1");
  assert.equal((client.link.read() as Said[])[0]!.data.resume, undefined);
  client.gone();
  assert.deepEqual(plain.census(), { sessions: 0, users: 0, rooms: 0, roomUsers: 0, timers: 0 });

  const able = await resumable();
  const silent = able.connect("ann");
  silent.gone();
  assert.deepEqual(able.census(), { sessions: 0, users: 0, rooms: 0, roomUsers: 0, timers: 0 });
});

test("A lost client stays in its rooms, nobody hears a leave, and it is told all it missed, in order, then what is live", async () => {
  const all = await resumable();
  const ann = await Counting.enter(all, "ann"), bob = all.connect("bob");
  ann.say("room", "join", { room: "lobby", data: { presence: true } });
  bob.ask("room", "join", { room: "lobby", data: { presence: true } });
  all.turn();
  ann.read();
  ann.client.gone();
  for (const msg of ["1", "2", "3"]) bob.ask("chat", "send", { room: "lobby", data: { msg } });
  assert.deepEqual(all.gateway.census("acme").roomUsers, 2);
  const back = await ann.comeBack();
  assert.deepEqual([back.data.heard, back.data.replay], [1, 3]);
  assert.deepEqual(msgs(ann.after), ["1", "2", "3"]);
  assert.deepEqual(msgs(bob.ask("chat", "send", { room: "lobby", data: { msg: "4" } }) as Said[]), ["4"]);
  assert.deepEqual(msgs(ann.read()), ["4"]);
  assert.ok(!(bob.link.read() as Said[]).some(({ type }) => type === "presence"), "somebody heard of it");
});

test("What was written and never arrived is said again, once, and over many losses", async () => {
  const all = await resumable();
  const ann = await Counting.enter(all, "ann");
  ann.say("room", "join", { room: "lobby" });
  const got: string[] = [];
  let next = 0;
  for (let round = 0; round < 10; round++) {
    const bob = all.connect(`bob${round}`);
    bob.join("lobby");
    for (let i = 0; i < 3; i++) bob.ask("chat", "send", { room: "lobby", data: { msg: String(next++) } });
    // Of these three, which were written to the link, it hears one, two or none.
    for (const payload of ann.client.link.got.splice(0).slice(0, round % 3)) {
      got.push(JSON.parse(payload as string).data.msg);
      ann.heard++;
    }
    ann.client.gone();
    bob.gone(1000);
    await ann.comeBack();
    got.push(...msgs(ann.after));
  }
  assert.deepEqual(got, Array.from({ length: 30 }, (_, i) => String(i)));
});

test("Replies and acks of what was under way when the connection was lost are not lost with it", async () => {
  let answer: () => void = () => {};
  const all = await new House({
    tenant: RESUME,
    services: { slow: () => new Promise((resolve) => answer = () => resolve({ ok: true, reply: { n: 7 } })) },
  }).start();
  const ann = await Counting.enter(all, "ann");
  ann.say("slow", "ask", { seq: 5, flags: 4 });
  ann.client.gone();
  answer();
  await settle();
  const back = await ann.comeBack();
  assert.equal(back.data.heard, 1);
  assert.deepEqual(ann.after.map(({ type, seq }) => [type, seq]), [["reply", 5], ["ack", 5]].reverse());
});

test("The gateway says how many messages it has taken, so that the client sends the rest again", async () => {
  const all = await resumable();
  const ann = await Counting.enter(all, "ann");
  ann.say("room", "join", { room: "lobby" });
  ann.chat("a");
  ann.say("no", "such"); // refused, and taken all the same
  ann.client.gone();
  assert.equal((await ann.comeBack()).data.heard, 3);
  ann.chat("b");
  ann.client.gone(1001);
  assert.equal((await ann.comeBack()).data.heard, 4);
});

test("A client that says it will be back leaves its session waiting; one that says anything else does not", async () => {
  for (
    const [code, waits] of [[4006, true], [1001, true], [1000, false], [1005, false], [4007, false]] as const
  ) {
    const all = await resumable();
    const ann = await Counting.enter(all, "ann");
    ann.client.gone(code);
    if (waits) assert.equal((await ann.comeBack()).type, "resumed", String(code));
    else assert.deepEqual(await refusal(all, `resume=${ann.token}&heard=0`), [401, "ended"], String(code));
  }
});

test("A ping says how far the client is, and lets the gateway forget; a pong says how far the gateway is", async () => {
  const all = await resumable();
  const ann = await Counting.enter(all, "ann");
  ann.say("room", "join", { room: "lobby" });
  // More than is kept, and each of them heard of in time.
  for (let i = 0; i < 50; i++) {
    ann.chat(String(i));
    const [pong] = ann.say("sys", "ping", { data: { heard: ann.heard } });
    assert.deepEqual([pong?.type, pong?.data.heard], ["pong", ann.sent]);
  }
  ann.client.gone();
  assert.equal((await ann.comeBack()).data.replay, 0);
  const [error] = ann.say("sys", "ping", { data: { heard: 10_000 } });
  assert.deepEqual([error?.type, error?.data.code], ["error", "BAD_REQUEST"]);
});

test("A token is good once; the one before stays good only until the client's end has answered", async () => {
  const all = await resumable();
  const ann = await Counting.enter(all, "ann");
  const first = ann.token;
  ann.client.gone();
  await ann.comeBack();
  const second = ann.token;
  // Its answer never arrived: it comes again with what it has.
  ann.client.gone();
  await ann.comeBack({ token: first });
  assert.notEqual(ann.token, second);
  assert.deepEqual(await refusal(all, `resume=${second}&heard=0`), [401, "unknown"]);
  ann.client.handler.pong();
  assert.deepEqual(await refusal(all, `resume=${first}&heard=0`), [401, "unknown"]);
  ann.client.gone();
  await ann.comeBack();
});

test("A client that comes back before its loss was noticed takes its session over", async () => {
  const all = await resumable();
  const ann = await Counting.enter(all, "ann");
  ann.say("room", "join", { room: "lobby" });
  const former = ann.client;
  await ann.comeBack();
  assert.equal(former.link.terminated, 1);
  former.gone();
  assert.deepEqual(msgs(ann.chat("still here")), ["still here"]);
  assert.equal(all.gateway.census("acme").sessions, 1);
});

test("After the window, an end or an overflow the reason is told, with 401 or with a new session", async () => {
  const all = await resumable();
  const ann = await Counting.enter(all, "ann");
  ann.say("room", "join", { room: "lobby" });
  ann.client.gone();
  all.clock.advance(30_100);
  assert.deepEqual(all.census(), { sessions: 0, users: 0, rooms: 0, roomUsers: 0, timers: 0 });
  assert.deepEqual(await refusal(all, `resume=${ann.token}&heard=${ann.heard}`), [401, "expired"]);
  assert.deepEqual(await refusal(all, `resume=${"0".repeat(32)}&heard=0`), [401, "unknown"]);

  const again = await all.enter(null, `tenant=acme&ticket=dev:ann&resume=${ann.token}&heard=${ann.heard}`);
  const [authed] = again.link.read() as Said[];
  assert.deepEqual(authed?.data.resumed, { ok: false, reason: "expired" });
  assert.equal(typeof authed?.data.resume.token, "string");
  again.gone(1000);
  const token = authed!.data.resume.token;
  assert.deepEqual(await refusal(all, `resume=${token}&heard=0`), [401, "ended"]);

  const slow = await Counting.enter(all, "slow");
  slow.say("room", "join", { room: "lobby" });
  slow.client.gone();
  const bob = all.connect("bob");
  bob.join("lobby");
  for (let i = 0; i < 25; i++) bob.ask("chat", "send", { room: "lobby", data: { msg: String(i) } });
  all.clock.advance(200);
  assert.deepEqual(await refusal(all, `resume=${slow.token}&heard=${slow.heard}`), [401, "overflow"]);
  assert.equal(all.gateway.census("acme").sessions, 1);
});

test("A client that never said how far it is and comes back too far behind gets an overflow, never a gap", async () => {
  const all = await resumable();
  const ann = await Counting.enter(all, "ann");
  ann.say("room", "join", { room: "lobby" });
  for (let i = 0; i < 30; i++) ann.chat(String(i));
  ann.client.gone();
  assert.deepEqual(await refusal(all, `resume=${ann.token}&heard=5`), [401, "overflow"]);
  assert.equal(all.gateway.census("acme").sessions, 0);
});

test("A number that cannot be, another encoding or half a request is a bad one, and costs the session nothing", async () => {
  const all = await resumable();
  const ann = await Counting.enter(all, "ann");
  ann.client.gone();
  for (
    const query of [
      `resume=${ann.token}&heard=1`,
      `resume=${ann.token}`,
      `resume=${ann.token}&heard=-1`,
      `resume=${ann.token}&heard=1e3`,
      `resume=${ann.token}&heard=99999999999999999999`,
      "resume=short&heard=0",
      "heard=0&ticket=dev:ann",
    ]
  ) assert.equal((await refusal(all, query))[0], 400, query);
  const headers = { "sec-websocket-protocol": "wsprism.v1.cbor" };
  const answer = await all.knock(`tenant=acme&resume=${ann.token}&heard=0`, headers);
  assert.ok("refuse" in answer && answer.refuse.status === 400);
  await ann.comeBack();
});

test("As a subprotocol a client asks, and comes back, without a word in the query", async () => {
  const all = await resumable();
  const offer = async (...names: readonly string[]) => {
    const header = names.join(", ");
    const answer = await all.knock("tenant=acme", { "sec-websocket-protocol": header });
    assert.ok("accept" in answer && answer.protocol === "wsprism.v1");
    const client = new Client(all, answer.accept, "192.0.2.1");
    answer.accept.open(client.link);
    all.turn();
    return client;
  };
  const ticket = `wsprism.ticket.${Buffer.from("dev:ann").toString("base64url")}`;
  const first = await offer("wsprism.v1", ticket, "wsprism.resume");
  const [{ data }] = first.link.read() as [Said];
  first.gone();
  const second = await offer("wsprism.v1", `wsprism.resume.${data.resume.token}.0`);
  assert.equal((second.link.read() as Said[])[0]?.type, "resumed");
});

test("A kick, a new connection with the sid and a goodbye end a session that waits, at once", async () => {
  const all = await resumable();
  const ended = async (how: (ann: Counting) => void | Promise<void>) => {
    const ann = await Counting.enter(all, "ann", "&sid=tab");
    ann.say("room", "join", { room: "lobby" });
    ann.client.gone();
    await how(ann);
    assert.deepEqual(await refusal(all, `resume=${ann.token}&heard=${ann.heard}`), [401, "ended"]);
  };
  await ended(({ session }) => {
    const kick = { action: "kick", reason: "why not", session } as const;
    assert.ok(all.gateway.tenant("acme").actions.perform(kick, { svc: "admin", session: null }).ok);
  });
  await ended(async () => {
    const other = await all.enter(null, "tenant=acme&ticket=dev:ann&sid=tab");
    other.gone(1000);
  });
  assert.equal(all.gateway.census("acme").sessions, 0);
  const ann = await Counting.enter(all, "ann");
  ann.client.gone(1000);
  assert.equal(all.gateway.census("acme").sessions, 0);
});

test("Above max_detached the session whose client is away longest ends", async () => {
  const all = await resumable(["resume: { max_detached: 2 }", OPEN_POLICY]);
  const clients: Counting[] = [];
  for (const user of ["ann", "bob", "cid"]) {
    const one = await Counting.enter(all, user);
    clients.push(one);
    one.client.gone();
  }
  assert.deepEqual(await refusal(all, `resume=${clients[0]!.token}&heard=0`), [401, "expired"]);
  await clients[1]!.comeBack();
  await clients[2]!.comeBack();
});

test("Hot frames are dropped while the client is away, and a state service brings it up to date when it is back", async () => {
  const all = await resumable([...RESUME, "hot_services: [{ id: 2, kind: relay }, { id: 3, kind: state }]"]);
  const ann = await Counting.enter(all, "ann"), bob = all.connect("bob");
  ann.say("room", "join", { room: "lobby" });
  bob.join("lobby");
  ann.client.gone();
  bob.askHot(1, 2, 1, 0, 42);
  bob.askHot(1, 3, 1, 0, 1);
  bob.askHot(1, 3, 1, 0, 2);
  all.clock.advance(100);
  all.turn();
  ann.client = await all.enter(null, `tenant=acme&resume=${ann.token}&heard=${ann.heard}`);
  all.turn();
  const [greeting, ...others] = ann.client.link.read();
  assert.equal((greeting as Said).type, "resumed");
  const state = others.filter((one) => Array.isArray(one) && one[1] === 3) as number[][];
  assert.deepEqual(state.map((bytes) => bytes.at(-1)), [2]);
  assert.ok(!others.some((one) => Array.isArray(one) && one[1] === 2), "a relayed frame came late");
});

test("An idle connection is closed, and its session waits", async () => {
  const all = await resumable(RESUME, "ping_interval_ms: 5000, idle_timeout_ms: 10000");
  const ann = await Counting.enter(all, "ann");
  all.clock.advance(10_100);
  assert.equal(ann.client.link.closed?.code, 4001);
  assert.equal(all.gateway.census("acme").sessions, 1);
  await ann.comeBack();
});

test("What is counted for operators comes and goes with it", async () => {
  const all = await resumable();
  const ann = await Counting.enter(all, "ann");
  ann.client.gone();
  assert.deepEqual(await all.metric("sessions_detached"), ['{tenant="acme"} 1']);
  await ann.comeBack();
  assert.deepEqual(await all.metric("sessions_detached"), ['{tenant="acme"} 0']);
  await refusal(all, `resume=${"x".repeat(32)}&heard=0`);
  assert.deepEqual((await all.metric("resumes_total")).sort(), [
    '{tenant="acme",outcome="ok"} 1',
    '{tenant="acme",outcome="unknown"} 1',
  ]);
});
