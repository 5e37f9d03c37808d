// A link's life, whoever it serves.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { TenantMetrics } from "../../src/metrics/metrics.ts";
import { CLOSE } from "../../src/protocol/codes.ts";
import { extFrame, LANE, LANE_NAMES } from "../../src/protocol/frame.ts";
import { AccessLog } from "../../src/session/access_log.ts";
import { Connection, type ConnectionUser } from "../../src/session/connection.ts";
import { Flusher } from "../../src/session/flusher.ts";
import { Totals } from "../../src/session/registry.ts";
import type { TenantSettings } from "../../src/session/settings.ts";
import { ReplayPump } from "../../src/session/replay_pump.ts";
import { TimerWheel } from "../../src/session/timer_wheel.ts";
import { Clock, FakeLink } from "./house.ts";
import { SILENT } from "../../src/log.ts";

const OUTBOX: TenantSettings["outbox"] = {
  reliableBytes: 1000,
  reliableMessages: 10,
  latestBytes: 1000,
  latestAgeMs: 0,
  lossyBytes: 1000,
  lossyAgeMs: 0,
  lossyDropsOldest: true,
  sendTimeoutMs: 1000,
  watermarkBytes: 100,
};

/** Notes what it is told. */
class User implements ConnectionUser {
  readonly traceId = "t";
  readonly replay = null;
  readonly told: string[] = [];
  connection: Connection | null = null;

  opened(connection: Connection): void {
    this.connection = connection;
    this.told.push("opened");
  }
  text(message: string): void {
    this.told.push(message);
  }
  binary(message: Uint8Array): void {
    this.told.push(`${message.length} bytes`);
  }
  ponged(): void {}
  drained(): void {}
  control(): void {
    this.told.push("control");
  }
  timedOut(): void {
    this.told.push("timed out");
    this.connection!.close(CLOSE.idleTimeout, true);
  }
  tooSlow(cause: string, waitingBytes: number): void {
    this.told.push(`${cause} ${waitingBytes}`);
    this.connection!.close(CLOSE.slowConsumer, false);
  }
  lost(code: number): void {
    this.told.push(`lost ${code}`);
  }
}

function place() {
  const clock = new Clock();
  const tasks: (() => void)[] = [];
  const wheel = new TimerWheel(clock.now);
  const flusher = new Flusher({
    afterTurn: (task) => void tasks.push(task),
    now: clock.now,
    prepare: () => false,
    maxHeldBytes: () => 0,
  });
  const totals = new Totals(() => 0);
  const gateway = {
    settings: {
      pingIntervalMs: 5000,
      idleTimeoutMs: 12_000,
      maxSessions: 0,
      maxHeldBytes: 0,
      maxReplayBytes: 1,
      accessLog: false,
    },
    totals,
    wheel,
    flusher,
    replayPump: new ReplayPump(() => 1, () => {}),
    log: SILENT,
    access: new AccessLog({ log: SILENT, now: clock.now, isOn: () => false }),
    tracer: null,
    node: null,
    now: clock.now,
    unixMs: clock.unixMs,
  };
  clock.every(TimerWheel.tickMs, () => wheel.advance());
  const metrics = new TenantMetrics(LANE_NAMES);
  const settings = { outbox: OUTBOX } as TenantSettings;
  const user = new User();
  const connection = new Connection({ gateway, metrics, settings }, user, false);
  const link = new FakeLink(connection, "192.0.2.1");
  const turn = () => tasks.splice(0).forEach((task) => task());
  const closes = () => [...metrics.closes].map(({ labels, value }) => `${labels["name"]} ${value}`);
  return { clock, wheel, totals, metrics, user, connection, link, turn, closes };
}

const frame = () => extFrame({ v: 1, svc: "a", type: "b" }, LANE.reliable);

