import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { FakeGateway } from "./fake_gateway.ts";
import { connected, fate, stage } from "./start.ts";
import { settled } from "./fake_clock.ts";

test("Nothing happens before the first wish, and a client that was disposed leaves nothing behind", async () => {
  const { clock, gateway, client, states } = stage();
  assert.deepEqual([clock.waiting, gateway.links.length, states], [0, 0, ["idle"]]);
  const up = client.connect();
  await clock.pass(10);
  await up;
  assert.equal(client.session?.user, "ann");
  const gone = client.dispose();
  await clock.pass(10);
  await gone;
  assert.deepEqual(states, ["idle", "connecting", "connected", "closed 1000"]);
  assert.equal(clock.waiting, 0);
});

test("A lost connection comes back, later and later, and what is later begins anew only after a stable minute", async () => {
  const { clock, gateway, states } = await connected();
  const waits: number[] = [];
  const reconnect = async () => {
    const from = clock.now();
    const links = gateway.links.length;
    gateway.link.cut();
    while (gateway.links.length === links) await clock.pass(1);
    waits.push(Math.round((clock.now() - from) / 100) * 100);
    await clock.pass(10);
  };
  await reconnect();
  await reconnect();
  await reconnect();
  await clock.pass(59_000);
  await reconnect();
  await clock.pass(60_000);
  await reconnect();
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 1000]);
  assert.deepEqual(states.slice(2, 6), ["connected", "reconnecting 1", "reconnecting 1 now", "connected"]);
});

test("Waits are of any length up to the bound: full jitter", async () => {
  let chance = 0.25;
  const { clock, gateway, client } = await connected({}, {
    random: () => chance,
    backoff: { baseMs: 800, maxMs: 1000 },
  });
  const next = () => {
    const status = client.status.get();
    return status.state === "reconnecting" && status.at !== null ? status.at - clock.unixMs() : null;
  };
  gateway.link.cut();
  assert.equal(next(), 200);
  await clock.pass(210);
  chance = 0.5;
  gateway.link.cut();
  assert.equal(next(), 500);
});

test("A close that says not to come back is the end, with its reason and a remedy", async () => {
  const { clock, gateway, client, states } = await connected();
  gateway.link.deliver({ svc: "sys", type: "kicked", data: { reason: "spam" } });
  gateway.link.close(4501, "kicked");
  await clock.pass(100_000);
  const { reason, remedy } = client.status.get() as { reason: string; remedy: string };
  assert.deepEqual([states.at(-1), reason, remedy], [
    "closed 4501",
    "spam",
    "connect again if asked",
  ]);
  assert.deepEqual([gateway.links.length, clock.waiting], [1, 0]);
  assert.equal(await fate(client.send("a", "b")), "CLOSED");
  const up = client.connect();
  await clock.pass(10);
  await up;
});

test("connect is rejected when the gateway does not want the client, and tells why", async () => {
  const { clock, gateway, client } = stage();
  const up = client.connect();
  up.catch(() => {});
  await clock.pass(0.5);
  gateway.link.close(4504, "banned");
  await clock.pass(10);
  await assert.rejects(up, { code: "CLOSED", message: "client closed: banned (4504)" });
});

test("The gateway's own time to come back is kept, to the millisecond, whoever wakes the client", async () => {
  const { clock, gateway, page } = await connected();
  gateway.link.deliver({
    svc: "sys",
    type: "draining",
    data: { retry_after_ms: 7777, url: "wss://other.example/v1/ws" },
  });
  await clock.pass(1);
  const told = clock.now();
  await clock.pass(499);
  gateway.link.close(1001);
  await clock.pass(2000);
  page.wake();
  while (gateway.links.length === 1) await clock.pass(1);
  assert.equal(clock.now() - told, 7777);
  assert.equal(gateway.link.request.url.href, "wss://other.example/v1/ws");
  await clock.pass(10);
  gateway.link.cut();
  await clock.pass(2000);
  assert.equal(gateway.link.request.url.host, "gateway.example", "an address is good for once");
});

test("A connection that is silently dead is found within one ping interval", async () => {
  const { clock, gateway, states } = await connected({ pingIntervalMs: 20_000 });
  await clock.pass(123_456);
  assert.equal(states.at(-1), "connected");
  gateway.link.mute();
  const dead = clock.now();
  while (states.at(-1) === "connected") await clock.pass(10);
  assert.ok(clock.now() - dead <= 20_000, String(clock.now() - dead));
});

