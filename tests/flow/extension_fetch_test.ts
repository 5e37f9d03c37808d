// `ctx.fetch` through a real gateway to real servers: what is listed is reached, what is not is refused, whatever the
// spelling, the redirect or the name.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { Client } from "./client.ts";
import { extensionsReady, lastly, sharedGateway } from "./gateway_process.ts";

let reached = 0;

/** Tells what it was asked, or leads where it is told to. */
const server = createServer((request, response) => {
  reached++;
  const url = new URL(request.url!, "http://h");
  const to = url.searchParams.get("to");
  if (url.pathname === "/silent") return;
  if (url.pathname === "/bytes") return void response.end(new Uint8Array([255, 0, 1]));
  if (url.pathname === "/huge") return void response.end("x".repeat(2_000_000));
  if (to !== null) return void response.writeHead(302, { location: to }).end();
  let body = "";
  request.on("data", (chunk) => body += chunk);
  request.on("end", () => {
    const { method, headers } = request;
    response.setHeader("content-type", "application/json");
    response.end(
      JSON.stringify({ method, path: url.pathname, key: headers["x-key"], host: headers.host, body }),
    );
  });
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
after(() => {
  server.closeAllConnections();
  server.close();
});
const { port } = server.address() as AddressInfo;

/** At a port that is listed by name only. */
const inside = createServer((_, response) => {
  reached++;
  response.end("inside");
});
await new Promise<void>((resolve) => inside.listen(0, "127.0.0.1", () => resolve()));
after(() => {
  inside.closeAllConnections();
  inside.close();
});
const insidePort = (inside.address() as AddressInfo).port;

const FETCHER = `
export default {
  async onMessage({ type, data }, ctx) {
    try {
      const answer = await ctx.fetch(...data);
      return {
        status: answer.status,
        type: answer.headers["content-type"],
        bytes: [...answer.bytes.slice(0, 3)],
        text: answer.text.length,
        json: type === "json" ? answer.json() : null,
      };
    } catch (error) {
      return { code: error.code, msg: error.message };
    }
  },
};
`;

const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  tenants: [{
    id: "acme",
    policy: { ext_allowlist: ["fetcher:*", "none:*"], rate_limit_rps: 1e6, rate_limit_burst: 1e6 },
    services: [
      {
        svc: "fetcher",
        worker: "./fetcher.ts",
        permissions: {
          net: [`http://127.0.0.1:${port}`, `http://localhost:${port}`, `http://localhost:${insidePort}`],
        },
        limits: { timeout_ms: 5000 },
      },
      { svc: "none", worker: "./fetcher.ts" },
    ],
  }],
}, { files: { "fetcher.ts": FETCHER } });

await extensionsReady(gateway, 2);

// deno-lint-ignore no-explicit-any -- whatever the script gives back
async function ask(client: Client, type: string, data: unknown, svc = "fetcher"): Promise<any> {
  client.send({ svc, type, seq: 1, data });
  return (await client.next(`${svc}.reply`)).data;
}

const here = `http://127.0.0.1:${port}`;

test("A listed place is fetched, and its answer is what it was", async () => {
  const ann = await Client.open(gateway);
  const got = await ask(ann, "json", [`${here}/a?b=1`]);
  assert.deepEqual([got.status, got.type], [200, "application/json"]);
  assert.deepEqual(got.json, { method: "GET", path: "/a", host: `127.0.0.1:${port}`, body: "" });
  const options = { method: "POST", headers: { "X-Key": "k" }, body: '{"ä":1}', timeout_ms: 4000 };
  const posted = (await ask(ann, "json", [`${here}/b`, options])).json;
  assert.deepEqual([posted.method, posted.key, posted.body], ["POST", "k", '{"ä":1}']);
  assert.deepEqual((await ask(ann, "bytes", [`${here}/bytes`])).bytes, [255, 0, 1]);
  assert.equal((await ask(ann, "json", [`${here}/?to=/end`])).json.path, "/end");
  await ann.close();
});

test("Without permissions.net nothing is fetched", async () => {
  const ann = await Client.open(gateway);
  const refused = await ask(ann, "json", [`${here}/`], "none");
  assert.deepEqual([refused.code, /permissions\.net/.test(refused.msg)], ["NOT_ALLOWED", true]);
  await ann.close();
});

test("Places that are not listed are refused, in any spelling, and nobody is asked", async () => {
  const ann = await Client.open(gateway);
  const before = reached;
  const attacks = [
    `http://127.0.0.1:${port + 1}/`,
    `https://127.0.0.1:${port}/`,
    `http://127.0.0.2:${port}/`,
    `http://[::1]:${port}/`,
    `http://[::ffff:127.0.0.2]:${port}/`,
    `http://0.0.0.0:${port}/`,
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://metadata.google.internal/",
    `http://user:password@127.0.0.1:${port}/`,
    `http://127.0.0.1.:${port + 1}/`,
    `http://127.0.0.1@evil.example:${port}/`,
    `http://evil.example#@127.0.0.1:${port}/`,
    "file:///etc/passwd",
    "data:text/plain,x",
    "blob:null/x",
    "unix:/var/run/docker.sock",
    `ftp://127.0.0.1:${port}/`,
    // Listed by name; what it stands for is not.
    `http://localhost:${insidePort}/`,
    `http://LOCALHOST:${insidePort}/`,
  ];
  for (const url of attacks) {
    const { code } = await ask(ann, "json", [url]);
    assert.ok(code === "NOT_ALLOWED", `${url}: ${code}`);
  }
  for (const to of attacks) {
    const { code } = await ask(ann, "json", [`${here}/?to=${encodeURIComponent(to)}`]);
    assert.ok(code === "NOT_ALLOWED", `a redirect to ${to}: ${code}`);
  }
  assert.equal(reached - before, attacks.length, "the redirects themselves, and no more");
  await ann.close();
});

test("Spellings of a listed address are that address", async () => {
  const ann = await Client.open(gateway);
  for (const host of ["0x7f.1", "2130706433", "127.1", "[::ffff:127.0.0.1]"]) {
    assert.equal((await ask(ann, "json", [`http://${host}:${port}/`])).status, 200, host);
  }
  await ann.close();
});

test("What is late, too large or no request is told as such, and the extension lives on", async () => {
  const ann = await Client.open(gateway);
  assert.equal((await ask(ann, "json", [`${here}/silent`, { timeout_ms: 50 }])).code, "TIMEOUT");
  assert.match((await ask(ann, "json", [`${here}/huge`])).msg, /larger than 1048576 bytes/);
  const bad = [[7], ["no url", 7], [here, { method: "CONNECT" }], [here, { headers: { a: "b\r\nc: d" } }]];
  for (const data of bad) {
    const { code } = await ask(ann, "json", data);
    assert.ok(code === "BAD_REQUEST", JSON.stringify([data, code]));
  }
  assert.equal((await ask(ann, "json", [`${here}/`])).status, 200);
  await ann.close();
});

lastly(gateway);
