// The tables of the state: in memory, on a thread, and on disk, where they are there again after a restart.

import { strict as assert } from "node:assert";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import process from "node:process";
import { test } from "node:test";
import fc from "fast-check";
import { inlineChannel, type StateListener, workerChannel } from "../../src/state/state_channel.ts";
import { StateStore } from "../../src/state/state_store.ts";
import type { Log } from "../../src/log.ts";
import type { Table } from "../../src/state/table.ts";

const folders: string[] = [];
process.on("exit", () => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "wsprism-state-"));
  folders.push(folder);
  return folder;
}

const AMPLE = { maxBytes: 1e9, tenantMaxBytes: 1e9 };
const logged: string[] = [];
const note = (message: string) => void logged.push(message);
const log: Log = { debug: note, info: note, warn: note, error: note };

/** How a state may be opened; a folder is reopened in between. */
const WAYS: Readonly<Record<string, () => { open(): StateStore; lasts: boolean }>> = {
  "in memory": () => ({
    open: () => new StateStore({ open: (listener) => inlineChannel(AMPLE, listener), log }),
    lasts: false,
  }),
  "in memory, on a thread": () => ({
    open: () =>
      new StateStore({ open: (listener) => workerChannel({ folder: null, bounds: AMPLE }, listener), log }),
    lasts: false,
  }),
  "on disk": () => {
    const folder = newFolder();
    return {
      open: () =>
        new StateStore({ open: (listener) => workerChannel({ folder, bounds: AMPLE }, listener), log }),
      lasts: true,
    };
  },
};

const BIG = { maxBytes: 1_000_000 };
const row = (key: string, value: string, expiresMs: number | null = null) => ({ key, value, expiresMs });

for (const [way, make] of Object.entries(WAYS)) {
  test(`${way}: rows are put, read, listed in the order of their keys, and deleted`, async () => {
    const { open, lasts } = make();
    let store = open();
    await store.ready;
    let table = store.table("t", BIG);
    assert.equal(await table.get("a"), null);
    for (const key of ["b", "a:2", "a:1", "a:3", "ä"]) {
      assert.equal(await table.put(row(key, `of ${key}`)), true);
    }
    await table.put(row("b", "again"));
    await store.table("other", BIG).put(row("a:1", "elsewhere"));
    if (lasts) {
      await store.close();
      store = open();
      table = store.table("t", BIG);
    }
    assert.deepEqual(await table.get("b"), row("b", "again"));
    const list = async (range: object) =>
      (await table.list({ prefix: "", after: "", limit: 10, ...range })).map(({ key }) => key);
    assert.deepEqual(await list({}), ["a:1", "a:2", "a:3", "b", "ä"]);
    assert.deepEqual(await list({ prefix: "a:" }), ["a:1", "a:2", "a:3"]);
    assert.deepEqual(await list({ prefix: "a:", after: "a:1", limit: 1 }), ["a:2"]);
    assert.deepEqual([await table.delete("a:2"), await table.delete("a:2")], [true, false]);
    assert.deepEqual(await list({ prefix: "a" }), ["a:1", "a:3"]);
    await store.close();
  });

  test(`${way}: a row goes when it expires, a number is added to, and a full table takes nothing more`, async () => {
    const store = make().open();
    const table = store.table("t", { maxBytes: 20 });
    await table.put(row("gone", "x", Date.now() - 1));
    await table.put(row("stays", "x", Date.now() + 60_000));
    assert.deepEqual([await table.get("gone"), (await table.get("stays"))?.value], [null, "x"]);
    assert.equal((await table.list({ prefix: "", after: "", limit: 9 })).length, 1);
    await table.delete("stays");
    await table.delete("gone");
    assert.deepEqual(
      [
        await table.increment("n", 2, null),
        await table.increment("n", -5, null),
        await table.increment("n", 0.5, null),
      ],
      [2, -3, -2.5],
    );
    await table.put(row("n", "no number"));
    assert.equal(await table.increment("n", 1, null), null);
    assert.equal(await table.put(row("ä", "8 or more")), false, "9 + 10 + 2 bytes");
    assert.equal(await table.put(row("m", "8 or more")), true);
    assert.equal(await table.put(row("m", "9 or more!")), false);
    assert.equal((await table.get("m"))?.value, "8 or more");
    assert.equal(await store.table("other", { maxBytes: 20 }).put(row("m", "others have room")), true);
    await store.close();
    await assert.rejects(table.get("m"), /Cannot use the state: it is closed/);
  });
}