test("A timer that was late is no silence, and the second silence is one", async () => {
  const { clock, gateway, states } = await connected({ pingIntervalMs: 20_000 });
  await clock.pass(10_000);
  // The ping is out. The machine sleeps before the pong is read.
  clock.sleep(600_000);
  await clock.pass(100);
  assert.equal(states.at(-1), "connected");
  await clock.pass(60_000);
  assert.equal(states.at(-1), "connected");
  gateway.link.mute();
  await clock.pass(10_000);
  for (const state of ["connected", "reconnecting 1"]) {
    clock.sleep(600_000);
    await clock.pass(0);
    assert.equal(states.at(-1), state);
  }
});

test("Back from the background or the network, a dead connection is found within seconds, and a wait is cut short", async () => {
  const { clock, gateway, page, states } = await connected();
  gateway.link.mute();
  page.wake();
  await clock.pass(5000);
  assert.match(states.at(-1)!, /^reconnecting 1/);
  await clock.pass(2000);
  gateway.refuses = () => true;
  for (let i = 0; i < 6; i++) {
    gateway.link.cut();
    await clock.pass(31_000);
  }
  gateway.refuses = () => false;
  await clock.pass(0);
  const links = gateway.links.length;
  assert.match(states.at(-1)!, /^reconnecting \d+$/);
  await clock.pass(1500);
  page.wake();
  await clock.pass(10);
  assert.deepEqual([gateway.links.length, states.at(-1)], [links + 1, "connected"]);
});

test("A page that is put away lets its connection go, and has it again when it comes back", async () => {
  const { clock, page, states, gateway } = await connected();
  page.hide(true);
  assert.match(states.at(-1)!, /^reconnecting/);
  page.wake();
  await clock.pass(10);
  assert.deepEqual([states.at(-1), gateway.links.length], ["connected", 2]);
  page.hide(false);
  assert.equal(states.at(-1), "closed 1000");
});

test("A time to come back that was said of something else counts only if the gateway closes", async () => {
  for (const [code, waitMs] of [[1006, 1000], [4002, 9000]] as const) {
    const { clock, gateway } = await connected();
    const data = { code: "RATE_LIMITED", msg: "too fast", retry_after_ms: 9000 };
    gateway.link.deliver({ svc: "sys", type: "error", data });
    await clock.pass(1);
    const told = clock.now();
    if (code === 1006) gateway.link.cut();
    else gateway.link.close(code);
    while (gateway.links.length === 1) await clock.pass(1);
    assert.ok(Math.abs(clock.now() - told - waitMs) <= 2, `${code}: ${clock.now() - told}`);
  }
});

test("A refusal that says when to come again is obeyed, and the wait after it is the client's own", async () => {
  const { clock, gateway, page } = await connected();
  gateway.link.cut();
  await clock.pass(1000);
  gateway.link.close(1006, "429 too many requests", 12_345);
  await clock.pass(1);
  const told = clock.now();
  page.wake();
  while (gateway.links.length === 2) await clock.pass(1);
  assert.ok(Math.abs(clock.now() - told - 12_345) <= 1, String(clock.now() - told));
  gateway.link.cut();
  const again = clock.now();
  while (gateway.links.length === 3) await clock.pass(1);
  assert.ok(clock.now() - again <= 4000);
});

test("A transport that is blocked gives way to the fallback, and the fallback to it when the network is another", async () => {
  let isFallback = false, isBlocked = true, isDown = false;
  const open: FakeGateway["open"] = (request, handler) => {
    isFallback = true;
    const link = all.gateway.open(request, handler);
    isFallback = false;
    return link;
  };
  const ways: string[] = [];
  const all = stage({ windowMs: 30_000 }, { fallback: { open } });
  const { clock, gateway, client, page, states } = all;
  gateway.refuses = () => {
    ways.push(isFallback ? "fallback" : "transport");
    return isDown || (isBlocked && !isFallback);
  };
  const up = client.connect();
  await clock.pass(5000);
  await up;
  assert.deepEqual(ways.splice(0), ["transport", "transport", "fallback"]);
  // It is gone on with while it works, and the session goes on as well.
  for (let i = 0; i < 2; i++) {
    gateway.link.cut();
    await clock.pass(31_000);
    assert.deepEqual([ways.splice(0), states.at(-1)], [["fallback"], "resumed"]);
    await clock.pass(60_000);
  }
  // When it fails as well, it was not the transport.
  isDown = true;
  gateway.link.cut();
  await clock.pass(1000 + 2000 + 4000 + 8000 + 16_000 + 100);
  assert.deepEqual(ways.splice(0), ["fallback", "transport", "transport", "fallback", "transport"]);
  isDown = isBlocked = false;
  await clock.pass(60_000);
  assert.deepEqual([ways.splice(0), states.at(-1)], [["transport"], "connected"]);
  isBlocked = true;
  gateway.link.cut();
  await clock.pass(95_000);
  assert.deepEqual(ways.splice(0), ["transport", "transport", "fallback"]);
  isBlocked = false;
  gateway.link.cut();
  page.wake(true);
  await clock.pass(40_000);
  assert.deepEqual(ways, ["transport"]);
});

