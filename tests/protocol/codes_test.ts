import { strict as assert } from "node:assert";
import { test } from "node:test";
import { CLOSE, refusal } from "../../src/protocol/codes.ts";

const rows = Object.values(CLOSE);

test("Every close code of the protocol has its row, and no other", () => {
  const expected = {
    1000: "normal",
    1001: "draining",
    4000: "slow_consumer",
    4001: "idle_timeout",
    4002: "overloaded",
    4003: "internal",
    4004: "ticket_expired",
    4005: "rate_limited",
    4500: "auth_failed",
    4501: "kicked",
    4502: "replaced",
    4503: "too_many_sessions",
    4504: "banned",
    4505: "bad_message",
    4506: "unsupported_version",
    4507: "policy_violation",
    4508: "message_too_large",
    4509: "suspended",
  };
  assert.deepEqual(Object.fromEntries(rows.map(({ code, name }) => [code, name])), expected);
  assert.equal(rows.length, Object.keys(expected).length, "a number twice");
  assert.equal(new Set(rows.map(({ name }) => name)).size, rows.length, "a name twice");
});

test("A reason fits a close frame and says something", () => {
  for (const { name, reason } of rows) {
    const bytes = new TextEncoder().encode(reason).length;
    assert.ok(bytes > 0 && bytes <= 123, `${name}: ${bytes} bytes`);
  }
});

test("A client comes back after the codes below 4500 and stays away after the others", () => {
  const stay = rows.filter(({ retry }) => !retry).map(({ code }) => code);
  assert.deepEqual(stay, [4500, 4501, 4502, 4503, 4504, 4505, 4506, 4507, 4508, 4509]);
});

test("A refusal names a close only when the session ends with it", () => {
  assert.deepEqual(refusal("NOT_FOUND", "nothing"), { ok: false, code: "NOT_FOUND", msg: "nothing" });
  assert.equal(refusal("BAD_REQUEST", "bad", CLOSE.badMessage).close, CLOSE.badMessage);
  assert.ok(!("close" in refusal("NOT_FOUND", "nothing")));
});
