// WebTransport as its users have it: beside other transports in one room, over a network that loses and reorders packets,
// with strangers and with peers that speak nonsense. Deno serves it; everywhere else the key is refused with the reason.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash, randomInt, X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makePair } from "../certificates.ts";
import { within } from "../raw_client.ts";
import { tcpBytes, TcpClient } from "../transport/tcp_client.ts";
import { WebTransportClient } from "../transport/webtransport_client.ts";
import { Client } from "./client.ts";
import { Folder, GatewayProcess, TARGET, wsprism } from "./gateway_process.ts";
import { LossyProxy } from "./lossy_proxy.ts";

const SERVES = TARGET === "deno" || TARGET === "deno-native";
const TLS = { cert_file: "cert.pem", key_file: "key.pem" };
const pair = makePair("localhost", { days: 10 });

const tenants = [{
  id: "acme",
  limits: { max_frame_bytes: 16_384 },
  resume: { window_ms: 30_000 },
  policy: {
    ext_allowlist: ["room:*", "chat:*"],
    hot_allowlist: ["1:*", "2:*", "3:*"],
    rate_limit_rps: 100_000,
    rate_limit_burst: 100_000,
    rules: [{ id: "no-shouts", match: { transport: "webtransport", service: "chat:send", room: "quiet" } }],
  },
  hot_services: [{ id: 1, kind: "echo" }, { id: 2, kind: "relay" }, { id: 3, kind: "state", tick_ms: 20 }],
}];

const house = (gateway: object = {}) => ({
  gateway: {
    auth_timeout_ms: 1000,
    drain_grace_ms: 0,
    tcp: { listen: "127.0.0.1:0" },
    webtransport: { listen: "127.0.0.1:0", tls: TLS },
    handshake_limit: { enabled: false },
    ...gateway,
  },
  tenants,
});
const options = { files: { "cert.pem": pair.cert, "key.pem": pair.key } };

async function portOf(gateway: GatewayProcess): Promise<number> {
  return (await gateway.logged("listening for WebTransport"))["port"] as number;
}

async function enter(gateway: GatewayProcess, query = "", port?: number): Promise<WebTransportClient> {
  const target = `/v1/wt?tenant=acme&ticket=dev:wendy${query}`;
  return await WebTransportClient.open(port ?? await portOf(gateway), pair.cert, target);
}

/** A test on the runtime that serves it. */
function served(what: string, run: (gateway: GatewayProcess) => Promise<void>, gateway: object = {}): void {
  test(what, { skip: !SERVES }, async () => {
    const started = await GatewayProcess.start(house(gateway), options);
    try {
      await run(started);
    } finally {
      await started.stop();
    }
  });
}

