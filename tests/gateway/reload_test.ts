// A gateway that is reloaded, seen by its sessions: what holds from when on, what stays, and who has to go.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { SignJWT } from "jose";
import type { ReloadResult } from "../../src/gateway.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { Answer } from "../../src/service/service.ts";
import { loadOptions } from "../config/loading.ts";
import { type Client, FakeLink, House, houseText, OPEN_POLICY, settle } from "../session/house.ts";

const CLOSED = OPEN_POLICY.replace('"chat:*", ', "");

function policyOf(keys: string): string {
  return `policy: { ext_allowlist: ["room:*", "chat:*", "t:*"], hot_allowlist: ["1:*", "3:*"], ${keys} }`;
}

async function applied(result: Promise<ReloadResult>): Promise<Extract<ReloadResult, { diff: unknown }>> {
  const settled = await result;
  if (settled.outcome === "refused") assert.fail(`${settled.reason} ${JSON.stringify(settled.failures)}`);
  return settled;
}

function say(client: Client): unknown {
  const [answer] = client.ask("chat", "send", { room: "hall", data: { msg: "hello" } });
  const { type, data } = answer as { type: string; data: { code?: string } };
  return data.code ?? type;
}

test("A changed allowlist holds for living sessions from their next message on, and back again", async () => {
  const house = await new House().start();
  const client = house.connect("ann");
  client.join("hall");
  assert.equal(say(client), "msg");
  const there = await applied(house.reload({ tenant: [CLOSED] }));
  assert.equal(there.outcome, "applied");
  assert.deepEqual(there.diff.changes.map(({ tenant, key, before }) => [tenant, key, before]), [
    ["acme", "policy.ext_allowlist", '"chat:*"'],
  ]);
  assert.equal(say(client), "NOT_ALLOWED");
  await applied(house.reload({}));
  assert.equal(say(client), "msg");
  assert.deepEqual(house.census(), { sessions: 1, users: 1, rooms: 1, roomUsers: 1, timers: 1 });
});

test("A ticket's narrowing holds after a reload as before it", async () => {
  const secret = "0123456789abcdef0123456789abcdef";
  const auth = `auth: { mode: jwt, jwt: { algorithms: [HS256], keys: [{ secret: "${secret}" }] } }`;
  const house = await new House({ tenant: [auth, OPEN_POLICY] }).start();
  const token = await new SignJWT({ services: ["room:*"], rooms: ["hall"] })
    .setProtectedHeader({ alg: "HS256" }).setSubject("ann")
    .setExpirationTime(Math.floor(house.clock.unixMs() / 1000) + 600)
    .sign(new TextEncoder().encode(secret));
  const client = await house.enter(token);
  client.link.read();
  client.join("hall");
  const limits = "limits: { max_frame_bytes: 9999 }";
  await applied(house.reload({ tenant: [auth, OPEN_POLICY, limits] }));
  assert.equal(say(client), "NOT_ALLOWED");
  const [refused] = client.ask("room", "join", { room: "other" }) as [{ data: { code: string } }];
  assert.equal(refused.data.code, "NOT_ALLOWED");
  assert.deepEqual((client.ask("room", "leave", { room: "hall" }) as [{ type: string }])[0].type, "left");
});

test("What a bucket has given is not given again, and a bucket of other numbers is empty at worst", async () => {
  const house = await new House({ tenant: [policyOf("rate_limit_rps: 1, rate_limit_burst: 100")] }).start();
  const client = house.connect("ann");
  const pass = () => {
    client.ask("sys", "ping");
    const answers: unknown[] = [];
    for (let i = 0; i < 99; i++) answers.push(...client.ask("sys", "ping"));
    return answers.filter((answer) => (answer as { type: string }).type === "pong").length;
  };
  assert.equal(pass(), 99);
  await applied(
    house.reload({ tenant: [policyOf("rate_limit_rps: 1, rate_limit_burst: 100, hot_error_mode: silent")] }),
  );
  assert.equal(pass(), 0, "a reload fills no bucket");
  // 100 seconds until it is full, by the old numbers; by the new ones, an empty bucket is full after 1 s.
  await applied(house.reload({ tenant: [policyOf("rate_limit_rps: 100, rate_limit_burst: 100")] }));
  assert.equal(pass(), 0);
  house.clock.advance(1000);
  assert.equal(pass(), 99);
});

