// Rooms' histories in the state's database, and what becomes of jobs beside a write that fails.

import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import process from "node:process";
import { test } from "node:test";
import { historyDisk } from "../../src/state/history_disk.ts";
import { inlineChannel, workerChannel } from "../../src/state/state_channel.ts";
import { StateStore } from "../../src/state/state_store.ts";
import type { DiskMessage, HistoryDisk } from "../../src/room/disk_room.ts";
import type { Log } from "../../src/log.ts";

const folders: string[] = [];
process.on("exit", () => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

const AMPLE = { maxBytes: 1e9, tenantMaxBytes: 1e9 };
const BOUNDS = { maxMessages: 100, maxBytes: 1_000_000, maxAgeMs: 300_000 };
const note = () => {};
const log: Log = { debug: note, info: note, warn: note, error: note };

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "wsprism-history-"));
  folders.push(folder);
  return folder;
}

const onDisk = (folder: string, bounds = AMPLE) =>
  new StateStore({ open: (listener) => workerChannel({ folder, bounds }, listener), log });
const inMemory = (bounds = AMPLE) =>
  new StateStore({ open: (listener) => inlineChannel(bounds, listener), log });
const diskOf = (store: StateStore, tenant = "acme") => historyDisk(tenant, () => store);

const said = (text: string, more: Partial<DiskMessage> = {}): DiskMessage => ({
  text: JSON.stringify(text),
  key: null,
  epoch: null,
  bounds: BOUNDS,
  keepAfter: Number.POSITIVE_INFINITY,
  ...more,
});

const keyed = (key: string, digest: string | null = null) => ({ sender: "ann", key, digest, forMs: 300_000 });

async function appended(disk: HistoryDisk, room: string, message: DiskMessage) {
  const stored = await disk.append(room, message);
  return stored === "reused" ? assert.fail("its key stands for another message") : stored;
}

function rowsOf(folder: string, table: string): number {
  const db = new DatabaseSync(join(folder, "wsprism.db"));
  try {
    return Number(Object.values(db.prepare(`SELECT count(*) FROM ${table}`).get() as object)[0]);
  } finally {
    db.close();
  }
}

/** A job that the database takes in no case, so that the batch in which it is fails. */
const broken = (store: StateStore) =>
  store.ask({ name: "opened", tenant: "acme", session: "s", info: null as unknown as string });

test("What is read is answered though a write beside it fails, and tells of the state before", async () => {
  for (const store of [inMemory(), onDisk(newFolder())]) {
    const disk = diskOf(store);
    await appended(disk, "k", said("1"));
    await store.table("t", { maxBytes: 1000 }).put({ key: "a", value: "1", expiresMs: null });
    const [failed, lost, opened, read, got, put, done] = await Promise.allSettled([
      broken(store),
      disk.append("k", said("2")),
      disk.open("k", BOUNDS),
      disk.read("k", { after: 0, limit: 10, maxBytes: 1000 }),
      store.table("t", { maxBytes: 1000 }).get("a"),
      store.table("t", { maxBytes: 1000 }).put({ key: "a", value: "2", expiresMs: null }),
      store.committed(),
    ]);
    assert.deepEqual([failed!.status, lost!.status, put!.status], ["rejected", "rejected", "rejected"]);
    assert.equal(opened!.status === "fulfilled" && opened.value.last, 1);
    assert.deepEqual(read!.status === "fulfilled" && read.value.rows, [[1, '"1"']]);
    assert.equal(got!.status === "fulfilled" && got.value?.value, "1");
    assert.deepEqual(done, { status: "fulfilled", value: false });
    assert.equal((await appended(disk, "k", said("2"))).offset, 2, "no number is left out");
    await store.close();
  }
});

test("A room takes no row before its first message, and has the epoch that its members were told", async () => {
  const folder = newFolder();
  let store = onDisk(folder);
  const { epoch, last } = await diskOf(store).open("k", BOUNDS);
  assert.match(epoch, /^[0-9a-f]{16}$/);
  assert.equal(last, 0);
  for (let n = 0; n < 100; n++) await diskOf(store).open(`k${n}`, BOUNDS);
  await store.close();
  assert.equal(rowsOf(folder, "history_rooms"), 0);
  store = onDisk(folder);
  assert.equal((await diskOf(store).open("k", BOUNDS)).epoch, epoch, "a restart alone is no loss");
  const stored = await appended(diskOf(store), "k", said("1", { epoch }));
  assert.deepEqual([stored.epoch, stored.offset], [epoch, 1]);
  await store.close();
  assert.equal(rowsOf(folder, "history_rooms"), 1);
});

