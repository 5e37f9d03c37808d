import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { type Client, House } from "../session/house.ts";

const STATE = [
  "hot_services: [{ id: 3, kind: state, tick_ms: 50 }]",
  'policy: { ext_allowlist: ["room:*"], hot_allowlist: ["3:*"], rate_limit_rps: 1000000, rate_limit_burst: 1000000, ' +
  "sessions: { max_sessions_per_user: 1000 } }",
];

async function place() {
  const house = await new House({ tenant: STATE }).start();
  const update = (client: Client, opcode: number, ...payload: number[]) =>
    client.handler.binary(Uint8Array.of(1, 3, opcode, 0, ...payload));
  const tick = () => {
    house.clock.advance(50);
    house.turn();
  };
  return { house, update, tick };
}

/** A frame with its sender's number, in hexadecimal order for comparing sets. */
const frame = (
  member: number,
  opcode: number,
  ...payload: number[]
) => [1, 3, opcode, 4, member, 0, 0, 0, ...payload];
const sorted = (frames: readonly unknown[]) => frames.map((each) => JSON.stringify(each)).sort();

function assertHeard(client: Client, ...frames: readonly number[][]): void {
  assert.deepEqual(sorted(client.link.read()), sorted(frames));
}

test("Each tick brings what the others changed, the latest of each opcode only, and nothing in between", async () => {
  const { house, update, tick } = await place();
  const [ann, bob] = [house.connect("ann"), house.connect("bob")];
  for (const client of [ann, bob]) client.join("a");
  for (let i = 0; i < 10; i++) update(ann, 1, i);
  update(ann, 2, 77);
  update(bob, 1, 88);
  house.turn();
  assertHeard(bob);
  house.clock.advance(49);
  house.turn();
  assertHeard(bob);
  house.clock.advance(1);
  house.turn();
  assertHeard(bob, frame(1, 1, 9), frame(1, 2, 77));
  assertHeard(ann, frame(2, 1, 88));
  tick();
  assertHeard(bob);
  assertHeard(ann);
});

test("Whoever joins gets all there is, once", async () => {
  const { house, update, tick } = await place();
  const [ann, bob] = [house.connect("ann"), house.connect("bob")];
  ann.join("a");
  update(ann, 1, 1);
  update(ann, 2, 2);
  tick();
  tick();
  update(ann, 2, 22); // Waits for the tick as bob comes.
  bob.tell("room", "join", { room: "a" });
  house.turn();
  assertHeard(
    { link: { read: () => bob.link.read().filter((each) => Array.isArray(each)) } } as Client,
    frame(1, 1, 1),
  );
  tick();
  assertHeard(bob, frame(1, 2, 22));
  tick();
  assertHeard(bob);
});

test("Whoever leaves is forgotten, with what of theirs was waiting", async () => {
  const { house, update, tick } = await place();
  const [ann, bob, eve] = [house.connect("ann"), house.connect("bob"), house.connect("eve")];
  for (const client of [ann, bob]) client.join("a");
  update(ann, 1, 1);
  tick();
  assertHeard(bob, frame(1, 1, 1));
  update(ann, 1, 2);
  ann.ask("room", "leave");
  tick();
  assertHeard(bob);
  eve.join("a");
  assertHeard(eve);
  ann.join("a");
  tick();
  assertHeard(ann);
  update(ann, 1, 3);
  tick();
  assertHeard(bob, frame(4, 1, 3));
});

test("Rooms do not hear each other, and a room that has emptied begins anew", async () => {
  const { house, update, tick } = await place();
  const [ann, bob] = [house.connect("ann"), house.connect("bob")];
  ann.join("a");
  bob.join("b");
  update(ann, 1, 1);
  tick();
  assertHeard(bob);
  ann.gone();
  bob.join("a");
  tick();
  assertHeard(bob);
  assert.deepEqual(house.census(), { sessions: 1, users: 1, rooms: 2, roomUsers: 1, timers: 1 });
});

test("A frame that waits does not change when its bytes' buffer is used again", async () => {
  const { house, tick } = await place();
  const [ann, bob] = [house.connect("ann"), house.connect("bob")];
  for (const client of [ann, bob]) client.join("a");
  const buffer = Uint8Array.of(1, 3, 1, 0, 42);
  ann.handler.binary(buffer);
  buffer.fill(0xff);
  tick();
  assertHeard(bob, frame(1, 1, 42));
});

