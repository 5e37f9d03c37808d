// Real proxies in front of real gateways, with their files of config/deploy, where these proxies are installed.

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { connect } from "node:net";
import process from "node:process";
import { after, test } from "node:test";
import {
  caddyConfig,
  freePort,
  isInstalled,
  nginxAround,
  nginxConfig,
  type ProxyPlaces,
} from "../deploy_files.ts";
import { RawClient, within } from "../raw_client.ts";
import { SseClient } from "../sse_client.ts";
import { Admin, adminConfig } from "./admin_client.ts";
import { Client, type Door, hot, target } from "./client.ts";
import { Folder, GatewayProcess, NATIVE_DENO, until } from "./gateway_process.ts";

interface ProxyKind {
  readonly name: string;
  readonly isHere: boolean;
  readonly config: (places: ProxyPlaces) => string;
  /** Nothing but where to pass on: all else as it ships. */
  readonly bare: (places: ProxyPlaces) => string;
  readonly command: (file: string) => readonly string[];
}

const KINDS: readonly ProxyKind[] = [
  {
    name: "nginx",
    isHere: isInstalled("nginx", "-v"),
    config: nginxConfig,
    bare: (places) => nginxAround(bareNginx(places), places.folder),
    command: (file) => ["nginx", "-c", file],
  },
  {
    name: "caddy",
    isHere: isInstalled("caddy", "version"),
    config: caddyConfig,
    bare: ({ port, gateways }) =>
      `{\n\tadmin off\n}\nhttp://:${port} {\n\tbind 127.0.0.1 [::1]\n\treverse_proxy 127.0.0.1:${
        gateways[0]
      }\n}\n`,
    command: (file) => ["caddy", "run", "--adapter", "caddyfile", "--config", file],
  },
];

function bareNginx({ port, gateways }: ProxyPlaces): string {
  return `server { listen 127.0.0.1:${port}; listen [::1]:${port}; location / { proxy_pass http://127.0.0.1:${
    gateways[0]
  }; } }`;
}

const config = {
  gateway: { drain_grace_ms: 1000, trusted_proxies: ["127.0.0.1/32"] },
  admin: adminConfig({ root: { tenants: ["*"], permissions: ["read"] } }),
  tenants: [{ id: "acme", policy: { ext_allowlist: ["room:*", "chat:*"], hot_allowlist: ["1:*"] } }],
};

const running = new Set<ChildProcess>();
const end = () => {
  for (const child of running) child.kill("SIGKILL");
};
process.once("exit", end);
after(end);

/** Starts a proxy for these gateways. @returns doors by IPv4 and by IPv6 */
async function proxied(
  kind: ProxyKind,
  gateways: readonly GatewayProcess[],
  text: ProxyKind["config"] = kind.config,
): Promise<{ v4: Door; v6: Door }> {
  const folder = new Folder();
  after(() => folder[Symbol.dispose]());
  const port = await freePort();
  const places = { port, gateways: gateways.map((gateway) => gateway.port), folder: folder.path };
  const [program, ...args] = kind.command(folder.write("proxy.conf", text(places)));
  const child = spawn(program!, args, {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, HOME: folder.path, XDG_DATA_HOME: folder.path, XDG_CONFIG_HOME: folder.path },
  });
  running.add(child);
  let said = "";
  child.stderr!.on("data", (text) => said += text);
  await until(`${kind.name} to listen`, async () => {
    if (child.exitCode !== null) throw new Error(`${kind.name} ended: ${said}`);
    return await isOpen(port) || null;
  });
  return {
    v4: { origin: `http://127.0.0.1:${port}`, ca: null },
    v6: { origin: `http://[::1]:${port}`, ca: null },
  };
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => resolve(true));
    socket.once("error", () => resolve(false)).once("connect", () => socket.destroy());
  });
}

/** The status that a handshake through the door is answered with. */
async function knock({ origin }: Door): Promise<number> {
  const client = await RawClient.connect(Number(new URL(origin).port));
  const { status } = await client.upgrade(target());
  client.destroy();
  return status;
}

