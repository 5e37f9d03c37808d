// A table that follows what is in memory: what is written when, and what becomes of it when the disk fails.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { WriteBehindTable } from "../../src/gateway/write_behind_table.ts";
import type { Log } from "../../src/log.ts";
import { settle } from "../session/house.ts";
import { FakeState } from "./fake_state.ts";

const row = (key: string, value = "") => ({ key, value, expiresMs: null });

function setting(waitingMax = 1000) {
  const state = new FakeState();
  const errors: string[] = [];
  const waits: (() => void)[] = [];
  const log = { error: (message: string) => void errors.push(message) } as unknown as Log;
  const table = new WriteBehindTable({
    name: "t",
    table: () => state.table("t"),
    waitingMax,
    log,
    wait: () => new Promise((resolve) => waits.push(resolve)),
  });
  return { state, table, errors, waits, keys: () => state.rows("t").map(({ key }) => key) };
}

/** Writes that last until they are let go. */
function held(state: FakeState): () => void {
  let open = () => {};
  state.gate = new Promise((resolve) => open = resolve);
  return open;
}

test("What changes is written without being asked for, of each key the last word", async () => {
  const { state, table, keys } = setting();
  for (const value of ["1", "2"]) table.put(row("a", value));
  table.put(row("b"));
  table.delete("b");
  table.put(row("c"));
  assert.equal(table.isWritten, false);
  assert.equal(await table.written(), true);
  assert.deepEqual([table.isWritten, state.rows("t")], [true, [row("a", "2"), row("c")]]);
  assert.deepEqual(state.tried, ["a", "b", "c"]);
  table.delete("a");
  await settle();
  assert.deepEqual(keys(), ["c"], "nobody has waited");
  assert.equal(await table.written(), true);
});

test("Whoever waits, waits for what changed before, and for nothing that changes later", async () => {
  const { state, table, keys } = setting();
  const first = held(state);
  table.put(row("a"));
  await settle();
  table.put(row("a", "new"));
  table.put(row("b"));
  let told = false;
  const written = table.written().then((one) => {
    told = true;
    return one;
  });
  first();
  const second = held(state);
  await settle();
  assert.deepEqual([told, state.tried], [false, ["a", "a", "b"]]);
  table.put(row("c"));
  second();
  held(state);
  assert.equal(await written, true);
  assert.deepEqual([keys(), state.rows("t")[0]!.value], [["a", "b"], "new"]);
});

test("What cannot be written is told, kept, and tried again in its order with what came since", async () => {
  const { state, table, errors, waits, keys } = setting();
  state.fails = true;
  table.put(row("a", "1"));
  table.put(row("b"));
  assert.equal(await table.written(), false);
  table.put(row("a", "2"));
  table.delete("b");
  table.put(row("c"));
  assert.equal(await table.written(), false);
  assert.equal(waits.length, 1, "one look later, however many have asked");
  state.fails = false;
  state.tried.length = 0;
  waits.pop()!();
  await settle();
  assert.deepEqual([state.tried, keys(), state.rows("t")[0]!.value], [["a", "b", "c"], ["a", "c"], "2"]);
  assert.deepEqual([await table.written(), table.isWritten, errors], [true, true, []]);
});

test("A full table is a failure, and the log says so", async () => {
  const { state, table, errors } = setting();
  state.full = true;
  table.put(row("a"));
  assert.equal(await table.written(), false);
  assert.deepEqual(errors, ["table of the state is full"]);
});

test("No more waits than may: what is lost is told once, and to whoever asks until the rest is written", async () => {
  const { state, table, errors, waits, keys } = setting(2);
  state.fails = true;
  for (const key of ["a", "b", "c", "d"]) table.put(row(key));
  table.put(row("a", "known"));
  assert.equal(await table.written(), false);
  assert.deepEqual(errors, ["too much waits to be written, and more is lost at a restart"]);
  state.fails = false;
  waits.pop()!();
  await settle();
  assert.deepEqual(keys(), ["a", "b"]);
  table.put(row("c"));
  assert.equal(await table.written(), true);
});

test("Thousands of keys are written and read in batches", async () => {
  const { state, table, errors } = setting(10_000);
  for (let i = 0; i < 2500; i++) table.put(row(String(i).padStart(4, "0")));
  const open = held(state);
  await settle();
  assert.equal(state.tried.length, 1000);
  open();
  assert.equal(await table.written(), true);
  assert.equal((await table.load(2500)).length, 2500);
  assert.deepEqual(errors, []);
  const some = await table.load(1500);
  assert.deepEqual([some.length, some.at(-1)!.key], [1500, "1499"]);
  assert.deepEqual(errors, ["more is kept than may be, and the rest is ignored"]);
});

test("After it was stopped nothing is tried again", async () => {
  const { state, table, waits } = setting();
  state.fails = true;
  table.put(row("a"));
  assert.equal(await table.written(), false);
  table.stop();
  state.tried.length = 0;
  waits.pop()!();
  await settle();
  assert.deepEqual([state.tried, waits.length], [[], 0]);
  assert.equal(await table.written(), false);
  assert.equal(waits.length, 0);
});