test("The tenant's own bucket outlives a reload", async () => {
  const rates = "rate_limit_rps: 1, rate_limit_burst: 2, rate_limit_scope: tenant";
  const house = await new House({ tenant: [policyOf(rates)] }).start();
  const client = house.connect("ann");
  const types = () => client.ask("sys", "ping").map((answer) => (answer as { type: string }).type);
  assert.deepEqual([types(), types(), types()], [["pong"], ["pong"], ["error"]]);
  await applied(house.reload({ tenant: [policyOf(`${rates}, hot_error_mode: silent`)] }));
  house.clock.advance(500);
  assert.deepEqual(types(), ["error"], "a reload fills no bucket");
  await applied(house.reload({ tenant: [policyOf(rates.replace("rps: 1,", "rps: 1000,"))] }));
  house.clock.advance(2);
  assert.deepEqual(types(), ["pong"]);
});

test("Limits on rooms and sessions hold for those who come next, and nobody is put out", async () => {
  const limited = (limits: string) => [OPEN_POLICY, `limits: { ${limits} }`];
  const house = await new House().start();
  const [ann, bob] = [house.connect("ann"), house.connect("bob")];
  for (const client of [ann, bob]) client.join("hall");
  await applied(
    house.reload({ tenant: limited("max_users_per_room: 1, max_sessions_total: 2, max_sessions_per_ip: 2") }),
  );
  assert.deepEqual(house.census(), { sessions: 2, users: 2, rooms: 1, roomUsers: 2, timers: 2 });
  const refuse = (house: House) => {
    const answer = house.upgrade("tenant=acme&ticket=dev:eve");
    return "refuse" in answer ? answer.refuse.body : "taken";
  };
  assert.match(refuse(house), /tenant has its maximum/);
  await applied(house.reload({ tenant: limited("max_users_per_room: 1, max_sessions_per_ip: 2") }));
  assert.match(refuse(house), /address has its maximum/, "those who came without a limit are counted");
  await applied(house.reload({ tenant: limited("max_users_per_room: 1, max_sessions_per_ip: 3") }));
  const eve = house.connect("eve");
  const [full] = eve.ask("room", "join", { room: "hall" }) as [{ data: { code: string } }];
  assert.equal(full.data.code, "RESOURCE_EXHAUSTED");
  bob.ask("room", "leave", { room: "hall" });
  ann.ask("room", "leave", { room: "hall" });
  eve.join("hall");
});

test("A lane's bounds change for living sessions, age that mattered not until then included", async () => {
  const relay = "hot_services: [{ id: 1, kind: echo }]";
  const lanes = (lossy: string) => [OPEN_POLICY, relay, `delivery: { lossy: { ${lossy} } }`];
  const house = await new House({ tenant: lanes("max_age_ms: 0") }).start();
  const ann = house.connect("ann");
  ann.join("hall");
  ann.link.room = 0;
  const big = (byte: number) => [1, 1, 1, 0, ...new Array(3000).fill(byte)];
  // Until the socket is above its watermark, and one waits.
  for (let i = 0; i < 24; i++) ann.askHot(...big(i));
  const waited = ann.link.writes.length;
  await applied(house.reload({ tenant: lanes("max_age_ms: 1000") }));
  house.clock.advance(500);
  ann.askHot(...big(100));
  house.clock.advance(800);
  ann.askHot(...big(101));
  house.clock.advance(300);
  ann.link.got.length = 0;
  ann.link.open();
  house.turn();
  assert.ok(ann.link.writes.length > waited);
  const bytes = ann.link.got.filter((payload) => payload instanceof Uint8Array).map((payload) => payload[0]);
  assert.ok(bytes.includes(101) && !bytes.includes(100), String(bytes));
  assert.ok(bytes.includes(23), "what came before ages were kept is not too old");
});

test("What `gateway` says of every session reaches those of tenants that stay as they are", async () => {
  const house = await new House({ gateway: "writer_send_timeout_ms: 60000" }).start();
  const ann = house.connect("ann");
  ann.link.room = 0;
  const msg = "x".repeat(3500);
  ann.tell("room", "join", { room: "hall" });
  for (let i = 0; i < 40; i++) ann.ask("chat", "send", { room: "hall", data: { msg } });
  const closed = () => ann.link.closed?.code;
  house.clock.advance(5000);
  assert.equal(closed(), undefined);
  await applied(house.reload({ gateway: "writer_send_timeout_ms: 1000" }));
  house.clock.advance(500);
  assert.equal(closed(), 4000);
});

