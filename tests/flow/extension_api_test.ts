// Every member of `ctx`, permission by permission, as a client of a real gateway sees it: what is granted works, what is not
// is a clear error, and no way leads into another tenant.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, type ClientOptions } from "./client.ts";
import { extensionsReady, lastly, sharedGateway, until } from "./gateway_process.ts";

/** Does what it is asked, and tells what came of it. */
const API = `
export default {
  async onMessage({ type, room, seq, data }, ctx) {
    const done = async () => {
      switch (type) {
        case "session": return ctx.session;
        case "message": return { type, room, seq, data };
        case "about": return { options: ctx.options, env: ctx.env, now: ctx.now(), random: ctx.random() };
        case "publish": return await ctx.publish(...data);
        case "large": return await ctx.publish("open:3", "news", "x".repeat(70_000));
        case "send": return await ctx.send(...data);
        case "join": return await ctx.join(...data);
        case "leave": return await ctx.leave(...data);
        case "kick": return await ctx.kick(...data);
        case "timer": return await new Promise((resolve) => ctx.setTimeout(() => resolve("later"), 5));
        case "interval": {
          let times = 0;
          return await new Promise((resolve) => {
            const timer = ctx.setInterval(() => {
              if (++times === 3) { ctx.clearInterval(timer); resolve(times); }
            }, 1);
          });
        }
        case "log": return ctx.log.info("said", { by: "script" }, 7);
        default: return await ctx.kv[type](...data);
      }
    };
    try {
      return { value: await done() };
    } catch (error) {
      return { code: error.code, msg: error.message };
    }
  },
};
`;

const ALL = { kv: true, publish: ["open:*"], users: true, env: ["WSPRISM_API_KEY"] };
const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  tenants: ["acme", "globex"].map((id) => ({
    id,
    policy: {
      ext_allowlist: ["room:*", "may:*", "maynot:*", "small:*"],
      rate_limit_rps: 1e6,
      rate_limit_burst: 1e6,
    },
    limits: { max_rooms_per_user: 3 },
    services: [
      { svc: "may", worker: "./api.ts", permissions: ALL, options: { mode: "ranked", of: [1, null] } },
      { svc: "maynot", worker: "./api.ts" },
      {
        svc: "small",
        worker: "./api.ts",
        permissions: ALL,
        limits: { kv_max_bytes: 1024, max_actions_per_second: 5 },
      },
    ],
  })),
}, { files: { "api.ts": API }, env: { WSPRISM_API_KEY: "k", WSPRISM_OTHER: "no" }, mayComplain: true });

await extensionsReady(gateway, 6);

interface Answer {
  // deno-lint-ignore no-explicit-any -- whatever the script gives back
  readonly value?: any;
  readonly code?: string;
  readonly msg?: string;
}

const seqs = new WeakMap<Client, number>();
const open = (options: ClientOptions = {}) => Client.open(gateway, options);

/** Asks a service, and returns its reply; other messages that come before it are handed to `other`. */
async function ask(
  client: Client,
  svc: string,
  type: string,
  { data, room, others = [] }: { data?: unknown; room?: string; others?: string[] } = {},
): Promise<Answer> {
  const seq = (seqs.get(client) ?? 0) + 1;
  seqs.set(client, seq);
  client.send({
    svc,
    type,
    seq,
    ...(room === undefined ? {} : { room }),
    ...(data === undefined ? {} : { data }),
  });
  for (const name of others) await client.next(name);
  const reply = await client.next(`${svc}.reply`);
  assert.equal(reply.seq, seq);
  return reply.data;
}

function refused(answer: Answer, code: string, why: RegExp): void {
  assert.equal(answer.code, code, JSON.stringify(answer));
  assert.match(answer.msg ?? "", why);
}

test("session is who calls, as the gateway knows it", async () => {
  const ann = await open({ user: "ann" });
  await ann.join("open:1");
  const { value } = await ask(ann, "may", "session");
  assert.deepEqual(value, {
    id: ann.authed.session,
    user: "ann",
    tenant: "acme",
    rooms: ["open:1"],
    activeRoom: "open:1",
    claims: value.claims,
  });
  await ann.leave("open:1");
  assert.deepEqual((await ask(ann, "may", "session")).value.rooms, []);
  await ann.close();
});

