// Ten things that operators come for, clicked through in a real browser on a gateway that has them all: a slow client, one
// that floods, refused messages, dead letters, a failing extension. Then: nothing that anybody calls itself is more than
// text, nothing is forbidden to the page, and nothing serious is in the way of those who see or click differently.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import process from "node:process";
import { after, test } from "node:test";
import type { Page } from "playwright-core";
import { Admin, adminConfig } from "../flow/admin_client.ts";
import { Backend } from "../flow/backend_process.ts";
import { Client, target } from "../flow/client.ts";
import { configText, Folder, GatewayProcess } from "../flow/gateway_process.ts";
import { KEY } from "../flow/webhook_receiver.ts";
import { RawClient } from "../raw_client.ts";
import { complaints, startChromium } from "./chromium.ts";

/** No task may take its operator longer. */
const TASK_MS = 60_000;

const BUGGY = `export default {
  onMessage({ data }, ctx) {
    ctx.log.info("looking up order " + data.order);
    if (data.order > 3) throw new Error("order " + data.order + " has no price <b>!</b>");
    return { ok: true };
  },
};`;

const everything = ["read", "publish", "disconnect", "reload"];
const admin = {
  ...adminConfig({
    root: { tenants: ["*"], permissions: everything },
    acme: { tenants: ["acme"], permissions: ["read"] },
  }),
  console: true,
};

const backend = await Backend.start();
after(() => backend.stop());
const folder = new Folder();
after(() => folder[Symbol.dispose]());
const browser = await startChromium();

function config(rules: readonly object[]): object {
  const { id: key_id, secret } = KEY;
  return {
    gateway: { state_dir: folder.path, writer_send_timeout_ms: 60_000 },
    admin,
    tenants: [{
      id: "acme",
      policy: {
        ext_allowlist: ["room:*", "chat:send", "orders:*"],
        hot_allowlist: ["3:*"],
        rate_limit_rps: 200,
        rate_limit_burst: 200,
        rules,
      },
      delivery: { reliable: { max_bytes: 16_777_216 } },
      rooms: [{ match: "news", history: { max_messages: 50 } }],
      services: [{ svc: "chat", builtin: "chat" }, { svc: "orders", worker: "buggy.js" }],
      hot_services: [{ id: 3, kind: "relay" }],
      webhooks: [{
        id: "crm",
        url: `http://127.0.0.1:${backend.port}/crm`,
        secret,
        key_id,
        events: ["session.connected"],
        batch: { max_wait_ms: 100 },
      }],
    }, { id: "umbra" }],
  };
}
const STRICT = [{
  id: "vip-only",
  match: { service: "chat:send", room: "vip" },
  require: ["claim:role=vip"],
}];

await backend.set("/crm", { refuses: "evil" });
const gateway = await GatewayProcess.start(config(STRICT), {
  keeps: folder.path,
  files: { "buggy.js": BUGGY },
});
after(() => gateway.stop());
const root = await Admin.of(gateway, "root");

// What goes on while the operator looks.
const ann = await Client.open(gateway, { user: "ann" });
await ann.join("vip");
await ann.join("news");
const flooder = await Client.open(gateway, { user: "mallory" });
await Client.open(gateway, { user: "evil" });
const slow = await RawClient.open(gateway.port, target({ user: "slowpoke" }));
await slow.nextText();
slow.text(JSON.stringify({ v: 1, svc: "room", type: "join", room: "firehose" }));
await slow.nextText();
slow.pause();
after(() => slow.destroy());
let going = true;
const busy = (async () => {
  for (let i = 0; going; i++) {
    ann.send({ svc: "chat", type: "send", room: "news", data: { msg: `headline ${i}` } });
    if (i % 10 === 0) ann.send({ svc: "chat", type: "send", room: "vip", data: { msg: "let me in" } });
    if (i % 10 === 5) ann.send({ svc: "orders", type: "price", data: { order: i % 7 } });
    for (let n = 0; n < 20; n++) flooder.send({ svc: "nothing", type: "here" });
    if (i < 60) {
      const message = { to: { rooms: ["firehose"] }, svc: "a", type: "b", data: "x".repeat(3500) };
      await root.ask("POST", "/v1/tenants/acme/publish", { messages: Array(50).fill(message) });
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
})();
after(async () => {
  going = false;
  await busy.catch(() => {});
});

/** Pictures to look at, where somebody wants them. */
async function picture(page: Page, name: string): Promise<void> {
  const pictures = process.env["WSPRISM_PICTURES"];
  if (pictures === undefined) return;
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: `${pictures}/console-${name}.png` });
}

