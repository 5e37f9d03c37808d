import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { CLOSE, type CloseCode } from "../../src/protocol/codes.ts";
import type { Frame } from "../../src/protocol/frame.ts";
import { sysKicked } from "../../src/protocol/sys.ts";
import {
  ADDRESS_FULL,
  GATEWAY_FULL,
  type Registered,
  Registry,
  type SessionLimits,
  TENANT_FULL,
  TOO_MANY_SESSIONS,
  Totals,
} from "../../src/session/registry.ts";

class Fake implements Registered {
  detachedMs: number | null = null;
  readonly kicks: string[] = [];
  readonly session: string;
  readonly user: string;
  readonly sid: string;
  readonly traceId = "t";
  readonly addressGroup: string;
  ticketId: string | null = null;
  readonly leave: (session: Fake) => void;

  constructor(
    session: string,
    who: Pick<Registered, "user" | "sid" | "addressGroup">,
    leave: (session: Fake) => void,
  ) {
    this.session = session;
    this.user = who.user;
    this.sid = who.sid;
    this.addressGroup = who.addressGroup;
    this.leave = leave;
  }

  end(code: CloseCode, farewell: Frame | null): void {
    const { trace_id, data } = JSON.parse(farewell!.payload as string);
    assert.equal(trace_id, this.traceId);
    this.kicks.push(`${data.reason} ${code.code}`);
    this.leave(this);
  }
}

const NO_LIMITS: SessionLimits = { maxSessions: 0, maxPerAddress: 0, maxPerUser: 1000, onExceed: "deny" };

function place(limits: Partial<SessionLimits>, maxSessions = 0) {
  const totals = new Totals(() => maxSessions);
  const registry = new Registry<Fake>(() => ({ ...NO_LIMITS, ...limits }), totals);
  let ids = 0;
  const make = (user: string, sid: string, addressGroup = "a") =>
    new Fake(String(++ids), { user, sid, addressGroup }, (session) => registry.remove(session));
  return { totals, registry, make };
}

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      user: fc.constantFrom("ann", "bob"),
      sid: fc.constantFrom("1", "2", "3", "4"),
      addressGroup: fc.constantFrom("a", "b"),
    }),
  },
  { weight: 1, arbitrary: fc.nat() },
);
const limits = fc.record({
  maxSessions: fc.nat(5),
  maxPerAddress: fc.nat(4),
  maxPerUser: fc.integer({ min: 1, max: 3 }),
  onExceed: fc.constantFrom("deny" as const, "kick_oldest" as const),
});

test("A registry takes, refuses, replaces and kicks as a list of sessions does", () => {
  const seen = {
    taken: 0,
    kicked: 0,
    replaced: 0,
    [TOO_MANY_SESSIONS.msg]: 0,
    [TENANT_FULL.msg]: 0,
    [GATEWAY_FULL.msg]: 0,
    [ADDRESS_FULL.msg]: 0,
  };
  fc.assert(
    fc.property(
      limits,
      fc.nat(5),
      fc.array(step, { maxLength: 60, size: "max" }),
      (limits, maxTotal, steps) => {
        const { registry, totals, make } = place(limits, maxTotal);
        /** Oldest first. */
        let open: Fake[] = [];
        for (const step of steps) {
          if (typeof step === "number") {
            const leaving = open[step % (open.length || 1)];
            if (leaving === undefined) continue;
            registry.remove(leaving);
            registry.remove(leaving); // Twice does no harm.
            open = open.filter((each) => each !== leaving);
          } else {
            const session = make(step.user, step.sid, step.addressGroup);
            const before = [...open];
            const expectedKicks = new Map<Fake, string>();
            const leave = (each: Fake, why: string) => {
              expectedKicks.set(each, why);
              open = open.filter((other) => other !== each);
            };
            const mine = () => open.filter(({ user }) => user === step.user);
            const same = mine().find(({ sid }) => sid === step.sid);
            if (same !== undefined) leave(same, "replaced 4502");
            let refused: string | null = null;
            if (mine().length >= limits.maxPerUser && limits.onExceed === "deny") {
              refused = TOO_MANY_SESSIONS.msg;
            } else {
              while (mine().length >= limits.maxPerUser) leave(mine()[0]!, "max_sessions_exceeded 4501");
              const above = (count: number, max: number) => max > 0 && count + 1 > max;
              if (above(open.length, maxTotal)) refused = GATEWAY_FULL.msg;
              else if (above(open.length, limits.maxSessions)) refused = TENANT_FULL.msg;
              else if (
                above(
                  open.filter(({ addressGroup }) => addressGroup === step.addressGroup).length,
                  limits.maxPerAddress,
                )
              ) {
                refused = ADDRESS_FULL.msg;
              }
            }
            const answer = registry.admit(session);
            assert.equal(answer?.msg ?? null, refused);
            if (refused === null) open.push(session);
            else {
              open = before; // Nobody went for a session that was not taken.
              expectedKicks.clear();
              assert.equal(registry.find(session.session), undefined);
              registry.remove(session); // Was never in; must not take another's place in the books.
            }
            for (const each of before) {
              assert.deepEqual(
                each.kicks,
                expectedKicks.has(each) ? [expectedKicks.get(each)] : [],
              );
            }
            for (
              const why of expectedKicks.values()
            ) seen[why.startsWith("replaced") ? "replaced" : "kicked"]++;
            seen[refused ?? "taken"]!++;
          }
          assert.deepEqual([...registry.all()], open);
          assert.deepEqual([registry.size, totals.sessions], [open.length, open.length]);
          assert.equal(registry.userCount, new Set(open.map(({ user }) => user)).size);
          if (limits.maxPerAddress > 0) {
            assert.equal(registry.addressCount, new Set(open.map(({ addressGroup }) => addressGroup)).size);
          }
          for (const user of ["ann", "bob"]) {
            assert.deepEqual(registry.ofUser(user), open.filter((each) => each.user === user));
          }
          for (const each of open) assert.equal(registry.find(each.session), each);
        }
        for (const each of open) registry.remove(each);
        assert.deepEqual([registry.size, registry.userCount, registry.addressCount, totals.sessions], [
          0,
          0,
          0,
          0,
        ]);
      },
    ),
    { numRuns: 500 },
  );
  for (const [outcome, count] of Object.entries(seen)) assert.ok(count > 50, `${outcome}: ${count}`);
});