test("A service that nobody uses ticks for nobody", async () => {
  const { house, update, tick } = await place();
  const idle = house.clock.tasks;
  const [ann, bob] = [house.connect("ann"), house.connect("bob")];
  for (const client of [ann, bob]) client.join("a");
  assert.equal(house.clock.tasks, idle);
  update(ann, 1, 1);
  assert.equal(house.clock.tasks, idle + 1);
  tick();
  tick();
  assert.equal(house.clock.tasks, idle, "it stops when nothing changes");
  update(ann, 1, 2);
  tick();
  bob.link.read();
  update(ann, 1, 3);
  tick();
  assertHeard(bob, frame(1, 1, 3));
  update(ann, 1, 4);
  await house.gateway.stop();
  assert.equal(house.clock.tasks, 0, "and with the gateway");
});

const CLIENTS = 4;
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("update" as const),
      who: fc.nat(CLIENTS - 1),
      opcode: fc.nat(2),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("join" as const),
      who: fc.nat(CLIENTS - 1),
      room: fc.constantFrom("a", "b"),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("leave" as const),
      who: fc.nat(CLIENTS - 1),
      room: fc.constantFrom("a", "b"),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("tick" as const) }) },
);

test("After every tick each member knows the latest of every other member of its room, and was told nothing twice", async () => {
  let checked = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { size: "max", maxLength: 80 }), async (steps) => {
      const { house, update, tick } = await place();
      const clients = Array.from({ length: CLIENTS }, (_, i) => house.connect(`user ${i}`));
      /** Per client and room: its member number. */
      const members = clients.map(() => new Map<string, number>());
      const active: (string | null)[] = clients.map(() => null);
      /** Per room, "member opcode": the latest value. */
      const latest = new Map<string, Map<string, number>>([["a", new Map()], ["b", new Map()]]);
      /** Per client and room, what it has been told of those who are still there. */
      const known = clients.map(() => new Map<string, Map<string, number>>());
      let value = 0;
      const hear = () => {
        clients.forEach((client, i) => {
          for (const message of client.link.read()) {
            if (!Array.isArray(message)) continue;
            const [, , opcode, , member, , , , low, high, room] = message as number[];
            const name = room === 0 ? "a" : "b", key = `${member} ${opcode}`;
            const mine = known[i]!.get(name);
            assert.ok(mine, "of a room that it is not in");
            assert.notEqual(member, members[i]!.get(name), "its own");
            const told = low! + high! * 256;
            assert.ok((mine.get(key) ?? 0) < told, "told twice");
            mine.set(key, told);
          }
        });
      };
      for (const step of steps) {
        if (step.kind === "tick") {
          tick();
          hear();
          clients.forEach((_, i) => {
            for (const [room, mine] of known[i]!) {
              const others = [...latest.get(room)!].filter(([key]) =>
                key.split(" ")[0] !== String(members[i]!.get(room))
              );
              assert.deepEqual(Object.fromEntries(mine), Object.fromEntries(others));
              checked += others.length;
            }
          });
        } else if (step.kind === "update") {
          const room = active[step.who];
          if (room === null || room === undefined) continue;
          value++;
          update(clients[step.who]!, step.opcode, value & 255, value >> 8, room === "a" ? 0 : 1);
          latest.get(room)!.set(`${members[step.who]!.get(room)} ${step.opcode}`, value);
        } else if (step.kind === "join") {
          const client = clients[step.who]!;
          hear();
          if (!members[step.who]!.has(step.room)) known[step.who]!.set(step.room, new Map());
          client.tell("room", "join", { room: step.room });
          house.turn();
          const answers = client.link.read();
          const answer = answers.find((each) => !Array.isArray(each)) as { data: { member: number } };
          members[step.who]!.set(step.room, answer.data.member);
          active[step.who] = step.room;
          // What came with the greeting.
          client.link.got.push(
            ...answers.filter((each) => Array.isArray(each)).map((each) => Uint8Array.from(each as number[])),
          );
          hear();
        } else {
          const member = members[step.who]!.get(step.room);
          clients[step.who]!.ask("room", "leave", { room: step.room });
          if (member === undefined) continue;
          members[step.who]!.delete(step.room);
          known[step.who]!.delete(step.room);
          if (active[step.who] === step.room) active[step.who] = null;
          const gone = (key: string) => key.split(" ")[0] === String(member);
          for (const map of [latest.get(step.room)!, ...known.map((rooms) => rooms.get(step.room))]) {
            for (const key of [...map?.keys() ?? []]) if (gone(key)) map!.delete(key);
          }
        }
      }
    }),
    { numRuns: 150 },
  );
  assert.ok(checked > 500, String(checked));
});
