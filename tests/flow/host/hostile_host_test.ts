// The hostile corpus: one file per attack in hostile/, each with its expected end in its second line, run in a real host of
// the target behind all walls. What spins or swells is ended by this process, as a gateway ends it.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { prepareScript } from "../../../src/program/source.ts";
import { RawHost } from "./raw_host.ts";

const FOLDER = fileURLToPath(new URL("../../extension/hostile/", import.meta.url));
const MEBIBYTE = 1_048_576;
/**
 * What a host with one extension of 64 MiB may have, and what it may be over it when it is ended: on a machine that is busy,
 * who looks at it looks late. The hard bounds of the system are tried by walls_test.ts.
 */
const RSS_BYTES = 192 * MEBIBYTE;
const OVER_BYTES = 832 * MEBIBYTE;
/** Longer than a gateway would wait, and much longer where nothing is to spin, for the machine may be busy. */
const BUSY_MS = { killed: 600, otherwise: 10_000 };

interface Attack {
  readonly file: string;
  readonly why: string;
  readonly end: string;
  /** What is said of the end: a pattern, or JSON. */
  readonly detail: string;
}

const ATTACKS: readonly Attack[] = readdirSync(FOLDER).sort().flatMap((file) => {
  const [why, expect] = readFileSync(join(FOLDER, file), "utf8").split("\n");
  const found = /^\/\/ expect: (\w+) ?(.*)$/.exec(expect ?? "");
  if (found === null) return [];
  return [{ file, why: why!.slice(3), end: found[1]!, detail: found[2]! }];
});

test("Every file of the corpus says how it ends, but for the one that they share", () => {
  const others = readdirSync(FOLDER).filter((file) => !ATTACKS.some((attack) => attack.file === file));
  assert.deepEqual(others, ["tried.js"]);
  assert.ok(ATTACKS.length > 80, String(ATTACKS.length));
});

for (const { file, why, end, detail } of ATTACKS) {
  if (end === "flow") continue; // they need a gateway: tests/flow
  test(`${file}: ${why}`, async () => {
    const prepared = prepareScript({ root: FOLDER, file });
    if (end === "refused") {
      assert.ok(!prepared.ok, "it was not refused");
      assert.ok(prepared.msg.includes(detail), prepared.msg);
      return;
    }
    assert.ok(prepared.ok, JSON.stringify(prepared));
    const host = new RawHost();
    try {
      host.bounds = {
        busyMs: end === "killed" || end === "bounded" ? BUSY_MS.killed : BUSY_MS.otherwise,
        rssBytes: file.startsWith("big_") ? 1024 * MEBIBYTE : RSS_BYTES,
      };
      const slot = host.spawn(prepared.program, { options: { mode: "x" } });
      const loaded = await host.next("ready", "failed", "gone", "unsafe");
      if (end === "failed") {
        assert.equal(loaded?.kind, "failed");
        assert.ok(loaded?.kind === "failed" && loaded.error.includes(detail), JSON.stringify(loaded));
        return;
      }
      if (loaded !== null) {
        assert.equal(loaded.kind, "ready", JSON.stringify(loaded));
        host.call(slot, 1, { type: "go", data: null });
      }
      const word = await host.next("result", "thrown", "gone");
      if (end === "bounded") {
        // An error on one engine, and on another time that it does not have.
        assert.ok(word === null ? host.killed === "cpu" : word.kind === "thrown", JSON.stringify(word));
        return;
      }
      if (end === "killed") {
        assert.equal(word, null, JSON.stringify(word));
        assert.ok(host.killed !== null || file.startsWith("memory_"), `it ended by itself: ${host.ended}`);
        assert.ok(host.rssBytes < RSS_BYTES + OVER_BYTES, `${Math.round(host.rssBytes / MEBIBYTE)} MiB`);
        return;
      }
      assert.ok(
        word !== null && word.kind !== "gone",
        `${host.ended} ${JSON.stringify(word)} ${host.stderr}`,
      );
      if (end === "thrown") {
        assert.ok(word.kind === "thrown" && word.error.includes(detail), JSON.stringify(word));
        assert.equal(word.code, undefined, "it is not meant for the client");
      } else {
        const value = word.kind === "result" ? word.value : word;
        assert.deepEqual(JSON.stringify(value), end === "held" ? '{"got":[]}' : detail);
      }
      // The worker lives on, and says one thing a call.
      host.call(slot, 2, { type: "again", data: null });
      if (file !== "never.js") assert.equal((await host.next("result", "thrown"))?.id, 2);
    } finally {
      await host.stop();
    }
  });
}