test("Whoever it serves first has a time to answer, hands over, and hears no more", () => {
  const { clock, wheel, totals, user, connection, link } = place();
  connection.open(link);
  connection.expectWithin(3000);
  assert.deepEqual([totals.links, wheel.size, user.told], [1, 1, ["opened"]]);
  connection.text("a ticket");
  const session = new User();
  connection.handTo(session);
  connection.attached();
  connection.text("hello");
  connection.binary(Uint8Array.of(1, 2));
  clock.advance(4000);
  assert.deepEqual(user.told, ["opened", "a ticket"]);
  assert.deepEqual(session.told, ["opened", "hello", "2 bytes"]);
  connection.onClose(1006, "");
  assert.deepEqual([session.told.at(-1), user.told.length], ["lost 1006", 2]);
  assert.deepEqual([totals.links, wheel.size], [0, 0]);
});

test("Whoever brings no answer in time is told so, before any ping", () => {
  const { clock, user, connection, link, closes } = place();
  connection.open(link);
  connection.expectWithin(3000);
  clock.advance(3200);
  assert.deepEqual(user.told, ["opened", "timed out"]);
  assert.deepEqual([link.closed?.code, link.pings, closes()], [4001, 0, ["idle_timeout 1"]]);
});

test("An attached link is pinged, and idles out; an answer is enough to stay", () => {
  const { clock, user, connection, link } = place();
  connection.open(link);
  connection.attached();
  clock.advance(11_000);
  assert.equal(link.pings, 2);
  connection.pong();
  clock.advance(11_000);
  assert.equal(link.closed as unknown, null);
  clock.advance(1300);
  assert.deepEqual([user.told, link.closed?.code], [["opened", "timed out"], 4001]);
});

test("From its close on nothing is sent, and a peer that does not answer is dropped", () => {
  const { clock, wheel, connection, link, turn, closes, user } = place();
  connection.open(link);
  connection.attached();
  connection.send(frame());
  connection.close(CLOSE.kicked, true);
  connection.close(CLOSE.banned, true);
  connection.send(frame());
  turn();
  assert.deepEqual([link.got.length, link.closed?.code, closes()], [1, 4501, ["kicked 1"]]);
  clock.advance(5200);
  assert.equal(link.terminated, 1);
  connection.onClose(1006, "");
  connection.onClose(1006, "");
  connection.send(frame());
  connection.pauseUntil(1e9);
  assert.deepEqual([user.told, wheel.size], [["opened", "lost 1006"], 0]);
});

test("What is not reliable enough for its reader is said to whom it serves, with the bytes that wait", () => {
  const { connection, link, turn, user } = place();
  connection.open(link);
  connection.attached();
  link.room = 0;
  for (let i = 0; i < 20; i++) {
    connection.send(frame());
    turn();
  }
  assert.match(user.told[1]!, /^full \d+$/);
  assert.equal(link.closed?.code, 4000);
});

test("Reading stops until a time that may move, and goes on at the close", () => {
  const { clock, connection, link } = place();
  connection.open(link);
  connection.attached();
  connection.pauseUntil(clock.ms + 500);
  connection.pauseUntil(clock.ms + 900);
  clock.advance(700);
  assert.equal(link.paused, true);
  clock.advance(500);
  assert.equal(link.paused, false);
  connection.pauseUntil(clock.ms + 5000);
  connection.close(CLOSE.kicked, true);
  assert.equal(link.paused, false);
});

test("A quiet connection gives its outbox back, and what it held back is still known to be held", () => {
  const { clock, connection, link, turn } = place();
  connection.open(link);
  connection.attached();
  connection.send(frame());
  turn();
  link.room = 0;
  for (let i = 0; i < 6; i++) connection.send(frame());
  turn();
  assert.ok(link.waiting > 100, "above the watermark");
  connection.send(frame());
  clock.advance(1500);
  const { length } = link.got;
  link.open();
  turn();
  assert.equal(link.got.length, length + 1, "what waited behind the socket comes, in its order");
  clock.advance(4500);
  connection.send(frame());
  turn();
  assert.equal(link.got.length, length + 2);
});
