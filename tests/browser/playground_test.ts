// The playground as somebody sees it who has started the gateway a moment ago, clicked through.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { GatewayProcess } from "../flow/gateway_process.ts";
import { complaints, startChromium, until } from "./chromium.ts";

const config = {
  tenants: [
    {
      id: "acme",
      policy: { ext_allowlist: ["room:*", "chat:*"], hot_allowlist: ["3:*"] },
      services: [{ svc: "chat", builtin: "chat" }],
      hot_services: [{ id: 3, kind: "state", tick_ms: 20 }],
    },
    { id: "closed", auth: { mode: "static", static: { tickets: [{ ticket: "x".repeat(32), user: "x" }] } } },
  ],
};
const browser = await startChromium();

/** Pictures to look at, where somebody wants them. */
async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env["WSPRISM_PICTURES"];
  if (folder === undefined) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: `${folder}/${name}.png` });
}

const user = (page: Page, n: number) => page.locator(".user").nth(n);
const bothConnected = (page: Page) =>
  until(page, "[...document.querySelectorAll('.status')].every((one) => one.dataset.state === 'connected')");
/** The colour of a user's field at a place. */
const pixel = (page: Page, n: number, x: number, y: number) =>
  page.evaluate(`(() => {
    const canvas = document.querySelectorAll("canvas")[${n}];
    const scale = canvas.width / canvas.clientWidth;
    return [...canvas.getContext("2d").getImageData(${x} * scale, ${y} * scale, 1, 1).data].join();
  })()`);

/** Both members: they come at the same time, and nobody knows who is the first. */
const BOTH = /ann \(1\), bob \(2\)|bob \(1\), ann \(2\)/;

test("The root leads to the playground, where two users meet, chat and see each other's pointers", async () => {
  await using gateway = await GatewayProcess.start(config);
  const page = await browser.newPage();
  const complained = complaints(page);
  const strangers: string[] = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(gateway.origin) && !request.url().startsWith("data:")) {
      strangers.push(request.url());
    }
  });
  await page.goto(gateway.origin);
  assert.equal(new URL(page.url()).pathname, "/playground");
  await bothConnected(page);
  assert.deepEqual(
    await page.locator("#tenant option").allTextContents(),
    ["acme"],
    "those that take dev tickets",
  );
  for (const n of [0, 1]) await user(page, n).locator(".members", { hasText: BOTH }).waitFor();
  const field = (await page.locator("canvas").first().boundingBox())!;
  const blank = await pixel(page, 1, 100, 80);
  await page.mouse.move(field.x + 50, field.y + 50);
  await page.mouse.move(field.x + 100, field.y + 80);
  await user(page, 1).locator(".wire .in", { hasText: "01 03 01 04" }).waitFor();
  await page.waitForTimeout(50);
  assert.notEqual(await pixel(page, 1, 100, 80), blank, "ann's pointer is on bob's field");
  await user(page, 0).locator(".text").fill("hello <b>bob</b>");
  await user(page, 0).locator("form button").click();
  await user(page, 1).locator(".chat li", { hasText: "hello <b>bob</b>" }).waitFor();
  await user(page, 1).locator(".wire .in", { hasText: '"svc":"chat","type":"msg"' }).waitFor();
  await picture(page, "playground");
  assert.deepEqual([complained, strangers], [[], []]);
  await page.close();
});

test("A cable that is cut and mended: the user is gone for the others, and comes back", async () => {
  await using gateway = await GatewayProcess.start(config);
  const page = await browser.newPage();
  await page.goto(gateway.origin);
  await bothConnected(page);
  await user(page, 0).locator(".cut").click();
  await user(page, 0).locator('.status[data-state="reconnecting"]', { hasText: "next try in" }).waitFor();
  await user(page, 1).locator(".text").fill("are you there?");
  await user(page, 1).locator("form button").click();
  await user(page, 1).locator(".chat li", { hasText: "are you there?" }).waitFor();
  await picture(page, "playground-cut");
  await user(page, 0).locator(".cut").click();
  await bothConnected(page);
  await user(page, 0).locator(".chat .news", { hasText: "messages may have been missed" }).waitFor();
  await user(page, 0).locator(".members", { hasText: "bob" }).waitFor();
  await user(page, 0).locator(".connect").click();
  await user(page, 1).locator(".members", { hasText: /^Here: bob \([12]\)$/ }).waitFor();
  await picture(page, "playground-mended");
  await page.close();
});

test("Where sessions can be resumed and rooms keep what is said, a cut shows both at work", async () => {
  const [acme] = config.tenants;
  const rooms = [{ match: "kept:*", history: {} }];
  await using gateway = await GatewayProcess.start({ tenants: [{ ...acme, resume: {}, rooms }] });
  const page = await browser.newPage();
  await page.goto(gateway.origin);
  await bothConnected(page);
  assert.equal(await page.locator("#room").inputValue(), "kept:lobby");
  await user(page, 0).locator(".cut").click();
  await user(page, 0).locator('.status[data-state="reconnecting"]').waitFor();
  await user(page, 1).locator(".text").fill("while you were away");
  await user(page, 1).locator("form button").click();
  await user(page, 1).locator(".chat li", { hasText: "while you were away" }).waitFor();
  await user(page, 0).locator(".cut").click();
  await user(page, 0).locator(".status", { hasText: "the session went on" }).waitFor();
  await user(page, 0).locator(".chat li", { hasText: "while you were away" }).waitFor();
  assert.equal(await user(page, 0).locator(".chat .news", { hasText: "may have been missed" }).count(), 0);
  assert.equal(
    await user(page, 1).locator(".members", { hasText: BOTH }).count(),
    1,
    "nobody left",
  );
  await picture(page, "playground-resumed");
  await page.reload();
  await bothConnected(page);
  for (const n of [0, 1]) {
    await user(page, n).locator('.chat li[data-offset="1"]', { hasText: "while you were away" }).waitFor();
  }
  await picture(page, "playground-history");
  await page.close();
});

test("A narrow and dark screen has all of it", async () => {
  await using gateway = await GatewayProcess.start(config);
  const page = await browser.newPage({ viewport: { width: 400, height: 900 }, colorScheme: "dark" });
  await page.goto(gateway.origin);
  await bothConnected(page);
  assert.equal(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), true);
  await picture(page, "playground-narrow");
  await page.close();
});

test("Without --dev there is no playground", async () => {
  await using gateway = await GatewayProcess.start({ tenants: [config.tenants[1]!] }, { dev: false });
  for (const path of ["/", "/playground", "/playground/client.js"]) {
    assert.equal((await gateway.get(path)).status, 404, path);
  }
});