test("elsewhere than on Deno the key is refused with the reason", { skip: SERVES }, async () => {
  using folder = new Folder();
  folder.write("cert.pem", pair.cert);
  folder.write("key.pem", pair.key);
  const file = folder.write(
    "wsprism.yaml",
    `version: 1\ngateway:\n  webtransport: { listen: "127.0.0.1:0", tls: ${
      JSON.stringify(TLS)
    } }\ntenants: [{ id: a }]\n`,
  );
  const { code, stderr } = await wsprism(["start", "--config", file, "--dev"], { folder: folder.path });
  assert.equal(code, 3);
  assert.match(
    stderr,
    /gateway\.webtransport cannot be served on Bun, which has no server for WebTransport: run wsPrism on Deno for it \(line 3/,
  );
});

served(
  "clients on a WebSocket, TCP and WebTransport are in one room, and hear all in one order",
  async (gateway) => {
    const web = await Client.open(gateway, { tenant: "acme", user: "web" });
    const { port } = await gateway.logged("listening for TCP");
    const tcp = await TcpClient.open(port as number);
    tcp.ext("sys", "hello", { data: { tenant: "acme", ticket: "dev:tom" } });
    await tcp.message();
    const quic = await enter(gateway);
    const authed = (await quic.message())["data"] as Record<string, unknown>;
    assert.equal(authed["transport"], "webtransport");
    assert.equal(authed["user"], "wendy");
    tcp.ext("room", "join", { room: "r" });
    quic.ext("room", "join", { room: "r" });
    assert.equal((await quic.message())["type"], "joined");
    await tcp.message();
    await web.join("r");
    for (let i = 0; i < 90; i++) {
      const message = { room: "r", data: { msg: String(i) } };
      if (i % 3 === 0) web.send({ svc: "chat", type: "send", ...message });
      else (i % 3 === 1 ? tcp : quic).ext("chat", "send", message);
    }
    const orders = [];
    for (const hear of [() => web.next("chat.msg"), () => tcp.message(), () => quic.until("msg")]) {
      const order = [];
      for (let i = 0; i < 90; i++) order.push(((await hear()) as { data: { msg: string } }).data.msg);
      orders.push(order);
    }
    assert.deepEqual(orders[1], orders[0]);
    assert.deepEqual(orders[2], orders[0]);
    await gateway.metricsUntil(
      "a connection by each",
      (metrics) =>
        ["websocket", "tcp", "webtransport"].every((transport) =>
          metrics.sum("wsprism_connections", { tenant: "acme", transport }) === 1
        ),
    );
    quic.ext("chat", "send", { room: "quiet", seq: 7, data: { msg: "x" } });
    const refused = await quic.until("error");
    assert.equal((refused["data"] as Record<string, unknown>)["rule_id"], "no-shouts");
    quic.send(3, Uint8Array.of(0xe8, 3));
    assert.equal((await quic.next())!.kind, 3);
    await gateway.metricsUntil(
      "the end of it",
      (metrics) => metrics.sum("wsprism_connections", { tenant: "acme", transport: "webtransport" }) === 0,
    );
    tcp.socket.destroy();
    await web.close();
  },
);

served("strangers are refused with the close that fits", async (gateway) => {
  const port = await portOf(gateway);
  for (
    const [target, code] of [
      ["/v1/wt?tenant=nobody", 4505],
      ["/v1/wt?tenant=acme&ticket=bad", 4500],
      ["/v1/wt?tenant=acme&ticket=dev&sid=a%20b", 4505],
      ["/v1/ws?tenant=acme&ticket=dev", 4505],
    ] as const
  ) {
    const client = await WebTransportClient.open(port, pair.cert, target);
    assert.equal((await client.message())["type"], "error");
    assert.equal((await client.close())[0], code, target);
    client.leave();
    await within(client.closed, "the end");
  }
});

served(
  "CBOR where it is asked for, hot acks on the stream, frames too large for a datagram",
  async (gateway) => {
    const client = await enter(gateway, "&cbor=1");
    assert.equal((await client.next())!.kind, 6);
    client.send(1, '{"v":1,"svc":"room","type":"join","room":"r"}');
    assert.equal((await client.next())!.kind, 6);
    client.datagram(1, 1, 9, 3, 7, 0, 0, 0, 42); // asks for an ack
    assert.deepEqual([...(await client.hot.next("the echo"))!], [42]);
    const ack = (await client.next())!;
    assert.deepEqual([ack.kind, ack.body[3], ack.body[4]], [2, 3, 7]);
    await client.stream(tcpBytes(2, Uint8Array.of(1, 1, 9, 0, ...new Array(5000).fill(6))));
    assert.equal((await client.hot.next("the large echo"))!.length, 5000);
    assert.equal(client.large, 1);
    client.leave();
  },
);

served("a session outlives its connection", async (gateway) => {
  const first = await enter(gateway, "&resume=1");
  const { resume, session } = (await first.message())["data"] as {
    resume: { token: string };
    session: string;
  };
  first.ext("room", "join", { room: "r" });
  assert.equal((await first.message())["type"], "joined");
  const web = await Client.open(gateway, { tenant: "acme", user: "web" });
  await web.join("r");
  first.leave();
  await gateway.metricsUntil("it is detached", (metrics) => metrics.sum("wsprism_sessions_detached") === 1);
  web.send({ svc: "chat", type: "send", room: "r", data: { msg: "missed" } });
  await web.next("chat.msg");
  const port = await portOf(gateway);
  const second = await WebTransportClient.open(
    port,
    pair.cert,
    `/v1/wt?tenant=acme&resume=${resume.token}&heard=1`,
  );
  const resumed = await second.message();
  assert.equal(resumed["type"], "resumed");
  assert.equal((resumed["data"] as Record<string, unknown>)["session"], session);
  assert.deepEqual((await second.until("msg"))["data"], { from: "web", msg: "missed" });
  second.leave();
  await web.close();
});

served(
  "over a network that loses and reorders, state converges, no gap is claimed, messages all come",
  async (gateway) => {
    const proxy = await LossyProxy.open(await portOf(gateway), 7);
    const web = await Client.open(gateway, { tenant: "acme", user: "web" });
    const quic = await enter(gateway, "", proxy.port);
    try {
      await quic.message();
      await web.join("r");
      quic.ext("room", "join", { room: "r" });
      await quic.until("joined");
      proxy.weather = { loss: 0.3, late: 0.3, lateMs: 60 };

      // What the reader on WebTransport holds of each opcode; what was overtaken is older by its seq.
      const held = new Map<number, { seq: number; value: number }>();
      const take = (bytes: Uint8Array) => {
        if (bytes[1] !== 3) return;
        const seq = bytes[4]! + 256 * bytes[5]!;
        const known = held.get(bytes[2]!);
        if (known === undefined || known.seq < seq) held.set(bytes[2]!, { seq, value: bytes.at(-1)! });
      };
      let caught = 0;
      const datagrams = async () => {
        for (;;) {
          const bytes = await quic.hot.next("a datagram").catch(() => null);
          if (bytes === null) return;
          caught++;
          take(bytes);
        }
      };
      void datagrams();

      let seq = 0;
      for (let round = 1; round <= 40; round++) {
        for (let opcode = 0; opcode < 5; opcode++) {
          seq++;
          web.binary(Uint8Array.of(1, 3, opcode, 1, seq & 255, seq >> 8, 0, 0, round));
          quic.datagram(1, 3, opcode, 1, seq & 255, seq >> 8, 0, 0, round);
        }
        web.send({ svc: "chat", type: "send", room: "r", data: { msg: String(round) } });
        await new Promise((resolve) => setTimeout(resolve, 21)); // a sender of 48 updates a second
      }
      // Who stops says its last once more where nothing is lost.
      for (let opcode = 0; opcode < 5; opcode++) {
        seq++;
        quic.send(2, Uint8Array.of(1, 3, opcode, 1, seq & 255, seq >> 8, 0, 0, 99));
      }

      const said: string[] = [];
      while (said.length < 40 || [0, 1, 2, 3, 4].some((opcode) => held.get(opcode)?.value !== 40)) {
        const frame = (await quic.next())!;
        if (frame.kind === 2) take(frame.body);
        if (frame.kind !== 1) continue;
        const message = JSON.parse(frame.body.toString());
        assert.notEqual(message.type, "gap");
        if (message.type === "msg") said.push(message.data.msg);
      }
      assert.deepEqual(said, Array.from({ length: 40 }, (_, i) => String(i + 1)));
      assert.ok(proxy.lost > 20 && proxy.late > 20, `${proxy.lost} lost, ${proxy.late} late`);
      assert.ok(caught > 0 && caught < 200, `${caught} of 200 datagrams came`);

      const theirs = new Map<number, number>();
      while ([0, 1, 2, 3, 4].some((opcode) => theirs.get(opcode) !== 99)) {
        const bytes = await web.take("the state of the other");
        if (bytes instanceof Uint8Array) theirs.set(bytes[2]!, bytes.at(-1)!);
      }
    } finally {
      quic.leave();
      await web.close();
      proxy.close();
    }
  },
);

served("mutated frames, streams and datagrams end sessions and nothing else", async (gateway) => {
  const port = await portOf(gateway);
  const good = [
    tcpBytes(1, '{"v":1,"svc":"room","type":"join","room":"r"}'),
    tcpBytes(2, Uint8Array.of(1, 1, 9, 0)),
    tcpBytes(4, "x"),
    tcpBytes(5, ""),
  ];
  const mutated = () => {
    const frame = Buffer.from(good[randomInt(good.length)]!);
    if (randomInt(3) === 0) frame[randomInt(frame.length)] = randomInt(256);
    return frame;
  };
  for (let round = 0; round < 60; round++) {
    const client = await WebTransportClient.open(port, pair.cert, "/v1/wt?tenant=acme&ticket=dev");
    for (let i = 0; i < 20; i++) client.datagram(...mutated().subarray(5));
    client.datagram();
    void client.stream(Buffer.concat(Array.from({ length: 3 }, mutated))).catch(() => {});
    client.write(Buffer.concat(Array.from({ length: 200 }, mutated)));
    await client.next();
    client.leave();
    await within(client.closed, "the end");
  }
  const after = await enter(gateway);
  assert.equal((await after.message())["type"], "authed");
  after.leave();
});

test("The command writes both files once, its key for nobody else, and prints the hash", async () => {
  using own = new Folder();
  const folder = own.path;
  const first = await wsprism(["webtransport-cert", "--out", folder, "--host", "a.test"], { folder });
  assert.deepEqual([first.code, first.stderr], [0, ""]);
  const read = new X509Certificate(readFileSync(join(folder, "cert.pem")));
  assert.equal(read.subjectAltName, "DNS:a.test");
  assert.equal(statSync(join(folder, "key.pem")).mode & 0o777, 0o600);
  assert.ok(first.stdout.includes(createHash("sha256").update(read.raw).digest("base64")));
  const second = await wsprism(["webtransport-cert", "--out", folder], { folder });
  assert.equal(second.code, 1);
  assert.match(second.stderr, /^Cannot write the certificate: /);
  for (const wrong of [["--days", "15"], ["--days", "0"], ["--host", "a b"]]) {
    assert.equal((await wsprism(["webtransport-cert", ...wrong], { folder })).code, 2);
  }
});
