// Foreign JSON becomes actions, or a text that says what is wrong with it.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { ACTIONS_MAX, readActions } from "../../src/service/action.ts";

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = [value];
  return value;
}

const GOOD: readonly unknown[] = [
  { action: "publish", room: "match:1", type: "goal", data: { by: "ann" }, except: "0000000000000001" },
  { action: "publish", room: "a", type: "t" },
  { action: "publish", room: "a", type: "t", data: null },
  { action: "publish", room: "a", type: "t", data: nested(511) },
  { action: "send", to: { user: "ann" }, type: "note", data: [1, 2] },
  { action: "send", to: { session: "0000000000000001" }, type: "note" },
  { action: "join", room: "a" },
  { action: "join", room: "a", session: "0000000000000001" },
  { action: "leave", room: "a" },
  { action: "kick", reason: "enough" },
  { action: "kick", reason: "enough", session: "0000000000000001" },
];

test("Each action is read as it stands, and no list is an empty one", () => {
  assert.deepEqual(readActions(GOOD), GOOD);
  assert.deepEqual(readActions([]), []);
  assert.deepEqual(readActions(undefined), []);
  assert.deepEqual(readActions(null), []);
});

const BAD: readonly (readonly [value: unknown, text: string])[] = [
  ["all", 'actions must be a list, got "all"'],
  [{}, "actions must be a list, got an object"],
  [[null], "actions[0] must be an object, got null"],
  [[[]], "actions[0] must be an object, got a list"],
  [[{}], "actions[0].action must be one of publish, send, join, leave, kick, got nothing"],
  [
    [{ action: "toString" }],
    'actions[0].action must be one of publish, send, join, leave, kick, got "toString"',
  ],
  [[{ action: "join" }], "actions[0].room is missing; it must be 1..128 bytes of printable UTF-8"],
  [[GOOD[0], { action: "join", room: 7 }], "actions[1].room must be 1..128 bytes of printable UTF-8, got 7"],
  [[{ action: "join", room: "a\n" }], 'actions[0].room must be 1..128 bytes of printable UTF-8, got "a\\n"'],
  [[{ action: "join", room: "a", data: 1 }], 'actions[0] has a key that "join" does not take: "data"'],
  [
    [{ action: "publish", room: "a", type: "x y" }],
    'actions[0].type must be 1–64 of A–Z a–z 0–9 . _ -, got "x y"',
  ],
  [
    [{ action: "send", to: "ann", type: "t" }],
    'actions[0].to must be {"user"} or {"session"} with 1..128 characters, got "ann"',
  ],
  [
    [{ action: "send", to: { user: "ann", session: "1" }, type: "t" }],
    'actions[0].to must be {"user"} or {"session"} with 1..128 characters, got an object',
  ],
  [
    [{ action: "kick", reason: "x".repeat(129) }],
    `actions[0].reason must be 1..128 characters, got "${"x".repeat(40)}…"`,
  ],
  [
    [JSON.parse('{"action":"kick","reason":"a","__proto__":{"session":"1"}}')],
    'actions[0] has a key that "kick" does not take: "__proto__"',
  ],
  [
    [{ action: "publish", room: "a", type: "t", data: nested(512) }],
    "actions[0].data must be nested at most 512 deep, got a list",
  ],
  [
    new Array(ACTIONS_MAX + 1).fill({ action: "leave", room: "a" }),
    `actions must be at most ${ACTIONS_MAX}, got ${ACTIONS_MAX + 1}`,
  ],
];

test("What is no action is refused with its place, its value and the wish", () => {
  for (const [value, text] of BAD) assert.equal(readActions(value), text);
});

test("Whatever comes, reading it never throws, and what is let pass has only known keys", () => {
  const text = fc.oneof(
    fc.constantFrom("publish", "send", "join", "leave", "kick", "room", "a"),
    fc.string(),
  );
  const action = fc.dictionary(
    fc.constantFrom("action", "room", "type", "data", "to", "session", "reason", "except", "__proto__", "x"),
    fc.oneof(text, fc.jsonValue()),
  );
  fc.assert(fc.property(fc.oneof(fc.array(action), fc.jsonValue()), (value) => {
    const read = readActions(value);
    if (typeof read === "string") return assert.ok(read.startsWith("actions") && !read.includes("\n"));
    for (const { action } of read) assert.match(action, /^(publish|send|join|leave|kick)$/);
  }));
});
