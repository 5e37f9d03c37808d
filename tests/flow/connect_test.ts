// `wsprism connect` by each door of a running gateway.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import process from "node:process";
import { after, test } from "node:test";
import { makePair } from "../certificates.ts";
import { within } from "../raw_client.ts";
import { Client } from "./client.ts";
import { certificateHash } from "../transport/webtransport_client.ts";
import { commandOf, Folder, GatewayProcess, until, wsprism } from "./gateway_process.ts";
import { ALL_DOORS } from "./wires.ts";

const folder = new Folder();
after(() => folder[Symbol.dispose]());
const policy = { ext_allowlist: ["room:*", "chat:*"], hot_allowlist: ["1:*"] };
const { cert, key } = makePair("localhost");
const tls = { cert_file: "cert.pem", key_file: "key.pem" };
const quic = "webtransport" in ALL_DOORS.gateway ? ALL_DOORS.options.files!["cert.pem"] as string : null;
/** What a client by WebTransport is told of the certificate. */
const trust = quic === null ? [] : ["--cert-hash", Buffer.from(certificateHash(quic)).toString("base64")];

async function started(secure: boolean): Promise<{ gateway: GatewayProcess; urls: readonly string[] }> {
  const gateway = await GatewayProcess.start({
    gateway: {
      drain_grace_ms: 0,
      ...(secure ? { tls, tcp: { listen: "127.0.0.1:0", tls } } : ALL_DOORS.gateway),
    },
    tenants: [{ id: "acme", policy }],
  }, secure ? { files: { "cert.pem": cert, "key.pem": key }, ca: cert } : ALL_DOORS.options);
  after(() => gateway.kill());
  const tcpPort = (await gateway.logged("listening for TCP"))["port"];
  const s = secure ? "s" : "";
  return {
    gateway,
    urls: [
      `ws${s}://localhost:${gateway.port}`,
      `sse+http${s}://localhost:${gateway.port}/`,
      `tcp${s}://localhost:${tcpPort}`,
      ...(secure || quic === null
        ? []
        : [`wt://127.0.0.1:${(await gateway.logged("listening for WebTransport"))["port"]}`]),
    ],
  };
}

const { gateway, urls } = await started(false);
const connect = (url: string, args: readonly string[], stdin = "") =>
  wsprism(["connect", url, "--tenant", "acme", ...trusting(url), ...args], { folder: folder.path, stdin });
const trusting = (url: string) => url.startsWith("wt:") ? trust : [];

