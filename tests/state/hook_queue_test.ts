// The queue of a webhook: what is in it, what is given up, and that its sequence always adds up.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { HookQueue, type Queued, type QueueLimits, type QueueOwner } from "../../src/state/hook_queue.ts";
import { StateDb } from "../../src/state/state_db.ts";

const ROOMY: QueueLimits = { maxBytes: 1_000_000, maxAgeMs: 1_000_000, maxDeadLetters: 100 };
const ALL = { events: 1000, letters: 1000, bytes: Number.POSITIVE_INFINITY };

/** By this events get older. */
const clock = { atMs: 1000 };

function open(limits: Partial<QueueLimits> = {}) {
  clock.atMs = 1000;
  const db = new StateDb(null);
  db.run("INSERT INTO hooks (id, tenant, name, last_seq) VALUES (7, 'acme', 'audit', 0)");
  db.commit();
  const room = { isFull: false, bytes: 0 };
  const hook: QueueOwner = {
    id: 7,
    tenant: "acme",
    time: () => clock.atMs,
    admits: () => !room.isFull,
    kept: (bytes) => void (room.bytes += bytes),
  };
  return { db, queue: new HookQueue(db, hook, { ...ROOMY, ...limits }), hook, room };
}

/** An event of `size` bytes. */
function event(name: string, size = 20): string {
  return `{"id":"${name}"${" ".repeat(Math.max(0, size - 9 - name.length))}}`;
}

const seqs = (events: readonly Queued[]) => events.map(({ seq }) => seq);
/** What a gap event says; of any other, its id. */
function told({ json }: Queued): unknown {
  const { type, id, data } = JSON.parse(json);
  return type === "gap" ? data : id;
}

test("Events are numbered in their order and leave from the front, in batches bounded by number and bytes", () => {
  const { queue, db, hook } = open();
  for (const name of ["a", "b", "c", "d"]) queue.append(event(name), 1000);
  assert.deepEqual(seqs(queue.read(0, { events: 3, bytes: 1000 })), [1, 2, 3]);
  assert.deepEqual(seqs(queue.read(0, { events: 3, bytes: 40 })), [1, 2]);
  assert.deepEqual(seqs(queue.read(0, { events: 3, bytes: 5 })), [1], "one, however large");
  assert.deepEqual(queue.stats.bytes, 80);
  queue.remove(queue.read(0, { events: 2, bytes: 1000 }));
  assert.deepEqual(queue.read(0, ALL).map(told), ["c", "d"]);
  assert.deepEqual([queue.stats.events, queue.stats.bytes, queue.stats.oldestMs], [2, 40, 1000]);
  queue.remove(queue.read(0, ALL));
  assert.equal(queue.stats.oldestMs, null);
  queue.settle();
  db.commit();
  const again = new HookQueue(db, hook, ROOMY);
  again.append(event("e"), 1000);
  assert.deepEqual(seqs(again.read(0, ALL)), [5], "numbers go on, also when the queue was empty");
});

test("Above its bytes the oldest are given up, but not those on their way, and a gap says how many", () => {
  const { queue } = open({ maxBytes: 400 });
  for (let i = 1; i <= 20; i++) queue.append(event(String(i)), 1000);
  queue.hold(2);
  queue.append(event("21"), 2000);
  const [first, second, gap, ...others] = queue.read(0, ALL);
  assert.deepEqual([told(first!), told(second!)], ["1", "2"]);
  assert.deepEqual(told(gap!), { first_seq: 3, last_seq: 5, events: 3, reason: "bytes" });
  assert.deepEqual([gap!.seq, gap!.atMs, ...seqs(others)], [
    5,
    2000,
    ...Array.from({ length: 16 }, (_, i) => i + 6),
  ]);
  assert.equal(queue.stats.lost.bytes, 3);
  queue.hold(0);
  for (let i = 22; i <= 40; i++) queue.append(event(String(i)), 3000);
  const gaps = queue.read(0, ALL).filter(({ lost }) => lost > 0);
  assert.equal(gaps.length, 1, "gaps that are given up become one");
  assert.equal(queue.stats.lost.bytes, gaps[0]!.lost);
  assert.equal(gaps[0]!.lost, gaps[0]!.seq, "from the first on");
});

