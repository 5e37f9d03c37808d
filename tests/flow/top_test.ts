// `wsprism top` against a running gateway.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";
import { after, test } from "node:test";
import { adminConfig } from "./admin_client.ts";
import { Client } from "./client.ts";
import { commandOf, Folder, GatewayProcess, wsprism } from "./gateway_process.ts";

const folder = new Folder();
after(() => folder[Symbol.dispose]());
const gateway = await GatewayProcess.start({
  gateway: { drain_grace_ms: 0 },
  admin: adminConfig({
    root: { tenants: ["*"], permissions: ["read"] },
    other: { tenants: ["other"], permissions: ["read"] },
    ender: { tenants: ["*"], permissions: ["disconnect"] },
  }),
  tenants: [{ id: "acme" }, { id: "other" }],
});
after(() => gateway.kill());
const url = `http://127.0.0.1:${(await gateway.logged("admin listening"))["port"]}`;
const envOf = (key: string) => ({ WSPRISM_ADMIN_KEY: `${key}-secret-0123456789-0123456789` });

const top = (key: string, ...args: string[]) =>
  wsprism(["top", "--url", url, "--interval", "1", ...args], { folder: folder.path, env: envOf(key) });

test("top shows each tenant that its key sees, and to a key for all tenants the process", async () => {
  const client = await Client.open(gateway);
  const all = await top("root");
  assert.deepEqual([all.code, all.stderr], [0, ""]);
  assert.match(
    all.stdout,
    /^2 tenants, 1 session, loop \d+\.\d ms late, memory \d+k?MB, waits for sockets \d+B\n/,
  );
  assert.match(all.stdout, /\nacme +1 +0 /);
  assert.match(all.stdout, /\nother +0 +0 /);
  const one = await top("other");
  assert.match(one.stdout, /^1 tenant, 0 sessions\n/);
  assert.ok(!one.stdout.includes("acme"));
  await client.close();
});

test("top says why it cannot, and ends with the code for it", async () => {
  const denied = await top("ender");
  assert.equal(denied.code, 4);
  assert.match(denied.stderr, /403: key has no permission "read"/);
  assert.equal((await top("nobody")).code, 4);
  assert.equal((await top("root", "--interval", "0")).code, 2);
  const gone = await wsprism(["top", "--url", "http://127.0.0.1:1"], {
    folder: folder.path,
    env: envOf("root"),
  });
  assert.equal(gone.code, 1);
  assert.match(gone.stderr, /Cannot reach the admin API/);
});

test("top goes on on a terminal until Ctrl-C, and leaves the screen as it was", {
  skip: !existsSync("/usr/bin/script"),
}, async () => {
  const line = [...commandOf(folder.path), "top", "--url", url, "--interval", "1"].map((word) => `'${word}'`)
    .join(" ");
  const child = spawn("script", ["-qec", `exec ${line}`, "/dev/null"], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, ...envOf("root") },
  });
  let out = "", typed = false;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
    if (typed || out.split("Ctrl-C ends").length < 3) return;
    typed = true;
    child.stdin.write("\x03");
  });
  const code = await new Promise((resolve) => child.once("close", resolve));
  assert.equal(code, 0, out);
  assert.ok(out.includes("\x1b[?1049h") && out.trimEnd().endsWith("\x1b[?1049l"));
  assert.match(out, /\nother +0 +0 /);
});
