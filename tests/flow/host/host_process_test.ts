// An extension host as a process: what it inherits, and when it ends. Caches are a runtime's own, of code that it has
// loaded.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { RawHost } from "./raw_host.ts";

async function started(): Promise<RawHost> {
  const host = new RawHost();
  const word = await host.next("hello", "unsafe");
  assert.equal(word?.kind, "hello", JSON.stringify(word) + host.stderr.join("\n"));
  return host;
}

/** What a process has, told by another program: Deno shows files of /proc to nobody who has less than every permission. */
function told(command: string): string[] {
  const { stdout } = spawnSync("sh", ["-c", command], { encoding: "utf8" });
  return stdout.split(/[\n\0]/).filter((line) => line !== "");
}

const LINUX = process.platform === "linux" ? {} : { skip: "only Linux has /proc" };

test(
  "A host has no file of its parent's but its three pipes, and nothing of its environment",
  LINUX,
  async () => {
    const host = await started();
    try {
      const { pid } = host.process;
      const open = told(`for fd in /proc/${pid}/fd/*; do readlink "$fd"; done`);
      const own =
        /^\/(proc\/\d+\/status|dev\/(u?random|null))$|\/(wsprism|bun\.exe|deno)$|\/deno\/[a-z0-9_]+_cache_v\d/;
      assert.deepEqual(open.filter((name) => name.startsWith("/") && !own.test(name)), [], open.join(" "));
      assert.ok(open.filter((name) => /^(socket|pipe):/.test(name)).length >= 3, open.join(" "));
      const environment = told(`cat /proc/${pid}/environ`);
      assert.deepEqual(environment.filter((line) => !line.startsWith("BUN_")), []);
    } finally {
      await host.stop();
    }
  },
);

test("A host ends when its stdin does, even while a worker spins", async () => {
  const host = await started();
  const slot = host.script("hostile/spin_loop.js");
  await host.next("ready");
  host.call(slot, 1, {});
  host.process.closeInput();
  assert.equal(await host.next("result"), null);
  assert.equal(host.ended, "it ended with 0");
});

test("A host that is told nonsense ends", async () => {
  const host = await started();
  host.process.write(Uint8Array.of(255, 255, 255, 255, 0, 0, 0, 0));
  assert.equal(await host.next("gone"), null);
  assert.equal(host.ended, "it ended with 0");
});

test("A worker is ended on request, and its neighbour goes on", async () => {
  const host = await started();
  try {
    const first = host.script("hostile/honest.js");
    await host.next("ready");
    const second = host.script("hostile/honest.js");
    await host.next("ready");
    host.end(first);
    assert.equal((await host.next("gone"))?.slot, 0);
    const answer = await host.asked(second, {});
    assert.ok(answer?.kind === "result" && answer.value === "honest");
    assert.equal(answer.slot, second);
  } finally {
    await host.stop();
  }
});