test("A ticket is asked for anew for each session, and when it expires", async () => {
  let tickets = 0;
  const { clock, gateway } = await connected({}, { ticket: () => `dev:ann#${++tickets}` });
  gateway.link.deliver({ svc: "sys", type: "expiring", data: { expires_in_ms: 30_000 } });
  await clock.pass(5);
  const auth = gateway.taken.find(({ type }) => type === "auth");
  assert.deepEqual([auth.seq, auth.data], [0, { ticket: "dev:ann#2" }]);
  gateway.link.cut();
  await clock.pass(1100);
  assert.equal(gateway.link.request.ticket, "dev:ann#3");
});

test("A renewal that fails is tried again while there is time", async () => {
  let calls = 0;
  const { clock, gateway } = await connected({}, {
    ticket: () => {
      if (++calls === 2) throw new Error("backend is down");
      return `dev:ann#${calls}`;
    },
  });
  let refused = 0;
  gateway.intercept = ({ svc, type, seq }, { session }) => {
    if (svc !== "sys" || type !== "auth" || refused++ > 0) return false;
    gateway.say(session!, { svc: "sys", type: "error", seq, data: { code: "UNAVAILABLE", msg: "later" } });
    return true;
  };
  gateway.link.deliver({ svc: "sys", type: "expiring", data: { expires_in_ms: 30_000 } });
  await clock.pass(20_000);
  assert.deepEqual(gateway.taken.filter(({ type }) => type === "auth").map(({ data }) => data.ticket), [
    "dev:ann#3",
    "dev:ann#4",
  ]);
});

test("A fixed ticket that expires is the end; a function brings the next", async () => {
  const fixed = await connected();
  fixed.gateway.link.close(4004, "ticket expired");
  await fixed.clock.pass(10);
  assert.equal(fixed.states.at(-1), "closed 4004");
  const renewed = await connected({}, { ticket: () => Promise.resolve("dev:ann") });
  renewed.gateway.link.close(4004, "ticket expired");
  await renewed.clock.pass(1100);
  assert.equal(renewed.states.at(-1), "connected");
});

test("No ticket to be had is a try that failed, and no unhandled rejection", async () => {
  let fails = true;
  const { clock, client, states } = stage({}, {
    ticket: async () => {
      await Promise.resolve();
      if (fails) throw new Error("401");
      return "dev:ann";
    },
  });
  const up = client.connect();
  await clock.pass(10);
  assert.match(JSON.stringify(client.status.get()), /no ticket: Error: 401/);
  fails = false;
  await clock.pass(1100);
  await up;
  assert.equal(states.at(-1), "connected");
});

test("A client comes back under the name that it was given, so that it replaces its former self", async () => {
  const { clock, gateway, client } = await connected();
  const { sid } = client.session!;
  gateway.link.mute();
  await clock.pass(22_000);
  assert.equal(gateway.link.request.sid, sid);
});

test("A handler of the status that throws disturbs nobody", async () => {
  const { clock, client } = stage();
  const errors: unknown[] = [];
  const original = globalThis.queueMicrotask;
  globalThis.queueMicrotask = (run) =>
    original(() => {
      try {
        run();
      } catch (error) {
        errors.push(error);
      }
    });
  try {
    let seen = 0;
    const off = client.status.subscribe(() => {
      seen++;
      throw new Error("mine");
    });
    const up = client.connect();
    await clock.pass(10);
    await up;
    off();
    await settled();
    assert.deepEqual([seen, errors.length], [3, 3]);
  } finally {
    globalThis.queueMicrotask = original;
  }
});
