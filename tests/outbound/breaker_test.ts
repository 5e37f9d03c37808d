import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Breaker } from "../../src/outbound/breaker.ts";

function breaker() {
  const clock = { ms: 0 };
  return { clock, breaker: new Breaker(() => clock.ms) };
}

test("A breaker opens at the fifth failure in a row, and a success in between counts anew", () => {
  const { breaker: b } = breaker();
  for (let i = 0; i < 4; i++) assert.equal(b.failed(), false);
  b.succeeded();
  for (let i = 0; i < 4; i++) assert.equal(b.failed(), false);
  assert.equal(b.enter(), 0);
  assert.ok(b.isClosed);
  assert.equal(b.failed(), true, "it tells, once");
  assert.ok(!b.isClosed);
  assert.equal(b.enter(), 1000);
});

test("After its time one may try, the others wait for it, and its success closes it", () => {
  const { clock, breaker: b } = breaker();
  for (let i = 0; i < 5; i++) b.failed();
  clock.ms = 999;
  assert.equal(b.enter(), 1);
  clock.ms = 1000;
  assert.equal(b.enter(), 0);
  assert.equal(b.enter(), 1000);
  b.succeeded();
  assert.ok(b.isClosed);
  assert.equal(b.enter(), 0);
});

test("Each failed try doubles the wait up to half a minute, and stragglers from before change nothing", () => {
  const { clock, breaker: b } = breaker();
  for (let i = 0; i < 5; i++) b.failed();
  assert.equal(b.failed(), false, "it was under way when the breaker opened");
  const waits: number[] = [];
  for (let i = 0; i < 7; i++) {
    const wait = b.enter();
    waits.push(wait);
    clock.ms += wait;
    assert.equal(b.enter(), 0);
    assert.equal(b.failed(), false);
  }
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16000, 30000, 30000]);
});

test("It opens too when half of the last twenty fail, not only when all do", () => {
  const { clock, breaker: b } = breaker();
  const opened: number[] = [];
  for (let i = 0; i < 20; i++) {
    if (i % 2 === 0) b.succeeded();
    else if (b.failed()) opened.push(i);
  }
  assert.deepEqual(opened, [19]);
  clock.ms += b.enter();
  assert.equal(b.enter(), 0);
  b.succeeded();
  assert.equal(b.failed(), false, "what was before is forgotten then");
  const { breaker: seldom } = breaker();
  for (let i = 0; i < 200; i++) {
    if (i % 3 === 0) assert.equal(seldom.failed(), false);
    else seldom.succeeded();
  }
});

test("Whoever only asks how long to wait does not take the leave to try", () => {
  const { clock, breaker: b } = breaker();
  for (let i = 0; i < 5; i++) b.failed();
  assert.equal(b.waitMs, 1000);
  clock.ms = 1000;
  assert.equal(b.waitMs, 0);
  assert.equal(b.waitMs, 0);
  assert.equal(b.enter(), 0);
  assert.equal(b.waitMs, 1000);
});
