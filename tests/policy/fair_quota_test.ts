import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { FairQuota, Share } from "../../src/policy/fair_quota.ts";
import { maxMin } from "./max_min.ts";

/** One sender of a simulation: how often it sends, and how large its messages are. */
interface Sender {
  readonly perSecond: number;
  readonly units: number;
}

interface Outcome {
  /** Units that each sender got through, and those that it tried. */
  readonly got: readonly number[];
  readonly tried: readonly number[];
}

/** Sends for so many seconds, each sender at its own pace with some jitter; `random` is 0 up to 1. */
function simulate(
  quota: FairQuota,
  senders: readonly Sender[],
  { seconds, random, warmup = 0 }: { seconds: number; random: () => number; warmup?: number },
): Outcome {
  const events = senders.flatMap(({ perSecond }, index) => {
    const times: { at: number; index: number }[] = [];
    for (let at = random() * 1000 / perSecond; at < (seconds + warmup) * 1000;) {
      times.push({ at, index });
      at += 1000 / perSecond * (0.5 + random());
    }
    return times;
  }).sort((a, b) => a.at - b.at);
  const shares = senders.map(() => new Share());
  const got = senders.map(() => 0), tried = senders.map(() => 0);
  for (const { at, index } of events) {
    const { units } = senders[index]!, now = 5000 + at;
    const counts = at >= warmup * 1000;
    if (counts) tried[index]! += units;
    if (quota.waitMs(shares[index]!, now, units) > 0) continue;
    quota.take(shares[index]!, now, units);
    if (counts) got[index]! += units;
  }
  return { got, tried };
}

/** Chance that a seed decides. */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

test("The reference solver gives the shares that one finds by hand", () => {
  assert.deepEqual(maxMin([1, 2, 3], 10), [1, 2, 3]);
  assert.deepEqual(maxMin([1, 5, 9], 9), [1, 4, 4]);
  assert.deepEqual(maxMin([8, 8], 4), [2, 2]);
  assert.deepEqual(maxMin([], 4), []);
});

test("Greedy and modest senders get what max-min gives them, and nothing is left over", () => {
  const sender = fc.integer({ min: 1, max: 400 });
  let contended = 0;
  fc.assert(
    fc.property(
      fc.array(sender, { minLength: 2, maxLength: 12 }),
      fc.integer({ min: 50, max: 400 }),
      fc.integer({ min: 50, max: 400 }),
      fc.integer(),
      (rates, capacity, burst, seed) => {
        const seconds = 20;
        const senders = rates.map((perSecond) => ({ perSecond, units: 1 }));
        const quota = new FairQuota(capacity, burst);
        const { got, tried } = simulate(quota, senders, { seconds, random: seeded(seed), warmup: 3 });
        const fair = maxMin(tried.map((units) => units / seconds), capacity).map((share) => share * seconds);
        const wanted = tried.reduce((a, b) => a + b, 0);
        if (wanted > capacity * seconds) contended++;
        const all = got.reduce((a, b) => a + b, 0);
        assert.ok(all <= capacity * seconds + burst + 1, `${all} units of ${capacity}/s and ${burst}`);
        assert.ok(all >= Math.min(wanted, capacity * seconds) - burst - 1, `${all} of ${wanted} units`);
        // The bucket's own burst may be with anybody at either end of the window.
        const slack = burst + 5;
        got.forEach((units, index) => {
          assert.ok(units >= fair[index]! * 0.97 - slack, `${index}: ${units} of ${fair[index]}`);
        });
        if (wanted <= capacity * seconds) return;
        got.forEach((units, index) => {
          assert.ok(units <= fair[index]! * 1.03 + slack, `${index}: ${units}, not ${fair[index]}`);
        });
      },
    ),
    { numRuns: 200 },
  );
  assert.ok(contended > 100, String(contended));
});

/** So many senders of a kind. */
const crowd = (count: number, perSecond: number, units = 1): Sender[] =>
  new Array(count).fill({ perSecond, units });

