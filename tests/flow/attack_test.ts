// People who should not get in, with everything that a request line, a header and a ticket can hold. The gateway
// must refuse them one by one, keep nothing of them, and serve the others on.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { forge, guess, pairFor, SECRET, ticket as sign } from "../admission/keys.ts";
import { handshake, RawClient, statusOf } from "../raw_client.ts";
import { Client } from "./client.ts";
import { lastly, sharedGateway, until } from "./gateway_process.ts";

const ES = pairFor("ES256");
const OTHER = `another tenant's: ${SECRET}`;
const nowS = () => Math.floor(Date.now() / 1000);

const jwt = (algorithms: string[], keys: object[]) => ({
  mode: "jwt",
  jwt: { algorithms, keys, leeway_s: 0 },
  failure_delay_ms: 0,
});
const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0, trusted_proxies: ["10.0.0.0/8"] },
  tenants: [
    {
      id: "acme",
      auth: jwt(["HS256"], [{ kid: "k", secret: SECRET }]),
      policy: { ext_allowlist: ["room:*", "chat:*"] },
    },
    { id: "other", auth: jwt(["HS256"], [{ kid: "k", secret: OTHER }]) },
    { id: "es", auth: jwt(["ES256"], [{ kid: "e", public_key: ES.publicPem }]) },
    { id: "homes", auth: jwt(["HS256"], [{ secret: SECRET }]), limits: { max_sessions_per_ip: 1 } },
  ],
}, { dev: false, args: ["--log-level", "debug"] });

const claims = (more: object = {}) => ({ sub: "mallory", exp: nowS() + 600, ...more });
const bearer = (ticket: string) => ({ authorization: `Bearer ${ticket}` });

const knock = (head: string) => statusOf(gateway.port, head);
const status = (tenant: string, ticket: string) =>
  knock(handshake(`/v1/ws?tenant=${tenant}`, bearer(ticket)));

test("unsigned and confused tickets are refused", async () => {
  const payload = claims();
  const der = ES.publicKey.export({ type: "spki", format: "der" }).toString("latin1");
  const tickets: [string, string][] = [
    ...["none", "None", "NONE", "nOnE", ""].flatMap((alg): [string, string][] => [
      ["acme", forge({ alg }, payload, null)],
      ["acme", `${forge({ alg }, payload, null)}AA`],
      ["es", forge({ alg }, payload, null)],
    ]),
    ...[ES.publicPem, ES.publicPem.trim(), der].map((
      secret,
    ): [string, string] => ["es", forge({ alg: "HS256" }, payload, secret)]),
    ["acme", await sign(payload, { alg: "HS384" })],
    ["acme", await sign(payload, { alg: "ES256", key: ES.privatePem })],
    ["es", forge({ alg: "ES256" }, payload, SECRET)],
    ["es", forge({ alg: ["ES256"] }, payload, SECRET)],
    ["acme", forge({ alg: "HS256", crit: ["x"], x: 1 }, payload, SECRET)],
    ["acme", forge({ alg: "HS256", jwk: { kty: "oct", k: "AAAA" } }, payload, "\0\0\0")],
  ];
  for (const [tenant, ticket] of tickets) assert.equal(await status(tenant, ticket), 401, ticket);
  assert.equal(await status("es", await sign(payload, { alg: "ES256", key: ES.privatePem, kid: "e" })), 101);
});

test("another tenant's ticket is refused, though its key has the same name", async () => {
  const theirs = await sign(claims(), { key: OTHER, kid: "k" });
  assert.equal(await status("other", theirs), 101);
  assert.equal(await status("acme", theirs), 401);
});

test("a ticket is refused once it has expired, however often it was good before", async () => {
  const short = await sign(claims({ exp: nowS() + 2 }));
  for (let i = 0; i < 3; i++) assert.equal(await status("acme", short), 101);
  await until("its end", async () => await status("acme", short) === 401 ? true : null);
  for (let i = 0; i < 3; i++) assert.equal(await status("acme", short), 401);
});

test("cut and changed tickets are refused, and so are ones of every size", async () => {
  const good = await sign(claims());
  for (let end = 0; end < good.length; end += 7) assert.equal(await status("acme", good.slice(0, end)), 401);
  for (let at = 0; at < good.length - 1; at += 7) {
    assert.equal(
      await status("acme", good.slice(0, at) + (good[at] === "A" ? "B" : "A") + good.slice(at + 1)),
      401,
    );
  }
  for (const size of [8191, 8192, 8193, 15_000]) assert.equal(await status("acme", "x".repeat(size)), 401);
  const long = await status("acme", "x".repeat(100_000));
  assert.ok(long === 431 || long === 400 || long === 0, `${long}`);
  const padded = await sign(claims({ pad: "x".repeat(9000) }));
  assert.equal(await status("acme", padded), 401, "good, and too long");
});

