import { strict as assert } from "node:assert";
import { test } from "node:test";
import { accepted, oneTenant, refusals } from "./loading.ts";

const rooms = (classes: string) => oneTenant(`rooms: [${classes}]`);

test("Nothing is kept over a lost connection, and no room keeps anything, unless the file says so", () => {
  const tenant = accepted(oneTenant()).config.tenants[0]!;
  assert.deepEqual([tenant.resume, tenant.rooms], [undefined, []]);
});

test("A bare resume and a bare history have the defaults of the reference", () => {
  const { resume } = accepted(oneTenant("resume: {}")).config.tenants[0]!;
  assert.deepEqual(resume, {
    window_ms: 30_000,
    max_bytes: 262_144,
    max_messages: 1024,
    max_detached: 10_000,
  });
  const [chat] = accepted(rooms('{ match: "chat:*", history: {} }')).config.tenants[0]!.rooms;
  const history = { max_messages: 100, max_bytes: 1_048_576, max_age_ms: 300_000, store: "memory" };
  assert.deepEqual(chat, { match: "chat:*", history, presence: false });
});

test("A history on disk needs a place, and says so where it stands", () => {
  const disk = '{ match: "chat:*", history: { store: disk } }';
  assert.deepEqual(refusals(rooms(disk)), [
    'tenants[0].rooms[0].history.store needs gateway.state_dir for "disk" (4, 50)',
  ]);
  accepted(`gateway: { state_dir: state }\n${rooms(disk)}`);
});

test("A history in NATS needs a cluster, which takes no other, and has a bound of its own", () => {
  const nats = (more = "") => rooms(`{ match: "chat:*", history: { store: nats${more} } }`);
  const cluster = 'cluster: { nats: { servers: ["nats://127.0.0.1:4222"] } }';
  assert.deepEqual(refusals(nats()), ['tenants[0].rooms[0].history.store needs cluster for "nats" (4, 50)']);
  accepted(`${cluster}\n${nats(", max_messages: 10000")}`);
  assert.deepEqual(refusals(`${cluster}\n${nats(", max_messages: 10001")}`), [
    'tenants[0].rooms[0].history.max_messages must be at most 10000 with the store "nats", got 10001 (5, 70)',
  ]);
  assert.match(
    refusals(`${cluster}\n${rooms("{ match: a, history: {} }")}`).join("\n"),
    /must have the store "nats" in a cluster/,
  );
});

test("A class of rooms without a pattern, of another store, or of unknown keys is refused", () => {
  assert.match(
    refusals(rooms("{ history: {} }")).join("\n"),
    /rooms\[0\]\.match is missing; it must be 1–128 characters/,
  );
  assert.match(
    refusals(rooms("{ match: a, history: { store: redis } }")).join("\n"),
    /must be one of "memory", "disk", "nats"/,
  );
  assert.match(refusals(rooms("{ match: a, histroy: {} }")).join("\n"), /histroy/);
  assert.match(refusals(rooms('{ match: "" }')).join("\n"), /match must be 1–128 characters/);
});
