import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { parseExtEntry, parseHotEntry } from "../../src/config/allowlist.ts";
import { oneTenant, refusals } from "./loading.ts";

test("An ext entry is a service and a type, or every type", () => {
  assert.deepEqual(parseExtEntry("chat:send"), { svc: "chat", type: "send", matchable: true });
  assert.deepEqual(parseExtEntry("chat:*"), { svc: "chat", type: undefined, matchable: true });
  for (const text of ["", "chat", "*", "chat;send"]) assert.equal(parseExtEntry(text), undefined, text);
});

test("An ext entry that v1 took and no message can match says so", () => {
  assert.deepEqual(parseExtEntry("a:b:c"), { svc: "a", type: "b:c", matchable: false });
  for (const text of ["*:*", "*:x", ":", "a:", ":b", "a b:c", "a:c*", `${"x".repeat(65)}:y`]) {
    assert.equal(parseExtEntry(text)?.matchable, false, text);
  }
});

test("A hot entry is two numbers 0..255, or a number and every opcode", () => {
  const byte = fc.integer({ min: 0, max: 255 });
  fc.assert(fc.property(byte, byte, (svcId, opcode) => {
    assert.deepEqual(parseHotEntry(`${svcId}:${opcode}`), { svcId, opcode });
    assert.deepEqual(parseHotEntry(`${svcId}:*`), { svcId, opcode: undefined });
  }));
  const bad = [
    "",
    "1",
    "1:",
    ":1",
    "*:1",
    "*:*",
    "256:1",
    "1:256",
    "-1:1",
    "1:-1",
    "a:1",
    "1:a",
    "1:1:1",
    "1: 1",
    "1.0:1",
    "0x1:1",
  ];
  for (const text of bad) {
    assert.equal(parseHotEntry(text), undefined, text);
    assert.equal(refusals(oneTenant(`policy: { hot_allowlist: [${JSON.stringify(text)}] }`)).length, 1, text);
  }
});

test("Entries need no quotes within a list", () => {
  assert.deepEqual(
    refusals(oneTenant("policy: { ext_allowlist: [room:join, chat:*], hot_allowlist: [1:*, 2:300] }")),
    [
      'tenants[0].policy.hot_allowlist[1] must be "svc_id:opcode" or "svc_id:*", numbers 0..255, got "2:300" (4, 72)',
    ],
  );
});
