import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { Timer, TimerWheel } from "../../src/session/timer_wheel.ts";

class Entry extends Timer {
  readonly #met: (now: number) => number;

  constructor(met: (now: number) => number) {
    super();
    this.#met = met;
  }

  override onTimer(now: number): number {
    return this.#met(now);
  }
}

function place(start = 0) {
  const clock = { ms: start };
  const wheel = new TimerWheel(() => clock.ms);
  const fired: { name: string; at: number }[] = [];
  const entry = (name: string, next: (now: number) => number = () => 0) =>
    new Entry((now) => {
      fired.push({ name, at: now });
      return next(now);
    });
  /** Lets time pass, ticking as often as the wheel wants. */
  const pass = (ms: number) => {
    const until = clock.ms + ms;
    while (clock.ms < until) {
      clock.ms = Math.min(until, clock.ms + TimerWheel.tickMs);
      wheel.advance();
    }
  };
  return { clock, wheel, fired, entry, pass };
}

const TURN_MS = 1024 * TimerWheel.tickMs;
const delay = fc.oneof(
  // Few times, so that entries meet in a slot.
  { weight: 6, arbitrary: fc.constantFrom(0, 100, 200, TURN_MS, TURN_MS + 100) },
  fc.nat(500),
  fc.nat(30_000),
  fc.integer({ min: TURN_MS - 300, max: TURN_MS + 300 }),
  fc.nat(3 * TURN_MS),
  fc.double({ min: 0.01, max: 1000, noNaN: true }),
);
const entries = fc.nat(7);
const step = fc.oneof(
  fc.record({ kind: fc.constant("schedule" as const), who: entries, ms: delay }),
  fc.record({ kind: fc.constant("cancel" as const), who: entries }),
  // What the entry does when its time comes: nothing, again, or something to another one.
  fc.record({
    kind: fc.constant("plan" as const),
    who: entries,
    again: fc.option(delay),
    other: fc.option(fc.record({ who: entries, ms: fc.option(delay) })),
  }),
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("tick" as const), count: fc.nat(20) }) },
  // A process that was stopped for a while.
  fc.record({ kind: fc.constant("pause" as const), ms: fc.oneof(fc.nat(5000), fc.nat(3 * TURN_MS)) }),
);

test("Every deadline is met once, never early and at most a tick late, however it was set, moved or cancelled", () => {
  const seen = { met: 0 };
  fc.assert(
    fc.property(
      fc.oneof(fc.nat(1000).map((ticks) => ticks * TimerWheel.tickMs), fc.nat(1_000_000)),
      fc.array(step, { maxLength: 60, size: "max" }),
      (start, steps) => {
        const clock = { ms: start };
        const wheel = new TimerWheel(() => clock.ms);
        /** What a plain list of deadlines says. */
        const due = new Map<number, number>();
        const plans = new Map<
          number,
          { again: number | null; other: { who: number; ms: number | null } | null }
        >();
        const schedule = (who: number, ms: number) => {
          wheel.schedule(all[who]!, ms);
          due.set(who, clock.ms + ms);
        };
        const cancel = (who: number) => {
          wheel.cancel(all[who]!);
          due.delete(who);
        };
        const all = Array.from({ length: 8 }, (_, who) =>
          new Entry((now) => {
            assert.equal(now, clock.ms);
            const deadline = due.get(who);
            assert.ok(deadline !== undefined, "it had none");
            assert.ok(deadline <= now, `${deadline} met at ${now}`);
            due.delete(who);
            seen.met++;
            const plan = plans.get(who);
            if (plan === undefined) return 0;
            if (plan.other !== null && plan.other.who !== who) {
              if (plan.other.ms === null) cancel(plan.other.who);
              else schedule(plan.other.who, plan.other.ms);
            }
            if (plan.again === null || plan.again === 0) return 0;
            due.set(who, now + plan.again);
            return plan.again;
          }));
        const advance = () => {
          wheel.advance();
          // The last multiple of a tick is behind us, and so must be every deadline up to it.
          const reached = Math.floor(clock.ms / TimerWheel.tickMs) * TimerWheel.tickMs;
          for (const [who, at] of due) {
            // What a visit set to a time already past waits for the next tick.
            if (at <= reached - TimerWheel.tickMs) {
              assert.fail(`entry ${who}, due ${at}, was missed at ${clock.ms}`);
            }
          }
          assert.equal(wheel.size, due.size);
        };
        for (const step of steps) {
          switch (step.kind) {
            case "schedule":
              schedule(step.who, step.ms);
              break;
            case "cancel":
              cancel(step.who);
              break;
            case "plan":
              plans.set(step.who, { again: step.again, other: step.other });
              break;
            case "tick":
              for (let i = 0; i < step.count; i++) {
                clock.ms += TimerWheel.tickMs;
                advance();
              }
              break;
            case "pause":
              clock.ms += step.ms;
              advance();
          }
          assert.equal(wheel.size, due.size);
        }
        for (const entry of all) wheel.cancel(entry);
        assert.equal(wheel.size, 0);
      },
    ),
    { numRuns: 500 },
  );
  assert.ok(seen.met > 2000, String(seen.met));
});

