import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import type { Envelope } from "../../src/protocol/envelope.ts";
import { PendingCalls } from "../../src/session/pending.ts";

function message(svc: string, seq: number): Envelope {
  return { ok: true, svc, type: "x", flags: 0, seq, room: null, key: null, trace: null, data: undefined };
}

test("Messages to a service come up one after the other, in order, and those to others do not wait", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom("a", "b", "c"), fc.boolean()), { size: "max", maxLength: 60 }),
      (steps) => {
        const pending = new PendingCalls();
        const lines = new Map<string, Envelope[]>();
        let seq = 0;
        for (const [svc, arrives] of steps) {
          const line = lines.get(svc) ?? [];
          lines.set(svc, line);
          if (arrives) {
            const next = message(svc, seq++);
            line.push(next);
            assert.equal(pending.add(next), line.length === 1);
          } else if (line.length > 0) {
            line.shift();
            assert.equal(pending.next(svc), line[0]);
          }
          for (const [name, line] of lines) assert.equal(pending.isBusy(name), line.length > 0);
          assert.equal(pending.count, [...lines.values()].flat().length);
        }
      },
    ),
    { numRuns: 300 },
  );
});
