import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { ExtAllowlist, HotAllowlist } from "../../src/policy/allowlist.ts";

const svc = fc.constantFrom("chat", "room", "a", "constructor", "__proto__", "*");
const type = fc.constantFrom("send", "join", "b", "toString", "__proto__", "*", "b:c");

/** Reads the list anew for each question. */
function extAllows(entries: readonly string[], svc: string, type: string): boolean {
  return entries.some((entry) => entry === `${svc}:${type}` || entry === `${svc}:*`);
}

test("The ext allowlist allows what a look through its entries finds, in any order", () => {
  const seen = { yes: 0, no: 0 };
  fc.assert(
    fc.property(
      fc.array(fc.tuple(svc, type).map((pair) => pair.join(":")), { maxLength: 8 }),
      svc,
      type,
      (entries, svc, type) => {
        // "*" as a message's own type is not a name that a message can have.
        fc.pre(type !== "*");
        const expected = extAllows(entries, svc, type);
        seen[expected ? "yes" : "no"]++;
        assert.equal(
          new ExtAllowlist(entries).allows(svc, type),
          expected,
          `${svc}:${type} in ${entries.join(" ")}`,
        );
      },
    ),
    { numRuns: 2000 },
  );
  assert.ok(seen.yes > 200 && seen.no > 200, JSON.stringify(seen));
});

test("Nothing listed, nothing allowed", () => {
  const ext = new ExtAllowlist([]), hot = new HotAllowlist([]);
  for (const name of ["chat", "constructor", "toString", "__proto__", ""]) {
    assert.equal(ext.allows(name, name), false);
  }
  for (let id = 0; id < 256; id++) assert.equal(hot.allows(id, id), false);
});

test("The hot allowlist allows what a look through its entries finds, for each of the 65,536 pairs", () => {
  const byte = fc.oneof(fc.constantFrom(0, 1, 2, 255), fc.nat(255));
  const entry = fc.tuple(byte, fc.oneof(byte.map(String), fc.constant("*"))).map(([id, opcode]) =>
    `${id}:${opcode}`
  );
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 12 }), (entries) => {
      const hot = new HotAllowlist(entries), listed = new Set(entries);
      for (let id = 0; id < 256; id++) {
        const all = listed.has(`${id}:*`);
        for (let opcode = 0; opcode < 256; opcode++) {
          const expected = all || listed.has(`${id}:${opcode}`);
          if (hot.allows(id, opcode) !== expected) assert.fail(`${id}:${opcode} in ${entries.join(" ")}`);
        }
      }
    }),
    { numRuns: 30 },
  );
});

test("One service open to all opcodes opens no other, and no other list", () => {
  const open = new HotAllowlist(["1:*", "2:3", "1:4"]);
  const other = new HotAllowlist(["1:4"]);
  assert.equal(open.allows(1, 200), true);
  assert.equal(open.allows(2, 200), false);
  assert.equal(open.allows(2, 3), true);
  assert.equal(other.allows(1, 200), false);
});

test("Numbers written as v1 took them mean the same", () => {
  const hot = new HotAllowlist(["+1:007", "002:+3"]);
  assert.deepEqual([hot.allows(1, 7), hot.allows(2, 3), hot.allows(1, 0)], [true, true, false]);
});
