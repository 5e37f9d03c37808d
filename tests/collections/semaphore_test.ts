import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Semaphore } from "../../src/collections/semaphore.ts";

/** Tasks that end when told to. */
function tasks(turns: Semaphore) {
  const started: string[] = [], ends = new Map<string, PromiseWithResolvers<string>>();
  return {
    started,
    run: (name: string) => {
      const end = Promise.withResolvers<string>();
      ends.set(name, end);
      return turns.run(() => {
        started.push(name);
        return end.promise;
      });
    },
    end: async (name: string) => {
      ends.get(name)!.resolve(name);
      await new Promise(setImmediate);
    },
    fail: async (name: string) => {
      ends.get(name)!.reject(new Error(name));
      await new Promise(setImmediate);
    },
  };
}

test("So many run at a time, and the others in the order in which they came", async () => {
  const turns = new Semaphore(2);
  const { started, run, end } = tasks(turns);
  const all = ["a", "b", "c", "d"].map(run);
  assert.deepEqual([started.join(""), turns.isBusy, turns.waiting], ["ab", true, 2]);
  await end("b");
  assert.deepEqual([started.join(""), turns.waiting], ["abc", 1]);
  await end("a");
  assert.equal(started.join(""), "abcd");
  await end("c");
  assert.equal(turns.isBusy, false);
  await end("d");
  assert.deepEqual(await Promise.all(all), ["a", "b", "c", "d"]);
});

test("A task that fails ends its turn, also when it throws at once", async () => {
  const turns = new Semaphore(1);
  const { started, run, end, fail } = tasks(turns);
  const first = run("a");
  const thrower = turns.run(() => {
    throw new Error("at once");
  });
  const last = run("b");
  const failed = Promise.all([assert.rejects(first, /a/), assert.rejects(thrower, /at once/)]);
  await fail("a");
  await failed;
  assert.deepEqual(started, ["a", "b"]);
  await end("b");
  assert.equal(await last, "b");
  assert.deepEqual([turns.isBusy, turns.waiting], [false, 0]);
});

test("A turn that is handed on is nobody's to take", async () => {
  const turns = new Semaphore(1);
  const { started, run, end } = tasks(turns);
  void run("a");
  void run("b");
  const late = end("a"); // "b" is told, but has not begun
  void run("c");
  await late;
  assert.deepEqual([started.join(""), turns.waiting], ["ab", 1]);
});
