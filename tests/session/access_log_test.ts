import assert from "node:assert/strict";
import { test } from "node:test";
import type { LogFields } from "../../src/log.ts";
import { AccessLog } from "../../src/session/access_log.ts";

function world() {
  const lines: { level: string; fields: LogFields }[] = [];
  const note = (level: string) => (_message: string, fields: LogFields = {}) =>
    void lines.push({ level, fields });
  const log = { debug: note("debug"), info: note("info"), warn: note("warn"), error: note("error") };
  const state = { nowMs: 5, isOn: true };
  return { lines, state, access: new AccessLog({ log, now: () => state.nowMs, isOn: () => state.isOn }) };
}

test("Lines are at info where the access log is wanted, at debug elsewhere, as a reload says", () => {
  const { lines, state, access } = world();
  access.line("session opened", { user: "ann" });
  state.isOn = false;
  access.line("session opened", { user: "bob" });
  assert.deepEqual(lines, [
    { level: "info", fields: { user: "ann" } },
    { level: "debug", fields: { user: "bob" } },
  ]);
});

test("A storm of clients is no storm of lines, and what was left out is told", () => {
  const { lines, state, access } = world();
  for (let i = 0; i < 5000; i++) access.line("session opened", {});
  assert.equal(lines.length, 1000);
  state.nowMs += 1000;
  access.line("session opened", {});
  access.line("session opened", {});
  assert.deepEqual(lines.slice(1000).map(({ fields }) => fields), [{ not_logged_before: 4000 }, {}]);
});
