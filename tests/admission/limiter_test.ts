import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { HandshakeLimiter } from "../../src/admission/limiter.ts";

const CONFIG = {
  enabled: true,
  global_rps: 100,
  global_burst: 200,
  per_ip_rps: 10,
  per_ip_burst: 5,
  max_ip_entries: 100,
  failed_auth_cost: 5,
};
const limiter = (more: Partial<typeof CONFIG> = {}) => new HandshakeLimiter({ ...CONFIG, ...more });
/** Handshakes that are taken one after the other. */
function count(take: () => unknown): number {
  let taken = 0;
  while (taken < 1000 && take() === null) taken++;
  return taken;
}

test("An address has its burst at once, and then a handshake after exactly the wait", () => {
  const l = limiter();
  assert.equal(count(() => l.take("a", 0)), 5);
  assert.deepEqual(l.take("a", 0), { reason: "address_rate", waitMs: 100 });
  assert.deepEqual(l.take("a", 75), { reason: "address_rate", waitMs: 25 });
  assert.equal(l.take("a", 100), null);
  assert.deepEqual(l.take("a", 100), { reason: "address_rate", waitMs: 100 });
  assert.equal(count(() => l.take("b", 100)), 5, "another address has its own");
});

test("All addresses together have a burst and a wait as well", () => {
  const l = limiter({ global_burst: 7, global_rps: 4 });
  assert.equal(count(() => l.take(`address ${Math.random()}`, 0)), 7);
  assert.deepEqual(l.take("x", 0), { reason: "global_rate", waitMs: 250 });
  assert.deepEqual(l.take("y", 240), { reason: "global_rate", waitMs: 10 });
  assert.equal(l.take("z", 250), null);
});

test("An address that is refused takes nothing of what all share", () => {
  const l = limiter({ global_burst: 8, global_rps: 1 });
  assert.equal(count(() => l.take("flood", 0)), 5);
  for (let i = 0; i < 1000; i++) assert.equal(l.take("flood", 0)?.reason, "address_rate");
  assert.equal(count(() => l.take(`address ${Math.random()}`, 0)), 3);
});

test("A handshake that the common rate refuses takes nothing of its address's", () => {
  const l = limiter({ global_burst: 1, global_rps: 1, per_ip_rps: 1, per_ip_burst: 2 });
  assert.equal(l.take("a", 0), null);
  for (let i = 0; i < 10; i++) assert.equal(l.take("b", 0)?.reason, "global_rate");
  assert.equal(l.take("b", 1000), null);
  assert.equal(l.take("b", 2000), null);
});

test("No more addresses are remembered than allowed, and the one not seen for longest is forgotten first", () => {
  const l = limiter({ max_ip_entries: 3, per_ip_burst: 1, per_ip_rps: 1 });
  for (const address of ["a", "b", "c"]) assert.equal(l.take(address, 0), null);
  assert.equal(l.take("a", 0)?.reason, "address_rate", "seen again, though refused");
  assert.equal(l.take("d", 0), null);
  assert.equal(l.size, 3);
  assert.equal(l.take("a", 0)?.reason, "address_rate");
  assert.equal(l.take("c", 0)?.reason, "address_rate");
  assert.equal(l.take("b", 0), null, "forgotten");
  for (let i = 0; i < 1000; i++) l.take(`address ${i}`, i * 1000);
  assert.equal(l.size, 3);
});

test("Disabled, it takes everything and remembers nothing", () => {
  const l = limiter({ enabled: false, global_burst: 1 });
  assert.equal(count(() => l.take("a", 0)), 1000);
  assert.equal(l.size, 0);
});

test("A bad ticket takes further handshakes of its address, and of nobody else", () => {
  const l = limiter({ per_ip_rps: 1, per_ip_burst: 20, failed_auth_cost: 5 });
  assert.equal(l.take("a", 0), null);
  assert.equal(l.take("b", 0), null);
  l.charge("a", 0);
  assert.equal(count(() => l.take("a", 0)), 14);
  assert.equal(count(() => l.take("b", 0)), 19);
});

test("However many tickets fail at once, an address owes one failure's worth at most", () => {
  const l = limiter({ per_ip_rps: 1, per_ip_burst: 20, failed_auth_cost: 5 });
  assert.equal(count(() => l.take("a", 0)), 20);
  for (let i = 0; i < 20; i++) l.charge("a", 0);
  assert.deepEqual(l.take("a", 0), { reason: "address_rate", waitMs: 6000 });
  assert.equal(l.take("a", 6000), null);
});

test("Bad tickets make nobody remembered, and cost nothing where nothing is limited", () => {
  const l = limiter();
  l.charge("a", 0);
  assert.equal(l.size, 0);
  const off = limiter({ enabled: false });
  assert.equal(off.take("a", 0), null);
  off.charge("a", 0);
  assert.equal(off.size, 0);
  const free = limiter({ failed_auth_cost: 0 });
  assert.equal(free.take("a", 0), null);
  free.charge("a", 0);
  assert.equal(count(() => free.take("a", 0)), 4);
});

test("It decides as two lists of the times of all past handshakes do", () => {
  // A bucket of `burst` tokens at `rate` per second: in no span of any length more than burst + rate × span.
  const visits = fc.array(fc.tuple(fc.constantFrom("a", "b", "c"), fc.nat(400)), {
    size: "max",
    maxLength: 80,
  });
  fc.assert(
    fc.property(
      visits,
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 4 }),
      (visits, globalBurst, burst) => {
        const l = limiter({
          global_burst: globalBurst,
          global_rps: 5,
          per_ip_burst: burst,
          per_ip_rps: 2,
          max_ip_entries: 10,
        });
        const taken: { address: string; at: number }[] = [];
        const fits = (times: readonly number[], now: number, burst: number, rate: number) =>
          times.every((since, i) => (times.length - i + 1 - burst) * 1000 <= rate * (now - since));
        let now = 0;
        for (const [address, gap] of visits) {
          now += gap;
          const times = (of?: string) =>
            taken.filter((t) => of === undefined || t.address === of).map(({ at }) => at);
          const expected = !fits(times(), now, globalBurst, 5)
            ? "global_rate"
            : !fits(times(address), now, burst, 2)
            ? "address_rate"
            : undefined;
          assert.equal(l.take(address, now)?.reason, expected);
          if (expected === undefined) taken.push({ address, at: now });
        }
      },
    ),
    { numRuns: 300 },
  );
});
