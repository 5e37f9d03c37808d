// Identity providers and auth backends as processes of their own, which rotate, fail, hang and lie.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { pairFor, ticket as sign } from "../admission/keys.ts";
import { RawClient } from "../raw_client.ts";
import { isSigned } from "../../src/outbound/signing.ts";
import { Backend } from "./backend_process.ts";
import { Client } from "./client.ts";
import { Folder, lastly, sharedGateway, until, wsprism } from "./gateway_process.ts";

const [A, B] = [pairFor("ES256"), pairFor("RS256")];
const KEY = "a-secret-of-the-backend-and-of-nobody-else";
const nowS = () => Math.floor(Date.now() / 1000);
const jwk = (pair: typeof A, kid: string) => ({
  ...pair.publicKey.export({ format: "jwk" }),
  kid,
  use: "sig",
});

const backend = await Backend.start();
after(() => backend.stop());

const http = (more: object = {}) => ({
  mode: "http",
  http: {
    url: `${backend.origin}/auth`,
    secret: KEY,
    key_id: "k1",
    timeout_ms: 300,
    cache_ttl_ms: 0,
    ...more,
  },
  failure_delay_ms: 0,
});
const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  tenants: [
    {
      id: "jwks",
      auth: {
        mode: "jwt",
        jwt: {
          algorithms: ["ES256", "RS256"],
          jwks_url: `${backend.origin}/jwks`,
          jwks_refresh_ms: 1000,
          jwks_cooldown_ms: 100,
          jwks_timeout_ms: 300,
        },
        failure_delay_ms: 0,
      },
    },
    { id: "http", auth: http(), policy: { ext_allowlist: ["room:*"] } },
    { id: "cookie", auth: http({ headers: ["cookie", "user-agent"] }) },
    { id: "cached", auth: http({ cache_ttl_ms: 60_000 }) },
    { id: "hung", auth: http({ url: `${backend.origin}/hung`, max_concurrent: 512, timeout_ms: 30_000 }) },
    { id: "narrow", auth: http({ max_concurrent: 1, max_queued: 1, timeout_ms: 2000 }) },
  ],
}, { dev: false, mayComplain: true });

async function answer(tenant: string, ticket: string | null, headers: Record<string, string> = {}) {
  const client = await RawClient.connect(gateway.port);
  const head = await client.upgrade(`/v1/ws?tenant=${tenant}`, {
    ...(ticket === null ? {} : { authorization: `Bearer ${ticket}` }),
    ...headers,
  });
  const body = head.status === 101 ? null : JSON.parse(await client.body(head));
  client.destroy();
  return { status: head.status, body, retryAfter: head.headers.get("retry-after") };
}
const status = async (...of: Parameters<typeof answer>) => (await answer(...of)).status;
const signed = (pair: typeof A, kid: string, claims: object = {}) =>
  sign({ sub: "ann", exp: nowS() + 600, ...claims }, {
    alg: pair === A ? "ES256" : "RS256",
    kid,
    key: pair.privatePem,
  });

test("keys are fetched when needed, followed when they rotate, and kept through an outage", async () => {
  await backend.set("/jwks", { status: 500 });
  const early = await answer("jwks", await signed(A, "a"));
  assert.deepEqual([early.status, early.body.code], [503, "UNAVAILABLE"]);
  assert.ok(early.body.retry_after_ms >= 1000 && Number(early.retryAfter) >= 1);

  await backend.set("/jwks", { body: { keys: [jwk(A, "a")] } });
  const good = await signed(A, "a");
  await until("the keys", async () => await status("jwks", good) === 101 ? true : null);

  await backend.set("/jwks", { body: { keys: [jwk(A, "a"), jwk(B, "b")] } });
  const rotated = await signed(B, "b");
  await until("the rotated keys", async () => await status("jwks", rotated) === 101 ? true : null);

  for (const fails of ["reset", "silent", "head", "midway", "huge", "garbage"] as const) {
    await backend.set("/jwks", { fails });
    const since = Date.now();
    do assert.equal(await status("jwks", good), 101, fails); while (Date.now() - since < 1300);
    assert.ok((await backend.asked()).length >= 1, "it was asked in vain");
  }
  await backend.set("/jwks", { body: { keys: [jwk(B, "b")] } });
  await until(
    "the key that left to be refused",
    async () => await status("jwks", good) === 401 ? true : null,
  );
  assert.equal(await status("jwks", rotated), 101);
});