test("A hot service that stays as it is keeps what it knows; one that changes begins anew, and the old one stops", async () => {
  const state = (tick: number) => [OPEN_POLICY, `hot_services: [{ id: 3, kind: state, tick_ms: ${tick} }]`];
  const house = await new House({ tenant: state(50) }).start();
  const ann = house.connect("ann");
  ann.join("hall");
  ann.askHot(1, 3, 7, 0, 42);
  house.clock.advance(100);
  const ticking = house.clock.tasks;
  const frames = (client: Client) => client.link.read().filter((message) => Array.isArray(message));
  const watcher = house.connect("watcher");
  watcher.join("hall");
  const late = (name: string) => {
    const client = house.connect(name);
    client.tell("room", "join", { room: "hall" });
    house.turn();
    return frames(client);
  };
  assert.equal(late("bob").length, 1);
  await applied(house.reload({ tenant: [...state(50), "limits: { max_frame_bytes: 5000 }"] }));
  assert.equal(late("cid").length, 1, "still known");
  ann.askHot(1, 3, 7, 0, 43);
  assert.ok(house.clock.tasks >= ticking);
  await applied(house.reload({ tenant: state(20) }));
  assert.equal(late("dee").length, 0, "forgotten");
  frames(watcher);
  house.clock.advance(200);
  house.turn();
  assert.deepEqual(frames(watcher), [], "what waited for a tick of the old one");
  ann.askHot(1, 3, 7, 0, 44);
  house.clock.advance(50);
  house.turn();
  assert.equal(frames(watcher).length, 1);
  assert.equal(late("eli").length, 1);
});

test("A message that waits for a service goes to the service there is when its turn comes, and is answered once", async () => {
  const answers: (() => void)[] = [];
  const slow = (): Promise<Answer> =>
    new Promise((resolve) => answers.push(() => resolve({ ok: true, reply: answers.length })));
  const house = await new House({ services: { t: slow } }).start();
  const client = house.connect("ann");
  for (let seq = 1; seq <= 3; seq++) client.tell("t", "x", { seq, flags: 4 });
  await applied(house.reload({ tenant: [OPEN_POLICY.replace('"t:*"', '"other:*"')] }));
  const seqs: unknown[] = [];
  for (let i = 0; i < 3; i++) {
    answers[i]!();
    await settle();
    house.turn();
    for (const { type, seq } of client.link.read() as { type: string; seq: number }[]) seqs.push([type, seq]);
  }
  assert.deepEqual(seqs, [1, 2, 3].flatMap((seq) => [["ack", seq], ["reply", seq]]));
  const [refused] = client.ask("t", "x", { seq: 4 }) as [{ data: { code: string } }];
  assert.equal(refused.data.code, "NOT_ALLOWED");
});

test("New tenants are served at once, and those that are gone are unknown", async () => {
  const house = await new House({ gateway: "drain_grace_ms: 0" }).start();
  const client = house.connect("ann");
  const text = "version: 1\ngateway: { drain_grace_ms: 0 }\ntenants:\n  - id: other\n  - id: fresh\n";
  const { diff } = await applied(house.reloadText(text));
  assert.deepEqual([diff.added, diff.removed], [["fresh"], ["acme"]]);
  assert.deepEqual(client.link.closed, { code: 4509, reason: "tenant is suspended" });
  const [told] = client.link.read() as [{ type: string; data: unknown }];
  assert.deepEqual([told.type, told.data], ["error", {
    code: "SUSPENDED",
    msg: "tenant is not served any more",
  }]);
  const unknown = house.upgrade("tenant=acme&ticket=dev");
  assert.equal("refuse" in unknown && unknown.refuse.status, 400);
  assert.ok("accept" in house.upgrade("tenant=fresh&ticket=dev"));
  client.gone(4509);
  await settle();
  assert.deepEqual(await house.metric('ws_sessions_active{tenant="acme"'), []);
  assert.equal(house.clock.tasks, 1, "nothing of it goes on");
  assert.equal(house.gateway.webhooks.tenants, 2, "nor is it remembered");
});

