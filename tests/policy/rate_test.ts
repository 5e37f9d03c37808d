import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { Rate } from "../../src/policy/rate.ts";

/** A token bucket counted in thousandths of a token, so that whole milliseconds and rates stay whole numbers. */
class Bucket {
  #tokens: bigint;
  #at: bigint;
  readonly #perSecond: bigint;
  readonly #full: bigint;

  constructor(perSecond: number, burst: number, now: number) {
    this.#perSecond = BigInt(perSecond);
    this.#full = BigInt(burst) * 1000n;
    this.#tokens = this.#full;
    this.#at = BigInt(now);
  }

  /** Takes a token. @returns thousandths that are missing, 0 when it was taken */
  take(now: number): number {
    const tokens = this.#tokens + (BigInt(now) - this.#at) * this.#perSecond;
    this.#tokens = tokens < this.#full ? tokens : this.#full;
    this.#at = BigInt(now);
    if (this.#tokens < 1000n) return Number(1000n - this.#tokens);
    this.#tokens -= 1000n;
    return 0;
  }
}

const rate = fc.oneof(
  fc.integer({ min: 1, max: 20 }),
  fc.integer({ min: 1, max: 5000 }),
  fc.constantFrom(1, 3, 7, 200, 1000),
);
const burst = fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 400 }));
/** Milliseconds between two messages: crowds, a steady flow, and pauses that fill any bucket. */
const gaps = fc.array(
  fc.oneof({ weight: 8, arbitrary: fc.nat(3) }, fc.nat(50), fc.nat(2000), fc.constant(3_600_000)),
  { minLength: 1, maxLength: 300, size: "max" },
);
const start = fc.oneof(fc.constant(0), fc.nat(100_000_000));

test("A rate gives and refuses tokens exactly as a bucket that is counted in whole numbers", () => {
  const seen = { taken: 0, refused: 0 };
  fc.assert(
    fc.property(rate, burst, start, gaps, (perSecond, burst, start, gaps) => {
      const rate = new Rate(perSecond, burst), bucket = new Bucket(perSecond, burst, start);
      let now = start, fullAt = 0;
      for (const gap of gaps) {
        now += gap;
        const missing = bucket.take(now);
        const waitMs = rate.waitMs(fullAt, now);
        if (missing === 0) assert.equal(waitMs, 0, `a token is there at ${now}`);
        else {assert.ok(
            Math.abs(waitMs - missing / perSecond) < 1e-3,
            `${waitMs}, not ${missing / perSecond} at ${now}`,
          );}
        if (waitMs === 0) fullAt = rate.take(fullAt, now);
        seen[waitMs === 0 ? "taken" : "refused"]++;
      }
    }),
    { numRuns: 500 },
  );
  assert.ok(seen.taken > 5000 && seen.refused > 5000, JSON.stringify(seen));
});

test("A token is there after exactly the wait, and not a moment before", () => {
  const waits = { count: 0 };
  fc.assert(
    fc.property(rate, burst, start, gaps, (perSecond, burst, start, gaps) => {
      const rate = new Rate(perSecond, burst);
      let now = start, fullAt = 0;
      for (const gap of gaps) {
        now += gap;
        const waitMs = rate.waitMs(fullAt, now);
        if (waitMs === 0) {
          fullAt = rate.take(fullAt, now);
          continue;
        }
        waits.count++;
        assert.equal(rate.waitMs(fullAt, now + waitMs), 0, `after ${waitMs} ms`);
        assert.ok(
          rate.waitMs(fullAt, now + waitMs - Math.min(waitMs, 1 / perSecond)) > 0,
          "a thousandth before",
        );
      }
    }),
    { numRuns: 300 },
  );
  assert.ok(waits.count > 3000, String(waits.count));
});

test("Whoever comes again after each wait gets the rate and no more", () => {
  for (const [perSecond, burst] of [[1, 1], [3, 2], [7, 5], [200, 400], [333, 1], [1000, 10]] as const) {
    const rate = new Rate(perSecond, burst);
    let now = 12_345, fullAt = 0, taken = 0;
    const end = now + 10_000;
    while (now <= end) {
      const waitMs = rate.waitMs(fullAt, now);
      if (waitMs === 0) {
        fullAt = rate.take(fullAt, now);
        taken++;
      } else now += waitMs;
    }
    const exact = burst + 10 * perSecond;
    assert.ok(Math.abs(taken - exact) <= 1, `${taken} tokens in 10 s at ${perSecond}/s, burst ${burst}`);
  }
});

test("A bucket is full at first and holds its burst, however long nobody comes", () => {
  for (const burst of [1, 2, 400]) {
    for (const now of [0, 5, 1e9]) {
      const rate = new Rate(200, burst);
      let fullAt = 0, taken = 0;
      while (rate.waitMs(fullAt, now) === 0) {
        fullAt = rate.take(fullAt, now);
        taken++;
      }
      assert.equal(taken, burst, `burst ${burst} at ${now}`);
    }
  }
});