for (const url of urls) {
  const door = url.split(":")[0];

  test(`by ${door} one can join, say, send bytes and anything else, and all of it is answered before it ends`, async () => {
    const lines = [
      "hello \u202e there",
      "/hot 01 01 09 00 68 69",
      '{"v":1,"svc":"chat","type":"send","room":"lobby","seq":7,"data":{"msg":"as it stands"}}',
      '/send chat send {"msg":"with data"}',
      "/send nobody asks",
      "/leave",
      "/nonsense",
    ];
    const { code, stdout, stderr } = await connect(
      url,
      ["--user", "ann", "--join", "lobby"],
      lines.join("\n"),
    );
    assert.deepEqual([code, stderr], [0, 'wsprism connect: no "/nonsense"; /help tells what there is\n']);
    const said = stdout.split("\n");
    assert.match(said[0]!, /^you are ann of acme, by (websocket|sse|tcp|webtransport), session /);
    assert.match(stdout, /^sys\.joined lobby \{"member":1,"count":1\}$/m);
    // A terminal that obeyed what others say would be theirs.
    assert.ok(said.includes("[lobby] ann: hello \\u202e there"), stdout);
    assert.ok(said.includes("hot 68 69  |hi|"), stdout);
    assert.ok(said.includes("[lobby] ann: as it stands"), stdout);
    assert.ok(said.includes("[lobby] ann: with data"), stdout);
    assert.match(stdout, /^error NOT_ALLOWED: .*allowlist/m);
    assert.match(stdout, /^sys\.left lobby$/m);
  });

  test(`by ${door} with --json each message is a line, and with --raw what goes over the wire`, async () => {
    const json = await connect(url, ["--user", "ann", "--join", "lobby", "--json"], "hi\n/hot 0101090001\n");
    assert.equal(json.code, 0, json.stderr);
    const read = json.stdout.trim().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(read.map(({ kind, message }) => message === undefined ? kind : message.type).sort(), [
      "authed",
      "close",
      "hot",
      "joined",
      "msg",
    ]);
    assert.deepEqual(read.at(-1).code, 1000);
    const raw = await connect(url, ["--user", "ann", "--raw"], '{"v":1,"svc":"sys","type":"ping","seq":3}\n');
    assert.match(
      raw.stdout,
      /^< \{"v":1,"svc":"sys","type":"authed",.*\n> \{"v":1,"svc":"sys","type":"ping","seq":3\}\n< \{.*"seq":3.*\}\n$/,
    );
  });

  test(`by ${door} who is not let in is told why, with the code for it`, async () => {
    const bad = await connect(url, ["--ticket", "bad"]);
    assert.deepEqual([bad.code, bad.stdout.includes("you are")], [4, false]);
    assert.match(bad.stderr, /ticket|authentication failed/);
    const nobody = await wsprism(["connect", url, "--tenant", "nobody", "--user", "ann", ...trusting(url)], {
      folder: folder.path,
      stdin: "",
    });
    assert.equal(nobody.code, 1);
    assert.match(nobody.stderr, /no such tenant|could not be read/);
    const closed = await wsprism(["connect", url.replace(/:\d+/, ":1"), "--tenant", "acme"], {
      folder: folder.path,
      stdin: "",
    });
    assert.equal(closed.code, 1);
    assert.match(closed.stderr, /^wsprism connect: .*\n/);
  });

  test(`by ${door} a session that the gateway ends is told`, async () => {
    const [file, ...before] = commandOf(folder.path);
    const args = [
      ...before,
      "connect",
      url,
      "--tenant",
      "acme",
      "--user",
      "bob",
      "--sid",
      "one",
      ...trusting(url),
    ];
    const child = spawn(file!, args, { cwd: folder.path, env: { ...process.env, NO_COLOR: "1" } });
    let said = "", complained = "";
    child.stdout.on("data", (chunk) => said += chunk);
    child.stderr.on("data", (chunk) => complained += chunk);
    const exit = new Promise<number | null>((resolve) => child.once("close", resolve));
    await until("the session", () => said.includes("you are bob") || null);
    const other = await Client.open(gateway, { user: "bob", sid: "one" });
    assert.equal(await within(exit, "the end"), 1);
    assert.match(complained, /ended \(4502\): replaced/);
    await other.close();
  });
}

test("by TLS all doors serve as well, with certificates that are named", async () => {
  const secure = await started(true);
  const ca = folder.write("ca.pem", cert);
  for (const url of secure.urls) {
    const { code, stdout, stderr } = await connect(
      url,
      ["--user", "ann", "--join", "r", "--ca", ca],
      "hello\n",
    );
    assert.deepEqual([code, stderr], [0, ""], url);
    assert.match(stdout, /^\[r\] ann: hello$/m);
    const stranger = await connect(url, ["--user", "ann"]);
    assert.equal(stranger.code, 1, url);
    assert.match(stranger.stderr, /certificate|self.signed|issuer/i, url);
  }
  await secure.gateway.stop();
});

test("what is no use of it is told", async () => {
  for (
    const [args, why] of [
      [["http://localhost"], /must begin with one of ws:\/\//],
      [["localhost"], /must be such as/],
      [["ws://localhost", "--user", "a", "--ticket", "b"], /both say who you are/],
      [["ws://localhost", "--ca", "/nowhere"], /Cannot read \/nowhere/],
      [["ws://localhost", "--cert-hash", "aaaa"], /--cert-hash is for wt:\/\/ alone/],
      ...(quic === null
        ? [[["wt://localhost"], /this runtime has no client for it; run wsPrism on Deno/] as const]
        : [
          [["wt://localhost", "--cert-hash", "aaaa"], /must be 32 bytes in base64, got "aaaa"/] as const,
          [["wt://localhost", "--ca", "/nowhere"], /--ca is not for wt:\/\//] as const,
        ]),
    ] as const
  ) {
    const { code, stderr } = await wsprism(["connect", ...args], { folder: folder.path, stdin: "" });
    assert.equal(code, 2, stderr);
    assert.match(stderr, why);
  }
});

test("at the end the gateway has nothing to complain of", async () => {
  await gateway.stop();
});
