// The client library in a browser: a network that goes and comes, a tab that sleeps, a page that is left and returned to.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { GatewayProcess } from "../flow/gateway_process.ts";
import { TcpProxy } from "../flow/tcp_proxy.ts";
import { complaints, startChromium, until } from "./chromium.ts";

const gateway = await GatewayProcess.start({
  gateway: { ping_interval_ms: 5000, idle_timeout_ms: 15_000, drain_grace_ms: 0 },
  tenants: [
    { id: "acme", policy: { ext_allowlist: ["room:*", "chat:*"] } },
    { id: "resumable", policy: { ext_allowlist: ["room:*", "chat:*"] }, resume: { window_ms: 20_000 } },
  ],
});
const browser = await startChromium();

/** A page with a client in it, behind a network of its own. */
async function open(proxy: TcpProxy, tenant = "acme"): Promise<{ page: Page; complained: string[] }> {
  const page = await browser.newPage();
  const complained = complaints(page);
  // A page that may be kept for the way back, which "no-store" would forbid.
  await page.goto(`${proxy.origin}/healthz`);
  await page.evaluate(`(async () => {
    const { Client } = await import("/playground/client.js");
    globalThis.client = new Client("/", { tenant: "${tenant}", ticket: "dev:ann" });
    globalThis.states = [];
    client.status.subscribe(({ state }) => states.push(state));
    globalThis.room = await client.join("lobby");
    globalThis.heard = [];
    room.on("msg", ({ msg }) => heard.push(msg));
  })()`);
  return { page, complained };
}

const say = (page: Page, msg: string) => page.evaluate(`room.send("send", { msg: ${JSON.stringify(msg)} })`);

test("Offline, the page waits; online, it is back at once and not when its wait is over", async () => {
  await using proxy = await TcpProxy.to(gateway.port);
  const { page } = await open(proxy);
  await page.context().setOffline(true);
  proxy.cut();
  // Far into its back-off, where the next try would be long in coming.
  await until(page, "client.status.get().state === 'reconnecting' && client.status.get().attempt >= 4");
  await page.context().setOffline(false);
  const { attempt } = await page.evaluate("client.status.get()") as { attempt: number };
  await until(page, "client.status.get().state === 'connected'");
  assert.ok(attempt >= 4);
  await say(page, "back");
  await until(page, "heard.includes('back')");
  await page.close();
});