async function enter(key: string, options: Parameters<typeof browser.newPage>[0] = {}): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1200, height: 900 }, ...options });
  page.setDefaultTimeout(20_000);
  await page.goto(`${root.origin}/console`);
  await page.getByLabel("Secret of an admin key").fill(`${key}-secret-0123456789-0123456789`);
  await page.getByRole("button", { name: "Enter" }).click();
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  return page;
}

const view = (page: Page, name: string) => page.getByRole("navigation").getByRole("link", { name }).click();
const row = (page: Page, label: string, text: string | RegExp) =>
  page.getByRole("region", { name: label }).getByRole("row").filter({ hasText: text }).first();

const page = await enter("root");
const complained = complaints(page);
const strangers: string[] = [];
page.on("request", (request) => {
  if (!request.url().startsWith(root.origin)) strangers.push(request.url());
});

/** One thing that an operator comes for, within its time. */
function task(name: string, act: () => Promise<void>): void {
  test(name, async () => {
    const since = performance.now();
    await act();
    const ms = performance.now() - since;
    assert.ok(ms < TASK_MS, `it took ${ms} ms`);
  });
}

task("1: find the slow client, and why it is slow", async () => {
  await view(page, "Slow");
  await row(page, "Longest full", "slowpoke").waitFor();
  await picture(page, "slow");
  await row(page, "Most waiting", "slowpoke").getByRole("link").click();
  await page.getByRole("heading", { name: /slowpoke/ }).waitFor();
  await row(page, "Lanes", /reliable\s*[1-9]/).waitFor();
  await row(page, "Rooms", "firehose").waitFor();
  await picture(page, "slow-session");
  await page.getByRole("link", { name: "Why would a message be refused?" }).click();
  await page.getByRole("heading", { name: /^(Allowed|Denied by )/ }).waitFor();
  await page.getByText("Its user, claims and rooms").waitFor();
  await picture(page, "why-session");
});

task("2: find who floods, and with what", async () => {
  await view(page, "Slow");
  await row(page, "Users with most denials", "mallory").waitFor();
  await view(page, "Why");
  await row(page, "Decisions", "mallory").getByRole("cell", { name: "nothing:here" }).or(
    row(page, "Decisions", /mallory.*quota\.session|mallory.*allowlist/),
  ).first().waitFor();
  await picture(page, "denials");
});

