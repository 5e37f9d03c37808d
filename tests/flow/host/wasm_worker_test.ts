// A WASM module in a real host: what its exports give comes back, its host functions wait for the gateway, and its memory
// ends where it was capped.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { capMemory } from "../../../src/program/wasm_module.ts";
import { buildWasm } from "../../extension/assembly_script.ts";
import { RawHost } from "./raw_host.ts";

async function started(memoryMb = 4): Promise<{ host: RawHost; slot: number }> {
  const capped = capMemory(await buildWasm("score.as"), memoryMb);
  assert.ok(typeof capped !== "string", String(capped));
  const host = new RawHost();
  const slot = host.spawn({
    kind: "wasm",
    path: "score.wasm",
    module: Buffer.from(capped).toString("base64"),
  });
  const ready = await host.next("ready", "failed", "gone", "unsafe");
  assert.deepEqual(ready, { kind: "ready", hooks: ["onMessage", "onIngress"], slot }, host.stderr.join("\n"));
  return { host, slot };
}

test("A module's reply and its actions come back, and a host function waits for the gateway's answer", async () => {
  const { host, slot } = await started();
  try {
    host.call(slot, 1, { type: "add" });
    host.call(slot, 2, { type: "echo" });
    const asked = await host.next("request");
    assert.deepEqual(asked?.request, { op: "kv.increment", key: "ann", by: 1 });
    assert.equal(asked.call, 1);
    host.call(slot, 3, { type: "log" });
    host.say(slot, { kind: "granted", id: asked.id, value: 7 });
    const published = await host.next("request");
    assert.deepEqual(published?.request, { op: "publish", room: "scores", type: "scored", data: 7 });
    assert.deepEqual(await host.next("result"), { kind: "result", id: 1, value: 7, slot });
    const echoed = await host.next("result");
    assert.equal(echoed?.id, 2, "what came meanwhile has its turn, in order");
    assert.equal((await host.next("log"))?.text, "said from wasm");
    assert.equal((await host.next("result"))?.id, 3);
  } finally {
    await host.stop();
  }
});

test("A refusal comes to a module as an error that it can read", async () => {
  const { host, slot } = await started();
  try {
    host.call(slot, 1, { type: "ask", url: "https://a.example/" });
    const asked = await host.next("request");
    assert.deepEqual(asked?.request, { op: "fetch", url: "https://a.example/" });
    host.say(slot, { kind: "refused", id: asked.id, code: "NOT_ALLOWED", msg: "not listed" });
    const result = await host.next("result");
    assert.deepEqual(result?.value, { error: { code: "NOT_ALLOWED", msg: "not listed" } });
  } finally {
    await host.stop();
  }
});

test("A module that traps is made anew, and its memory ends at memory_mb", async () => {
  const { host, slot } = await started(4);
  try {
    assert.equal((await host.asked(slot, { type: "trap" }))?.kind, "thrown");
    const grown = await host.asked(slot, { type: "grow" });
    assert.ok(
      grown?.kind === "result" && Number(grown.value) <= 64 && Number(grown.value) > 0,
      JSON.stringify(grown),
    );
    const again = await host.asked(slot, { type: "echo" });
    assert.equal(again?.kind, "result");
  } finally {
    await host.stop();
  }
});

test("A module that waits for the gateway is not busy; one that spins is, and can be ended", async () => {
  const { host, slot } = await started();
  try {
    host.bounds = { busyMs: 300, rssBytes: Infinity };
    host.call(slot, 1, { type: "ask", url: "https://a.example/" });
    const asked = await host.next("request");
    await new Promise((resolve) => setTimeout(resolve, 600)); // longer than it might be busy
    host.say(slot, { kind: "granted", id: asked!.id, value: { status: 200 } });
    assert.equal((await host.next("result"))?.kind, "result");
    host.call(slot, 2, { type: "spin" });
    assert.equal(await host.next("result"), null);
    assert.equal(host.killed, "cpu");
  } finally {
    await host.stop();
  }
});

test("A module runs ten thousand calls in a row", async () => {
  const { host, slot } = await started();
  try {
    for (let id = 1; id <= 10_000; id++) host.call(slot, id, { type: "echo" });
    for (let id = 1; id <= 10_000; id++) assert.equal((await host.next("result", "thrown"))?.id, id);
  } finally {
    await host.stop();
  }
});

test("A module links to what it is given, and to nothing that every object has", async () => {
  const text = (words: string) => [words.length, ...new TextEncoder().encode(words)];
  for (
    const [from, name] of [
      ...["constructor", "toString", "valueOf", "hasOwnProperty", "__defineGetter__", "isPrototypeOf"]
        .flatMap((name) => ["extism:host/user", "extism:host/env", "env"].map((from) => [from, name])),
      ["constructor", "assign"],
      ["__proto__", "toString"],
      ["toString", "call"],
    ] as [string, string][]
  ) {
    const imports = [1, ...text(from), ...text(name), 0, 0];
    const exports = [1, ...text("on_message"), 0, 0];
    const module = Uint8Array.of(
      ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      ...[1, 4, 1, 0x60, 0, 0],
      ...[2, imports.length, ...imports],
      ...[7, exports.length, ...exports],
    );
    // As if nobody had looked at it when it was read, which is the first thing that refuses it.
    const host = new RawHost();
    try {
      host.spawn({ kind: "wasm", path: "x.wasm", module: Buffer.from(module).toString("base64") });
      const told = await host.next("ready", "failed", "gone", "unsafe");
      assert.equal(told?.kind, "failed", `"${from}" "${name}": ${JSON.stringify(told)}`);
    } finally {
      await host.stop();
    }
  }
});