test("strangers that make up key ids do not make the gateway ask again and again", async () => {
  await backend.set("/jwks", { body: { keys: [jwk(A, "a")] } });
  await until("the keys", async () => await status("jwks", await signed(A, "a")) === 101 ? true : null);
  await backend.asked();
  const since = Date.now();
  const made = await Promise.all(Array.from({ length: 40 }, (_, i) => signed(B, `made-up-${i}`)));
  for (const ticket of made) assert.equal(await status("jwks", ticket), 401);
  const most = Math.ceil((Date.now() - since) / 100) + 1;
  const asked = (await backend.asked()).length;
  assert.ok(asked <= most, `${asked} fetches, ${most} allowed`);
});

test("the backend decides: it is told who comes, and its claims and end are the session's", async () => {
  await backend.set("/auth", {
    body: {
      user: "zoë",
      claims: { rooms: ["lobby"], sid: "tab", plan: "pro" },
      expires_at: nowS() + 100,
      ticket_id: "t",
    },
  });
  await backend.asked();
  const client = await Client.open(gateway, {
    tenant: "http",
    ticket: null,
    headers: { authorization: "Bearer opaque", cookie: "not=asked-for" },
  });
  const { user, sid, expires_in_ms } = client.authed;
  assert.deepEqual([user, sid], ["zoë", "tab"]);
  assert.ok(expires_in_ms > 90_000 && expires_in_ms <= 100_000);
  client.send({ svc: "room", type: "join", room: "office" });
  await client.nextError("NOT_ALLOWED");
  await client.join("lobby");
  const [asked, ...others] = await backend.asked();
  assert.deepEqual(others, []);
  assert.deepEqual(JSON.parse(asked!.body), {
    tenant: "http",
    ticket: "opaque",
    address: "127.0.0.1",
    origin: null,
    headers: {},
  });
  assert.equal(asked!.headers["content-type"], "application/json");
  const check = { keys: [{ id: "k1", secret: KEY }], unixMs: Date.now(), toleranceMs: 60_000 };
  assert.ok(isSigned(asked!.body, asked!.headers["wsprism-signature"]!, check));

  // A renewal is asked for as such, and may be refused.
  await backend.set("/auth", { status: 403 });
  client.send({ svc: "sys", type: "auth", seq: 1, data: { ticket: "another" } });
  assert.equal((await client.nextError("AUTH_FAILED")).seq, 1);
  const renewal = JSON.parse((await backend.asked())[0]!.body);
  assert.deepEqual([renewal.ticket, renewal.renews, renewal.origin], ["another", "zoë", null]);
  await client.hearsNothing();
  await client.close();
});

test("clients may be known by their cookie, and need no ticket then", async () => {
  await backend.set("/auth", { body: { user: "ann" } });
  await backend.asked();
  assert.equal(
    await status("cookie", null, { cookie: "session=1", "user-agent": "tab/1", origin: "http://127.0.0.1" }),
    101,
  );
  assert.deepEqual(JSON.parse((await backend.asked())[0]!.body), {
    tenant: "cookie",
    ticket: null,
    address: "127.0.0.1",
    origin: "http://127.0.0.1",
    headers: { cookie: "session=1", "user-agent": "tab/1" },
  });
  assert.equal(
    await status("cookie", null, { "user-agent": "tab/1" }),
    401,
    "any other header speaks for nobody",
  );
  assert.equal(await status("cookie", null, { cookie: "session=1", origin: "https://evil.example" }), 403);
  assert.deepEqual(await backend.asked(), []);
});

test("a good answer is asked for once, a refusal each time", async () => {
  await backend.set("/auth", { status: 401 });
  await backend.asked();
  for (let i = 0; i < 3; i++) assert.equal(await status("cached", "t"), 401);
  await backend.set("/auth", { body: { user: "ann" } });
  for (let i = 0; i < 5; i++) assert.equal(await status("cached", "t"), 101);
  assert.equal((await backend.set("/auth", { status: 401 })).length, 1);
  assert.equal(await status("cached", "t"), 101);
  assert.deepEqual(await backend.asked(), [], "it was told before");
  assert.equal(await status("cached", "u"), 401);
});

test("equal questions at once are asked once", async () => {
  await backend.set("/auth", { body: { user: "ann" }, delayMs: 100 });
  await backend.asked();
  const told = await Promise.all(Array.from({ length: 10 }, () => status("http", "same")));
  assert.deepEqual(new Set(told), new Set([101]));
  assert.equal((await backend.asked()).length, 1);
});

test("above what may be asked at once clients are told to come again", async () => {
  await backend.set("/auth", { body: { user: "ann" }, delayMs: 200 });
  const told = await Promise.all(Array.from({ length: 6 }, (_, i) => answer("narrow", `t${i}`)));
  assert.equal(told.filter(({ status }) => status === 101).length, 2);
  for (const { status, body, retryAfter } of told.filter(({ status }) => status !== 101)) {
    assert.deepEqual([status, body.code], [503, "UNAVAILABLE"]);
    assert.equal(retryAfter, String(Math.ceil(body.retry_after_ms / 1000)));
  }
});

