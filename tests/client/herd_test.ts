// Two thousand clients lose their gateway in the same moment, on one clock: when do they knock again?

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Client } from "../../clients/typescript/src/mod.ts";
import { FakeClock } from "./fake_clock.ts";
import { FakeGateway } from "./fake_gateway.ts";

const CLIENTS = 2000;
const OUTAGE_MS = 3000;
/** Handshakes that the gateway takes in a second, when it is back. */
const BUDGET = 400;

/** The same numbers in every run (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

interface Herd {
  /** Handshakes in each second from the gateway's return on. */
  readonly perSecond: number[];
  /** Clients that are back. */
  back: number;
}

/** How the gateway is, and what it lets in. */
class Budget {
  #second = -1;
  #left = 0;
  readonly #now: () => number;
  readonly #herd: Herd;

  constructor(now: () => number, herd: Herd) {
    this.#now = now;
    this.#herd = herd;
  }

  /** @returns whether a handshake comes through */
  knock(): boolean {
    const since = this.#now() - OUTAGE_MS;
    if (since < 0) return false;
    const second = Math.floor(since / 1000);
    this.#herd.perSecond[second] = (this.#herd.perSecond[second] ?? 0) + 1;
    if (second !== this.#second) {
      this.#second = second;
      this.#left = BUDGET;
    }
    return this.#left-- > 0;
  }
}

/** Clients of other libraries, by the waits between their tries, milliseconds. */
function others(waitMs: (attempt: number, random: () => number) => number): Herd {
  const herd: Herd = { perSecond: [], back: 0 };
  const random = numbers(1);
  let now = 0;
  const budget = new Budget(() => now, herd);
  const due = Array.from({ length: CLIENTS }, () => ({ at: waitMs(0, random), attempt: 0 }));
  while (due.length > 0 && now < 120_000) {
    due.sort((a, b) => b.at - a.at);
    const next = due.pop()!;
    now = next.at;
    if (budget.knock()) herd.back++;
    else due.push({ at: now + waitMs(next.attempt + 1, random), attempt: next.attempt + 1 });
  }
  return herd;
}

async function ours(told: boolean): Promise<Herd> {
  const herd: Herd = { perSecond: [], back: 0 };
  const clock = new FakeClock();
  const random = numbers(1);
  const gateway = new FakeGateway({ clock });
  const clients = Array.from(
    { length: CLIENTS },
    (_, i) =>
      new Client("ws://gateway", {
        tenant: "acme",
        ticket: `dev:u${i}`,
        transport: gateway,
        clock,
        random,
        page: null,
      }),
  );
  const up = clients.map((client) => client.connect());
  await clock.pass(10);
  await Promise.all(up);
  // A connection that lasted: waits begin anew.
  const links = gateway.links.splice(0);
  const lostAt = clock.now();
  const budget = new Budget(() => clock.now() - lostAt, herd);
  gateway.refuses = () => !budget.knock();
  links.forEach((link, i) => {
    if (!told) return link.cut();
    // What a gateway says that stops: a slot for each, spread by the budget of those that stay.
    link.deliver({
      svc: "sys",
      type: "draining",
      data: { retry_after_ms: Math.ceil((i + 1) * 1000 / BUDGET) + OUTAGE_MS },
    });
    link.close(1001, "gateway is draining");
  });
  while (clock.now() - lostAt < 120_000 && herd.back < CLIENTS) {
    await clock.pass(1000);
    herd.back = clients.filter(({ status }) => status.get().state === "connected").length;
  }
  for (const client of clients) void client.dispose();
  await clock.pass(1000);
  return herd;
}

const peak = ({ perSecond }: Herd) => Math.max(...Array.from(perSecond, (count) => count ?? 0));

test("Two thousand clients that lose their gateway come back one by one, none is left behind", async () => {
  const herd = await ours(false);
  assert.equal(herd.back, CLIENTS);
  // As partysocket has it by default, and as fixed waits have it.
  const party = others((attempt, random) =>
    attempt === 0 ? 0 : Math.min(10_000, (1000 + random() * 4000) * 1.3 ** (attempt - 1))
  );
  const fixed = others(() => 1000);
  assert.ok(peak(herd) < peak(fixed) / 2, JSON.stringify([peak(herd), peak(party), peak(fixed)]));
  const spread = (one: Herd) => `${peak(one)} (${one.perSecond.slice(0, 12).join(" ")})`;
  assert.ok(peak(herd) <= 700, `ours ${spread(herd)}, partysocket ${spread(party)}, fixed ${spread(fixed)}`);
});

test("Where the gateway gives slots, its budget is kept to the handshake", async () => {
  const herd = await ours(true);
  assert.equal(herd.back, CLIENTS);
  assert.ok(peak(herd) <= BUDGET + 1, JSON.stringify(herd.perSecond));
  assert.equal(herd.perSecond.reduce((all, count) => all + count, 0), CLIENTS, "nobody has to knock twice");
});
