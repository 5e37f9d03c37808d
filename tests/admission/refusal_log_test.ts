import { strict as assert } from "node:assert";
import { test } from "node:test";
import { RefusalLog } from "../../src/admission/refusal_log.ts";
import { AccessLog } from "../../src/session/access_log.ts";
import type { LogFields } from "../../src/log.ts";

function world() {
  const lines: { level: string; message: string; fields: LogFields }[] = [];
  const note = (level: string) => (message: string, fields: LogFields = {}) =>
    void lines.push({ level, message, fields });
  const clock = { nowMs: 5 };
  const log = { debug: note("debug"), info: note("info"), warn: note("warn"), error: note("error") };
  const now = () => clock.nowMs;
  return {
    lines,
    clock,
    refusals: new RefusalLog({ log, now, access: new AccessLog({ log, now, isOn: () => false }) }),
  };
}

const LINE = { tenant: "acme", status: 401, code: "UNAUTHENTICATED", reason: "bad_ticket", address: "::1" };

test("Refusals are told at info, so many a minute, and the others at debug and as a number", () => {
  const { lines, clock, refusals } = world();
  for (let i = 0; i < 100; i++) refusals.refused(LINE);
  assert.equal(lines.filter(({ level }) => level === "info").length, 10);
  assert.equal(lines.filter(({ level }) => level === "debug").length, 90);
  assert.deepEqual(lines[0]!.fields, LINE);
  clock.nowMs += 60_000;
  refusals.refused({ ...LINE, tenant: null });
  const { tenant: _, ...stray } = LINE;
  assert.deepEqual(lines.at(-1), {
    level: "info",
    message: "handshake refused",
    fields: { ...stray, not_logged_before: 90 },
  });
  refusals.refused(LINE);
  assert.deepEqual(lines.at(-1)!.fields, LINE);
});

test("An origin is warned of once, with the line that would let it in", () => {
  const { lines, clock, refusals } = world();
  for (let i = 0; i < 5; i++) refusals.origin("acme", "http://localhost:5173");
  refusals.origin("other", "http://localhost:5173");
  assert.deepEqual(
    lines.map(({ level, fields }) => [level, fields]),
    ["acme", "other"].map((tenant) => [
      "warn",
      { tenant, origin: "http://localhost:5173", to_allow: 'origins: ["http://localhost:5173"]' },
    ]),
  );
  clock.nowMs += 86_400_000;
  refusals.origin("acme", "http://localhost:5173");
  assert.equal(lines.length, 3);
});

test("Neither many origins nor long ones fill the log", () => {
  const { lines, refusals } = world();
  for (let i = 0; i < 10_000; i++) refusals.origin("acme", `http://${i}.example${"x".repeat(5000)}`);
  assert.equal(lines.length, 50);
  assert.ok(lines.every(({ fields }) => JSON.stringify(fields).length < 600));
});