/** Lets the breaker close: it opens for a second or more when a test before has failed questions in a row. */
async function healed(tenant: string): Promise<void> {
  await backend.set("/auth", { body: { user: "ann" } });
  await until("the breaker to close", async () => await status(tenant, "t") === 101 ? true : null, 20_000);
}

test("a backend that fails, hangs or lies lets nobody in, and is nobody's fault but its own", async () => {
  const faults = [
    { status: 500 },
    { status: 302, headers: { location: `${backend.origin}/jwks` } },
    { body: "<html>" },
    { body: { user: 7 } },
    { body: { admin: true } },
    { body: { user: "ann", claims: { junk: "x".repeat(100_000) } } },
    { fails: "reset" },
    { fails: "head" },
    { fails: "silent" },
    { fails: "midway" },
    { fails: "huge" },
    { fails: "garbage" },
  ] as const;
  for (const fault of faults) {
    await backend.set("/auth", fault);
    const { status, body } = await answer("http", "t");
    assert.deepEqual([status, body.code], [503, "UNAVAILABLE"], JSON.stringify(fault).slice(0, 60));
    await healed("http");
  }
  for (
    const [claims, msg] of [[{ rooms: "all" }, /claim/], [{ sid: "a b" }, /claim/], [
      { limits: 1 },
      /claim/,
    ]] as const
  ) {
    await backend.set("/auth", { body: { user: "ann", claims } });
    const { status, body } = await answer("http", "t");
    assert.equal(status, 401);
    assert.match(body.msg, msg);
  }
  await backend.set("/auth", { body: { user: "a\nb" } });
  assert.equal(await status("http", "t"), 401);
});

test("a backend that is down is left alone, and found again when it is back", async () => {
  await backend.set("/auth", { fails: "reset" });
  for (let i = 0; i < 5; i++) assert.equal(await status("http", `t${i}`), 503);
  await backend.asked();
  for (let i = 0; i < 20; i++) {
    const { status, body } = await answer("http", `u${i}`);
    assert.equal(status, 503);
    assert.ok(body.retry_after_ms > 0);
  }
  assert.ok((await backend.asked()).length <= 2);
  await healed("http");
  assert.ok(gateway.lines.some(({ message }) => message === "auth backend is left alone for a while"));
});

test("one tenant's backend that hangs holds up no other's", async () => {
  await backend.set("/hung", { fails: "silent" });
  await healed("http");
  await backend.asked();
  // More than a runtime's own fetch has under way in a whole process (256 on Bun).
  const hanging = await Promise.all(Array.from({ length: 300 }, async (_, i) => {
    const client = await RawClient.connect(gateway.port);
    // Nobody awaits an answer.
    client.upgrade("/v1/ws?tenant=hung", { authorization: `Bearer t${i}` }).catch(() => {});
    return client;
  }));
  let asked = 0;
  await until("all questions", async () => (asked += (await backend.asked()).length) === 300 ? true : null);
  await backend.set("/jwks", { body: { keys: [jwk(A, "a")] } });
  assert.equal(await status("http", "t"), 101);
  const good = await signed(A, "a");
  await until("the keys", async () => await status("jwks", good) === 101 ? true : null);
  for (const client of hanging) client.destroy();
});

test("check-token asks the backend", async () => {
  using folder = new Folder();
  folder.write("wsprism.yaml", JSON.stringify({ version: 1, tenants: [{ id: "http", auth: http() }] }));
  await backend.set("/auth", { body: { user: "ann", claims: { plan: "pro" } } });
  const good = await wsprism(["check-token", "--tenant", "http", "t"], { folder: folder.path });
  assert.equal(good.code, 0, good.stderr);
  assert.match(good.stdout, /^user +ann$/m);
  await backend.set("/auth", { status: 401 });
  const bad = await wsprism(["check-token", "--tenant", "http", "t"], { folder: folder.path });
  assert.deepEqual([bad.code, /refused: ticket was refused/.test(bad.stdout)], [1, true]);
});

test("outcomes are counted by the way that tickets came", async () => {
  const metrics = await gateway.metrics();
  const sum = (labels: Record<string, string>) => metrics.sum("wsprism_tickets_total", labels);
  assert.ok(sum({ tenant: "http", way: "header", outcome: "ok" }) > 0);
  assert.ok(sum({ tenant: "http", way: "header", outcome: "unavailable" }) > 10);
  assert.equal(sum({ tenant: "http", way: "renewal", outcome: "denied" }), 1);
  assert.equal(sum({ tenant: "cookie", way: "none", outcome: "ok" }), 1);
  assert.equal(sum({ tenant: "narrow", way: "header", outcome: "busy" }), 4);
});

lastly(gateway);
