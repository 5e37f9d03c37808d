// The name under which the gateway asks others.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import project from "../../deno.json" with { type: "json" };
import { clientOf } from "../../src/admission/asking.ts";
import { wireBytes } from "../../src/extension/fetch_request.ts";
import { HttpClient } from "../../src/outbound/http_client.ts";
import { Inflow } from "../../src/outbound/inflow.ts";
import { USER_AGENT } from "../../src/outbound/user_agent.ts";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

test("Whatever is sent bears the gateway's name and version, unless another is given", async () => {
  assert.equal(USER_AGENT, `wsprism/${project.version}`);
  const seen: unknown[] = [];
  const server = createServer((request, response) => {
    seen.push(request.headers["user-agent"]);
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const bounds = { bodyBytesMax: 100, share: new Inflow(() => performance.now()).share() };
  const clients = [
    new HttpClient({ url, headers: {}, ...bounds }),
    clientOf(url, bounds),
    new HttpClient({ url, headers: { "User-Agent": "mine/1" }, ...bounds }),
  ];
  for (const client of clients) {
    await client.post({ body: "", headers: {}, timeoutMs: 10_000, repeatable: true });
    client.close();
  }
  server.close();
  assert.deepEqual(seen, [USER_AGENT, USER_AGENT, "mine/1"]);
  const request = { url, method: "GET", headers: new Map<string, string>(), body: null, timeoutMs: 1 };
  assert.match(wireBytes(request).toString(), new RegExp(`\r\nuser-agent: ${USER_AGENT}\r\n`));
});
