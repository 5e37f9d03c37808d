// A state on a disk of four megabytes that fills up while the gateway runs: it says so on both listeners, serves on, lets
// the others in, and is well again when there is room. Needs to mount a disk (root, Linux); elsewhere it is left out.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Admin, adminConfig } from "./admin_client.ts";
import { Client } from "./client.ts";
import { Folder, GatewayProcess, until } from "./gateway_process.ts";

/** A small disk at a folder; null where none can be had. */
function smallDisk(path: string): Disposable | null {
  mkdirSync(path);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", path], { stdio: "ignore" });
  } catch {
    return null;
  }
  return { [Symbol.dispose]: () => void execFileSync("umount", ["-l", path], { stdio: "ignore" }) };
}

/** Fills what is left of a disk. */
function fill(file: string): void {
  const piece = new Uint8Array(65_536);
  for (let size = piece.length; size > 0;) {
    try {
      writeFileSync(file, piece.subarray(0, size), { flag: "a" });
    } catch {
      size >>= 1;
    }
  }
}

test("A disk that is full makes the gateway degraded on both listeners, and no worse", async (t) => {
  using folder = new Folder();
  using disk = smallDisk(join(folder.path, "disk"));
  if (disk === null) return t.skip("no disk can be mounted here");
  const state_dir = join(folder.path, "disk", "state");
  await using gateway = await GatewayProcess.start({
    gateway: { drain_grace_ms: 0, state_dir },
    admin: adminConfig({ root: { tenants: ["*"], permissions: ["read", "disconnect"] } }),
    tenants: [{ id: "acme", policy: { ext_allowlist: ["*:*"] } }, {
      id: "other",
      policy: { ext_allowlist: ["*:*"] },
    }],
  }, { mayComplain: true, keeps: state_dir });
  const admin = await Admin.of(gateway, "root");
  const ready = async () => {
    const pages = await Promise.all([
      fetch(`http://127.0.0.1:${gateway.port}/readyz`),
      admin.ask("GET", "/readyz"),
    ]);
    return [pages[0].status, await pages[0].text(), pages[1].status, pages[1].text];
  };
  assert.deepEqual(await ready(), [200, "ready", 200, "ready"]);
  await admin.good("POST", "/v1/tenants/acme/users/first/ban");

  const filler = join(folder.path, "disk", "filler");
  fill(filler);
  // Bans hold in memory, and whoever decides is told that they are not written.
  let told = 200;
  for (let i = 0; told === 200 && i < 2000; i++) {
    told = (await admin.ask("POST", `/v1/tenants/acme/users/${"x".repeat(100)}-${i}/ban`)).status;
  }
  assert.equal(told, 503);
  assert.deepEqual(await ready(), [200, "degraded", 200, "degraded"]);
  const client = await Client.open(gateway, { tenant: "other" });
  client.send({ svc: "sys", type: "ping", seq: 1 });
  await client.next("sys.pong");

  rmSync(filler);
  await until("room to be noticed", async () => (await ready())[1] === "ready" ? true : null, 30_000);
  assert.deepEqual(await ready(), [200, "ready", 200, "ready"]);
  const { bans } = await admin.good("GET", "/v1/tenants/acme/bans?limit=1000");
  assert.ok(bans.length > 1, "what was decided meanwhile holds");
  await client.close();
  await gateway.stop();
});
