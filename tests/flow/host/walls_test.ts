// With wall 1 down: scripts run in a real host of the target without a compartment, and do what they like. The runtime's
// permissions, Landlock and seccomp hold by themselves, and time and memory end by SIGKILL. On Bun and in an executable
// this needs Linux.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { RawHost, TARGET } from "./raw_host.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const MEBIBYTE = 1_048_576;
const RSS_BYTES = 192 * MEBIBYTE;
/**
 * What the system lets a host have beyond what it began with (src/extension/confine.ts): twice its 64 MiB, and 1 GiB for stacks. On a
 * machine that is busy, who looks at it looks late.
 */
const OVER_BYTES = (2 * 64 + 1024) * MEBIBYTE;
const SECRET = "a text that nobody may read";

const outside = mkdtempSync(join(tmpdir(), "wsprism-walls-"));
const secret = join(outside, "secret.mjs");
writeFileSync(secret, `export default "${SECRET}";\n`);
const accepted: string[] = [];
const server = createServer((socket) => {
  accepted.push("a connection");
  socket.destroy();
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const { port } = server.address() as { port: number };
const before = statSync(secret);
const start = TARGET === "executable" ? built() : `${ROOT}tests/extension/unwalled_start.ts`;
after(() => {
  server.close();
  rmSync(outside, { recursive: true });
});

/** An executable of its own: the one that is shipped has nothing of this. */
function built(): string {
  const file = join(outside, "unwalled");
  const entries = [`${ROOT}tests/extension/unwalled_start.ts`, `${ROOT}tests/extension/unwalled_worker.ts`];
  const flags = [
    "build",
    "--compile",
    "--minify",
    "--bytecode",
    "--format=esm",
    "--root",
    ROOT,
    "--outfile",
    file,
  ];
  execFileSync(`${ROOT}node_modules/bun/bin/bun.exe`, [...flags, ...entries], { stdio: "ignore" });
  return file;
}

for (const name of readdirSync(`${ROOT}tests/extension/walls`).sort()) {
  const [why, expect] = readFileSync(`${ROOT}tests/extension/walls/${name}`, "utf8").split("\n");
  test(`walls/${name}: ${why!.slice(3)}`, async () => {
    const host = new RawHost({ start });
    try {
      const hello = await host.next("hello", "unsafe");
      assert.ok(hello?.kind === "hello", JSON.stringify(hello) + host.stderr.join("\n"));
      const slot = host.script(`walls/${name}`);
      const ready = await host.next("ready", "failed", "gone");
      assert.equal(ready?.kind, "ready", JSON.stringify(ready) + host.stderr.join("\n"));
      if (expect === "// expect: killed") {
        host.bounds = { busyMs: 600, rssBytes: RSS_BYTES };
        assert.equal(await host.asked(slot, {}), null);
        assert.ok(host.killed !== null || name.includes("memory"), host.ended ?? "");
        assert.ok(host.rssBytes < RSS_BYTES + OVER_BYTES, `${Math.round(host.rssBytes / MEBIBYTE)} MiB`);
        return;
      }
      const word = await host.asked(slot, {
        data: { outside, secret, port, fromSource: TARGET !== "executable" },
      });
      assert.ok(word?.kind === "result", `${JSON.stringify(word)} ${host.ended} ${host.stderr.join("\n")}`);
      assert.deepEqual(word.value, { got: [] });
    } finally {
      await host.stop();
    }
    assert.deepEqual(accepted, []);
    assert.ok(!existsSync("/tmp/wsprism-made.sock"));
    assert.deepEqual(readdirSync(outside).filter((file) => file !== "unwalled"), ["secret.mjs"]);
    const { size, mode, uid } = statSync(secret);
    assert.deepEqual({ size, mode, uid }, { size: before.size, mode: before.mode, uid: before.uid });
  });
}

test("Without the walls the same attempts succeed, so that the tests above can fail", async () => {
  const { default: files } = await import("../../extension/walls/files.js");
  const { createRequire } = await import("node:module");
  const unwalled = { builtin: createRequire(import.meta.url), load: (url: string) => import(url), process };
  Object.assign(globalThis, { unwalled });
  const { got } = await files.onMessage({ data: { outside: join(outside, "nowhere"), secret } });
  assert.ok(got.includes("read") && got.includes("readAsync") && got.includes("list"), got.join(" "));
});
