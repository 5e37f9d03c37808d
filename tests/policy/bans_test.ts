import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Bans } from "../../src/policy/bans.ts";

const ban = (user: string, untilMs: number) => ({ user, untilMs, by: "rule" });

test("A ban holds until its end, and not a moment longer", () => {
  const bans = new Bans();
  bans.ban(ban("ann", 100), 0);
  assert.deepEqual(bans.find("ann", 99), ban("ann", 100));
  assert.equal(bans.find("ann", 100), null);
  assert.equal(bans.size, 0, "it is forgotten");
  assert.equal(bans.find("bob", 0), null);
});

test("Of two bans the longer one counts, whichever came first", () => {
  const bans = new Bans();
  assert.equal(bans.ban(ban("ann", 100), 0).untilMs, 100);
  assert.equal(bans.ban(ban("ann", 50), 0).untilMs, 100, "and whoever bans is told so");
  assert.equal(bans.find("ann", 60)?.untilMs, 100);
  bans.ban(ban("ann", 200), 60);
  assert.equal(bans.find("ann", 150)?.untilMs, 200);
});

test("Bans can be listed and lifted", () => {
  const bans = new Bans();
  for (const [user, until] of [["ann", 100], ["bob", 200]] as const) bans.ban(ban(user, until), 0);
  assert.deepEqual([...bans.behind(null, 150)], [ban("bob", 200)]);
  assert.deepEqual([bans.unban("bob"), bans.unban("bob")], [true, false]);
  assert.deepEqual([...bans.behind(null, 150)], []);
});

test("Their number is bounded: those that are over go first, then the oldest", () => {
  const bans = new Bans(3);
  for (const [user, until] of [["a", 1000], ["b", 10], ["c", 1000]] as const) bans.ban(ban(user, until), 0);
  bans.ban(ban("d", 1000), 20);
  assert.deepEqual([...bans.behind(null, 20)].map(({ user }) => user), ["a", "c", "d"]);
  bans.ban(ban("e", 1000), 20);
  assert.deepEqual([...bans.behind(null, 20)].map(({ user }) => user), ["c", "d", "e"]);
});

test("What changes is told of, a ban that is forgotten among it, and nothing else", () => {
  const told: [string, number | null][] = [];
  const bans = new Bans(2, (user, ban) => void told.push([user, ban?.untilMs ?? null]));
  for (const [user, until] of [["a", 100], ["b", 200], ["a", 50], ["c", 300]] as const) {
    bans.ban(ban(user, until), 0);
  }
  bans.unban("b");
  bans.unban("b");
  bans.find("c", 300);
  assert.deepEqual(told, [["a", 100], ["b", 200], ["a", null], ["c", 300], ["b", null]]);
});

test("What is restored is bounded too, is told to nobody, and goes in the order of its end", () => {
  const bans = new Bans(2, () => assert.fail("told"));
  bans.restore([ban("late", 300), ban("soon", 100), ban("next", 200)]);
  assert.deepEqual([...bans.behind(null, 0)].map(({ user }) => user), ["late", "next"]);
});

test("A clock that is set ahead ends no ban, and one made meanwhile lasts as long as it was meant to", () => {
  let aheadMs = 0;
  const told: (number | undefined)[] = [];
  const bans = new Bans(10, (_user, ban) => void told.push(ban?.untilMs), () => aheadMs);
  bans.ban({ user: "ann", untilMs: 2000, by: "x" }, 1000);
  aheadMs = 1_000_000;
  assert.ok(bans.find("ann", 1_001_500));
  bans.ban({ user: "bob", untilMs: 1_003_000, by: "x" }, 1_001_500);
  assert.deepEqual([...bans.behind(null, 1_001_500)].map(({ user }) => user), ["ann", "bob"]);
  aheadMs = 0;
  assert.deepEqual(told, [2000, 3000]);
  assert.ok(bans.find("bob", 2999));
  assert.equal(bans.find("bob", 3000), null);
});