test("In a crowd far larger than the burst, floods get what max-min gives them, no more and no less", () => {
  const cases: { capacity: number; burst: number; senders: Sender[]; seconds: number }[] = [
    { capacity: 1000, burst: 2000, senders: [...crowd(3000, 0.5), ...crowd(1, 1000)], seconds: 60 },
    { capacity: 1000, burst: 200, senders: [...crowd(3000, 0.5), ...crowd(10, 200)], seconds: 60 },
    { capacity: 1000, burst: 2000, senders: [...crowd(10_000, 0.2), ...crowd(1, 1000)], seconds: 100 },
    { capacity: 10_000, burst: 20_000, senders: [...crowd(30_000, 0.5), ...crowd(3, 1000)], seconds: 20 },
    {
      capacity: 1000,
      burst: 2000,
      senders: [...crowd(500, 1), ...crowd(50, 20), ...crowd(5, 300)],
      seconds: 20,
    },
    {
      capacity: 1_000_000,
      burst: 2_000_000,
      senders: [...crowd(2000, 1, 100), ...crowd(200, 5, 2000), ...crowd(1, 500, 8000)],
      seconds: 30,
    },
  ];
  for (const { capacity, burst, senders, seconds } of cases) {
    const quota = new FairQuota(capacity, burst);
    const { got, tried } = simulate(quota, senders, { seconds, random: seeded(1), warmup: 10 });
    const fair = maxMin(tried.map((units) => units / seconds), capacity).map((share) => share * seconds);
    const all = got.reduce((a, b) => a + b, 0), wanted = tried.reduce((a, b) => a + b, 0);
    const passed = all / Math.min(wanted, capacity * seconds);
    assert.ok(passed > 0.99 && passed < 1.01, `${passed} of what there is`);
    const text = (who: number) => `${senders.length} senders: ${who} got ${got[who]} of ${fair[who]} units`;
    senders.forEach(({ units }, who) => {
      // Few messages each: one or two more or less is chance.
      const slack = 0.1 * fair[who]! + 3 * units;
      assert.ok(Math.abs(got[who]! - fair[who]!) <= slack || senders.length > 10_000, text(who));
    });
    const flood = senders.length - 1;
    assert.ok(
      Math.abs(got[flood]! - fair[flood]!) <= 0.2 * fair[flood]! + 2 * senders[flood]!.units,
      text(flood),
    );
  }
});

test("Who comes rarely finds something left beside a flood", () => {
  const senders = [...crowd(1, 0.1), ...crowd(1, 5000)];
  const quota = new FairQuota(1000, 2000);
  const { got, tried } = simulate(quota, senders, { seconds: 100, random: seeded(5), warmup: 20 });
  assert.ok(tried[0]! >= 8);
  assert.equal(got[0], tried[0]);
  assert.ok(got[1]! > 99_000, "and what it leaves is the flood's");
});

test("What one took while there was enough is not held against it for long once there is not", () => {
  const quota = new FairQuota(1000, 2000), early = new Share();
  const others = Array.from({ length: 2000 }, () => new Share());
  let now = 1000;
  // With one other there, but quiet.
  quota.waitMs(others[0]!, now, 1);
  while (quota.waitMs(early, now, 1) === 0) quota.take(early, now, 1);
  let passed = 0;
  for (let i = 0; i < 20_000; i++) {
    now += 0.5;
    const share = i % 2 === 0 ? early : others[(i >> 1) % others.length]!;
    if (quota.waitMs(share, now, 1) > 0) continue;
    quota.take(share, now, 1);
    if (share === early && i > 4000) passed++;
  }
  assert.ok(passed > 3, `${passed} in 8 s`);
});

test("Shares are of units, not of messages: who sends large ones sends fewer", () => {
  const quota = new FairQuota(10_000, 20_000);
  const senders = [{ perSecond: 200, units: 1000 }, { perSecond: 2000, units: 100 }];
  const { got } = simulate(quota, senders, { seconds: 20, random: seeded(7), warmup: 3 });
  for (const units of got) assert.ok(Math.abs(units - 100_000) < 15_000, String(units));
});

test("Beside a flood, whoever asks for less than its share gets all of it", () => {
  for (const flood of [2000, 20_000]) {
    const senders = [...new Array(100).fill({ perSecond: 5, units: 1 }), { perSecond: flood, units: 1 }];
    const quota = new FairQuota(1000, 2000);
    const { got, tried } = simulate(quota, senders, { seconds: 10, random: seeded(flood), warmup: 2 });
    for (let i = 0; i < 100; i++) assert.equal(got[i], tried[i]);
    assert.ok(Math.abs(got[100]! - 5000) < 1500, `the flood gets what they leave: ${got[100]}`);
  }
});

