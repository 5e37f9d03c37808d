// Plain HTTP and handshakes as the world sends them, on both listeners of a gateway, with and without TLS.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { makePair } from "../certificates.ts";
import { type Peer, RawClient, statusOf } from "../raw_client.ts";
import { type Adapter, expected, PLAIN, type RawRequest, UPGRADES } from "../raw_requests.ts";
import { GatewayProcess, RAW, TARGET } from "./gateway_process.ts";

const BASE = {
  tenants: [{ id: "acme", policy: {} }],
  admin: {
    listen: "127.0.0.1:0",
    keys: [{ id: "ops", secret: "ops-secret-ops-secret-ops-secret-", tenants: ["*"], permissions: ["read"] }],
  },
};
const PUBLIC: Adapter = TARGET === "deno" ? "node" : TARGET === "deno-native" ? "deno" : RAW ? "raw" : "bun";
// The admin API is served by the runtime's default whatever the public listener is.
const ADMIN: Adapter = TARGET === "bun" || TARGET === "executable" ? "bun" : "node";

const pair = makePair("http");
const plain = await GatewayProcess.start(BASE);
const secure = await GatewayProcess.start(
  { ...BASE, gateway: { tls: { cert_file: "cert.pem", key_file: "key.pem" } } },
  { files: { "cert.pem": pair.cert, "key.pem": pair.key }, ca: pair.cert },
);
after(() => Promise.all([plain.kill(), secure.kill()]));
const adminPort = (await plain.logged("admin listening"))["port"] as number;

async function answers(
  peer: Peer,
  rows: readonly RawRequest[],
  status: (row: RawRequest) => number,
): Promise<void> {
  const wrong: string[] = [];
  for (const row of rows) {
    const got = await statusOf(peer, row.bytes);
    if (got !== status(row)) wrong.push(`${row.what}: ${got}, not ${status(row)}`);
  }
  assert.deepEqual(wrong, []);
}

for (const [name, gateway] of [["plain", plain], ["TLS", secure]] as const) {
  test(`the public listener answers each request as it deserves, ${name}`, async () => {
    await answers(gateway.peer, [...PLAIN, ...UPGRADES], (row) => expected(row, PUBLIC));
  });
}

test("the admin listener answers each request as it deserves, and serves no WebSocket", async () => {
  const status = (row: RawRequest) => {
    const given = expected(row, ADMIN);
    // What is no route is asked for a key first.
    const path = /^[A-Z]+ (\S+)/.exec(row.bytes)![1]!;
    if (given === 404 && !/\.|%2e|\\/i.test(path)) return 401;
    return given === 101 ? 404 : given;
  };
  await answers({ port: adminPort }, [...PLAIN, ...UPGRADES], status);
});

test("plain requests have the bounds of handshakes, in buckets of their own", async () => {
  const gateway = await GatewayProcess.start({
    gateway: {
      handshake_limit: { enabled: true, per_ip_rps: 1, per_ip_burst: 3, global_rps: 100, global_burst: 100 },
    },
    tenants: [{ id: "acme", policy: {} }],
  });
  const statuses: number[] = [];
  for (const path of ["/healthz", "/metrics", "/nowhere", "/metrics", "/healthz"]) {
    statuses.push(await statusOf(gateway.peer, `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`));
  }
  assert.deepEqual(statuses, [200, 200, 404, 429, 429]);
  const member = await RawClient.open(gateway.peer, "/v1/ws?tenant=acme&ticket=dev:ann");
  member.destroy();
  await gateway.stop();
});

for (const [name, path] of [["public", "/metrics"], ["admin", "/healthz"]] as const) {
  test(`hundreds of requests at once on one connection of the ${name} listener leave others their turns`, async () => {
    // Its pings are not to be too many, however long the hundreds take.
    const policy = { rate_limit_rps: 1_000_000, rate_limit_burst: 1_000_000 };
    const tenants = Array.from({ length: 150 }, (_, i) => ({ id: `t${i}`, policy }));
    const { tenants: _, ...admin } = BASE;
    const gateway = await GatewayProcess.start(name === "admin" ? { ...admin, tenants } : { tenants });
    const port = name === "admin"
      ? (await gateway.logged("admin listening"))["port"] as number
      : gateway.port;
    const member = await RawClient.open(gateway.peer, "/v1/ws?tenant=t1&ticket=dev:ann");
    await member.nextText();
    const hog = await RawClient.connect(port);
    hog.pause();
    const request = `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
    hog.send(request.repeat(500));
    hog.resume();
    // While the hundreds are answered, a message goes to and fro again and again.
    let pings = 0, answered = false;
    // Bun ends a connection on which a request follows one that has no answer yet.
    const all = hog.answers(500).catch((cause) => assert.match(`${ADMIN} ${cause}`, /^bun .*ended before/))
      .finally(() => answered = true);
    while (!answered) {
      member.text('{"v":1,"svc":"sys","type":"ping"}');
      await member.nextText();
      pings++;
    }
    await all;
    assert.ok(ADMIN === "bun" || pings >= 5, `${pings} pings while 500 requests were answered`);
    hog.destroy();
    member.destroy();
    await gateway.stop();
  });
}

test("at the end both gateways stop with exit code 0", async () => {
  await plain.stop();
  await secure.stop();
});
