// Streams of events as a browser has them: its own EventSource, a page of another origin, and a connection that is cut.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "../flow/client.ts";
import { GatewayProcess } from "../flow/gateway_process.ts";
import { TcpProxy } from "../flow/tcp_proxy.ts";
import { inBrowser } from "./browser.ts";

const tenants = [
  {
    id: "acme",
    origins: ["*"],
    resume: { window_ms: 30_000 },
    policy: { ext_allowlist: ["room:*", "chat:*"], hot_allowlist: ["1:*"] },
  },
];

test("a browser's EventSource hears and, cut off, comes back by itself to what it missed", async () => {
  await using gateway = await GatewayProcess.start({ gateway: { drain_grace_ms: 0 }, tenants });
  await using network = await TcpProxy.to(gateway.port);
  const bob = await Client.open(gateway, { user: "bob" });
  await bob.join("r");
  const talk = (async () => {
    const hear = async () => (await bob.next("chat.msg", 60_000)).data.msg as string;
    const say = (msg: string) => bob.send({ svc: "chat", type: "send", room: "r", data: { msg } });
    assert.deepEqual([...await bob.nextBytes()], [104, 105]);
    assert.equal(await hear(), "grüße");
    assert.equal(await hear(), "cut me off");
    network.cut();
    say("missed");
    await hear();
    say("live");
    await hear();
  })();
  const report = await inBrowser(() => `
    const base = "${network.origin}";
    const url = base + "/v1/sse?tenant=acme&ticket=dev:ann&resume=1&hot=1";
    const events = new EventSource(url);
    let at = null;
    const heard = [], opened = [];
    const say = (message, type = "application/json") =>
      fetch(base + at.post, { method: "POST", headers: { authorization: "Bearer " + at.key, "content-type": type }, body: typeof message === "string" || message instanceof Uint8Array ? message : JSON.stringify({ v: 1, ...message }) });
    const done = new Promise((resolve) => {
      events.addEventListener("open", (event) => {
        if (event.data === undefined) return;
        at = JSON.parse(event.data);
        opened.push(at.post.startsWith("/v1/sse/"));
      });
      events.addEventListener("hot", (event) => heard.push("hot " + event.data));
      events.addEventListener("message", async ({ data, lastEventId }) => {
        const message = JSON.parse(data);
        heard.push(message.type === "msg" ? message.data.msg : message.type);
        if (message.type === "authed") await say({ svc: "room", type: "join", room: "r" });
        if (message.type === "joined") {
          await say(Uint8Array.of(1, 1, 9, 0, 104, 105), "application/octet-stream");
          const taken = await say({ svc: "chat", type: "send", room: "r", data: { msg: "grüße" } });
          heard.push(taken.status);
        }
        if (message.data.msg === "grüße") say({ svc: "chat", type: "send", room: "r", data: { msg: "cut me off" } }).catch(() => {});
        if (message.data.msg === "live") resolve(lastEventId.split(".")[1]);
      });
    });
    const last = await done;
    const goodbye = await fetch(base + at.post, { method: "DELETE", headers: { authorization: "Bearer " + at.key } });
    events.close();
    report({ heard, opened, last, goodbye: goodbye.status });
  `);
  await talk;
  assert.equal(report["error"], undefined);
  const heard = report["heard"] as unknown[];
  // The answer to a POST and what it brings may come in either order, and the wish to be cut off before or after the cut.
  assert.deepEqual(heard.filter((one) => one !== 202 && one !== "cut me off"), [
    "authed",
    "joined",
    "hot aGk=",
    "grüße",
    "resumed",
    "missed",
    "live",
  ]);
  assert.deepEqual([report["opened"], report["last"], report["goodbye"]], [[true, true], "5", 204]);
  await bob.close();
  await gateway.stop();
});

test("a page of an origin that is not named gets no stream, and one that is does", async () => {
  // Without --dev, which lets in pages of this machine.
  const auth = { mode: "static", static: { tickets: [{ ticket: "secret-ticket-1", user: "ann" }] } };
  await using gateway = await GatewayProcess.start({
    gateway: { drain_grace_ms: 0 },
    tenants: [{ id: "acme", auth, origins: ["*"] }, { id: "closed", auth, origins: ["https://app.example"] }],
  }, { dev: false });
  const report = await inBrowser(() => `
    const tried = (tenant) => new Promise((resolve) => {
      const events = new EventSource("http://127.0.0.1:${gateway.port}/v1/sse?ticket=secret-ticket-1&tenant=" + tenant);
      events.onmessage = ({ data }) => { events.close(); resolve(JSON.parse(data).type); };
      events.onerror = () => { if (events.readyState === EventSource.CLOSED) resolve("closed"); };
    });
    report({ closed: await tried("closed"), acme: await tried("acme") });
  `);
  assert.deepEqual(report, { closed: "closed", acme: "authed" });
  await gateway.stop();
});