test("A tab that sleeps past ping intervals is not taken for dead, and has missed nothing", async () => {
  await using proxy = await TcpProxy.to(gateway.port);
  const { page, complained } = await open(proxy);
  const other = await open(proxy);
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Page.setWebLifecycleState", { state: "frozen" });
  const from = Date.now();
  let said = 0;
  while (Date.now() - from < 12_000) {
    await say(other.page, String(said++));
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  await cdp.send("Page.setWebLifecycleState", { state: "active" });
  await until(page, `heard.length === ${said}`);
  await page.waitForTimeout(6000);
  assert.deepEqual(await page.evaluate("states"), ["idle", "connecting", "connected"]);
  assert.deepEqual(complained.filter((line) => !line.includes("favicon")), []);
  await page.close();
  await other.page.close();
});

test("A page in the back/forward cache is connected again when it is returned to", async () => {
  await using proxy = await TcpProxy.to(gateway.port);
  const { page } = await open(proxy);
  await page.goto(`${proxy.origin}/readyz`);
  // A page from the cache is there without being loaded.
  await page.goBack({ waitUntil: "commit" });
  const isKept = await page.evaluate("typeof client === 'object'");
  assert.equal(isKept, true, "Chromium kept the page");
  await until(page, "client.status.get().state === 'connected'");
  await say(page, "returned");
  await until(page, "heard.includes('returned')");
  assert.deepEqual(await page.evaluate("states.slice(0, 4)"), [
    "idle",
    "connecting",
    "connected",
    "reconnecting",
  ]);
  await page.close();
});

test("Where sessions can be resumed, a page comes out of the cache to all that was said, and nobody heard it leave", async () => {
  await using proxy = await TcpProxy.to(gateway.port);
  const { page, complained } = await open(proxy, "resumable");
  const other = await open(proxy, "resumable");
  await other.page.evaluate(`(async () => {
    globalThis.presence = [];
    const seen = await client.join("seen", { presence: true });
    seen.on("presence", ({ event }) => presence.push(event));
  })()`);
  await page.evaluate(`client.join("seen").then(() => {})`);
  await until(other.page, "presence.length === 1");
  await page.evaluate(`globalThis.gaps = []; room.on("gap", ({ reason }) => gaps.push(reason))`);
  await page.goto(`${proxy.origin}/readyz`);
  for (let i = 0; i < 5; i++) await say(other.page, `while away ${i}`);
  await page.goBack({ waitUntil: "commit" });
  assert.equal(await page.evaluate("typeof client === 'object'"), true, "Chromium kept the page");
  await until(page, "heard.length === 5");
  assert.deepEqual(await page.evaluate("[client.status.get().resumed, gaps]"), [true, []]);
  // Nothing was tried while it was on its way out.
  assert.deepEqual(await page.evaluate("states.slice(3)"), ["reconnecting", "reconnecting", "connected"]);
  assert.deepEqual(await other.page.evaluate("presence"), ["join"]);
  assert.deepEqual(complained.filter((line) => !line.includes("favicon")), []);
  await page.close();
  await other.page.close();
});

test("Where WebSockets are blocked, a page is connected by plain HTTP, and is put away and comes back so too", async () => {
  await using proxy = await TcpProxy.to(gateway.port);
  const page = await browser.newPage();
  const complained = complaints(page);
  await page.goto(`${proxy.origin}/healthz`);
  await page.evaluate(`(async () => {
    const { Client, sse } = await import("/playground/client.js");
    const Real = WebSocket;
    globalThis.WebSocket = class extends Real { constructor() { super("ws://127.0.0.1:9/"); } };
    globalThis.client = new Client("/", { tenant: "resumable", ticket: "dev:eve", fallback: sse() });
    globalThis.room = await client.join("lobby");
    globalThis.heard = [];
    room.on("msg", ({ msg }) => heard.push(msg));
    room.on("gap", ({ reason }) => heard.push(reason));
  })()`);
  assert.equal(await page.evaluate("client.session.transport"), "sse");
  await say(page, "by HTTP");
  await until(page, "heard.includes('by HTTP')");
  proxy.cut();
  await until(page, "client.status.get().resumed");
  await say(page, "resumed");
  await until(page, "heard.includes('resumed')");
  await page.goto(`${proxy.origin}/readyz`);
  await page.goBack({ waitUntil: "commit" });
  await until(page, "client.status.get().state === 'connected'");
  await say(page, "returned");
  await until(page, "heard.includes('returned')");
  assert.deepEqual(await page.evaluate("heard"), ["by HTTP", "resumed", "returned"]);
  assert.deepEqual(complained.filter((line) => !/favicon|127\.0\.0\.1:9|ERR_|sse/.test(line)), []);
  await page.close();
});

test("A page that is closed is gone for the others at once", async () => {
  await using proxy = await TcpProxy.to(gateway.port);
  const { page } = await open(proxy);
  await page.close({ runBeforeUnload: false });
  await gateway.empty();
});

test("A ticket goes into no address, and a page may load the client as a plain script", async () => {
  await using proxy = await TcpProxy.to(gateway.port);
  const page = await browser.newPage();
  const addresses: string[] = [];
  page.on("websocket", (socket) => addresses.push(socket.url()));
  await page.goto(`${proxy.origin}/healthz`);
  await page.setContent(`<script type="module">
    import { Client } from "${proxy.origin}/playground/client.js";
    const client = new Client("${proxy.origin}", { tenant: "acme", ticket: "dev:zoë" });
    await client.connect();
    document.title = client.session.user;
    client.dispose();
  </script>`);
  await until(page, "document.title === 'zoë'");
  assert.deepEqual(addresses, [`${proxy.origin.replace("http", "ws")}/v1/ws?tenant=acme`]);
  await page.close();
});

test("at the end nobody is left, and the gateway stops with exit code 0", async () => {
  await gateway.empty();
  await gateway.stop();
});
