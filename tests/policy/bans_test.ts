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
  bans.ban(ban("ann", 100), 0);
  bans.ban(ban("ann", 50), 0);
  assert.equal(bans.find("ann", 60)?.untilMs, 100);
  bans.ban(ban("ann", 200), 60);
  assert.equal(bans.find("ann", 150)?.untilMs, 200);
});

test("Bans can be listed and lifted", () => {
  const bans = new Bans();
  for (const [user, until] of [["ann", 100], ["bob", 200]] as const) bans.ban(ban(user, until), 0);
  assert.deepEqual(bans.list(150), [ban("bob", 200)]);
  assert.deepEqual([bans.unban("bob"), bans.unban("bob")], [true, false]);
  assert.deepEqual(bans.list(150), []);
});

test("Their number is bounded: those that are over go first, then the oldest", () => {
  const bans = new Bans(3);
  for (const [user, until] of [["a", 1000], ["b", 10], ["c", 1000]] as const) bans.ban(ban(user, until), 0);
  bans.ban(ban("d", 1000), 20);
  assert.deepEqual(bans.list(20).map(({ user }) => user), ["a", "c", "d"]);
  bans.ban(ban("e", 1000), 20);
  assert.deepEqual(bans.list(20).map(({ user }) => user), ["c", "d", "e"]);
});
