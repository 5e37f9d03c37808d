// The client library over WebTransport, in a real browser.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, test } from "node:test";
import { bundle } from "../../clients/typescript/build.ts";
import { makeDevelopmentCertificate } from "../../src/cli/development_certificate.ts";
import { GatewayProcess } from "../flow/gateway_process.ts";
import { inBrowser } from "./browser.ts";

const { cert, key, hash } = makeDevelopmentCertificate({
  hosts: ["localhost", "127.0.0.1"],
  days: 14,
  nowMs: Date.now(),
});
const policy = { ext_allowlist: ["room:*", "chat:*"], hot_allowlist: ["1:*", "2:*"] };
const gateway = await GatewayProcess.start({
  gateway: {
    drain_grace_ms: 0,
    webtransport: { listen: "127.0.0.1:0", tls: { cert_file: "cert.pem", key_file: "key.pem" } },
  },
  tenants: [{
    id: "acme",
    limits: { max_frame_bytes: 16_384 },
    resume: { window_ms: 30_000 },
    policy,
    hot_services: [{ id: 1, kind: "echo" }, { id: 2, kind: "relay" }],
  }],
}, { target: "deno", files: { "cert.pem": cert, "key.pem": key } });
after(() => gateway.kill());
const { port } = await gateway.logged("listening for WebTransport");

const module = async (name: string) =>
  `"data:text/javascript;base64,${Buffer.from((await bundle(name)).code).toString("base64")}"`;
/** Helpers of the page. */
const page = async () => `
  const { Client, hotLane, webSocket } = await import(${await module("bundle")});
  const { webTransport } = await import(${await module("webtransport")});
  const certificateHash = Uint8Array.from(atob("${
  Buffer.from(hash).toString("base64")
}"), (char) => char.charCodeAt(0));
  const clientOf = (user, more = {}) => new Client("${gateway.origin}", {
    tenant: "acme", ticket: "dev:" + user, hot: hotLane, backoff: { baseMs: 50, maxMs: 200 },
    transport: webTransport({ url: "https://127.0.0.1:${port}", certificateHash }), ...more });
  const once = (on) => new Promise((resolve) => { const off = on((...args) => { off(); resolve(args); }); });
  const becomes = (client, state) => new Promise((resolve) => client.status.subscribe((status) =>
    status.state === state && resolve(status)));
`;

test("Rooms, acks, requests and hot frames, small and large, go over WebTransport", async () => {
  const report = await inBrowser(async () =>
    `${await page()}
    const ann = clientOf("ann"), bob = clientOf("bob", { transport: webSocket() });
    const room = await ann.join("lobby", { presence: true });
    const came = once((run) => room.on("presence", run));
    const theirs = await bob.join("lobby");
    const [{ user }] = await came;
    const all = [];
    theirs.on("msg", ({ msg }) => all.push(msg));
    await Promise.all(Array.from({ length: 100 }, (_, i) => room.send("send", { msg: "grüße " + i })));
    const small = once((run) => bob.hot.on(2, run));
    ann.hot.send(2, 7, Uint8Array.of(200, 1));
    const [opcode, , payload] = await small;
    const large = once((run) => bob.hot.on(2, run));
    ann.hot.send(2, 8, new Uint8Array(8000).fill(3));
    const [, , bytes] = await large;
    const back = once((run) => ann.hot.on(2, run));
    bob.hot.send(2, 9, new Uint8Array(9000).fill(4));
    const [, , returned] = await back;
    const refused = await ann.send("nobody", "x").catch((error) => error.code);
    const left = once((run) => theirs.on("msg", run));
    await ann.dispose();
    const members = (await theirs.members()).map(({ user }) => user);
    await bob.dispose();
    report({ transport: ann.session.transport, user, first: all[0], last: all.at(-1), count: all.length,
      small: [opcode, ...payload], large: [bytes.length, bytes[7999]], returned: [returned.length, returned[0]], refused,
      members, status: ann.status.get().code });
  `
  );
  assert.deepEqual(report, {
    transport: "webtransport",
    user: "bob",
    first: "grüße 0",
    last: "grüße 99",
    count: 100,
    small: [7, 200, 1],
    large: [8000, 3],
    returned: [9000, 4],
    refused: "NOT_ALLOWED",
    members: ["bob"],
    status: 1000,
  });
  await gateway.empty();
});

test("A page that is put away finds its session where it was, and where there is no QUIC the fallback is taken", async () => {
  const report = await inBrowser(async () =>
    `${await page()}
    let news;
    const ann = clientOf("ann", { page: (handler) => { news = handler; return () => {}; } });
    const bob = clientOf("bob", { transport: webTransport({ url: "https://127.0.0.1:9" }), fallback: webSocket() });
    const room = await ann.join("lobby");
    const heard = [];
    room.on("msg", ({ msg }) => heard.push(msg));
    room.on("gap", () => heard.push("gap"));
    news.hide(true);
    const theirs = await bob.join("lobby");
    await theirs.send("send", { msg: "missed" });
    news.wake();
    const { resumed } = await becomes(ann, "connected");
    await theirs.send("send", { msg: "live" });
    while (heard.length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
    report({ resumed, heard, by: [ann.session.transport, bob.session.transport] });
    await Promise.all([ann.dispose(), bob.dispose()]);
  `
  );
  assert.deepEqual(report, { resumed: true, heard: ["missed", "live"], by: ["webtransport", "websocket"] });
});

test("at the end nothing was complained of, and the gateway stops with exit code 0", async () => {
  await gateway.stop();
});
