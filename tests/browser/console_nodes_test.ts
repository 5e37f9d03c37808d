// A node of a cluster leaves, and the operator who looks at the console sees which one.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { Admin, adminConfig } from "../flow/admin_client.ts";
import { acquainted, startNode } from "../flow/cluster_nodes.ts";
import { WITHOUT_NATS } from "../nats/find.ts";
import { NatsServer } from "../nats/server.ts";
import { complaints, startChromium } from "./chromium.ts";

const CONFIG = { tenants: [{ id: "acme" }] };
const ADMIN = {
  ...CONFIG,
  admin: { ...adminConfig({ root: { tenants: ["*"], permissions: ["read"] } }), console: true },
};

test("See a node leave", { skip: WITHOUT_NATS }, async () => {
  await using nats = await NatsServer.start();
  await using one = await startNode(nats, ADMIN, { name: "one" });
  const two = await startNode(nats, CONFIG, { name: "two" });
  await acquainted(one, two);
  const browser = await startChromium();
  const page = await browser.newPage();
  const complained = complaints(page);
  await page.goto(`${(await Admin.of(one, "root")).origin}/console`);
  await page.getByLabel("Secret of an admin key").fill("root-secret-0123456789-0123456789");
  await page.getByRole("button", { name: "Enter" }).click();
  const nodes = page.getByRole("region", { name: "Nodes" });
  await nodes.getByRole("row").filter({ hasText: "two" }).waitFor();
  await two.kill();
  await page.getByText(/Node two has left at/).waitFor();
  assert.equal(await nodes.getByRole("row").filter({ hasText: "two" }).count(), 0);
  const pictures = process.env["WSPRISM_PICTURES"];
  if (pictures !== undefined) {
    mkdirSync(pictures, { recursive: true });
    await page.getByText(/Node two has left at/).scrollIntoViewIfNeeded();
    await page.screenshot({ path: `${pictures}/console-node-left.png` });
  }
  assert.deepEqual(complained, []);
});
