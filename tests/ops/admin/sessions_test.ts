// Sessions by the admin API: listing, looking, ending.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { open, told } from "./admin_house.ts";

const SESSIONS = "/v1/tenants/acme/sessions";

test("All sessions are listed by id, page after page, each once", async () => {
  const house = await open();
  const entered = Array.from({ length: 25 }, (_, i) => house.enterAs(`user-${i % 7}`).session);
  const seen: string[] = [];
  let path = `${SESSIONS}?limit=10`, pages = 0;
  for (let cursor: string | null = ""; cursor !== null; path = `${SESSIONS}?limit=10&cursor=${cursor}`) {
    const { status, body } = await house.get(path);
    assert.equal(status, 200);
    seen.push(...body.sessions.map(({ session }: { session: string }) => session));
    cursor = body.next;
    pages++;
  }
  assert.deepEqual([seen, pages], [entered.toSorted(), 3]);
});

test("Sessions are listed by user, by room, and by both", async () => {
  const house = await open();
  const [one, two, bob] = [house.enterAs("ann"), house.enterAs("ann"), house.enterAs("bob")];
  one.client.join("a room");
  bob.client.join("a room");
  const list = async (query: string) => {
    const { body } = await house.get(`${SESSIONS}?${query}`);
    return body.sessions.map(({ session }: { session: string }) => session);
  };
  assert.deepEqual(await list("user=ann"), [one.session, two.session]);
  assert.deepEqual(await list("room=a%20room"), [one.session, bob.session]);
  assert.deepEqual(await list("room=a%20room&user=ann"), [one.session]);
  assert.deepEqual(await list("user=nobody"), []);
  assert.deepEqual(await list("room=none"), []);
  assert.deepEqual((await house.get("/v1/tenants/other/sessions")).body, { sessions: [], next: null });
});

test("A session is shown with its rooms, and where its hot messages go", async () => {
  const house = await open();
  const { client, session } = house.enterAs("ann");
  client.join("a");
  client.join("b");
  house.clock.advance(5000);
  const { body } = await house.get(`${SESSIONS}/${session}`);
  const { trace_id, sid, ...rest } = body;
  assert.deepEqual(rest, {
    session,
    user: "ann",
    address: "192.0.2.1",
    connected_at_ms: house.clock.unixMs() - 5000,
    ticket_id: null,
    room_count: 2,
    detached_ms: null,
    rooms: [{ room: "a", member: 1, active: false }, { room: "b", member: 1, active: true }],
    transport: "websocket",
    lanes: [],
    waiting_bytes: 0,
    blocked_ms: null,
    dropped: 0,
    backlog: { messages: 0, bytes: 0 },
    quotas: [{ quota: "session", unit: "messages", burst: 1_000_000, left: 1_000_000 }],
    throttled_ms: null,
  });
  assert.match(`${trace_id} ${sid}`, /^\w+ \w+$/);
  const { body: { sessions: [listed] } } = await house.get(SESSIONS);
  const summary = Object.fromEntries(Object.keys(listed).map((key) => [key, body[key]]));
  assert.deepEqual(listed, summary);
  assert.equal((await house.get(`${SESSIONS}/nobody`)).status, 404);
});

test("Ending a session tells it the reason and closes it so that it stays away", async () => {
  const house = await open();
  const [ann, bob] = [house.enterAs("ann"), house.enterAs("bob")];
  const { status, body } = await house.ask("DELETE", `${SESSIONS}/${ann.session}?reason=cheating`);
  assert.deepEqual([status, body], [200, { disconnected: 1 }]);
  assert.deepEqual(told(ann.client), [{ v: 1, svc: "sys", type: "kicked", data: { reason: "cheating" } }]);
  assert.deepEqual([ann.client.link.closed?.code, bob.client.link.closed], [4501, null]);
  assert.equal((await house.ask("DELETE", `${SESSIONS}/${ann.session}`)).status, 404);
});
