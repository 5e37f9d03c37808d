// Listings of thousands: every page is as long as was asked for, nobody who stays is missed or shown twice while others
// come and go.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type AdminHouse, open } from "./admin_house.ts";

const ACME = "/v1/tenants/acme";
const COUNT = 3000;
const POLICY = 'policy: { ext_allowlist: ["room:*"], sessions: { max_sessions_per_user: 100000 } }';

type Item = Readonly<Record<string, string>>;

/** Reads a list to its end. @param between done between two pages */
async function all(
  house: AdminHouse,
  path: string,
  { name, limit, between = () => {} }: { name: string; limit: number; between?: () => void },
): Promise<Item[]> {
  const items: Item[] = [];
  for (let cursor: string | null = "";;) {
    const more: string = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const { status, body, text } = await house.get(
      `${path}${path.includes("?") ? "&" : "?"}limit=${limit}${more}`,
    );
    assert.equal(status, 200, text);
    assert.ok(body[name].length === limit || body.next === null, `${body[name].length} items in a page`);
    items.push(...body[name]);
    cursor = body.next;
    if (cursor === null) return items;
    house.clock.advance(10);
    between();
  }
}

test("Thousands of sessions and rooms are listed whole while others come and go", async () => {
  const house = await open({ tenant: [POLICY] });
  const staying = Array.from({ length: COUNT }, (_, i) => {
    const { client, session } = house.enterAs(`user-${i % 1000}`);
    client.join(`room-${i}`);
    return session;
  });
  const passing: { gone(): void }[] = [];
  const between = () => {
    for (const client of passing.splice(0)) client.gone();
    for (let i = 0; i < 5; i++) {
      const { client } = house.enterAs(`passer-${i}`);
      client.join(`passage-${i}`);
      passing.push(client);
    }
    house.turn();
  };
  const stayed = (items: readonly Item[], key: string, mine: (name: string) => boolean) => {
    const names = items.map((item) => item[key]!);
    assert.equal(new Set(names).size, names.length, "nothing twice");
    return names.filter(mine);
  };
  const sessions = await all(house, `${ACME}/sessions`, { name: "sessions", limit: 100, between });
  const known = new Set(staying);
  assert.deepEqual(stayed(sessions, "session", (name) => known.has(name)), staying.toSorted());
  const rooms = await all(house, `${ACME}/rooms`, { name: "rooms", limit: 250, between });
  assert.equal(stayed(rooms, "room", (name) => name.startsWith("room-")).length, COUNT);
});

test("A room's members and a user's sessions are listed whole, each once", async () => {
  const house = await open({ tenant: [POLICY] });
  const sessions = Array.from({ length: 600 }, () => {
    const { client, session } = house.enterAs("ann");
    client.join("hall");
    return session;
  });
  for (
    const [path, name] of [
      ["/rooms/hall/members", "members"],
      ["/sessions?user=ann", "sessions"],
      ["/sessions?room=hall", "sessions"],
      ["/sessions?room=hall&user=ann", "sessions"],
    ] as const
  ) {
    const items = await all(house, `${ACME}${path}`, { name, limit: 77 });
    assert.deepEqual(items.map(({ session }) => session).toSorted(), sessions.toSorted(), path);
  }
});