test("A tenant that is suspended ends its sessions one after the other and refuses new ones, until it is not", async () => {
  const house = await new House({ gateway: "drain_grace_ms: 1000" }).start();
  const clients = Array.from({ length: 4 }, (_, i) => house.connect(`user${i}`));
  const suspended = [OPEN_POLICY, "suspended: true"];
  await applied(house.reload({ gateway: "drain_grace_ms: 1000", tenant: suspended }));
  const refused = house.upgrade("tenant=acme&ticket=dev");
  assert.deepEqual("refuse" in refused && [refused.refuse.status, JSON.parse(refused.refuse.body)], [403, {
    code: "SUSPENDED",
    msg: "tenant is suspended",
  }]);
  assert.deepEqual(await house.metric("handshake_rejections_total"), [
    '{tenant="acme",reason="suspended"} 1',
  ]);
  house.clock.advance(500);
  assert.deepEqual(clients.map(({ link }) => link.closed?.code), [4509, 4509, undefined, undefined]);
  assert.deepEqual((clients[0]!.link.read() as { data: unknown }[])[0]!.data, {
    code: "SUSPENDED",
    msg: "tenant is suspended",
  });
  // Served again before all had gone: those who are left stay.
  await applied(house.reload({ gateway: "drain_grace_ms: 1000" }));
  house.clock.advance(2000);
  assert.deepEqual(clients.map(({ link }) => link.closed?.code), [4509, 4509, undefined, undefined]);
  assert.equal(say(house.connect("new")), "NOT_ALLOWED", "not a member, but in");
});

test("A suspended tenant is so from the start, and a session that was let in just before is refused", async () => {
  const suspended = { tenant: [OPEN_POLICY, "suspended: true"] };
  const house = await new House(suspended).start();
  const refused = house.upgrade("tenant=acme&ticket=dev");
  assert.equal("refuse" in refused && refused.refuse.status, 403);
  await applied(house.reload({}));
  const answer = house.upgrade("tenant=acme&ticket=dev");
  await applied(house.reload(suspended));
  assert.ok("accept" in answer);
  const link = new FakeLink(answer.accept, "192.0.2.1");
  answer.accept.open(link);
  assert.equal(link.closed?.code, 4509);
});

test("Who waits without a ticket goes when the tenant is suspended, or takes none as a first message any more", async () => {
  const auth = (more: string) =>
    `auth: { mode: static, static: { tickets: [{ ticket: "0123456789abcdef", user: ann }] }, ${more} }`;
  const waiting = [OPEN_POLICY, auth("first_message: true")];
  const house = await new House({ tenant: waiting }).start();
  const one = await house.enter(null);
  await applied(house.reload({ tenant: [...waiting, "suspended: true"] }));
  assert.equal(one.link.closed?.code, 4509);
  await applied(house.reload({ tenant: waiting }));
  const two = await house.enter(null);
  await applied(house.reload({ tenant: [OPEN_POLICY, auth("first_message: true, max_pending: 1")] }));
  assert.equal(two.link.closed, null, "it goes on waiting");
  two.tell("sys", "auth", { data: { ticket: "0123456789abcdef" } });
  house.turn();
  assert.equal((two.link.read() as [{ type: string }])[0].type, "authed");
  const three = await house.enter(null);
  await applied(house.reload({ tenant: [OPEN_POLICY, auth("first_message: false")] }));
  assert.equal(three.link.closed?.code, 4500);
});

test("A tenant that is back before its last session has gone keeps those that are left", async () => {
  const gateway = "drain_grace_ms: 1000";
  const house = await new House({ gateway }).start();
  const clients = Array.from({ length: 4 }, (_, i) => house.connect(`user${i}`));
  for (const client of clients) client.join("hall");
  await applied(house.reloadText(`version: 1\ngateway: { ${gateway} }\ntenants: [{ id: other }]\n`));
  house.clock.advance(500);
  const { diff } = await applied(house.reload({ gateway }));
  assert.deepEqual([diff.added, diff.removed], [["acme"], []]);
  house.clock.advance(2000);
  await settle();
  assert.deepEqual(clients.map(({ link }) => link.closed?.code), [4509, 4509, undefined, undefined]);
  assert.equal(say(clients[3]!), "msg");
  clients[0]!.gone();
  assert.equal((await house.metric("ws_sessions_active")).length, 1);
});