test("A link that leads outside of the configuration file's folder is refused, one within it is followed", () => {
  const folder = mkdtempSync(join(tmpdir(), "wsprism-links-"));
  try {
    writeFileSync(join(folder, "inside.ts"), "export const a: number = 1;\n");
    symlinkSync("/etc/passwd", join(folder, "out.ts"));
    symlinkSync("/etc", join(folder, "etc"));
    symlinkSync(join(folder, "inside.ts"), join(folder, "in.ts"));
    const prepare = (specifier: string) => {
      writeFileSync(join(folder, "main.ts"), `import "${specifier}";\nexport default {};\n`);
      return prepareScript({ root: folder, file: "main.ts" });
    };
    assert.ok(prepare("./in.ts").ok);
    for (const specifier of ["./out.ts", "./etc/passwd", "./etc/hostname.ts"]) {
      const refused = prepare(specifier);
      assert.ok(!refused.ok, specifier);
      assert.deepEqual([refused.path, refused.line], ["main.ts", 1]);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("The maker of fetched answers is out of reach, by way of an answer too", async () => {
  const host = new RawHost();
  try {
    const slot = host.script("hostile/answer_maker.js");
    assert.equal((await host.next("ready", "failed"))?.kind, "ready");
    host.call(slot, 1, { type: "go", data: null });
    const asked = await host.next("request");
    assert.equal(asked?.request.op, "fetch");
    host.say(slot, {
      kind: "granted",
      id: asked.id,
      value: { status: 200, headers: { a: "b" }, base64: "/w==" },
    });
    const told = await host.next("result", "thrown");
    assert.deepEqual(told?.kind === "result" ? told.value : told, { got: [] });
  } finally {
    await host.stop();
  }
});

const LINE_ENDS = ["\n", "\r", "\r\n", "\u2028", "\u2029"];

test("A file's name never becomes code: it is refused at load, and means nothing in a host that is given it", async () => {
  for (const end of LINE_ENDS) {
    const folder = mkdtempSync(join(tmpdir(), "wsprism-names-"));
    const name = `x${end};globalThis.leaked=import.defer("bun:jsc");var f=function(e){e.leak=1};f.js=f;f.js`;
    const host = new RawHost();
    try {
      writeFileSync(join(folder, name), "export const leak = 0;\n");
      writeFileSync(
        join(folder, "evil.js"),
        `import { leak } from ${JSON.stringify(`./${name}`)};\nexport default {};\n`,
      );
      for (const file of ["evil.js", name]) {
        const refused = prepareScript({ root: folder, file });
        assert.ok(!refused.ok, JSON.stringify(name));
        assert.match(refused.msg, /control character|line end|name/, refused.msg);
        assert.doesNotMatch(refused.msg, /[\r\n\u2028\u2029]/, "told in one line");
      }
      // Had it got that far, the name stands in no text that an engine reads.
      writeFileSync(
        join(folder, "plain.js"),
        "export default { onMessage: () => [typeof leaked, typeof f, new Error('x').stack?.includes('defer') ?? false] };\n",
      );
      const good = prepareScript({ root: folder, file: "plain.js" });
      assert.ok(good.ok && good.program.kind === "script", JSON.stringify(good));
      const [module] = good.program.modules;
      const slot = host.spawn({ ...good.program, entry: name, modules: [{ ...module!, path: name }] });
      const ready = await host.next("ready", "failed");
      assert.equal(ready?.kind, "ready", JSON.stringify(ready));
      const told = await host.asked(slot, { type: "go", data: null });
      assert.deepEqual(told?.kind === "result" ? told.value : told, ["undefined", "undefined", false]);
    } finally {
      await host.stop();
      rmSync(folder, { recursive: true });
    }
  }
});
