// Tickets from the command line and from jose, all the ways they travel, the end of a session's right, and every
// refusal as HTTP, as close code and as metric.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { pairFor, SECRET, ticket as sign } from "../admission/keys.ts";
import { RawClient } from "../raw_client.ts";
import { Client, KINDS } from "./client.ts";
import { Folder, GatewayProcess, lastly, NATIVE_DENO, sharedGateway, wsprism } from "./gateway_process.ts";

const ES = pairFor("ES256");
const nowS = () => Math.floor(Date.now() / 1000);
const base64url = (text: string) => Buffer.from(text).toString("base64url");

const jwt = (more: object = {}) => ({
  mode: "jwt",
  jwt: {
    algorithms: ["HS256", "ES256"],
    keys: [{ secret: SECRET }, { kid: "es", private_key_file: "es.pem" }],
    leeway_s: 0,
  },
  failure_delay_ms: 50,
  ...more,
});
const config = {
  gateway: { auth_timeout_ms: 400, drain_grace_ms: 0 },
  tenants: [
    {
      id: "acme",
      auth: jwt({ first_message: true, max_pending_per_ip: 3, expiry_warning_ms: 1500 }),
      policy: { ext_allowlist: ["room:*", "chat:*"] },
      limits: { max_frame_bytes: 16_384 },
    },
    { id: "strict", auth: jwt({ allow_query_ticket: false }), origins: ["https://app.example"] },
    {
      id: "fixed",
      auth: { mode: "static", static: { tickets: [{ ticket: "a-fixed-ticket-of-bot", user: "bot" }] } },
    },
  ],
};
const files = { "es.pem": ES.privatePem };
const gateway = await sharedGateway(config, { dev: false, files, args: ["--log-level", "debug"] });

const ticket = (claims: object = {}, more: object = {}) =>
  sign({ sub: "ann", exp: nowS() + 600, ...claims }, more);
const bearer = (text: string) => ({ authorization: `Bearer ${text}` });

interface Refused {
  readonly status: number;
  // deno-lint-ignore no-explicit-any -- a JSON body
  readonly body: any;
  readonly ms: number;
}

async function refused(path: string, headers: Record<string, string> = {}): Promise<Refused> {
  const client = await RawClient.connect(gateway.port);
  const since = performance.now();
  const head = await client.upgrade(path, headers);
  const ms = performance.now() - since;
  const body = JSON.parse(await client.body(head));
  client.destroy();
  return { status: head.status, body, ms };
}

/** Runs a verb where the configuration is. */
async function cli(args: readonly string[], stdin?: string) {
  using folder = new Folder();
  folder.write("es.pem", ES.privatePem);
  folder.write("wsprism.yaml", JSON.stringify({ version: 1, ...config }));
  return await wsprism(args, { folder: folder.path, ...(stdin === undefined ? {} : { stdin }) });
}

test("a ticket of wsprism token opens the door, for either kind of key", async () => {
  for (const kid of [[], ["--kid", "es"]]) {
    const { code, stdout, stderr } = await cli([
      "token",
      "--tenant",
      "acme",
      "--user",
      "zoë",
      "--ttl",
      "5m",
      ...kid,
    ]);
    assert.deepEqual([code, stderr], [0, ""]);
    const header = JSON.parse(Buffer.from(stdout.split(".")[0]!, "base64url").toString());
    assert.deepEqual(
      header,
      kid.length === 0 ? { alg: "HS256", typ: "JWT" } : { alg: "ES256", typ: "JWT", kid: "es" },
    );
    const client = await Client.open(gateway, { ticket: null, headers: bearer(stdout.trim()) });
    assert.equal(client.authed.user, "zoë");
    assert.ok(client.authed.expires_in_ms > 290_000 && client.authed.expires_in_ms <= 300_000);
    await client.close();
  }
});

