// Webhooks by the admin API: what waits, and the events that a backend refuses.

import { strict as assert } from "node:assert";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { StateStore } from "../../../src/state/state_store.ts";
import { OPEN_POLICY } from "../../session/house.ts";
import { AdminHouse, type Answered } from "./admin_house.ts";

const HOOKS = "/v1/tenants/acme/webhooks";
const LETTERS = `${HOOKS}/audit/dead-letters`;

/** A house with a webhook, whose backend refuses what is bad as long as it is told to. */
async function setting() {
  const backend = { refuses: true };
  const taken: string[] = [];
  const server = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk) => text += chunk);
    request.on("end", () => {
      const refused = backend.refuses && text.includes("bad-");
      if (!refused) {
        taken.push(...JSON.parse(text).events.map(({ data }: { data: { service: string } }) => data.service));
      }
      response.writeHead(refused ? 422 : 200).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}/hook?token=hidden`;
  const webhooks = `webhooks: [{ id: audit, durable: false, url: "${url}", events: [policy.denied], ` +
    `batch: { max_wait_ms: 0 } }]`;
  const house = new AdminHouse({ tenant: [OPEN_POLICY, webhooks] });
  // The state's thread has the time of the day, and events of another year would be too old.
  house.clock.ms += Date.now() - house.clock.unixMs();
  await house.start();
  const { client } = house.enterAs("ann");
  /** Something that the backend is told of. */
  const happen = (service: string) => {
    client.ask(service, "x");
    // Of a rule and session, only the first in a second is told of.
    house.clock.advance(1000);
  };
  /** The webhook, once it is as wished. */
  const until = async (wished: (webhook: Answered["body"]) => boolean) => {
    for (;;) {
      // The key has a rate, which time gives back.
      house.clock.advance(10);
      const [webhook] = (await house.get(HOOKS)).body.webhooks;
      if (wished(webhook)) return webhook;
    }
  };
  const dead = async (count: number) => await until(({ dead_letters }) => dead_letters === count);
  return {
    house,
    backend,
    taken,
    port,
    happen,
    dead,
    until,
    async [Symbol.asyncDispose]() {
      await house.gateway.stop();
      server.close();
      server.closeAllConnections();
    },
  };
}

const post = async (house: AdminHouse, path: string, body: unknown): Promise<Answered> =>
  await house.ask("POST", `${LETTERS}/${path}`, { body });
const seqs = ({ body }: Answered) => body.dead_letters.map(({ seq }: { seq: number }) => seq);

test("A webhook's numbers and its dead letters are shown, page after page", async () => {
  await using at = await setting();
  const { house, port } = at;
  for (const service of ["bad-a", "bad-b", "bad-c"]) at.happen(service);
  const { oldest_ms, batches, ...shown } = await at.dead(3);
  assert.ok(batches.refused >= 3, JSON.stringify(batches));
  assert.ok(oldest_ms === null || oldest_ms > 0);
  assert.deepEqual([shown.id, shown.url, shown.lost.dead_letter], [
    "audit",
    `http://127.0.0.1:${port}/hook`,
    3,
  ]);
  const first = await house.get(`${LETTERS}?limit=2`);
  assert.deepEqual([seqs(first), first.body.next], [[1, 2], "2"]);
  const [{ time_ms, reason, event }] = first.body.dead_letters;
  assert.deepEqual([event.type, event.seq, event.data.service, event.time_ms], [
    "policy.denied",
    1,
    "bad-a:x",
    time_ms,
  ]);
  assert.match(reason, /422/);
  const second = await house.get(`${LETTERS}?limit=2&cursor=2`);
  assert.deepEqual([seqs(second), second.body.next], [[3], null]);
  assert.deepEqual((await house.get("/v1/tenants/other/webhooks")).body, { webhooks: [] });
});

test("Dead letters are sent again in their places, or dropped, some or all", async () => {
  await using at = await setting();
  const { house } = at;
  for (const service of ["bad-a", "bad-b", "bad-c", "bad-d"]) at.happen(service);
  await at.dead(4);
  at.backend.refuses = false;
  assert.deepEqual((await post(house, "drop", { seqs: [2, 99] })).body, { dropped: 1 });
  assert.deepEqual((await post(house, "retry", { seqs: [3, 2] })).body, { retried: 1 });
  assert.deepEqual(seqs(await house.get(LETTERS)), [1, 4]);
  assert.deepEqual((await post(house, "retry", { all: true })).body, { retried: 2 });
  await at.until(({ events }) => events === 0);
  assert.deepEqual(at.taken.filter((name) => name !== undefined).toSorted(), [
    "bad-a:x",
    "bad-c:x",
    "bad-d:x",
  ]);
  assert.deepEqual((await post(house, "drop", { all: true })).body, { dropped: 0 });
});

test("What is no choice of dead letters is refused, and a webhook that is not there is told of", async () => {
  await using at = await setting();
  const bodies = [
    {},
    { seqs: [] },
    { seqs: [0] },
    { seqs: ["1"] },
    { all: false },
    { seqs: [1], all: true },
    [],
    {
      seqs: Array(1001).fill(1),
    },
  ];
  for (const path of ["retry", "drop"]) {
    for (const body of bodies) {
      assert.equal((await post(at.house, path, body)).status, 400, JSON.stringify(body));
    }
    const { status, body } = await at.house.ask("POST", `${HOOKS}/none/dead-letters/${path}`, {
      body: { all: true },
    });
    assert.deepEqual([status, body.msg], [404, "tenant has no such webhook"]);
  }
  for (const query of ["limit=0", "limit=1001", "cursor=-1", "cursor=x"]) {
    assert.equal((await at.house.get(`${LETTERS}?${query}`)).status, 400, query);
  }
  assert.equal((await at.house.get(`${HOOKS}/none/dead-letters`)).status, 404);
});

test("Where the state cannot be used, the answer says so", async () => {
  await using at = await setting();
  await (at.house.gateway.state as StateStore).close();
  for (
    const answer of [
      await at.house.get(HOOKS),
      await at.house.get(LETTERS),
      await post(at.house, "drop", { all: true }),
    ]
  ) {
    assert.deepEqual([answer.status, answer.body.code], [503, "UNAVAILABLE"], answer.text);
  }
});