test("A bad file changes nothing, says where it is bad, and is counted", async () => {
  const house = await new House().start();
  const client = house.connect("ann");
  client.join("hall");
  const result = await house.reloadText(
    houseText({}) + "    limits: { max_frame_bytes: lots }\nnonsense: 1\n",
  );
  assert.equal(result.outcome, "refused");
  const line = house.logged.find(({ message }) => message.startsWith("reload refused"))!;
  assert.equal(line.level, "error");
  assert.deepEqual(line.fields["failures"], [
    'tenants[1].limits.max_frame_bytes must be 1..16777216, got "lots" (line 7, column 32)',
    "nonsense is not a known key (line 8, column 1)",
  ]);
  assert.equal(say(client), "msg");
  assert.deepEqual(await house.metric("config_reloads_total"), ['{outcome="refused"} 1']);
});

test("What needs a restart is told each time and changes nothing, while the rest does", async () => {
  const house = await new House().start();
  for (let i = 0; i < 2; i++) {
    const { diff, outcome } = await applied(
      house.reload({ gateway: `listen: ":1234", max_connections: ${i + 5}` }),
    );
    assert.equal(outcome, "applied");
    assert.deepEqual(diff.changes.map(({ key, restart }) => [key, restart]), [
      ["gateway.listen", true],
      ["gateway.max_connections", false],
    ]);
  }
  assert.equal(house.logged.filter(({ message }) => message.includes("wait for a restart")).length, 2);
});

test("Where the transport watches for silence by itself, another idle timeout waits for a restart", async () => {
  for (const pings of [true, false]) {
    const house = await new House({ pings }).start();
    for (let i = 0; i < 2; i++) {
      const { diff } = await applied(house.reload({ gateway: "idle_timeout_ms: 70000" }));
      const changes = diff.changes.map(({ key, restart }) => [key, restart]);
      assert.deepEqual(changes, pings && i === 1 ? [] : [["gateway.idle_timeout_ms", !pings]]);
    }
  }
});

test("The metrics tell what became of reloads and which configuration is in use, and move with it", async () => {
  const house = await new House().start();
  const hash = async () => (await house.metric("config_info"))[0];
  const first = await hash();
  house.clock.advance(5000);
  await applied(house.reload({}));
  assert.deepEqual(await house.metric("config_reloads_total"), ['{outcome="unchanged"} 1']);
  assert.deepEqual(await house.metric("config_last_load_timestamp_seconds"), [
    String(house.clock.unixMs() / 1000),
  ]);
  assert.equal(await hash(), first);
  await applied(house.reload({ tenant: [CLOSED] }));
  assert.notEqual(await hash(), first);
  await applied(house.reload({}));
  assert.equal(await hash(), first);
  const text = houseText({}).replace("tenants:", "metrics: { path: /numbers }\ntenants:");
  await applied(house.reloadText(text));
  const answer = await house.transport.door!.request(new Request("http://gateway/metrics"), "127.0.0.1");
  assert.equal(answer.status, 404);
});

test("Reloads that are asked for while one runs become one more, and all who asked learn what came of it", async () => {
  const house = await new House().start();
  const texts = [houseText({ tenant: [CLOSED] }), houseText({}), "nothing"];
  const loads: (() => void)[] = [];
  house.next = () =>
    new Promise((resolve) => {
      const text = texts[loads.length]!;
      loads.push(() => resolve(loadConfig(loadOptions(text))));
    });
  const asked = Array.from({ length: 5 }, () => house.gateway.reload("signal"));
  assert.equal(loads.length, 1);
  loads[0]!();
  await asked[0];
  await settle();
  assert.equal(loads.length, 2);
  const third = house.gateway.reload("signal");
  loads[1]!();
  const results = await Promise.all(asked);
  assert.deepEqual(results.map(({ outcome }) => outcome), new Array(5).fill("applied"));
  assert.equal(new Set(results).size, 2);
  await settle();
  loads[2]!();
  assert.equal((await third).outcome, "refused");
  assert.deepEqual(await house.metric("config_reloads_total"), [
    '{outcome="applied"} 2',
    '{outcome="refused"} 1',
  ]);
});

