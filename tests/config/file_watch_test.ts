// Files that change, however they do: seen once, when two looks agree.

import { strict as assert } from "node:assert";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FileWatch } from "../../src/config/file_watch.ts";

const folder = mkdtempSync(join(tmpdir(), "wsprism-watch-"));
after(() => rmSync(folder, { recursive: true }));

/** A watch that looks when told, and counts. */
class Watched {
  changes = 0;
  stopped = false;
  files: string[];
  readonly watch: FileWatch;

  constructor(...names: string[]) {
    this.files = names.map((name) => join(folder, name));
    this.watch = new FileWatch({
      files: () => this.files,
      every: () => () => this.stopped = true,
      changed: () => this.changes++,
    });
  }

  /** What so many looks tell. */
  async look(times: number): Promise<number> {
    const before = this.changes;
    for (let i = 0; i < times; i++) await this.watch.look();
    return this.changes - before;
  }
}

const write = (name: string, text: string) => writeFileSync(join(folder, name), text);

test("A change counts once two looks have seen the same, and once only", async () => {
  write("a", "1");
  const watched = new Watched("a");
  await watched.watch.start();
  assert.equal(await watched.look(3), 0);
  write("a", "22");
  assert.equal(await watched.look(1), 0);
  write("a", "333");
  assert.equal(await watched.look(1), 0, "it goes on changing");
  assert.equal(await watched.look(1), 1);
  assert.equal(await watched.look(3), 0);
  watched.watch.stop();
  assert.ok(watched.stopped);
});

test("A file that is renamed over it, a link that is turned, and a file that goes and comes are changes", async () => {
  write("b", "same");
  const watched = new Watched("b");
  await watched.watch.start();
  write("b.next", "same");
  renameSync(join(folder, "b.next"), join(folder, "b"));
  assert.equal(await watched.look(2), 1, "another file of the same length");
  for (const name of ["one", "two"]) {
    mkdirSync(join(folder, name));
    write(`${name}/b`, "same");
  }
  const turn = (to: string) => {
    symlinkSync(to, join(folder, "current.next"));
    renameSync(join(folder, "current.next"), join(folder, "current"));
  };
  turn("one");
  unlinkSync(join(folder, "b"));
  symlinkSync(join("current", "b"), join(folder, "b"));
  assert.equal(await watched.look(2), 1);
  turn("two");
  assert.equal(await watched.look(2), 1);
  unlinkSync(join(folder, "b"));
  assert.equal(await watched.look(2), 1);
  write("b", "back");
  assert.equal(await watched.look(2), 1);
});

test("Files that are named later begin with what they are, and those no more named are forgotten", async () => {
  write("c", "1");
  write("d", "1");
  const watched = new Watched("c");
  await watched.watch.start();
  watched.files.push(join(folder, "d"));
  assert.equal(await watched.look(3), 0);
  write("d", "22");
  assert.equal(await watched.look(2), 1);
  watched.files.pop();
  assert.equal(await watched.look(1), 0);
  write("d", "333");
  assert.equal(await watched.look(3), 0);
});

test("Of many files each has its turn, and the first one every time", async () => {
  const names = Array.from({ length: 200 }, (_, i) => `many-${i}`);
  for (const name of names) write(name, "1");
  const watched = new Watched(...names);
  // Each of them is looked at within four looks.
  assert.equal(await watched.look(4), 0);
  write("many-199", "22");
  assert.equal(await watched.look(8), 1);
  write("many-0", "22");
  assert.equal(await watched.look(2), 1);
});

test("Several changes that a look settles are told once", async () => {
  for (const name of ["e", "f"]) write(name, "1");
  const watched = new Watched("e", "f");
  await watched.watch.start();
  for (const name of ["e", "f"]) write(name, "22");
  assert.equal(await watched.look(3), 1);
});