test("No room has an epoch again that it had before it was cleared", async () => {
  const store = inMemory(), disk = diskOf(store);
  const epochs = new Set<string>();
  for (let n = 0; n < 5; n++) {
    const { epoch } = await disk.open("k", BOUNDS);
    assert.ok(!epochs.has(epoch));
    epochs.add(epoch);
    if (n % 2 === 0) await appended(disk, "k", said("1", { epoch }));
    const cleared = await disk.clear("k");
    assert.deepEqual([cleared.last, epochs.has(cleared.epoch)], [0, false]);
  }
  await store.close();
});

test("Rooms count for the tenant as their messages do, so that empty ones are bounded too", async () => {
  const store = inMemory({ maxBytes: 1e9, tenantMaxBytes: 10_000 }), disk = diskOf(store);
  let rooms = 0;
  for (let isTaken = true; isTaken && rooms < 1000; rooms++) {
    isTaken = await disk.append(`k${rooms}`, said("")).then(() => true, () => false);
  }
  assert.ok(rooms > 20 && rooms < 60, `${rooms} rooms`);
  await disk.clear("k0");
  assert.equal((await appended(disk, "k0", said(""))).offset, 1);
  await store.close();
});

test("A key is known in all rooms, over a restart, and another message under it is refused", async () => {
  const folder = newFolder();
  let store = onDisk(folder), disk = diskOf(store);
  const first = await appended(disk, "k1", said("1", { key: keyed("a", "digest") }));
  await appended(disk, "k1", said("2", { key: keyed("b") }));
  await store.close();
  store = onDisk(folder);
  disk = diskOf(store);
  for (const room of ["k1", "k2"]) {
    const again = await appended(disk, room, said("1", { key: keyed("a", "digest") }));
    assert.deepEqual([again.duplicate, again.offset, again.epoch], [true, 1, first.epoch]);
    assert.equal(await disk.append(room, said("x", { key: keyed("a", "other") })), "reused");
    assert.equal(await disk.append(room, said("x", { key: keyed("b", "digest") })), "reused");
  }
  assert.equal(
    (await appended(diskOf(store, "other"), "k1", said("1", { key: keyed("a") }))).duplicate,
    false,
  );
  const over = { ...keyed("c"), forMs: -1 };
  assert.equal((await appended(disk, "k1", said("3", { key: over }))).offset, 3);
  assert.equal((await appended(disk, "k1", said("4", { key: keyed("c") }))).offset, 4, "the former is over");
  assert.deepEqual((await appended(disk, "k1", said("5", { key: keyed("c") }))).duplicate, true);
  await store.close();
});

test("A database of the version before is taken over, with its keys", async () => {
  const folder = newFolder();
  let store = onDisk(folder);
  await appended(diskOf(store), "k", said("1", { key: keyed("a") }));
  await store.close();
  const db = new DatabaseSync(join(folder, "wsprism.db"));
  db.exec(
    "DROP INDEX history_keys_age; ALTER TABLE history_keys DROP COLUMN digest; " +
      "CREATE INDEX history_keys_expiry ON history_keys (until_ms); PRAGMA user_version = 2",
  );
  db.close();
  store = onDisk(folder);
  assert.equal((await appended(diskOf(store), "k", said("1", { key: keyed("a") }))).duplicate, true);
  assert.equal((await diskOf(store).open("k", BOUNDS)).last, 1);
  await store.close();
});

test("More than may wait for the disk is refused, and what waited is kept", async () => {
  const store = inMemory(), disk = diskOf(store);
  const text = "x".repeat(4_000_000);
  const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => disk.append("k", said(text))));
  const taken = outcomes.filter(({ status }) => status === "fulfilled").length;
  assert.ok(taken >= 16 && taken < 20, `${taken} of 20`);
  assert.equal((await disk.open("k", BOUNDS)).last, taken);
  await store.close();
});