for (const kind of KINDS) {
  if (!kind.isHere) {
    process.stdout.write(`no ${kind.name} here: nothing is sent through it in this run\n`);
    continue;
  }

  test(`through ${kind.name}: both lanes, who a client is, what is refused, and a drain`, async () => {
    await using gateway = await GatewayProcess.start(config);
    const admin = await Admin.of(gateway, "root");
    const { v4, v6 } = await proxied(kind, [gateway]);
    const ann = await Client.open(v4, { user: "ann" });
    // Its address is what the proxy sees, whatever it says itself.
    const bob = await Client.open(v6, {
      user: "bob",
      cbor: true,
      headers: { "x-forwarded-for": "203.0.113.9", "x-real-ip": "203.0.113.9" },
    });
    const [session] = (await admin.good("GET", "/v1/tenants/acme/sessions?user=bob")).sessions;
    assert.equal(session.address, "::1");
    for (const client of [ann, bob]) await client.join("lobby");
    const msg = "grüß ".repeat(500);
    ann.send({ svc: "chat", type: "send", room: "lobby", seq: 1, data: { msg } });
    for (const client of [ann, bob]) assert.equal((await client.next("chat.msg")).data.msg, msg);
    bob.binary(hot(1, 7, { payload: [1, 2, 3] }));
    for (const client of [ann, bob]) assert.deepEqual([...await client.nextBytes()], [1, 2, 3]);

    for (const path of ["/", "/metrics", "/healthz", "/v1/tenants"]) {
      const answer = await fetch(`${v4.origin}${path}`);
      await answer.body?.cancel();
      assert.equal(answer.status, 404, path);
    }
    const refused = await RawClient.connect(Number(new URL(v4.origin).port));
    assert.equal((await refused.upgrade(target({ tenant: "nobody" }))).status, 400);
    refused.destroy();

    gateway.signal("SIGTERM");
    for (const client of [ann, bob]) await client.next("sys.draining");
    assert.equal(await knock(v4), 503);
    for (const client of [ann, bob]) await client.ended(1001);
    assert.equal(await within(gateway.exited, "the gateway's end"), 0);
    gateway.assertNoComplaint();
  });

  const ways = [["", kind.config], [" as it ships", kind.bare]] as const;
  for (const [how, text] of ways) {
    test(`through ${kind.name}${how}: streams of events come as they are written, and what is said to them arrives`, async () => {
      await using gateway = await GatewayProcess.start({
        ...config,
        gateway: { ...config.gateway, ping_interval_ms: 5000 },
        tenants: [{ ...config.tenants[0]!, resume: { window_ms: 30_000 } }],
      });
      const admin = await Admin.of(gateway, "root");
      const { v4 } = await proxied(kind, [gateway], text);
      const peer = { port: Number(new URL(v4.origin).port) };
      const query = { tenant: "acme", ticket: "dev:ann", resume: "1", hot: "1" };
      // Small events, one at a time: none of them waits for the next.
      const ann = await SseClient.open(peer, { query });
      assert.equal((await ann.message("sys.authed")).data.transport, "sse");
      const [session] = (await admin.good("GET", "/v1/tenants/acme/sessions?user=ann")).sessions;
      assert.equal(session.address, "127.0.0.1");
      assert.equal((await ann.say({ svc: "room", type: "join", room: "lobby" })).status, 202);
      await ann.message("sys.joined");
      for (let i = 0; i < 20; i++) {
        assert.equal(
          (await ann.say({ svc: "chat", type: "send", room: "lobby", data: { msg: `${i}` } })).status,
          202,
        );
        assert.equal((await ann.message("chat.msg")).data.msg, `${i}`);
      }
      const binary = { "content-type": "application/octet-stream" };
      assert.equal((await ann.say(hot(1, 1, { payload: [7] }), binary)).status, 202);
      assert.equal((await ann.next("hot")).data, "Bw==");
      await until("a heartbeat", () => ann.comments > 0 || null, 30_000);
      // The proxy passes on that its client has left.
      ann.socket.destroy();
      await until(
        "the loss to be seen",
        async () => (await ann.say({ svc: "sys", type: "ack" })).status === 410 || null,
      );
      const back = await SseClient.open(peer, { query, headers: { "last-event-id": ann.lastEventId } });
      assert.ok((await back.message("sys.resumed")).data.resume);
      gateway.signal("SIGTERM");
      await back.message("sys.draining");
      // Deno's own server ends with what a proxy has not read yet: there the stream ends without a word.
      if (!NATIVE_DENO) assert.equal(JSON.parse((await back.next("close")).data).code, 1001);
      await within(back.ended, "the stream's end");
      assert.equal(await within(gateway.exited, "the gateway's end"), 0);
      gateway.assertNoComplaint();
      for (const client of [ann, back]) client.drop();
    });
  }

  test(`through ${kind.name}: while one of two gateways drains, whoever comes gets the other`, async () => {
    await using leaving = await GatewayProcess.start({
      ...config,
      gateway: { ...config.gateway, drain_grace_ms: 60_000 },
    });
    await using staying = await GatewayProcess.start(config);
    const { v4 } = await proxied(kind, [leaving, staying]);
    const stays = await Admin.of(staying, "root");
    const seen = async () => (await stays.good("GET", "/v1/tenants/acme/stats")).sessions as number;
    const clients: Client[] = [];
    await until("a session of each", async () => {
      clients.push(await Client.open(v4));
      const there = await seen();
      return there > 0 && there < clients.length || null;
    });
    const before = await seen();
    leaving.signal("SIGTERM");
    await leaving.logged("draining");
    // Caddy asks every other second and leaves it to chance until then; nginx asks the next one at each 503.
    let inARow = 0;
    await until("the proxy to know", async () => {
      inARow = await knock(v4) === 101 ? inARow + 1 : 0;
      return inARow >= 20 || null;
    }, 30_000);
    await until("those who knocked to have left", async () => await seen() === before || null);
    for (let i = 0; i < 6; i++) clients.push(await Client.open(v4));
    assert.equal(await seen(), before + 6);
    for (const client of clients) await client.close();
  });
}
