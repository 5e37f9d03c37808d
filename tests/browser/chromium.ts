// A real browser with a driver: for pages that are clicked through, put to sleep and sent away.

import { after } from "node:test";
import { type Browser, chromium, type Page } from "playwright-core";
import { findBrowser } from "./find.ts";

/** A browser for the tests of a file. */
export async function startChromium(): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath: findBrowser()!,
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
    // Pages are kept for the way back, as users' browsers do.
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
  });
  after(() => browser.close());
  return browser;
}

/** What a page complained of: errors, and what it was forbidden to do. */
export function complaints(page: Page): string[] {
  const all: string[] = [];
  page.on("pageerror", (error) => all.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") all.push(`${message.location().url}: ${message.text()}`);
  });
  return all;
}

/** Waits until an expression is true in a page. The page's own policy may forbid what Playwright's way needs. */
export async function until(page: Page, expression: string, deadlineMs = 20_000): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!await page.evaluate(expression)) {
    if (performance.now() > deadline) throw new Error(`waited ${deadlineMs} ms for ${expression}`);
    await page.waitForTimeout(50);
  }
}
