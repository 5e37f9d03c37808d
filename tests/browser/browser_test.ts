// The ways that only a browser can prove: a ticket in a subprotocol, pages of other origins, what a script is told.

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { SECRET, ticket as sign } from "../admission/keys.ts";
import { GatewayProcess } from "../flow/gateway_process.ts";
import { inBrowser } from "./browser.ts";

const nowS = () => Math.floor(Date.now() / 1000);
const auth = {
  mode: "jwt",
  jwt: { algorithms: ["HS256"], keys: [{ secret: SECRET }], leeway_s: 0 },
  allow_query_ticket: false,
  first_message: true,
  failure_delay_ms: 50,
};
const gateway = await GatewayProcess.start({
  tenants: [
    { id: "acme", auth, origins: ["*"], policy: { ext_allowlist: ["room:*", "chat:*"] } },
    { id: "elsewhere", auth, origins: ["https://app.example"] },
    { id: "same", auth },
  ],
}, { dev: false });
after(() => gateway.kill());

/** Helpers of the page. */
const PAGE = `
  const url = (tenant) => "ws://127.0.0.1:${gateway.port}/v1/ws?tenant=" + tenant;
  const offer = (ticket) => "wsprism.ticket." + btoa(ticket).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const next = (ws, event) => new Promise((resolve) => ws.addEventListener(event, resolve, { once: true }));
  const ended = async (ws) => { const { code, reason, wasClean } = await next(ws, "close"); return { code, reason, wasClean }; };
  const say = (ws, message) => ws.send(JSON.stringify({ v: 1, ...message }));
  const hear = async (ws) => JSON.parse((await next(ws, "message")).data);
`;

test("in a browser, a ticket travels in a subprotocol, and the session works", async () => {
  const ticket = await sign({ sub: "zoë", exp: nowS() + 600 });
  const report = await inBrowser(() =>
    `${PAGE}
    const ws = new WebSocket(url("acme"), ["wsprism.v1", offer(${JSON.stringify(ticket)})]);
    const authed = await hear(ws);
    say(ws, { svc: "room", type: "join", room: "lobby" });
    const joined = await hear(ws);
    say(ws, { svc: "chat", type: "send", room: "lobby", data: { msg: "grüße" } });
    const said = await hear(ws);
    ws.close();
    report({ protocol: ws.protocol, user: authed.data.user, joined: joined.type, said: said.data, end: await ended(ws) });
  `
  );
  assert.deepEqual(report, {
    protocol: "wsprism.v1",
    user: "zoë",
    joined: "joined",
    said: { from: "zoë", msg: "grüße" },
    end: { code: 1005, reason: "", wasClean: true },
  });
});

test("in a browser, a first message brings the ticket, and a bad one is told with its code", async () => {
  const ticket = await sign({ sub: "ann", exp: nowS() + 600 });
  const report = await inBrowser(() =>
    `${PAGE}
    const good = new WebSocket(url("acme"));
    await next(good, "open");
    say(good, { svc: "sys", type: "auth", data: { ticket: ${JSON.stringify(ticket)} } });
    const authed = await hear(good);
    const bad = new WebSocket(url("acme"), "wsprism.v1");
    await next(bad, "open");
    const close = ended(bad);
    say(bad, { svc: "sys", type: "auth", data: { ticket: "wrong" } });
    const error = await hear(bad);
    report({ user: authed.data.user, error: error.data.code, close: await close });
  `
  );
  assert.deepEqual(report, {
    user: "ann",
    error: "AUTH_FAILED",
    close: { code: 4500, reason: "authentication failed", wasClean: true },
  });
});

test("in a browser, a session is told that its ticket expires, and closed with 4004", async () => {
  const report = await inBrowser(async () =>
    `${PAGE}
    const ws = new WebSocket(url("acme"), ["wsprism.v1", offer(${
      JSON.stringify(await sign({ sub: "ann", exp: nowS() + 3 }))
    })]);
    const close = ended(ws);
    const types = [(await hear(ws)).type, (await hear(ws)).type, (await hear(ws)).data.code];
    report({ types, close: await close });
  `
  );
  assert.deepEqual(report, {
    types: ["authed", "expiring", "AUTH_FAILED"],
    close: { code: 4004, reason: "ticket expired", wasClean: true },
  });
});

test("in a browser, a page of another origin gets nowhere, whatever its ticket, nor does a bad ticket", async () => {
  const ticket = JSON.stringify(await sign({ sub: "ann", exp: nowS() + 600 }));
  const report = await inBrowser(() =>
    `${PAGE}
    const fate = async (tenant, ticket) => (await ended(new WebSocket(url(tenant), ["wsprism.v1", offer(ticket)]))).code;
    report({
      elsewhere: await fate("elsewhere", ${ticket}),
      same: await fate("same", ${ticket}),
      bad: await fate("acme", "wrong"),
    });
  `
  );
  assert.deepEqual(report, { elsewhere: 1006, same: 1006, bad: 1006 });
  const metrics = await gateway.metrics();
  const refused = (tenant: string, reason: string) =>
    metrics.sum("wsprism_handshake_rejections_total", { tenant, reason });
  assert.deepEqual(
    [refused("elsewhere", "origin"), refused("same", "origin"), refused("acme", "bad_ticket")],
    [1, 1, 1],
  );
});
