// Every hostile answer through a whole gateway, to all that asks in a tenant's name: an HTTP service, `ctx.fetch`, a JWKS
// and a webhook. Whoever waits is told, others are served, and nothing of the answers stays.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { ATTACKS, hostileServer } from "../outbound/hostile_answers.ts";
import { pairFor, ticket } from "../admission/keys.ts";
import { handshake, statusOf } from "../raw_client.ts";
import { Client } from "./client.ts";
import { extensionsReady, lastly, sharedGateway, until } from "./gateway_process.ts";

const NAMES = Object.keys(ATTACKS);
const GROWTH_BYTES = 96 * 1_048_576;

/** How often each path was asked for. */
const asked = new Map<string, number>();
const server = await hostileServer((path) => {
  asked.set(path, (asked.get(path) ?? 0) + 1);
  return ATTACKS[NAMES[Number(path.split("/")[2])]!]!;
});
after(() => server.close());
const origin = `http://127.0.0.1:${server.port}`;

const FETCHER = `
export default {
  async onMessage({ data }, ctx) {
    try {
      const { status } = await ctx.fetch(data, { timeout_ms: 60000 });
      return { status };
    } catch ({ code }) {
      return { code };
    }
  },
};
`;
const policy = {
  ext_allowlist: ["fetch:*", ...NAMES.map((_, i) => `s${i}:*`)],
  rate_limit_rps: 1_000_000,
  rate_limit_burst: 1_000_000,
};

const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  tenants: [
    { id: "bystander", policy },
    {
      id: "asking",
      policy,
      services: [
        ...NAMES.map((_, i) => ({
          svc: `s${i}`,
          http: { url: `${origin}/service/${i}`, timeout_ms: 60_000 },
        })),
        {
          svc: "fetch",
          worker: "./fetch.js",
          permissions: { net: [origin] },
          limits: { timeout_ms: 60_000 },
        },
      ],
    },
    ...NAMES.flatMap((_, i) => [
      {
        id: `keys-${i}`,
        policy,
        auth: {
          mode: "jwt",
          jwt: { algorithms: ["ES256"], jwks_url: `${origin}/jwks/${i}` },
          failure_delay_ms: 0,
        },
      },
      {
        id: `hooks-${i}`,
        policy,
        webhooks: [{
          id: "hook",
          url: `${origin}/webhook/${i}`,
          events: ["session.connected"],
          durable: false,
        }],
      },
    ]),
  ],
}, { files: { "fetch.js": FETCHER }, mayComplain: true });
await extensionsReady(gateway, 1);

const bystander = await Client.open(gateway, { tenant: "bystander" });
const asking = await Client.open(gateway, { tenant: "asking" });
const token = await ticket({ sub: "x", exp: Math.floor(Date.now() / 1000) + 600 }, {
  alg: "ES256",
  key: pairFor("ES256").privatePem,
  kid: "unknown",
});
const before = gateway.residentBytes();

for (const [i, name] of NAMES.entries()) {
  test(`An answer of ${name} is nobody's but its tenant's trouble`, async () => {
    asking.send({ svc: `s${i}`, type: "ask", seq: 1 });
    await asking.nextError("UNAVAILABLE");
    asking.send({ svc: "fetch", type: "go", seq: 2, data: `${origin}/fetch/${i}` });
    assert.deepEqual((await asking.next("fetch.reply")).data, { code: "UNAVAILABLE" });
    const status = await statusOf(
      gateway.port,
      handshake(`/v1/ws?tenant=keys-${i}`, { authorization: `Bearer ${token}` }),
    );
    assert.equal(status, 503, "nobody can say that the ticket is bad");
    const client = await Client.open(gateway, { tenant: `hooks-${i}` });
    await until("the webhook's request", () => asked.has(`/webhook/${i}`) || null);
    await client.close();
    for (const who of ["service", "fetch", "jwks"]) assert.ok(asked.has(`/${who}/${i}`), who);
    bystander.send({ svc: "sys", type: "ping", seq: i });
    await bystander.next("sys.pong");
  });
}

test("Nothing of the answers is kept", async () => {
  await until("the gateway's memory to be as before", () => {
    return gateway.residentBytes() - before < GROWTH_BYTES ? true : null;
  }, 10_000);
  await bystander.close();
  await asking.close();
});

lastly(gateway);