test("A message is given as it was sent", async () => {
  const ann = await open();
  const data = { a: [1, "ä", null, true], "__proto__x": {} };
  assert.deepEqual((await ask(ann, "may", "message", { data, room: "open:2" })).value, {
    type: "message",
    room: "open:2",
    seq: 1,
    data,
  });
  assert.equal((await ask(ann, "may", "message")).value.data, null);
  await ann.close();
});

test("options, env, the clock, chance and timers", async () => {
  const ann = await open();
  const { value } = await ask(ann, "may", "about");
  assert.deepEqual(value.options, { mode: "ranked", of: [1, null] });
  assert.deepEqual(value.env, { WSPRISM_API_KEY: "k" });
  assert.ok(Math.abs(value.now - Date.now()) < 10_000);
  assert.ok(value.random >= 0 && value.random < 1);
  const without = (await ask(ann, "maynot", "about")).value;
  assert.deepEqual([without.options, without.env], [null, {}]);
  assert.equal((await ask(ann, "may", "timer")).value, "later");
  assert.equal((await ask(ann, "may", "interval")).value, 3);
  await ann.close();
});

test("publish reaches the rooms that permissions.publish matches, and no others", async () => {
  const [ann, bob] = [await open(), await open()];
  for (const client of [ann, bob]) await client.join("open:3");
  const both = await ask(ann, "may", "publish", { data: ["open:3", "news", { n: 1 }], others: ["may.news"] });
  assert.equal(both.value, 2);
  const news = await bob.next("may.news");
  assert.deepEqual([news.room, news.data], ["open:3", { n: 1 }]);
  const except = { except: ann.authed.session };
  assert.equal((await ask(ann, "may", "publish", { data: ["open:3", "news", 2, except] })).value, 1);
  assert.equal((await bob.next("may.news")).data, 2);
  assert.equal((await ask(ann, "may", "publish", { data: ["open:none", "news"] })).value, 0);
  refused(
    await ask(ann, "may", "publish", { data: ["other:1", "news"] }),
    "NOT_ALLOWED",
    /permissions\.publish/,
  );
  refused(
    await ask(ann, "maynot", "publish", { data: ["open:3", "news"] }),
    "NOT_ALLOWED",
    /permissions\.publish/,
  );
  refused(await ask(ann, "may", "publish", { data: ["open:3", "bad type"] }), "BAD_REQUEST", /type/);
  const large = await ask(ann, "may", "large");
  assert.ok(large.code !== undefined, JSON.stringify(large));
  await bob.hearsNothing();
  for (const client of [ann, bob]) await client.close();
});

test("send reaches the caller without a permission, and others with it", async () => {
  const [ann, bob] = [await open({ user: "ann2" }), await open({ user: "bob2" })];
  const toAnn = await ask(ann, "maynot", "send", {
    data: [{ user: "ann2" }, "hi", 1],
    others: ["maynot.hi"],
  });
  assert.equal(toAnn.value, 1);
  const me = { session: ann.authed.session };
  assert.equal((await ask(ann, "maynot", "send", { data: [me, "hi"], others: ["maynot.hi"] })).value, 1);
  refused(
    await ask(ann, "maynot", "send", { data: [{ user: "bob2" }, "hi"] }),
    "NOT_ALLOWED",
    /permissions\.users/,
  );
  const bobs = { session: bob.authed.session };
  refused(await ask(ann, "maynot", "send", { data: [bobs, "hi"] }), "NOT_ALLOWED", /permissions\.users/);
  assert.equal((await ask(ann, "may", "send", { data: [{ user: "bob2" }, "hi", [1]] })).value, 1);
  assert.deepEqual((await bob.next("may.hi")).data, [1]);
  assert.equal((await ask(ann, "may", "send", { data: [bobs, "hi"] })).value, 1);
  await bob.next("may.hi");
  refused(await ask(ann, "may", "send", { data: ["bob2", "hi"] }), "BAD_REQUEST", /to must be/);
  for (const client of [ann, bob]) await client.close();
});

