// The gateway is killed at random moments, again and again, while sessions come and go and the backend fails now and
// then, and administrators decide about users and tenants: nothing that was promised may be lost. `WSPRISM_SOAK_ROUNDS`
// says how often, `WSPRISM_SOAK_SEED` with what chance.

import assert from "node:assert/strict";
import process from "node:process";
import { after, test } from "node:test";
import { Admin } from "../flow/admin_client.ts";
import { Backend } from "../flow/backend_process.ts";
import { Client } from "../flow/client.ts";
import { Folder, GatewayProcess, until } from "../flow/gateway_process.ts";
import { distinct, type Event, KEY, Receiver } from "../flow/webhook_receiver.ts";
import { ADMIN, Decisions } from "./decisions.ts";

const ROUNDS = Number(process.env["WSPRISM_SOAK_ROUNDS"] ?? 300);
const SEED = Number(process.env["WSPRISM_SOAK_SEED"] ?? Date.now() % 1_000_000);

/** Chance that can be had again (mulberry32). */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const backend = await Backend.start();
after(() => backend.stop());
const folder = new Folder();
after(() => folder[Symbol.dispose]());

const config = {
  gateway: { state_dir: `${folder.path}/state`, drain_grace_ms: 0 },
  admin: ADMIN,
  tenants: [{ id: "other" }, {
    id: "acme",
    policy: { ext_allowlist: ["room:*", "chat:*"] },
    webhooks: [{
      id: "audit",
      url: `${backend.origin}/hook`,
      events: ["session.connected", "session.disconnected", "room.joined", "room.left", "message.ext"],
      keys: [KEY],
      batch: { max_events: 20, max_wait_ms: 5 },
      timeout_ms: 200,
    }],
  }],
};

/** One client's life, which ends whenever the gateway does; its session, once it has been greeted. */
async function live(
  gateway: GatewayProcess,
  random: () => number,
  greeted: (session: string) => void,
): Promise<void> {
  try {
    const client = await Client.open(gateway);
    greeted(client.authed.session);
    await client.join(`room-${Math.floor(random() * 3)}`);
    for (let i = 0; i < random() * 10; i++) {
      client.send({ svc: "chat", type: "send", room: "room-0", data: { msg: String(i) } });
      await pause(random() * 5);
    }
    if (random() < 0.5) client.close();
  } catch {
    // The gateway is gone.
  }
}

test(`nothing promised is lost in ${ROUNDS} crashes (seed ${SEED})`, async () => {
  const random = chance(SEED);
  const receiver = new Receiver(backend, "/hook");
  const greeted = new Set<string>();
  const decisions = new Decisions(random);
  await backend.set("/hook", {});
  for (let round = 0; round < ROUNDS; round++) {
    const mood = random();
    await backend.set(
      "/hook",
      mood < 0.6 ? {} : mood < 0.8 ? { status: 503 } : { fails: mood < 0.9 ? "reset" : "silent" },
    );
    await using gateway = await GatewayProcess.start(config, { keeps: folder.path, mayComplain: true });
    await decisions.check(gateway);
    const deciding = decisions.go(gateway);
    const lives = Array.from({ length: 8 }, async () => {
      await pause(random() * 60);
      await live(gateway, random, (session) => greeted.add(session));
    });
    await pause(random() * 150);
    await gateway.crash();
    await Promise.all([deciding, ...lives]);
    await receiver.look();
  }
  await backend.set("/hook", {});
  {
    await using gateway = await GatewayProcess.start(config, { keeps: folder.path });
    await decisions.checkAll(gateway);
    const admin = await Admin.of(gateway, "root");
    await until("the queue to be empty", async () => {
      const { webhooks: [hook] } = await admin.good("GET", "/v1/tenants/acme/webhooks");
      return hook.delivered > 0 && hook.events === 0 ? true : null;
    }, 60_000);
    await gateway.stop();
  }
  await receiver.look();
  const events = distinct(receiver.events);
  const sessions = (type: string) =>
    events.filter((event) => event.type === type).map(({ session }) => session);
  const [connected, disconnected] = [sessions("session.connected"), sessions("session.disconnected")];
  const missing = (from: Iterable<string>, all: readonly string[]) =>
    [...from].filter((one) => !all.includes(one));
  assert.deepEqual(missing(greeted, connected), [], "whoever was greeted is on record");
  assert.deepEqual(missing(connected, disconnected), [], "whoever is on record has an end");
  assert.equal(new Set(connected).size, connected.length, "once each");
  assert.equal(new Set(disconnected).size, disconnected.length, "once each");
  const sorted = events.map(({ seq }) => seq).sort((a, b) => a - b);
  assert.deepEqual(sorted, sorted.map((_, i) => i + 1), "no holes");
  assert.equal(new Set(events.map(({ id }) => id)).size, events.length, "another number is another event");
  assert.deepEqual(inOrder(events), [], "each session's events in their order");
  const lost = events.filter(({ data }) => data?.reason === "node_lost").length;
  const sent = receiver.events.length - events.length;
  const line = `${ROUNDS} crashes: ${greeted.size} sessions greeted, ${events.length} events, ` +
    `${lost} lost with the gateway, ${sent} sent again, ${decisions.answered} decisions, ${decisions.checked} looks at them\n`;
  process.stdout.write(line);
});

/** Sessions with an event before the first or behind the last. */
function inOrder(events: readonly Event[]): string[] {
  const ended = new Set<string>(), begun = new Set<string>(), wrong: string[] = [];
  for (const { type, session } of events.toSorted((a, b) => a.seq - b.seq)) {
    if (type === "session.connected") begun.add(session);
    if (!begun.has(session) || ended.has(session)) wrong.push(session);
    if (type === "session.disconnected") ended.add(session);
  }
  return wrong;
}