test("A gateway that drains is reloaded no more, not even by what was under way", async () => {
  const house = await new House({ gateway: "drain_grace_ms: 0" }).start();
  const client = house.connect("ann");
  let load = () => {};
  house.next = () =>
    new Promise((resolve) => load = () => resolve(loadConfig(loadOptions(houseText({ tenant: [CLOSED] })))));
  const underWay = house.gateway.reload("watch");
  const drained = house.gateway.drain();
  load();
  for (const result of [await underWay, await house.gateway.reload("signal")]) {
    assert.deepEqual(result, { outcome: "refused", reason: "the gateway drains", failures: [] });
  }
  client.gone(1001);
  house.clock.advance(100);
  await drained;
});

test("A plan that is not put in place leaves nothing behind of the tenants that it would have brought", async () => {
  const house = await new House({ gateway: "drain_grace_ms: 0" }).start();
  const fresh = Array.from({ length: 50 }, (_, n) => `  - id: fresh-${n}\n`).join("");
  const text = `${houseText({})}${fresh}`;
  const loaded = loadConfig(loadOptions(text));
  assert.ok(loaded.ok);
  // The drain begins when the first of them is planned.
  const tenants = loaded.config.tenants.map((tenant) => ({ ...tenant }));
  let drained: Promise<void> = Promise.resolve();
  Object.defineProperty(tenants[10]!, "id", {
    get: () => {
      drained = house.gateway.drain();
      return "fresh-10";
    },
  });
  house.next = () => Promise.resolve({ ...loaded, config: { ...loaded.config, tenants } });
  assert.equal((await house.gateway.reload("admin")).outcome, "refused");
  assert.equal(house.gateway.webhooks.tenants, 2);
  assert.equal(house.clock.tasks, 1);
  assert.deepEqual(await house.metric('ws_sessions_active{tenant="fresh'), []);
  house.clock.advance(100);
  await drained;
});

test("A tenant whose last session goes between its plan and its place is served anew", async () => {
  const house = await new House({ gateway: "drain_grace_ms: 0" }).start();
  const client = house.connect("ann");
  await applied(
    house.reloadText("version: 1\ngateway: { drain_grace_ms: 0 }\ntenants:\n  - id: other\n"),
  );
  const back = loadConfig(loadOptions(houseText({ gateway: "drain_grace_ms: 0" })));
  // It is gone between the plan and its place.
  house.next = () => Promise.resolve(back);
  const reload = house.gateway.reload("admin");
  client.gone(4509);
  await settle();
  await applied(reload);
  assert.equal(house.gateway.webhooks.tenants, 2);
  house.connect("bob").join("hall");
  assert.deepEqual(house.census(), { sessions: 1, users: 1, rooms: 1, roomUsers: 1, timers: 1 });
});

test("A source that breaks its word refuses the reload, and the next one works", async () => {
  const house = await new House().start();
  house.next = () => Promise.reject(new Error("out of order"));
  assert.equal((await house.gateway.reload("admin")).outcome, "refused");
  assert.ok(house.logged.some(({ message }) => message === "reload failed"));
  assert.equal((await house.reload({ tenant: [CLOSED] })).outcome, "applied");
});

test("Other handshake limits count what was taken before, and other proxies are believed from then on", async () => {
  const limit = (numbers: string) => `handshake_limit: { enabled: true, ${numbers} }`;
  const house = await new House({ gateway: limit("per_ip_rps: 1, per_ip_burst: 2") }).start();
  const status = (headers: Record<string, string> = {}) => {
    const answer = house.upgrade("tenant=acme&ticket=dev", headers);
    return "refuse" in answer ? answer.refuse.status : 101;
  };
  assert.deepEqual([status(), status(), status()], [101, 101, 429]);
  await applied(house.reload({ gateway: limit("per_ip_rps: 1000, per_ip_burst: 2") }));
  assert.equal(status(), 429);
  house.clock.advance(10);
  assert.deepEqual([status(), status()], [101, 101]);
  const proxied = `${limit("per_ip_rps: 1, per_ip_burst: 2")}, trusted_proxies: ["192.0.2.0/24"]`;
  await applied(house.reload({ gateway: proxied }));
  assert.equal(status({ "x-forwarded-for": "198.51.100.7" }), 101);
});
