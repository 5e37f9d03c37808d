// A real browser that opens one page and tells what the page found out. No driver is needed: the page posts its
// report to the server that it came from.

import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { within } from "../raw_client.ts";
import { findBrowser, PLACES } from "./find.ts";

/** A browser may take long for its first page. */
const PAGE_MS = 60_000;

function browser(): string {
  const found = findBrowser();
  if (found !== null) return found;
  throw new Error(
    "These tests need Chromium (Debian: apt-get install -y chromium). WSPRISM_BROWSER may name it; it is in none of " +
      PLACES.join(", "),
  );
}

/** What a page of the tests posts. */
export type Report = Readonly<Record<string, unknown>>;

/**
 * Runs a script as a module in a page of an origin of its own.
 * @param script written when the page is asked for; it has `report(value)`, to be called once, and top-level await
 * @returns what it reported
 */
export async function inBrowser(script: () => string | Promise<string>): Promise<Report> {
  let report: (value: Report) => void;
  const reported = new Promise<Report>((resolve) => report = resolve);
  const page = createServer(async (request: IncomingMessage, response: ServerResponse) => {
    if (request.method !== "POST") {
      response.setHeader("content-type", "text/html; charset=utf-8");
      response.end(`<!doctype html><title>test</title><script type="module">
        const report = (value) => fetch("/report", { method: "POST", body: JSON.stringify(value) });
        try { ${await script()} } catch (error) { report({ error: String(error) }); }
      </script>`);
      return;
    }
    const chunks: Uint8Array[] = [];
    request.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    request.on("end", () => {
      response.end();
      report(JSON.parse(new TextDecoder().decode(Buffer.concat(chunks))));
    });
  });
  await new Promise<void>((resolve) => page.listen(0, "127.0.0.1", resolve));
  const { port } = page.address() as AddressInfo;
  const profile = mkdtempSync(join(tmpdir(), "wsprism-browser-"));
  const child = spawn(browser(), [
    "--headless=new",
    "--no-sandbox", // the tests may run as root, where Chromium has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    `--user-data-dir=${profile}`,
    `http://127.0.0.1:${port}/`,
  ], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on(
    "data",
    (chunk: Uint8Array) => said = (said + new TextDecoder().decode(chunk)).slice(-2000),
  );
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  try {
    const early = ended.then(() => {
      throw new Error(`the browser ended without a report: ${said}`);
    });
    return await within(Promise.race([reported, early]), "the page's report", PAGE_MS);
  } finally {
    child.kill("SIGKILL");
    await ended;
    page.close();
    page.closeAllConnections();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}