test("line ends, control characters and every kind of unicode in the query get nobody in, and break nothing", async () => {
  const good = await sign(claims());
  const odd = [
    "%0d%0a",
    "%00",
    "%0d%0aSet-Cookie:%20a=b",
    "%e2%80%ae",
    "%ed%a0%80",
    "%c0%af",
    "%f0%9f%98%80",
    "%",
    "%zz",
    "%u0041",
    "+",
    "%2e%2e%2f",
    "é",
    "\u{1f600}",
    "\u0085",
  ];
  for (const text of odd) {
    for (
      const target of [
        `/v1/ws?tenant=acme${text}&ticket=${good}`,
        `/v1/ws?tenant=acme&ticket=${good}${text}`,
        `/v1/ws?tenant=acme&ticket=${good}&sid=a${text}`,
        `/v1/ws?tenant=acme&sid=${text}&${text}=x&ticket=wrong`,
        `/v1/ws${text}?tenant=acme&ticket=${good}`,
      ]
    ) {
      const told = await knock(handshake(target));
      assert.ok([0, 400, 401, 404].includes(told), `${told} for ${target}`);
    }
  }
  assert.equal(await knock(handshake(`/v1/ws?tenant=acme&ticket=${good}`)), 101);
});

test("headers with line ends, bytes above ASCII, doubles and smuggled lines get nobody in either", async () => {
  const good = await sign(claims());
  const lines = [
    `authorization: Bearer ${good}\r\n\tfolded`,
    `authorization: Bearer wrong\r\nauthorization: Bearer ${good}`,
    `authorization: Bearer\u00a0${good}`,
    `authorization: Bearer ${good}\u0000`,
    `authorization : Bearer ${good}`,
    `authorization: Bearer ${good}, Bearer ${good}`,
    `authorization: Basic ${good}`,
    `sec-websocket-protocol: wsprism.ticket.${Buffer.from(good).toString("base64url")}é`,
    `sec-websocket-protocol: wsprism.ticket.${
      Buffer.from(good).toString("base64url")
    }, wsprism.ticket.x, wsprism.ticket.x`,
    `sec-websocket-protocol: wsprism.ticket.!!!!`,
    `sec-websocket-protocol: wsprism.ticket.`,
    `x-user: admin\r\nauthorization: Bearer wrong`,
  ];
  for (const line of lines) {
    const head = handshake("/v1/ws?tenant=acme").replace(/\r\n\r\n$/, `\r\n${line}\r\n\r\n`);
    const told = await knock(head);
    assert.ok([0, 400, 401].includes(told), `${told} for ${JSON.stringify(line)}`);
  }
});

test("an address that a stranger's header names is not believed", async () => {
  const good = await sign(claims());
  const inside = await RawClient.open(gateway.port, "/v1/ws?tenant=homes", bearer(good));
  for (const name of ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip", "true-client-ip"]) {
    const told = await knock(handshake("/v1/ws?tenant=homes", { ...bearer(good), [name]: "203.0.113.9" }));
    assert.equal(told, 503, name);
  }
  inside.destroy();
});

test("claims cannot reach what is not theirs", async () => {
  const odd = [
    { sub: "__proto__" },
    { sub: "constructor" },
    JSON.parse('{"sub":"ann","__proto__":{"rooms":["*"]}}'),
    { sub: "ann", services: ["sys:*", "admin:*", "255:*"] },
    { sub: "ann", limits: { max_frame_bytes: 16_777_216, rate_limit_rps: 1_000_000_000 } },
  ];
  for (const more of odd) {
    const client = await Client.open(gateway, { ticket: null, headers: bearer(await sign(claims(more))) });
    assert.equal(client.authed.max_frame_bytes, 4096);
    client.send({ svc: "admin", type: "x", seq: 1 });
    await client.nextError("NOT_ALLOWED");
    await client.close();
  }
  for (
    const more of [{ sub: "" }, { sub: "a\u0000b" }, { sub: "a\nb" }, { sub: ["a"] }, {
      sub: { toString: "x" },
    }, { sub: 1.5 }]
  ) {
    assert.equal(await status("acme", await sign(claims(more))), 401, JSON.stringify(more));
  }
});

test("thousands of random tickets change neither memory nor those who are inside", async () => {
  const good = bearer(await sign(claims()));
  const [ann, bob] = [
    await Client.open(gateway, { ticket: null, headers: good }),
    await Client.open(gateway, { ticket: null, headers: good }),
  ];
  await ann.join("lobby");
  await bob.join("lobby");
  await ann.settled();
  const storm = async (count: number) => {
    let left = count;
    const worker = async () => {
      while (left-- > 0) {
        const ticket = guess(left);
        assert.equal(await status("acme", ticket), 401);
      }
    };
    await Promise.all(Array.from({ length: 16 }, worker));
  };
  // The soak tests have a million of them. A heap of the same size may differ by this much between two collections.
  await storm(1500);
  const before = gateway.residentBytes();
  await storm(3000);
  const grown = gateway.residentBytes() - before;
  assert.ok(grown < 48 * 1024 * 1024, `${Math.round(grown / 1024)} KiB more`);
  bob.send({ svc: "chat", type: "send", room: "lobby", data: { msg: "still here" } });
  assert.equal((await ann.next("chat.msg")).data.msg, "still here");
  const metrics = await gateway.metrics();
  assert.equal(metrics.sum("wsprism_ws_sessions_active"), 2);
  await ann.close();
  await bob.close();
});

test("nothing of all that stands in the log", () => {
  for (const secret of ["eyJ", SECRET, "Bearer", "ticket=", "wsprism.ticket", "Set-Cookie"]) {
    assert.ok(!gateway.logText.includes(secret), secret);
  }
  assert.match(gateway.logText, /bad_ticket/);
});

lastly(gateway);