test("Whatever is done to a table, it is as a map with a bound is", async () => {
  const key = fc.constantFrom("a", "ab", "b", "ß");
  const value = fc.string({ maxLength: 12 });
  const op = fc.oneof(
    fc.record({ op: fc.constant("put" as const), key, value }),
    fc.record({ op: fc.constant("delete" as const), key }),
    fc.record({ op: fc.constant("get" as const), key }),
    fc.record({ op: fc.constant("increment" as const), key, by: fc.integer({ min: -9, max: 9 }) }),
  );
  const store = new StateStore({ open: (listener) => inlineChannel(AMPLE, listener), log });
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(op, { maxLength: 30 }), async (ops) => {
      const table: Table = store.table(`run ${++run}`, { maxBytes: 30 });
      const model = new Map<string, string>();
      const bytes = (text: string) => new TextEncoder().encode(text).length;
      const fits = (name: string, text: string) => {
        let sum = bytes(name) + bytes(text);
        for (const [other, its] of model) if (other !== name) sum += bytes(other) + bytes(its);
        return sum <= 30;
      };
      for (const step of ops) {
        if (step.op === "put") {
          const taken = fits(step.key, step.value);
          assert.equal(await table.put(row(step.key, step.value)), taken);
          if (taken) model.set(step.key, step.value);
        } else if (step.op === "delete") {
          assert.equal(await table.delete(step.key), model.delete(step.key));
        } else if (step.op === "get") {
          assert.equal((await table.get(step.key))?.value, model.get(step.key));
        } else {
          const sum = Number(model.get(step.key) ?? "0") + step.by;
          const good = Number.isFinite(sum) && fits(step.key, String(sum));
          assert.equal(await table.increment(step.key, step.by, null), good ? sum : null);
          if (good) model.set(step.key, String(sum));
        }
      }
      const rows = await table.list({ prefix: "", after: "", limit: 100 });
      assert.deepEqual(new Map(rows.map(({ key, value }) => [key, value])), model);
    }),
    { numRuns: 60 },
  );
  await store.close();
});

test("A state in use, one of a later version, and one that is no database are each refused in one line", async () => {
  const folder = newFolder();
  const open = (where: string) =>
    new StateStore({ open: (listener) => workerChannel({ folder: where, bounds: AMPLE }, listener), log });
  const first = open(folder);
  await first.ready;
  const second = open(folder);
  await assert.rejects(second.ready, /^Error: Cannot open the state in ".*": another gateway uses it$/);
  await assert.rejects(second.table("t", BIG).get("a"), /Cannot use the state/);
  await second.close();
  await first.close();
  const third = open(folder);
  await third.ready;
  await third.close();
  const broken = newFolder();
  writeFileSync(
    join(broken, "wsprism.db"),
    "this is no database, but long enough to be looked at by something\n".repeat(99),
  );
  await assert.rejects(open(broken).ready, /^Error: Cannot open the state in ".*": .*not a database/);
  await assert.rejects(open(join(broken, "wsprism.db")).ready, /^Error: Cannot open the state in/);
  const later = newFolder();
  const db = new DatabaseSync(join(later, "wsprism.db"));
  db.exec("PRAGMA user_version = 99");
  db.close();
  await assert.rejects(open(later).ready, /: it was written by a newer version \(99, this one knows 3\)$/);
});

test("What is told comes before what is asked after it, and one write serves many", async () => {
  const folder = newFolder();
  const store = new StateStore({
    open: (listener) => workerChannel({ folder, bounds: AMPLE }, listener),
    log,
  });
  await store.ready;
  for (let i = 0; i < 1000; i++) {
    store.tell({ name: "opened", tenant: "acme", session: `s${i}`, info: "{}" });
    if (i % 2 === 0) store.tell({ name: "closed", tenant: "acme", session: `s${i}` });
  }
  assert.equal(await store.committed(), true);
  assert.equal((await store.ask({ name: "lost" })).length, 500);
  store.tell({ name: "closed", tenant: "acme", session: "s1" });
  await store.close();
  const again = new StateStore({
    open: (listener) => workerChannel({ folder, bounds: AMPLE }, listener),
    log,
  });
  assert.equal((await again.ask({ name: "lost" })).length, 499, "what was told last is written at the close");
  await again.close();
});

/** A state that was in use: its folder, closed. */
async function used(): Promise<string> {
  const folder = newFolder();
  const store = new StateStore({
    open: (listener) => workerChannel({ folder, bounds: AMPLE }, listener),
    log,
  });
  await store.table("bans:acme", BIG).put(row('"ann"', '{"by":"admin"}'));
  for (let i = 0; i < 200; i++) await store.table("t", BIG).put(row(`k${i}`, "v".repeat(200)));
  await store.close();
  return folder;
}