test("join, leave and kick act on the calling session, within the tenant's limits", async () => {
  const ann = await open();
  await ask(ann, "maynot", "join", { data: ["any:1"], others: ["sys.joined"] });
  assert.deepEqual((await ask(ann, "maynot", "session")).value.rooms, ["any:1"]);
  await ask(ann, "maynot", "leave", { data: ["any:1"], others: ["sys.left"] });
  for (const room of ["a", "b", "c"]) {
    await ask(ann, "maynot", "join", { data: [room], others: ["sys.joined"] });
  }
  const fourth = await ask(ann, "maynot", "join", { data: ["d"] });
  assert.ok(fourth.code !== undefined, JSON.stringify(fourth));
  refused(await ask(ann, "maynot", "join", { data: [7] }), "BAD_REQUEST", /room/);
  ann.send({ svc: "maynot", type: "kick", data: ["be nice"] });
  const close = await ann.ended(4501);
  assert.match(close.reason, /kicked/);
});

test("kv keeps, counts, lists and forgets, for one extension of one tenant", async () => {
  const [ann, eve] = [await open(), await open({ tenant: "globex" })];
  const kv = (type: string, ...data: unknown[]) => ask(ann, "may", type, { data });
  assert.deepEqual(await kv("get", "k"), {});
  assert.deepEqual(await kv("set", "k", { deep: [1] }), {});
  assert.deepEqual((await kv("get", "k")).value, { deep: [1] });
  assert.equal((await kv("increment", "n")).value, 1);
  assert.equal((await kv("increment", "n", 41)).value, 42);
  refused(await kv("increment", "k"), "BAD_REQUEST", /number/);
  for (const key of ["p:2", "p:1", "p:3"]) await kv("set", key, key);
  assert.deepEqual((await kv("list", "p:", { after: "p:1", limit: 1 })).value, [{
    key: "p:2",
    value: "p:2",
  }]);
  assert.deepEqual([(await kv("delete", "k")).value, (await kv("delete", "k")).value], [true, false]);
  await kv("set", "soon", 1, { ttl_ms: 30 });
  await until("what expires", async () => (await kv("get", "soon")).value === undefined ? true : null);
  refused(await kv("set", "", 1), "BAD_REQUEST", /key/);
  refused(await kv("set", "x", 1, { ttl_ms: -1 }), "BAD_REQUEST", /ttl_ms/);
  refused(await ask(ann, "maynot", "set", { data: ["k", 1] }), "NOT_ALLOWED", /permissions\.kv/);
  for (const [client, svc] of [[ann, "small"], [eve, "may"], [eve, "small"]] as const) {
    assert.deepEqual(await ask(client, svc, "get", { data: ["n"] }), {}, svc);
  }
  refused(
    await ask(ann, "small", "set", { data: ["big", "x".repeat(2000)] }),
    "RESOURCE_EXHAUSTED",
    /kv_max_bytes/,
  );
  for (const client of [ann, eve]) await client.close();
});

test("No name of another tenant's user, session or room reaches it", async () => {
  const [ann, eve] = [await open({ user: "same" }), await open({ tenant: "globex", user: "same" })];
  await ann.join("open:9");
  await eve.join("open:9");
  assert.equal((await ask(eve, "may", "publish", { data: ["open:9", "x"], others: ["may.x"] })).value, 1);
  assert.equal(
    (await ask(eve, "may", "send", { data: [{ user: "same" }, "x"], others: ["may.x"] })).value,
    1,
  );
  const anns = { session: ann.authed.session };
  const across = await ask(eve, "may", "send", { data: [anns, "x"] });
  assert.ok(across.value === 0 || across.code === "NOT_FOUND", JSON.stringify(across));
  await ann.hearsNothing();
  for (const client of [ann, eve]) await client.close();
});

test("Actions above their number in a second are refused, and told so", async () => {
  const ann = await open();
  const answers: Answer[] = [];
  for (let i = 0; i < 8; i++) answers.push(await ask(ann, "small", "publish", { data: ["open:none", "x"] }));
  const late = answers.filter(({ code }) => code !== undefined);
  assert.ok(late.length >= 1, JSON.stringify(answers));
  for (const answer of late) refused(answer, "RATE_LIMITED", /max_actions_per_second/);
  await ann.close();
});

test("ctx.log goes to the gateway's log, with tenant, extension and trace id", async () => {
  const ann = await open({ user: "logger" });
  await ask(ann, "may", "log");
  const line = await gateway.logged("extension says", ({ extension }) => extension === "may");
  assert.deepEqual([line["tenant"], line["user"], line.level], ["acme", "logger", "INFO"]);
  assert.match(String(line["text"]), /^said .*script.* 7$/);
  assert.match(String(line["trace_id"]), /^[0-9a-f]{16}$/);
  await ann.close();
});

lastly(gateway);
