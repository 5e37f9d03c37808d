// The hostile corpus: one file per attack in hostile/, each with its expected end in its second line, run in a real host of
// the target behind all walls. What spins or swells is ended by this process, as a gateway ends it.

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { prepareScript } from "../../../src/extension/source.ts";
import { RawHost } from "./raw_host.ts";

const FOLDER = fileURLToPath(new URL("../../extension/hostile/", import.meta.url));
const MEBIBYTE = 1_048_576;
/**
 * What a host with one extension of 64 MiB may have, and what it may be over it when it is ended: on a machine that is busy,
 * who looks at it looks late. The hard bounds of the system are tried by walls_test.ts.
 */
const RSS_BYTES = 192 * MEBIBYTE;
const OVER_BYTES = 320 * MEBIBYTE;
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