task("3: see why ann's message was refused, with the line, and mend the file", async () => {
  await view(page, "Why");
  const refused = row(page, "Decisions", /ann.*vip-only.*line/);
  await refused.getByRole("link", { name: "Why?" }).click();
  await page.getByRole("heading", { name: "Denied by vip-only" }).waitFor();
  const denied = row(page, "Checks", "DENIES");
  const [, line] = /line (\d+)/.exec(await denied.innerText())!;
  const text = readFileSync(`${gateway.folder}/wsprism.yaml`, "utf8");
  assert.match(
    text.split("\n").slice(Number(line) - 1).join(""),
    /^ *\{ *"id": "vip-only"/,
    "the rule's line",
  );
  await picture(page, "why");
  await page.getByLabel("Claims").fill('{"role":"vip"}');
  await page.getByRole("button", { name: "Explain" }).click();
  await page.getByRole("heading", { name: "Allowed" }).waitFor();
});

task("4: compare a policy before it is used, then reload it", async () => {
  const other = configText(config([{ ...STRICT[0], id: "members-only", require: ["member"] }]));
  await view(page, "Why");
  await page.getByLabel("The whole file").fill(other);
  await page.getByRole("button", { name: "Compare" }).click();
  await row(page, "Differences", /ann.*vip-only.*allowed/).waitFor();
  await picture(page, "dry-run");
  writeFileSync(`${gateway.folder}/wsprism.yaml`, other);
  await view(page, "Configuration");
  await page.getByRole("button", { name: "What would a reload change?" }).click();
  await row(page, "Changes", "members-only").waitFor();
  await picture(page, "changes");
  await page.getByRole("button", { name: "Reload", exact: true }).first().click();
  await page.getByRole("dialog").getByRole("button", { name: "Reload" }).click();
  await page.getByText(/^Applied/).waitFor();
});

task("5: retry dead letters", async () => {
  await view(page, "Webhooks");
  await page.getByRole("button", { name: "Dead letters of crm" }).click();
  await row(page, "Dead letters", "evil").waitFor();
  await picture(page, "dead-letters");
  await backend.set("/crm", {});
  await page.getByRole("button", { name: "Retry all" }).first().click();
  await page.getByRole("dialog").getByRole("button", { name: "Retry all" }).click();
  await page.getByText("None.").waitFor();
});

task("6: watch a room, and publish into it", async () => {
  await view(page, "Rooms");
  await row(page, "Rooms", "news").getByRole("link").click();
  await page.getByRole("button", { name: "Watch this room" }).click();
  await row(page, "Messages", "headline").waitFor();
  await page.getByLabel("Data").fill('{"msg":"from the console"}');
  await page.getByRole("button", { name: "Send" }).click();
  await row(page, "Messages", "from the console").waitFor();
  await picture(page, "room");
});

task("7: watch a session, and ban its user", async () => {
  await view(page, "Sessions");
  await page.getByLabel("What to find").fill("mallory");
  await page.getByRole("button", { name: "Find" }).click();
  await row(page, "Sessions", "mallory").getByRole("link").click();
  await page.getByRole("button", { name: "Watch this session" }).click();
  await row(page, "Decisions", "denied").waitFor();
  await picture(page, "watch");
  await page.getByRole("button", { name: "Ban for an hour" }).first().click();
  await page.getByRole("dialog").getByRole("button", { name: "Ban for an hour" }).click();
  await row(page, "Bans", "mallory").waitFor();
  await picture(page, "bans");
  assert.equal((await flooder.closed).code, 4504);
});

task("8: find a failing extension, and what it said", async () => {
  await view(page, "Extensions");
  await row(page, "Calls of orders", "error").waitFor();
  await row(page, "Log of orders", "has no price <b>!</b>").waitFor();
  await picture(page, "extension");
});

task("9: read the last hour off a chart", async () => {
  await view(page, "Overview");
  await page.getByLabel("Tenant").selectOption("*");
  const chart = page.getByRole("img", { name: /Messages in a second over the last hour/ });
  await chart.waitFor();
  const said = await chart.getAttribute("aria-label");
  assert.match(said!, /in: now [\d.]+, at most [1-9]/);
  await chart.hover();
  await picture(page, "overview");
});

task("10: see what was done, and by whom", async () => {
  await view(page, "Audit");
  await row(page, "Audit", /root.*users\/mallory\/ban.*200/).waitFor();
  await row(page, "Audit", /root.*\/v1\/reload/).waitFor();
  await picture(page, "audit");
});

test("Nothing was forbidden to the page, and it asked nobody else", () => {
  assert.deepEqual([complained, strangers], [[], []]);
});

test("A key of one tenant that may read sees that tenant, and what it may not do it cannot press", async () => {
  const reader = await enter("acme");
  assert.deepEqual(await reader.getByLabel("Tenant").locator("option").allTextContents(), [
    "all of this key",
    "acme",
  ]);
  assert.equal(await reader.getByRole("link", { name: "Configuration" }).count(), 0);
  await view(reader, "Bans");
  assert.ok(await reader.getByRole("button", { name: "Ban", exact: true }).isDisabled());
  await reader.close();
});

test("By keyboard alone: views by their numbers, the search by a slash, the dialog by Escape", async () => {
  const keys = await enter("root");
  await keys.keyboard.press("2");
  await keys.getByRole("heading", { level: 1, name: /Sessions/ }).waitFor();
  await keys.getByRole("region", { name: "Sessions" }).waitFor();
  await keys.keyboard.press("/");
  await keys.keyboard.type("ann");
  await keys.keyboard.press("Enter");
  await row(keys, "Sessions", "ann").getByRole("link").focus();
  await keys.keyboard.press("Enter");
  const kick = keys.getByRole("button", { name: "Kick" }).first();
  await kick.focus();
  await keys.keyboard.press("Enter");
  await keys.getByRole("dialog").waitFor();
  await keys.keyboard.press("Escape");
  await keys.getByRole("dialog").waitFor({ state: "hidden" });
  await keys.close();
});

const VIEWS = [
  "overview",
  "sessions",
  "rooms",
  "why",
  "slow",
  "webhooks",
  "extensions",
  "config",
  "bans",
  "audit",
];

for (const colorScheme of ["light", "dark"] as const) {
  test(`Every view, ${colorScheme} and as narrow as a phone: axe finds nothing serious, and nothing is too wide`, async () => {
    const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
    const narrow = await enter("root", { viewport: { width: 390, height: 844 }, colorScheme });
    // As a browser's tools do: the page's own policy lets no such script in.
    const cdp = await narrow.context().newCDPSession(narrow);
    await cdp.send("Runtime.evaluate", { expression: axe });
    for (const id of VIEWS) {
      await narrow.evaluate(`location.hash = "#/acme/${id}"`);
      await narrow.locator("h1").waitFor();
      await narrow.waitForTimeout(700);
      await picture(narrow, `${id}-${colorScheme}-phone`);
      assert.equal(await narrow.evaluate("document.documentElement.scrollWidth <= innerWidth"), true, id);
      const { result } = await cdp.send("Runtime.evaluate", {
        expression:
          "axe.run(document, { resultTypes: ['violations'] }).then((r) => JSON.stringify(r.violations))",
        awaitPromise: true,
        returnByValue: true,
      });
      const violations = JSON.parse(result.value) as {
        id: string;
        impact: string;
        nodes: { html: string }[];
      }[];
      const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
      assert.deepEqual(serious.map((one) => [one.id, one.nodes[0]?.html]), [], id);
    }
    await narrow.close();
  });
}

const SCRIPTS = [
  "<script>window.pwned = 1</script>",
  '<img src=x onerror="window.pwned = 1">',
  '"><svg onload=window.pwned=1>',
  "javascript:window.pwned=1",
  "{{constructor.constructor('window.pwned=1')()}}",
  "${window.pwned=1}",
  "'-window.pwned=1-'",
  "</textarea><script>window.pwned=1</script>",
  "<iframe srcdoc='<script>parent.pwned=1</script>'>",
];

test("Scripts in the names of users and rooms, in messages and in services are text and never run", async () => {
  const evil = await browser.newPage();
  await evil.close();
  const clients: Client[] = [];
  for (const script of SCRIPTS) {
    const client = await Client.open(gateway, { user: script.slice(0, 120), sid: "tab" });
    clients.push(client);
    await client.join(script);
    client.send({ svc: "chat", type: "send", room: script, data: { msg: script } });
    client.send({ svc: "no", type: "no", room: script, data: { [script]: script } });
    client.send({ svc: "orders", type: "price", data: { order: `4 ${script}` } });
    client.send(script);
  }
  const hostile = await enter("root");
  const said = complaints(hostile);
  for (const id of [...VIEWS, ...SCRIPTS.map((script) => `rooms/${encodeURIComponent(script)}`)]) {
    await hostile.evaluate(`location.hash = ${JSON.stringify(`#/acme/${id}`)}`);
    await hostile.waitForTimeout(400);
    if (id.startsWith("rooms/")) await hostile.getByRole("button", { name: "Watch this room" }).click();
  }
  const { sessions } = await root.good("GET", "/v1/tenants/acme/sessions?limit=1000");
  for (const { session, user } of sessions) {
    if (!SCRIPTS.includes(user)) continue;
    await hostile.evaluate(`location.hash = ${JSON.stringify(`#/acme/sessions/${session}`)}`);
    await hostile.getByRole("heading", { level: 2 }).first().waitFor();
    await hostile.getByRole("button", { name: "Watch this session" }).click();
    await hostile.waitForTimeout(200);
    assert.ok((await hostile.locator("main").innerText()).includes(user), "it is shown as what it is");
  }
  await hostile.evaluate(
    `location.hash = "#/acme/why?${encodeURIComponent(SCRIPTS[0]!)}&message=${
      encodeURIComponent(SCRIPTS[1]!)
    }"`,
  );
  await hostile.waitForTimeout(500);
  assert.equal(await hostile.evaluate("window.pwned"), undefined);
  // The message that is no JSON is refused, which a browser tells its own console; nothing else.
  assert.deepEqual(said.filter((line) => !line.includes("status of 4")), []);
  assert.equal(await hostile.locator("script:not([src]), iframe, object, embed").count(), 0);
  await hostile.close();
  for (const client of clients) client.close();
});

test("The page stands by itself: a strict policy, no third party, and nobody may frame it", async () => {
  const answer = await fetch(`${root.origin}/console`);
  const policy = answer.headers.get("content-security-policy")!;
  assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self'/);
  assert.doesNotMatch(policy, /unsafe|\*/);
  assert.match(policy, /frame-ancestors 'none'.*require-trusted-types-for 'script'/);
  assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
});