const DAMAGES: Readonly<Record<string, { do(folder: string): void; why: RegExp }>> = {
  "a table that is gone": {
    do: (folder) => sql(folder, "DROP TABLE kv"),
    why: /it is damaged: its table "kv" is not as it should be$/,
  },
  "a table with other columns": {
    do: (folder) => sql(folder, "DROP TABLE events; CREATE TABLE events (x)"),
    why: /it is damaged: its table "events" is not as it should be$/,
  },
  "pages that were overwritten": {
    do: (folder) => {
      const path = join(folder, "wsprism.db");
      const bytes = readFileSync(path);
      writeFileSync(path, bytes.fill(0xaa, 4096));
    },
    why: /damaged|malformed/,
  },
  "a file that is empty now": {
    do: (folder) => writeFileSync(join(folder, "wsprism.db"), ""),
    why: /wsprism.db is missing or empty, and wsprism.id beside it says that there was one/,
  },
  "a file that is gone": {
    do: (folder) => rmSync(join(folder, "wsprism.db")),
    why: /wsprism.db is missing or empty, and wsprism.id beside it says that there was one/,
  },
  "an empty database in its place": {
    do: (folder) => {
      rmSync(join(folder, "wsprism.db"));
      sql(folder, "CREATE TABLE x (y); DROP TABLE x");
    },
    why: /wsprism.db is missing or empty/,
  },
  "another gateway's database": {
    do: (folder) => writeFileSync(join(folder, "wsprism.id"), "0123456789abcdef\n"),
    why: /it is another gateway's: delete wsprism.id there/,
  },
  "another program's database": {
    do: (folder) => {
      rmSync(join(folder, "wsprism.db"));
      rmSync(join(folder, "wsprism.id"));
      sql(folder, "CREATE TABLE cookies (x)");
    },
    why: /wsprism.db is another program's database$/,
  },
  "another program's database of the same version": {
    do: (folder) => sql(folder, "PRAGMA application_id = 7"),
    why: /wsprism.db is another program's database$/,
  },
  "a time that is none": {
    do: (folder) => sql(folder, "UPDATE meta SET value = '{}' WHERE key = 'time'"),
    why: /it is damaged: its time is \{\}$/,
  },
};

function sql(folder: string, text: string): void {
  const db = new DatabaseSync(join(folder, "wsprism.db"));
  db.exec(text);
  db.close();
}

for (const [name, damage] of Object.entries(DAMAGES)) {
  test(`A state with ${name} is refused in one line`, async () => {
    const folder = await used();
    damage.do(folder);
    const open = (listener: StateListener) => workerChannel({ folder, bounds: AMPLE }, listener);
    const store = new StateStore({ open, log });
    await assert.rejects(store.ready, damage.why);
    await assert.rejects(store.ready, /^Error: Cannot open the state in "[^\n]*$/);
    await store.close();
  });
}

test("A state without its marker gets it again, and one of the first version is taken over", async () => {
  const folder = await used();
  const id = readFileSync(join(folder, "wsprism.id"), "utf8");
  rmSync(join(folder, "wsprism.id"));
  sql(
    folder,
    "DROP TABLE meta; DROP TABLE history; DROP TABLE history_rooms; DROP TABLE history_keys; " +
      "ALTER TABLE events DROP COLUMN since_ms; PRAGMA application_id = 0; PRAGMA user_version = 1",
  );
  const open = (listener: StateListener) => workerChannel({ folder, bounds: AMPLE }, listener);
  const store = new StateStore({ open, log });
  assert.equal((await store.table("bans:acme", BIG).get('"ann"'))?.value, '{"by":"admin"}');
  await store.close();
  assert.match(readFileSync(join(folder, "wsprism.id"), "utf8"), /^[0-9a-f]{16}\n$/);
  assert.notEqual(readFileSync(join(folder, "wsprism.id"), "utf8"), id);
});

test("A tenant's extensions keep no more together than the tenant may, and others' keep theirs", async () => {
  const bounds = { maxBytes: 5000, tenantMaxBytes: 1000 };
  const store = new StateStore({ open: (listener) => inlineChannel(bounds, listener), log });
  const [a, b] = ["extension acme service a", "extension acme plugin b"].map((name) =>
    store.table(name, BIG)
  );
  const other = store.table("extension other service a", BIG), bans = store.table("bans:acme", BIG);
  assert.equal(await a!.put(row("k", "x".repeat(600))), true);
  assert.equal(await b!.put(row("k", "x".repeat(600))), false);
  assert.equal(await other.put(row("k", "x".repeat(600))), true);
  assert.equal(await bans.put(row("k", "x".repeat(6000))), true, "what must be kept is");
  await a!.delete("k");
  assert.equal(await b!.put(row("k", "x".repeat(600))), true);
  await store.close();
});
