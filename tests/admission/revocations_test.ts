import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Revocations } from "../../src/admission/revocations.ts";

const of = (user: string, ticketId: string | null, issuedAtMs: number | null) => ({
  user,
  ticketId,
  issuedAtMs,
});

test("A ticket is revoked by its id, a user's by when they were issued, until they have expired", () => {
  const revocations = new Revocations();
  assert.ok(revocations.revoke({ jti: "t" }, 100, 0));
  assert.ok(revocations.revoke({ user: "ann", issuedBeforeMs: 50 }, 200, 0));
  const has = (user: string, ticketId: string | null, issuedAtMs: number | null, nowMs: number) =>
    revocations.has(of(user, ticketId, issuedAtMs), nowMs);
  assert.deepEqual([has("bob", "t", 70, 99), has("bob", "t", 70, 100), has("bob", "u", 70, 0)], [
    true,
    false,
    false,
  ]);
  assert.deepEqual(
    [has("ann", null, 49, 0), has("ann", null, 50, 0), has("ann", null, null, 0), has("ann", null, 49, 200)],
    [true, false, true, false],
  );
});

test("A second revocation takes nothing of the first back", () => {
  const revocations = new Revocations();
  revocations.revoke({ jti: "t" }, Number.POSITIVE_INFINITY, 0);
  revocations.revoke({ jti: "t" }, 10, 0);
  revocations.revoke({ user: "ann", issuedBeforeMs: 50 }, 100, 0);
  revocations.revoke({ user: "ann", issuedBeforeMs: 20 }, 300, 0);
  assert.ok(revocations.has(of("bob", "t", 0), 1e15));
  assert.ok(revocations.has(of("ann", null, 40), 299));
});

test("When it is full it forgets what has expired, and otherwise refuses, as forgetting would let tickets in again", () => {
  const revocations = new Revocations(2);
  assert.ok(revocations.revoke({ jti: "a" }, 10, 0));
  assert.ok(revocations.revoke({ jti: "b" }, 20, 0));
  assert.equal(revocations.revoke({ jti: "c" }, 30, 9), false);
  assert.ok(revocations.revoke({ jti: "b" }, 40, 9), "it is known");
  assert.ok(revocations.revoke({ user: "ann", issuedBeforeMs: 1 }, 40, 9), "users are counted by themselves");
  assert.ok(revocations.revoke({ jti: "c" }, 30, 10));
  assert.deepEqual(["a", "b", "c"].map((id) => revocations.has(of("x", id, 0), 10)), [false, true, true]);
});

test("What is revoked is told of with what was revoked before, what is refused is not, and it can be restored", () => {
  const told: unknown[] = [];
  const revocations = new Revocations(1, (revoked, untilMs) => void told.push([revoked, untilMs]));
  revocations.revoke({ jti: "t" }, 100, 0);
  revocations.revoke({ jti: "t" }, 50, 0);
  revocations.revoke({ jti: "u" }, 50, 0);
  revocations.revoke({ user: "ann", issuedBeforeMs: 50 }, 100, 0);
  revocations.revoke({ user: "ann", issuedBeforeMs: 20 }, 300, 0);
  const ann = { user: "ann", issuedBeforeMs: 50 };
  assert.deepEqual(told, [[{ jti: "t" }, 100], [{ jti: "t" }, 100], [ann, 100], [ann, 300]]);
  const again = new Revocations(1, () => assert.fail("told"));
  again.restore({ jti: "t" }, 100);
  again.restore(ann, 300);
  assert.equal(again.size, 2);
  assert.ok(again.has({ user: "x", ticketId: "t", issuedAtMs: 0 }, 99));
  assert.ok(again.has({ user: "ann", ticketId: null, issuedAtMs: 49 }, 299));
});

test("A user's tickets that say a time still to come are revoked too, and stay so when it has come", () => {
  const revocations = new Revocations();
  const now = 1_000_000_000;
  revocations.revoke({ user: "ann", issuedBeforeMs: now }, Number.POSITIVE_INFINITY, now);
  const ahead = { user: "ann", ticketId: "t", issuedAtMs: now + 3_600_000 };
  assert.equal(revocations.has(ahead, now), true);
  assert.equal(revocations.has(ahead, now + 7_200_000), true);
  assert.equal(
    revocations.has({ ...ahead, ticketId: "u", issuedAtMs: now + 1000 }, now),
    false,
    "clocks differ",
  );
  assert.equal(revocations.has({ ...ahead, ticketId: "u" }, now + 7_200_000), false, "issued since");
  assert.equal(revocations.has({ ...ahead, ticketId: null, user: "bob" }, now), false);
});
