// The example application, as its readers start it: the gateway, its backend in Node, and two people in a browser.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { after, test } from "node:test";
import { freePort } from "../deploy_files.ts";
import { GatewayProcess, ROOT } from "../flow/gateway_process.ts";
import { within } from "../raw_client.ts";
import { complaints, startChromium } from "./chromium.ts";

const WSPRISM_CHAT_SECRET = "0123456789-abcdefghijklmnopqrstuv";
const EXAMPLE = `${ROOT}/config/examples/chat`;

test("Two people enter the example's chat by their names, talk, and see each other come and go", async () => {
  const port = await freePort();
  const config = readFileSync(`${EXAMPLE}/wsprism.yaml`, "utf8")
    .replace("127.0.0.1:8080", "127.0.0.1:0").replaceAll("8090", String(port));
  await using gateway = await GatewayProcess.startText(config, { dev: false, env: { WSPRISM_CHAT_SECRET } });
  const env = {
    ...process.env,
    WSPRISM_CHAT_SECRET,
    WSPRISM_GATEWAY: `ws://127.0.0.1:${gateway.port}`,
    CHAT_PORT: String(port),
  };
  const server = spawn("node", [`${EXAMPLE}/server.mjs`], { env, stdio: ["ignore", "pipe", "inherit"] });
  after(() => server.kill("SIGKILL"));
  const address = await within(
    new Promise<string>((resolve) =>
      server.stdout.once(
        "data",
        (line: Uint8Array) => resolve(/http\S+/.exec(new TextDecoder().decode(line))![0]),
      )
    ),
    "the example's backend",
  );
  const browser = await startChromium();
  const people = [];
  for (const name of ["ann", "zoe"]) {
    const page = await browser.newPage();
    const complained = complaints(page);
    await page.goto(address);
    await page.locator("#name").fill(name);
    await page.locator("#login button").click();
    await page.locator("#members", { hasText: name }).waitFor();
    people.push({ page, complained });
  }
  const [ann, zoe] = people;
  await ann!.page.locator("#messages .news", { hasText: "zoe has come" }).waitFor();
  await ann!.page.locator("#text").fill("hello");
  await ann!.page.locator("#say button").click();
  for (const { page } of people) {
    assert.equal(await page.locator("#messages li", { hasText: "hello" }).textContent(), "annhello");
  }
  await zoe!.page.close();
  await ann!.page.locator("#messages .news", { hasText: "zoe has left" }).waitFor();
  const complained = people.flatMap((one) => one.complained).filter((line) => !line.includes("favicon"));
  assert.deepEqual(complained, []);
});