test("token takes claims as JSON or text, and says what it cannot do", async () => {
  const args = ["token", "--tenant", "acme", "--user", "ann"];
  const { stdout } = await cli([
    ...args,
    "--claim",
    'rooms=["lobby"]',
    "--claim",
    "plan=pro",
    "--claim",
    "n=7",
    "--ttl",
    "2d",
  ]);
  const payload = JSON.parse(Buffer.from(stdout.split(".")[1]!, "base64url").toString());
  const { iat, exp, jti, ...rest } = payload;
  assert.deepEqual(rest, { sub: "ann", rooms: ["lobby"], plan: "pro", n: 7 });
  assert.equal(exp - iat, 172_800);
  assert.match(jti, /^[0-9a-f]{16}$/);
  const bad: [string[], number, RegExp][] = [
    [["token"], 2, /required option '--tenant/],
    [["token", "--tenant", "acme"], 2, /required option '--user/],
    [[...args, "--ttl", "1 hour"], 2, /--ttl must be/],
    [[...args, "--ttl", "0s"], 2, /--ttl must be/],
    [[...args, "--claim", "plan"], 2, /--claim must be name=value/],
    [["token", "--tenant", "acme", "--user", "a\nb"], 2, /--user must be/],
    [["token", "--tenant", "nobody", "--user", "ann"], 2, /no tenant "nobody"; it has acme, strict, fixed/],
    [["token", "--tenant", "fixed", "--user", "bot"], 1, /fixed tickets/],
    [[...args, "--kid", "none"], 1, /no key "none"/],
    [[...args, "--config", "none.yaml"], 3, /no such file/],
  ];
  await Promise.all(bad.map(async ([args, code, words]) => {
    const ended = await cli(args);
    assert.deepEqual([ended.code, ended.stdout], [code, ""], args.join(" "));
    assert.match(ended.stderr, words);
  }));
});

test("check-token explains a ticket from an argument or from stdin, and never shows it", async () => {
  const good = await ticket({ rooms: ["a"], plan: "pro", jti: "t1" });
  const args = ["check-token", "--tenant", "acme"];
  for (const ended of [await cli([...args, good]), await cli(args, `${good}\n`)]) {
    assert.deepEqual([ended.code, ended.stderr], [0, ""]);
    for (
      const words of [
        /^user +ann$/m,
        /^key +keys\[0\]$/m,
        /^id +t1$/m,
        /^rooms +\["a"\]$/m,
        /^claims +\{"plan":"pro"\}$/m,
        /in 600 s|in 59\d s/,
        /^The ticket is good\.$/m,
      ]
    ) {
      assert.match(ended.stdout, words);
    }
    assert.ok(!ended.stdout.includes(good.split(".")[2]!));
  }
  assert.doesNotMatch((await cli(args, good)).stdout, /WARNING/);
  const milliseconds = await cli(args, await ticket({ exp: Date.now() + 600_000 }));
  assert.equal(milliseconds.code, 0);
  assert.match(
    milliseconds.stdout,
    /^WARNING +exp is more than a century ahead: it counts seconds.*milliseconds$/m,
  );
  const never = await cli(args, await ticket({ exp: 99_999_999_999_999 }));
  assert.deepEqual([never.code, never.stderr], [0, ""]);
  assert.match(never.stdout, /^expires +after all dates, in \d+ s/m);
  const cases: [string, RegExp][] = [
    [await ticket({ exp: nowS() - 10 }), /refused: it has expired/],
    [await ticket({}, { key: `${SECRET}x` }), /refused: the signature is not/],
    [await ticket({ sub: undefined }), /refused: it names no user/],
    [await ticket({ rooms: "a" }), /refused: rooms must be a list/],
    ["nonsense", /refused: it is no signed JWT/],
    ["x".repeat(9000), /refused: it is longer than 8192/],
    [await ticket({ sub: "\u001b[31mred" }), /refused: it names no user/],
  ];
  await Promise.all(cases.map(async ([text, words]) => {
    const ended = await cli(args, text);
    assert.deepEqual([ended.code, ended.stderr], [1, ""]);
    assert.match(ended.stdout, words);
    assert.ok(!ended.stdout.includes("\u001b"));
  }));
  const empty = await cli(args, "");
  assert.equal(empty.code, 2);
  assert.match(empty.stderr, /no ticket/);
  const fixed = await cli(["check-token", "--tenant", "fixed", "a-fixed-ticket-of-bot"]);
  assert.match(fixed.stdout, /^user +bot$/m);
});

for (const kind of KINDS) {
  test(`a ticket may come as a subprotocol, in the query or as the first message (${kind})`, async () => {
    const good = await ticket();
    const offered = await Client.open(gateway, {
      kind,
      ticket: null,
      offer: ["wsprism.v1", `wsprism.ticket.${base64url(good)}`],
    });
    assert.equal(offered.protocol, "wsprism.v1");
    const queried = await Client.open(gateway, { kind, ticket: good });
    const waited = await Client.connect(gateway, { kind, ticket: null, sid: "tab" });
    await gateway.metricsUntil("a pending link", (metrics) => metrics.sum("wsprism_pending_links") === 1);
    waited.send({ svc: "sys", type: "auth", data: { ticket: good } });
    const authed = await waited.next("sys.authed");
    assert.deepEqual([authed.data.user, authed.data.sid], ["ann", "tab"]);
    assert.equal((await gateway.metrics()).sum("wsprism_pending_links"), 0);
    await waited.join("lobby");
    for (const client of [offered, queried, waited]) await client.close();
  });
}

test("a first message that is late, wrong or no ticket ends the connection", async () => {
  const late = await Client.connect(gateway, { ticket: null });
  await late.nextError("TIMEOUT");
  await late.ended(4500, "authentication failed");
  const bad = await Client.connect(gateway, { ticket: null });
  const since = performance.now();
  bad.send({ svc: "sys", type: "auth", data: { ticket: "wrong" } });
  await bad.nextError("AUTH_FAILED");
  assert.ok(performance.now() - since >= 40);
  await bad.ended(4500);
  const hasty = await Client.connect(gateway, { ticket: null });
  hasty.send({ svc: "room", type: "join", room: "a" });
  await hasty.nextError("AUTH_FAILED");
  await hasty.ended(4500);
  const hot = await Client.connect(gateway, { ticket: null });
  hot.binary([1, 1, 1, 0]);
  await hot.nextError("AUTH_FAILED");
  await hot.ended(4500);
});

test("only so many of an address wait for their first message", async () => {
  const waiting = await Promise.all([1, 2, 3].map(() => Client.connect(gateway, { ticket: null })));
  const { status, body } = await refused("/v1/ws?tenant=acme");
  assert.equal(status, 503);
  assert.match(body.msg, /await their ticket/);
  assert.ok(body.retry_after_ms >= 1000);
  for (const client of waiting) await client.close();
  await gateway.metricsUntil("no pending link", (metrics) => metrics.sum("wsprism_pending_links") === 0);
});

test("a session is told that its ticket expires, may renew it in place, and is closed on time", async () => {
  const client = await Client.open(gateway, {
    ticket: null,
    headers: bearer(await ticket({ exp: nowS() + 3 })),
  });
  const { data } = await client.next("sys.expiring");
  assert.ok(data.expires_in_ms > 0 && data.expires_in_ms <= 1500);
  client.send({ svc: "sys", type: "auth", seq: 1, data: { ticket: await ticket({ sub: "bob" }) } });
  assert.equal((await client.nextError("AUTH_FAILED")).seq, 1);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const renewal = nowS() + 3;
  client.send({ svc: "sys", type: "auth", seq: 2, data: { ticket: await ticket({ exp: renewal }) } });
  const authed = await client.next("sys.authed");
  assert.deepEqual([authed.seq, authed.data.session], [2, client.authed.session]);
  await client.next("sys.expiring");
  await client.nextError("AUTH_FAILED");
  await client.ended(4004, "ticket expired");
  const late = Date.now() - renewal * 1000;
  assert.ok(late >= -50 && late < 1000, `${late} ms late`);
});

test("each refusal has its status, its words and its metric", async () => {
  const rejections = async (tenant: string, reason: string) =>
    (await gateway.metrics()).sum("wsprism_handshake_rejections_total", { tenant, reason });
  const good = await ticket();
  const cases: [string, Record<string, string>, number, string, RegExp, string][] = [
    ["strict", {}, 401, "AUTH_FAILED", /a ticket is required/, "no_ticket"],
    ["strict", bearer("wrong"), 401, "AUTH_FAILED", /not valid/, "bad_ticket"],
    ["strict", bearer(await ticket({ exp: nowS() - 10 })), 401, "AUTH_FAILED", /expired/, "expired_ticket"],
    ["strict", bearer(await ticket({ sub: "" })), 401, "AUTH_FAILED", /claim/, "bad_claims"],
    ["strict", { ...bearer(good), origin: "https://evil.example" }, 403, "NOT_ALLOWED", /origin/, "origin"],
    ["fixed", bearer("a-fixed-ticket-of-bo"), 401, "AUTH_FAILED", /not valid/, "bad_ticket"],
    ["fixed", { origin: "https://evil.example" }, 403, "NOT_ALLOWED", /origin/, "origin"],
  ];
  for (const [tenant, headers, status, code, msg, reason] of cases) {
    const before = await rejections(tenant, reason);
    const told = await refused(`/v1/ws?tenant=${tenant}`, headers);
    assert.deepEqual([told.status, told.body.code], [status, code]);
    assert.match(told.body.msg, msg);
    assert.equal(await rejections(tenant, reason), before + 1, reason);
    if (status === 401 && tenant === "strict") assert.ok(told.ms >= 40, "answered after the delay");
  }
  const query = await refused(`/v1/ws?tenant=strict&ticket=${good}`);
  assert.equal(query.status, 401);
  assert.match(query.body.msg, /not taken from the query.*Authorization: Bearer.*wsprism\.ticket/);
  const client = await RawClient.open(gateway.port, "/v1/ws?tenant=strict", {
    ...bearer(good),
    origin: "https://app.example",
  });
  client.destroy();
  const same = await RawClient.open(gateway.port, "/v1/ws?tenant=fixed&ticket=a-fixed-ticket-of-bot", {
    host: "Chat.example:80",
    origin: "http://chat.example",
  });
  same.destroy();
});

test("a gateway without --dev takes no dev ticket, and starts with no tenant that would need them", async () => {
  assert.equal((await refused("/v1/ws?tenant=fixed&ticket=dev")).status, 401);
  assert.equal((await refused("/v1/ws?tenant=strict", bearer("dev:ann"))).status, 401);
  using folder = new Folder();
  folder.write("wsprism.yaml", "version: 1\ntenants: [{ id: a }, { id: b, auth: { mode: dev } }]\n");
  const { code, stderr } = await wsprism(["start"], { folder: folder.path });
  assert.equal(code, 3);
  assert.match(
    stderr,
    /tenants\[0\] needs auth.*\n.*tenants\[1\]\.auth\.mode "dev" accepts anybody and needs --dev/,
  );
});

test("with --dev, tenants with auth accept their tickets only", async () => {
  await using dev = await GatewayProcess.start({ tenants: [{ id: "open" }, config.tenants[2]] });
  const client = await Client.open(dev, { tenant: "open", user: "ann" });
  await assert.rejects(Client.connect(dev, { tenant: "fixed" }), /401/);
  const fixed = await Client.open(dev, { tenant: "fixed", ticket: "a-fixed-ticket-of-bot" });
  await client.close();
  await fixed.close();
  await dev.stop();
});

if (!NATIVE_DENO) {
  test("a gateway that drains sends those who have not brought their ticket elsewhere", async () => {
    await using draining = await GatewayProcess.start({
      gateway: { auth_timeout_ms: 60_000, drain_grace_ms: 0 },
      tenants: [{ id: "acme", auth: { ...config.tenants[2]!.auth, first_message: true } }],
    }, { dev: false });
    const client = await Client.connect(draining, { ticket: null });
    await draining.metricsUntil("a pending link", (metrics) => metrics.sum("wsprism_pending_links") === 1);
    draining.signal("SIGTERM");
    assert.ok((await client.next("sys.draining")).data.retry_after_ms >= 1000);
    await client.ended(1001);
    assert.equal(await draining.exited, 0);
  });
}

// Last, so that it sees what all tests before have made the gateway write.
test("no ticket and no key stands in the log", () => {
  const { logText } = gateway;
  assert.match(logText, /session opened/);
  assert.match(logText, /expired_ticket/);
  for (const secret of ["eyJ", SECRET, base64url("eyJ"), "a-fixed-ticket", "PRIVATE KEY", "ticket="]) {
    assert.ok(!logText.includes(secret), secret);
  }
});

lastly(gateway);
