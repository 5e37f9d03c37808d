// Plain TCP as its users have it: beside WebSockets in one room, with strangers, floods and readers that stall.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { makePair } from "../certificates.ts";
import { within } from "../raw_client.ts";
import { tcpBytes, TcpClient } from "../transport/tcp_client.ts";
import { fuzzTcp } from "./tcp_fuzz.ts";
import { Client } from "./client.ts";
import { GatewayProcess } from "./gateway_process.ts";

const TLS = { cert_file: "cert.pem", key_file: "key.pem" };
const tenants = [{
  id: "acme",
  policy: {
    ext_allowlist: ["room:*", "chat:*"],
    hot_allowlist: ["1:*"],
    rules: [{ id: "no-tcp-shouts", match: { transport: "tcp", service: "chat:send", room: "quiet" } }],
  },
}];

async function open(gateway: GatewayProcess, data: object = {}, ca?: string): Promise<TcpClient> {
  const { port } = await gateway.logged("listening for TCP");
  const client = await TcpClient.open(port as number, ca);
  client.ext("sys", "hello", { data: { tenant: "acme", ticket: "dev:tom", ...data } });
  return client;
}

const house = (tcp: object = {}) => ({
  gateway: { auth_timeout_ms: 1000, drain_grace_ms: 0, tcp: { listen: "127.0.0.1:0", ...tcp } },
  tenants,
});

test("a client on TCP and one on a WebSocket are in one room", async () => {
  const gateway = await GatewayProcess.start(house());
  try {
    const tcp = await open(gateway);
    const authed = await tcp.message();
    assert.equal((authed["data"] as Record<string, unknown>)["transport"], "tcp");
    const web = await Client.open(gateway, { tenant: "acme" });
    await web.join("r");
    tcp.ext("room", "join", { room: "r" });
    assert.equal((await tcp.message())["type"], "joined");
    tcp.ext("chat", "send", { room: "r", data: { msg: "hello" } });
    assert.deepEqual((await tcp.message())["data"], { from: "tom", msg: "hello" });
    tcp.ext("chat", "send", { room: "quiet", seq: 7, data: { msg: "hello" } });
    assert.match(JSON.stringify(await tcp.message()), /no-tcp-shouts/);
    tcp.send(2, Uint8Array.of(1, 1, 9, 0, 120));
    assert.equal((await tcp.next())!.kind, 2);
    const connections = (transport: string) => ({ tenant: "acme", transport });
    await gateway.metricsUntil(
      "one connection by each transport",
      (metrics) =>
        metrics.sum("wsprism_connections", connections("tcp")) === 1 &&
        metrics.sum("wsprism_connections", connections("websocket")) === 1,
    );
    tcp.send(3, Buffer.from([0xe8, 3]));
    assert.equal((await tcp.close())[0], 1000);
    await web.close();
  } finally {
    await gateway.stop();
  }
});

test("strangers are refused with the close that fits", async () => {
  const gateway = await GatewayProcess.start(house());
  try {
    for (
      const [hello, code] of [
        [{ tenant: "nobody" }, 4505],
        [{ ticket: "bad" }, 4500],
        [{ sid: "a b" }, 4505],
        [{ tenant: 7 }, 4505],
      ] as const
    ) {
      const client = await open(gateway, hello);
      assert.equal((await client.message())["type"], "error");
      assert.equal((await client.close())[0], code, JSON.stringify(hello));
      await within(client.closed, "the end");
    }
    const { port } = await gateway.logged("listening for TCP");
    const silent = await TcpClient.open(port as number);
    silent.socket.write(tcpBytes(1, "{}").subarray(0, 4)); // half a hello
    assert.equal((await silent.message())["type"], "error");
    assert.equal((await silent.close())[0], 4500);
  } finally {
    await gateway.stop();
  }
});

test("a reader that stalls is a slow consumer, whom the others do not wait for", async () => {
  const gateway = await GatewayProcess.start({
    ...house(),
    tenants: [{
      ...tenants[0]!,
      limits: { max_frame_bytes: 65_536 },
      delivery: { reliable: { max_bytes: 65_536 } },
      policy: { ext_allowlist: ["room:*", "chat:*"], rate_limit_rps: 100_000, rate_limit_burst: 100_000 },
    }],
  });
  try {
    const [slow, fast] = [await open(gateway, { sid: "slow" }), await open(gateway, { sid: "fast" })];
    for (const client of [slow, fast]) {
      await client.message();
      client.ext("room", "join", { room: "r" });
      await client.message();
    }
    slow.socket.pause();
    const tooSlow = gateway.logged("session too slow");
    let over = false;
    void tooSlow.then(() => over = true);
    for (let i = 0; !over && i < 1000; i++) {
      fast.ext("chat", "send", { room: "r", data: { msg: "x".repeat(60_000) } });
      assert.equal((await fast.message())["type"], "msg");
    }
    await tooSlow;
  } finally {
    await gateway.stop();
  }
});

test("TLS with a certificate of its own", async () => {
  const { cert, key } = makePair("localhost");
  const gateway = await GatewayProcess.start(house({ tls: TLS }), {
    files: { "cert.pem": cert, "key.pem": key },
  });
  try {
    const client = await open(gateway, {}, cert);
    assert.equal((await client.message())["type"], "authed");
    client.socket.destroy();
  } finally {
    await gateway.stop();
  }
});

test("who never shakes hands is dropped when the hello is due", async () => {
  const { cert, key } = makePair("localhost");
  const gateway = await GatewayProcess.start(house({ tls: TLS }), {
    files: { "cert.pem": cert, "key.pem": key },
  });
  try {
    const { port } = await gateway.logged("listening for TCP");
    const silent = await TcpClient.open(port as number);
    await within(silent.closed, "the end");
  } finally {
    await gateway.stop();
  }
});

test("20,000 mutated frames end connections and nothing else", async () => {
  const gateway = await GatewayProcess.start(house());
  try {
    await fuzzTcp(gateway, 20_000);
    const after = await open(gateway);
    assert.equal((await after.message())["type"], "authed");
    after.socket.destroy();
  } finally {
    await gateway.stop();
  }
});
