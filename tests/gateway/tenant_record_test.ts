// What is decided about a tenant, before and after a restart.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { TenantRecord } from "../../src/gateway/tenant_record.ts";
import type { Log } from "../../src/log.ts";
import { FakeState } from "./fake_state.ts";

const log = { error: (message: string) => assert.fail(message) } as unknown as Log;
const wait = () => new Promise<void>(() => {});
const NEVER = Number.POSITIVE_INFINITY;

function record(state: FakeState | null, tenant = "acme"): TenantRecord {
  return new TenantRecord({
    tenant,
    state: state === null ? null : () => state,
    log,
    wait,
    aheadMs: () => 0,
  });
}

test("Bans, revocations and a suspension are there again after a restart, each tenant's its own", async () => {
  const state = new FakeState();
  const one = record(state);
  await one.load();
  const names = ["ann", "half\ud800", "nul\0", 'q"\\uote', "ünï"];
  for (const [i, user] of names.entries()) one.bans.ban({ user, untilMs: 5000 + i, by: "spam" }, 0);
  one.bans.ban({ user: "gone", untilMs: 5000, by: "x" }, 0);
  one.bans.unban("gone");
  one.revocations.revoke({ jti: "t\0" }, 7000, 0);
  one.revocations.revoke({ jti: "for good" }, NEVER, 0);
  one.revocations.revoke({ user: "bob", issuedBeforeMs: 300 }, NEVER, 0);
  one.revocations.revoke({ user: "bob", issuedBeforeMs: 200 }, 10, 0);
  one.suspended = true;
  assert.equal(await one.written(), true);
  assert.equal(one.isDispensable, true);

  const again = record(state);
  await again.load();
  assert.deepEqual(
    [...again.bans.behind(null, 0)],
    names.map((user, i) => ({ user, untilMs: 5000 + i, by: "spam" })),
  );
  const has = (ticketId: string | null, user: string, issuedAtMs: number, nowMs: number) =>
    again.revocations.has({ user, ticketId, issuedAtMs }, nowMs);
  assert.deepEqual([has("t\0", "x", 0, 6999), has("t\0", "x", 0, 7000)], [true, false]);
  assert.equal(has("for good", "x", 0, 1e15), true);
  assert.deepEqual([has(null, "bob", 299, 1e15), has(null, "bob", 300, 0)], [true, false]);
  assert.equal(again.suspended, true);
  again.suspended = false;
  await again.written();
  const third = record(state);
  await third.load();
  assert.equal(third.suspended, false);

  const other = record(state, "other");
  await other.load();
  assert.deepEqual([other.bans.size, other.revocations.size, other.suspended], [0, 0, false]);
});

test("What was decided meanwhile is not undone by another load", async () => {
  const one = record(new FakeState());
  await one.load();
  one.suspended = true;
  await one.load();
  assert.equal(one.suspended, true);
});

test("A failing disk is told of, and what could not be written makes the record indispensable", async () => {
  const state = new FakeState();
  const one = record(state);
  await one.load();
  state.fails = true;
  one.bans.ban({ user: "ann", untilMs: 100, by: "admin" }, 0);
  assert.deepEqual([await one.written(), one.isDispensable], [false, false]);
  state.fails = false;
  assert.deepEqual([await one.written(), one.isDispensable], [true, true]);
});

test("A state that cannot be read is told of, and read anew when asked again", async () => {
  const state = new FakeState();
  state.tables.set("bans:acme", new Map([['"ann"', { key: '"ann"', value: "{", expiresMs: 9 }]]));
  const one = record(state);
  await assert.rejects(one.load());
  state.tables.get("bans:acme")!.set('"ann"', { key: '"ann"', value: '{"by":"x"}', expiresMs: 9 });
  await one.load();
  await one.load();
  assert.equal(one.bans.size, 1);
});

test("Without a state all of it is in memory, and indispensable as long as there is any", async () => {
  const one = record(null);
  await one.load();
  assert.equal(one.isDispensable, true);
  one.bans.ban({ user: "ann", untilMs: 100, by: "admin" }, 0);
  assert.deepEqual([await one.written(), one.isDispensable], [true, false]);
  one.bans.unban("ann");
  one.suspended = true;
  assert.equal(one.isDispensable, false);
  await one.load();
  assert.equal(one.suspended, true, "whoever has come back has nothing to read");
  one.suspended = false;
  one.revocations.revoke({ jti: "t" }, NEVER, 0);
  assert.equal(one.isDispensable, false);
});