test("What waits too long is given up, and events that never came leave a gap too", () => {
  const { queue } = open({ maxAgeMs: 1000 });
  queue.append(event("old"), 1000);
  queue.skip(5, 1000);
  clock.atMs = 1500;
  queue.append(event("young"), 1500);
  clock.atMs = 2000;
  assert.equal(queue.shedOld(2000), false);
  assert.equal(queue.shedOld(1_000_000_000), false, "a clock that is set makes nothing older");
  clock.atMs = 2001;
  assert.equal(queue.shedOld(2001), true);
  assert.deepEqual(queue.read(0, ALL).map(told), [
    { first_seq: 1, last_seq: 6, events: 6, reason: "age" },
    "young",
  ]);
  assert.deepEqual(queue.stats.lost, { bytes: 0, age: 1, overload: 5, dead_letter: 0 });
});

test("A refused event becomes a dead letter with a gap in its place, and comes back there when it is tried again", () => {
  const { queue } = open({ maxDeadLetters: 2 });
  for (const name of ["a", "b", "c", "d"]) queue.append(event(name), 1000);
  const aside = (name: string) => {
    const found = queue.read(0, ALL).find((one) => told(one) === name)!;
    queue.setAside(found, "status 422", 2000);
  };
  aside("b");
  assert.deepEqual(queue.read(0, ALL).map(told), [
    "a",
    { first_seq: 2, last_seq: 2, events: 1, reason: "dead_letter" },
    "c",
    "d",
  ]);
  const { letters, more } = queue.deadLetters(0, ALL);
  assert.deepEqual(letters.map(({ seq, atMs, reason, json }) => [seq, atMs, reason, JSON.parse(json)]), [
    [2, 1000, "status 422", { seq: 2, id: "b" }],
  ]);
  assert.equal(more, false);
  assert.deepEqual([queue.retry([9], 3000), queue.retry(null, 3000), queue.stats.deadLetters], [0, 1, 0]);
  assert.deepEqual(
    queue.read(0, ALL).map(told),
    ["a", "b", "c", "d"],
    "the gap has not been told, and need not be",
  );
  for (const name of ["a", "b", "c"]) aside(name);
  assert.deepEqual(queue.deadLetters(0, ALL).letters.map(({ seq }) => seq), [2, 3], "the oldest leaves");
  assert.deepEqual(queue.deadLetters(2, ALL).letters.map(({ seq }) => seq), [3]);
  const gap = queue.read(0, ALL)[0]!;
  queue.setAside(gap, "status 422", 2000);
  assert.equal(queue.stats.deadLetters, 2, "a gap that is refused is gone");
  assert.deepEqual([queue.drop([2]), queue.drop(null), queue.stats.deadLetters], [1, 1, 0]);
});

test("Dead letters are read in pages bounded by number and bytes", () => {
  const { queue } = open();
  for (const name of ["a", "b", "c", "d"]) queue.append(event(name), 1000);
  for (const found of queue.read(0, ALL)) queue.setAside(found, "status 422", 2000);
  const page = (after: number, letters: number, bytes: number) => {
    const found = queue.deadLetters(after, { letters, bytes });
    return [found.letters.map(({ seq }) => seq), found.more];
  };
  assert.deepEqual(page(0, 2, 1000), [[1, 2], true]);
  assert.deepEqual(page(2, 2, 1000), [[3, 4], false]);
  assert.deepEqual(page(0, 4, 65), [[1, 2, 3], true]);
  assert.deepEqual(page(1, 4, 1), [[2], true], "one, however large");
  assert.deepEqual(page(4, 4, 1000), [[], false]);
});

test("A dead letter that is tried again while its gap is on its way is not taken for that", () => {
  const { queue } = open();
  for (const name of ["a", "b", "c"]) queue.append(event(name), 1000);
  const [a, b] = queue.read(0, ALL);
  queue.remove([a!]);
  queue.setAside(b!, "status 422", 1000);
  const underWay = queue.read(0, ALL);
  assert.deepEqual(underWay.map(({ lost }) => lost), [1, 0]);
  queue.hold(underWay.at(-1)!.seq);
  assert.equal(queue.retry(null, 2000), 1);
  queue.hold(0);
  queue.remove(underWay);
  assert.deepEqual(queue.read(0, ALL).map(told), ["b"]);
  assert.equal(queue.stats.events, 1);
});

test("After a rollback all is as it was at the last commit", () => {
  const { queue, db } = open();
  queue.append(event("a"), 1000);
  queue.settle();
  db.commit();
  const before = queue.stats;
  queue.append(event("b"), 2000);
  queue.setAside(queue.read(0, ALL)[0]!, "x", 2000);
  db.rollback();
  queue.load();
  assert.deepEqual({ ...queue.stats, lost: before.lost }, before);
  queue.append(event("c"), 3000);
  assert.deepEqual(queue.read(0, ALL).map(({ seq, json }) => [seq, JSON.parse(json).id]), [[1, "a"], [
    2,
    "c",
  ]]);
});

