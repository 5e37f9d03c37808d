// A gateway that runs out of file descriptors: it says so, serves who is in, and takes others in again by itself.

import assert from "node:assert/strict";
import { test } from "node:test";
import { RawClient, within } from "../raw_client.ts";
import { GatewayProcess, TARGET, until } from "./gateway_process.ts";

const LIMIT = 120;
const CONFIG = {
  tenants: [{ id: "acme", policy: {} }],
  admin: {
    listen: "127.0.0.1:0",
    keys: [{ id: "ops", secret: "ops-secret-ops-secret-ops-secret-", tenants: ["*"], permissions: ["read"] }],
  },
};
const DEADLINE_MS = 30_000;

async function statusOf(port: number, path: string): Promise<number> {
  const client = await RawClient.connect(port).catch(() => null);
  if (client === null) return 0;
  client.send(`GET ${path} HTTP/1.0\r\n\r\n`);
  try {
    return (await client.head()).status;
  } catch {
    return 0;
  } finally {
    client.destroy();
  }
}

test("who runs out of file descriptors says so, serves who is in, and recovers by itself", async () => {
  const gateway = await GatewayProcess.start(CONFIG, { descriptors: LIMIT, mayComplain: true });
  const admin = (await gateway.logged("admin listening"))["port"] as number;
  if (TARGET === "bun" || TARGET === "executable") {
    assert.ok(gateway.lines.some(({ message }) => /max_connections is 0 .* 120 files/.test(message)));
  }
  const member = await RawClient.open(gateway.port, "/v1/ws?tenant=acme&ticket=dev:ann");
  assert.match(await member.nextText(), /"authed"/);
  for (let round = 1; round <= 2; round++) {
    const from = gateway.lines.length;
    const crowd: RawClient[] = [];
    for (let i = 0; i < LIMIT + 20; i++) {
      const one = await RawClient.connect(gateway.port).catch(() => null);
      if (one === null) break;
      crowd.push(one);
    }
    await until(
      "the failure to be logged",
      () =>
        gateway.lines.slice(from).find(({ message, listener }) =>
          message === "connections are not accepted" && listener === "public"
        ) ?? null,
      DEADLINE_MS,
    );
    member.text('{"v":1,"svc":"sys","type":"ping","seq":1}');
    assert.match(await member.nextText(), /"pong"/);
    await until(
      "503 from the admin listener",
      async () => await statusOf(admin, "/readyz") === 503 || null,
      DEADLINE_MS,
    );
    for (const one of crowd) one.destroy();
    await until(
      "new connections",
      async () => await statusOf(gateway.port, "/readyz") === 200 || null,
      DEADLINE_MS,
    );
    await until(
      "200 from the admin listener",
      async () => await statusOf(admin, "/readyz") === 200 || null,
      DEADLINE_MS,
    );
    const said = gateway.lines.filter(({ message }) => message === "connections are not accepted");
    assert.ok(said.length <= round * 2, "it is logged once for each listener");
  }
  const other = await RawClient.open(gateway.port, "/v1/ws?tenant=acme&ticket=dev:ben");
  assert.match(await other.nextText(), /"authed"/);
  member.destroy();
  other.destroy();
  gateway.signal("SIGTERM");
  assert.equal(await within(gateway.exited, "its end", DEADLINE_MS), 0);
  // Deno's thread that loads configurations may find no descriptor either, and the runtime itself says so.
  if (TARGET !== "deno" && TARGET !== "deno-native") assert.equal(gateway.stderr, "");
  await gateway.kill();
});

test("descriptors that come and go between two looks leave the listener listening", async () => {
  const gateway = await GatewayProcess.start(CONFIG, { descriptors: LIMIT, mayComplain: true });
  for (let round = 0; round < 3; round++) {
    const crowd = await Promise.all(
      Array.from({ length: LIMIT + 20 }, () => RawClient.connect(gateway.port).catch(() => null)),
    );
    for (const one of crowd) one?.destroy();
    await until(
      "new connections",
      async () => await statusOf(gateway.port, "/healthz") === 200 || null,
      DEADLINE_MS,
    );
  }
  await gateway.kill();
});
