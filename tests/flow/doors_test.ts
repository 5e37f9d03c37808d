// One room, and members who came in by different doors: all of them hear the same, in one order.

import assert from "node:assert/strict";
import { test } from "node:test";
import { within } from "../raw_client.ts";
import { lastly, sharedGateway } from "./gateway_process.ts";
import { ALL_DOORS, type Dial, doorsOf, type Wire } from "./wires.ts";

/** Said by each member. */
const SAID = 100;

const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0, ...ALL_DOORS.gateway },
  tenants: [{
    id: "acme",
    policy: { ext_allowlist: ["room:*", "chat:*"], rate_limit_rps: 100_000, rate_limit_burst: 100_000 },
  }],
}, ALL_DOORS.options);
const DOORS = await doorsOf(gateway);

/** Somebody in the room. */
class Member {
  readonly name: string;
  readonly chat: string[] = [];
  transport = "";
  readonly #wire: Wire;
  #types = new Set<string>();
  #wakes: (() => void)[] = [];

  constructor(name: string, dial: Dial) {
    this.name = name;
    const query = new URLSearchParams({ tenant: "acme", ticket: `dev:${name}` });
    this.#wire = dial(gateway, query, {
      refused: (status, body) => assert.fail(`${status} ${body}`),
      message: (text) => {
        const { type, data } = JSON.parse(text);
        if (type === "authed") this.transport = data.transport;
        if (type === "msg") this.chat.push(`${data.from}: ${data.msg}`);
        this.#types.add(type);
        for (const wake of this.#wakes.splice(0)) wake();
      },
      closed: () => {},
    });
  }

  say(svc: string, type: string, more: object): void {
    this.#wire.send(JSON.stringify({ v: 1, svc, type, room: "all", ...more }));
  }

  async heard(type: string): Promise<void> {
    await this.until(() => this.#types.has(type), `${type} at ${this.name}`);
  }

  async until(holds: () => boolean, what: string): Promise<void> {
    while (!holds()) await within(new Promise<void>((resolve) => this.#wakes.push(resolve)), what);
  }

  leave(): void {
    this.#wire.close(1000);
  }
}

test("members who came in by different doors hear one order", async () => {
  const members = Object.entries(DOORS).map(([name, dial]) => new Member(name, dial));
  for (const member of members) {
    await member.heard("authed");
    assert.equal(member.transport, member.name);
    member.say("room", "join", {});
    await member.heard("joined");
  }
  for (let i = 0; i < SAID; i++) {
    for (const member of members) member.say("chat", "send", { data: { msg: `${i}` } });
    // They do not all speak in one turn of the gateway.
    if (i % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  const total = SAID * members.length;
  for (const member of members) {
    await member.until(() => member.chat.length === total, `${total} messages at ${member.name}`);
  }
  const [first, ...others] = members;
  for (const { name, chat } of others) assert.deepEqual(chat, first!.chat, `${name} heard another order`);
  // Nobody's own messages come in another order than said.
  for (const { name } of members) {
    const own = first!.chat.filter((line) => line.startsWith(`${name}: `));
    assert.deepEqual(own, Array.from({ length: SAID }, (_, i) => `${name}: ${i}`));
  }
  await gateway.metricsUntil(
    "one connection by each door",
    (metrics) =>
      Object.keys(DOORS).every((transport) =>
        metrics.sum("wsprism_connections", { tenant: "acme", transport }) === 1
      ),
  );
  for (const member of members) member.leave();
});

lastly(gateway);