test("A deadline is met in the tick that reaches it", () => {
  for (const ms of [1, 99, 100, 101, 5000, TURN_MS - 1, TURN_MS, TURN_MS + 1, 5 * TURN_MS]) {
    const { wheel, fired, entry, pass } = place(50);
    wheel.schedule(entry("a"), ms);
    pass(ms + TimerWheel.tickMs);
    assert.equal(fired.length, 1, `${ms} ms`);
    const late = fired[0]!.at - (50 + ms);
    assert.ok(late >= 0 && late <= TimerWheel.tickMs, `${ms} ms: ${late} ms late`);
    pass(2 * TURN_MS);
    assert.equal(fired.length, 1, "and once only");
  }
});

test("An entry has one deadline: a new one takes the old one's place", () => {
  const { wheel, fired, entry, pass } = place();
  const a = entry("a");
  wheel.schedule(a, 300);
  wheel.schedule(a, 1000);
  assert.equal(wheel.size, 1);
  pass(900);
  assert.deepEqual(fired, []);
  pass(200);
  assert.equal(fired.length, 1);
  assert.equal(wheel.size, 0);
});

test("What a visit returns is the time to the next one", () => {
  const { wheel, fired, entry, pass } = place();
  wheel.schedule(entry("a", () => 500), 500);
  pass(2600);
  assert.deepEqual(fired.map(({ at }) => at), [500, 1000, 1500, 2000, 2500]);
});

test("After a long pause each entry is visited once, not once for each time it missed", () => {
  const { clock, wheel, fired, entry } = place();
  wheel.schedule(entry("a", () => 100), 100);
  wheel.schedule(entry("b"), 3 * TURN_MS);
  clock.ms += 10 * TURN_MS;
  wheel.advance();
  assert.deepEqual(fired.map(({ name }) => name).sort(), ["a", "b"]);
  clock.ms += 100;
  wheel.advance();
  assert.equal(fired.length, 3);
});

test("Cancelling what has no deadline does nothing", () => {
  const { wheel, entry } = place();
  const a = entry("a");
  wheel.cancel(a);
  wheel.schedule(a, 100);
  wheel.cancel(a);
  wheel.cancel(a);
  assert.equal(wheel.size, 0);
});

test("Of many entries with one deadline any may be cancelled, in any order, and the others are met", () => {
  const count = 6;
  for (let order = 0; order < 720; order++) {
    const left = Array.from({ length: count }, (_, i) => i), cancelled: number[] = [];
    for (let rest = order, n = count; cancelled.length < 4; n--) {
      cancelled.push(left.splice(rest % n, 1)[0]!);
      rest = Math.floor(rest / n);
    }
    const { wheel, fired, entry, pass } = place();
    const all = Array.from({ length: count }, (_, i) => entry(String(i)));
    for (const each of all) wheel.schedule(each, 500);
    for (const i of cancelled) wheel.cancel(all[i]!);
    assert.equal(wheel.size, left.length);
    pass(1000);
    assert.deepEqual(fired.map(({ name }) => Number(name)).sort(), left, `cancelled ${cancelled.join(" ")}`);
  }
});