test("Sessions may leave while one walks through them all", () => {
  const { registry, make } = place({});
  const all = Array.from({ length: 10 }, (_, i) => make(`u${i}`, "1"));
  for (const each of all) assert.equal(registry.admit(each), null);
  let met = 0;
  for (const each of registry.all()) {
    met++;
    each.end(CLOSE.kicked, sysKicked("t", "bye"));
  }
  assert.equal(met, 10);
  assert.equal(registry.size, 0);
});

test("Tenants share the gateway's maximum and nothing else", () => {
  const totals = new Totals(() => 2);
  const [one, two] = [
    new Registry<Fake>(() => NO_LIMITS, totals),
    new Registry<Fake>(() => NO_LIMITS, totals),
  ];
  const make = (id: string, registry: Registry<Fake>) =>
    new Fake(id, { user: "ann", sid: "1", addressGroup: "a" }, (session) => registry.remove(session));
  const [first, second] = [make("1", one), make("2", two)];
  assert.equal(one.admit(first), null);
  assert.equal(two.admit(second), null);
  assert.deepEqual(first.kicks, [], "the same user and sid of another tenant is somebody else");
  assert.equal(one.capacityRefusal("b"), GATEWAY_FULL);
  assert.equal(
    two.admit(new Fake("3", { user: "bob", sid: "1", addressGroup: "a" }, () => {})),
    GATEWAY_FULL,
  );
  two.remove(second);
  assert.equal(one.capacityRefusal("b"), null);
});

test("Addresses are not remembered where nothing limits them", () => {
  const { registry, make } = place({});
  registry.admit(make("ann", "1", "a"));
  assert.equal(registry.addressCount, 0);
});

test("A bound for addresses that a reload brings counts those who are in already, and one that goes forgets them", () => {
  let limits = NO_LIMITS;
  const registry = new Registry<Fake>(() => limits, new Totals(() => 0));
  const make = (id: string) => new Fake(id, { user: id, sid: "1", addressGroup: "a" }, () => {});
  registry.admit(make("1"));
  limits = { ...NO_LIMITS, maxPerAddress: 2 };
  assert.equal(registry.admit(make("2")), null);
  assert.equal(registry.admit(make("3")), ADDRESS_FULL);
  limits = NO_LIMITS;
  assert.equal(registry.admit(make("4")), null);
  assert.equal(registry.addressCount, 0);
});

test("Sessions are found by their ticket's id, as long as they have that ticket", () => {
  const { registry, make } = place({});
  const [one, two, three] = [make("ann", "1"), make("ann", "2"), make("bob", "1")];
  one.ticketId = two.ticketId = "t1";
  for (const session of [one, two, three]) assert.equal(registry.admit(session), null);
  assert.deepEqual(registry.ofTicket("t1"), [one, two]);
  assert.deepEqual(registry.ofTicket("t2"), []);
  const retag = (session: Fake, ticketId: string | null) => {
    const { ticketId: before } = session;
    session.ticketId = ticketId;
    registry.retag(session, before);
  };
  retag(two, "t2");
  retag(three, "t2");
  assert.deepEqual([registry.ofTicket("t1"), registry.ofTicket("t2")], [[one], [two, three]]);
  registry.remove(two);
  retag(three, null);
  assert.deepEqual(registry.ofTicket("t2"), []);
  // One that has ended, or was never taken in, is in no index.
  retag(two, "t1");
  assert.deepEqual(registry.ofTicket("t1"), [one]);
  registry.remove(one);
  assert.deepEqual(registry.ofTicket("t1"), []);
});