interface Step {
  readonly op: "append" | "skip" | "send" | "refuse" | "old" | "crash" | "commit";
  readonly n: number;
}

test("Whatever happens, each number is told once, as an event or within a gap, and what is held adds up", () => {
  const op = fc.constantFrom<Step["op"]>(
    "append",
    "append",
    "append",
    "skip",
    "send",
    "refuse",
    "old",
    "crash",
    "commit",
  );
  const steps = fc.array(fc.record({ op, n: fc.integer({ min: 1, max: 6 }) }), { maxLength: 60 });
  fc.assert(
    fc.property(steps, fc.integer({ min: 60, max: 400 }), (script, maxBytes) => {
      const { queue, db, room } = open({ maxBytes, maxAgeMs: 50, maxDeadLetters: 3 });
      const taken: Queued[] = [];
      let now = 1000, names = 0;
      const take = (events: readonly Queued[]) => {
        taken.push(...events);
        queue.remove(events);
      };
      const commit = () => {
        queue.settle();
        db.commit();
      };
      for (const { op, n } of script) {
        now += n;
        clock.atMs = now;
        // Nobody sees an event before it is committed.
        if (op === "send" || op === "refuse") commit();
        if (op === "append") queue.append(event(String(++names), 10 + n * 10), now);
        else if (op === "skip") queue.skip(n, now);
        else if (op === "send") {
          const batch = queue.read(0, { events: n, bytes: 100 });
          queue.hold(batch.at(-1)?.seq ?? 0);
          // More comes while it is on its way.
          queue.append(event(String(++names), 60), now);
          queue.shedOld(now);
          queue.hold(0);
          take(batch);
          // Without this a crash would send it again, with the same numbers.
          commit();
        } else if (op === "refuse") {
          const [first] = queue.read(0, { events: 1, bytes: 1 });
          if (first !== undefined) queue.setAside(first, "status 422", now);
          if (first !== undefined && first.lost > 0) taken.push(first);
        } else if (op === "old") {
          now += 40;
          clock.atMs = now;
          queue.shedOld(now);
        } else if (op === "crash") {
          // Refused gaps that come back are told again.
          db.rollback();
          queue.load();
          taken.splice(
            0,
            taken.length,
            ...taken.filter(({ seq }) => !seqs(queue.read(0, ALL)).includes(seq)),
          );
        } else commit();
        const rows = queue.read(0, ALL);
        assert.equal(queue.stats.events, rows.length);
        assert.equal(queue.stats.bytes, rows.reduce((sum, { bytes }) => sum + bytes, 0));
        assert.equal(queue.stats.oldestMs, rows.length === 0 ? null : queue.stats.oldestMs);
        assert.ok(queue.stats.deadLetters <= 3);
        assert.equal(room.bytes, queue.stats.bytes);
        // What is in memory is what is in the database.
        const stored = db.all("SELECT seq, body FROM events ORDER BY seq");
        assert.deepEqual(
          rows.map(({ seq, json }) => [seq, json]),
          stored.map(({ seq, body }) => [seq, body]),
        );
      }
      take(queue.read(0, ALL));
      let last = 0;
      for (const one of taken) {
        const data = one.lost === 0
          ? { first_seq: one.seq, last_seq: one.seq }
          : told(one) as Record<string, number>;
        assert.equal(data["first_seq"], last + 1, "no hole, and nothing twice");
        last = data["last_seq"]!;
        if (one.lost > 0) assert.equal(one.lost, last - data["first_seq"]! + 1);
      }
      queue.settle();
      const known = Number(db.get("SELECT last_seq FROM hooks WHERE id = 7")!["last_seq"]);
      assert.equal(last, known);
    }),
    { numRuns: 500 },
  );
});

test("Events for which the tenant has no room leave one gap, in their place, as soon as there is room", () => {
  const { queue, room } = open();
  queue.append(event("a"), 1000);
  room.isFull = true;
  for (const name of ["b", "c", "d"]) queue.append(event(name), 1000);
  assert.deepEqual(queue.read(0, ALL).map(told), ["a"]);
  room.isFull = false;
  queue.append(event("e"), 1000);
  assert.deepEqual(queue.read(0, ALL).map(told), [
    "a",
    { first_seq: 2, last_seq: 4, events: 3, reason: "bytes" },
    "e",
  ]);
  assert.equal(queue.stats.lost.bytes, 3);
});
