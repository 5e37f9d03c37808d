import { strict as assert } from "node:assert";
import { test } from "node:test";
import { SentKeys } from "../../src/room/sent_keys.ts";

const sent = (offset: number) => ({ room: "lobby", epoch: "e", offset, digest: null });

test("A sender's key finds what became of its first message until it is over, and nobody else's does", () => {
  const keys = new SentKeys(10);
  keys.add("ann", "k1", sent(1), 100);
  assert.deepEqual(keys.find("ann", "k1", 99), sent(1));
  assert.equal(keys.find("ann", "k1", 100), null);
  assert.equal(keys.find("ann", "k2", 0), null);
  assert.equal(keys.find("bob", "k1", 0), null);
});

test("No pair of sender and key is taken for another", () => {
  const keys = new SentKeys(10);
  keys.add("b c", "a", sent(1), 100);
  assert.equal(keys.find("c", "a", 0), null);
  assert.equal(keys.find("b", "a", 0), null);
  keys.add("c", "a:b", sent(2), 100);
  assert.equal(keys.find("b:c", "a", 0), null);
});

test("What is over is forgotten by a sweep, and the oldest where there are too many", () => {
  const keys = new SentKeys(3);
  for (let i = 1; i <= 4; i++) keys.add("ann", `k${i}`, sent(i), i * 100);
  assert.equal(keys.size, 3);
  assert.equal(keys.find("ann", "k1", 0), null);
  keys.sweep(300);
  assert.equal(keys.size, 1);
  assert.deepEqual(keys.find("ann", "k4", 0), sent(4));
});