test("A burst that is smaller than the crowd is shared in turns, not by who is fastest", () => {
  const senders = [
    ...new Array(10).fill({ perSecond: 1000, units: 1 }),
    ...new Array(90).fill({ perSecond: 50, units: 1 }),
  ];
  const { got } = simulate(new FairQuota(1000, 10), senders, { seconds: 10, random: seeded(3), warmup: 2 });
  for (const units of got) assert.ok(units > 85 && units < 115, `${units} of 100`);
});

test("A sender that is alone has the bucket, all of it, exactly as one bucket would", () => {
  fc.assert(fc.property(
    fc.integer({ min: 1, max: 1000 }),
    fc.integer({ min: 1, max: 1000 }),
    fc.array(fc.tuple(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 1, max: 50 })), { maxLength: 200 }),
    (perSecond, burst, steps) => {
      const quota = new FairQuota(perSecond, burst), share = new Share();
      // The bucket as one learns it: tokens that come back, none above the burst.
      let tokens = burst, now = 1000, last = now;
      for (const [gap, units] of steps) {
        now += gap;
        tokens = Math.min(burst, tokens + (now - last) * perSecond / 1000);
        last = now;
        const needed = Math.min(units, burst);
        const waitMs = quota.waitMs(share, now, units);
        if (Math.abs(tokens - needed) < 1e-6) continue; // a tie, which rounding decides
        assert.equal(waitMs === 0, tokens >= needed, `${tokens} tokens for ${units}`);
        if (waitMs > 0) {
          assert.ok(Math.abs(waitMs - (needed - tokens) * 1000 / perSecond) < 1e-3);
          continue;
        }
        quota.take(share, now, units);
        tokens -= units;
      }
    },
  ));
});

test("However the senders come and go, no more passes than rate and burst allow, and whoever waits long enough passes", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 500 }),
      fc.integer({ min: 1, max: 300 }),
      fc.array(
        fc.record({
          gap: fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constant(5000)),
          who: fc.nat(6),
          units: fc.integer({ min: 1, max: 40 }),
        }),
        { maxLength: 400 },
      ),
      (perSecond, burst, steps) => {
        const quota = new FairQuota(perSecond, burst);
        const shares = Array.from({ length: 7 }, () => new Share());
        let now = 1000, passed = 0, largest = 0;
        for (const { gap, who, units } of steps) {
          now += gap;
          if (quota.waitMs(shares[who]!, now, units) > 0) continue;
          quota.take(shares[who]!, now, units);
          passed += units;
          largest = Math.max(largest, units);
        }
        const allowed = burst + (now - 1000) * perSecond / 1000 + Math.max(0, largest - burst);
        assert.ok(passed <= allowed + 1e-6, `${passed} of ${allowed}`);
        // Long enough for the bucket to be full.
        now += (burst + 40) * 1000 / perSecond + 2000;
        for (const share of shares) {
          assert.equal(quota.waitMs(share, now, 1), 0);
        }
      },
    ),
    { numRuns: 500 },
  );
});

test("A quota with other limits goes on where the one before was: nobody gets a burst twice", () => {
  const before = new FairQuota(10, 100), ann = new Share(), bob = new Share();
  for (let i = 0; i < 100; i++) before.take(ann, 1000, 1);
  const after = new FairQuota(10, 50);
  after.apply(before, 1000);
  assert.equal(after.waitMs(bob, 1000, 1), 100);
  assert.equal(after.waitMs(bob, 1100, 1), 0);
});

test("Nodes that each have a part of a quota's sessions give out the whole together, and no more", () => {
  let seed = 1;
  const random = () => (seed = seed * 16_807 % 2_147_483_647) / 2_147_483_647;
  const got = [3, 1].map((here) => {
    const quota = new FairQuota(400, 400);
    quota.weight = 4 / here;
    const senders = Array.from({ length: here }, () => ({ perSecond: 500, units: 1 }));
    const outcome = simulate(quota, senders, { seconds: 20, random, warmup: 5 });
    return outcome.got.reduce((sum, one) => sum + one, 0) / 20;
  });
  assert.ok(Math.abs(got[0]! - 300) < 15 && Math.abs(got[1]! - 100) < 15, got.join(" "));
});
