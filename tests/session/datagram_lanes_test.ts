// A session whose link has datagrams: what may be lost goes by them, and neither way waits for the other.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, FakeDatagrams, House, type HouseOptions } from "./house.ts";

const TENANT = [
  "hot_services: [{ id: 1, kind: relay }, { id: 2, kind: relay, lane: latest }, { id: 3, kind: state }]",
  'policy: { ext_allowlist: ["room:*", "chat:*"], hot_allowlist: ["1:*", "2:*", "3:*"], rate_limit_rps: 1000000, ' +
  "rate_limit_burst: 1000000, sessions: { max_sessions_per_user: 100 } }",
];

class QuicClient extends Client {
  readonly datagrams = new FakeDatagrams();

  /** Datagrams since last asked. */
  caught(): number[][] {
    return this.datagrams.got.splice(0).map((payload) => [...payload as Uint8Array]);
  }
}

/** A sender on a WebSocket and a reader with datagrams, in one room. */
async function pair(options: HouseOptions = {}) {
  const house = await new House({ tenant: TENANT, ...options }).start();
  const enter = (user: string) => {
    const answer = house.upgrade(`tenant=acme&ticket=dev:${user}`);
    assert.ok("accept" in answer);
    const client = new QuicClient(house, answer.accept, "192.0.2.1");
    client.link.transport = "webtransport";
    client.link.datagrams = client.datagrams;
    answer.accept.open(client.link);
    house.turn();
    client.link.read();
    client.join("r");
    return client;
  };
  const ann = house.connect("ann");
  ann.join("r");
  const bob = enter("bob");
  const hot = (service: number, ...rest: number[]) => {
    ann.handler.binary(Uint8Array.of(1, service, 0, 0, ...rest));
    house.turn();
  };
  const wait = (ms: number) => {
    house.clock.advance(ms);
    house.turn();
  };
  return { house, ann, bob, enter, hot, wait };
}

/** As they come from ann, the room's first member. */
const frame = (service: number, ...payload: number[]) => [1, service, 0, 4, 1, 0, 0, 0, ...payload];

test("What may be lost goes by datagrams, all else on the stream", async () => {
  const { ann, bob, hot } = await pair();
  hot(1, 7);
  hot(2, 8);
  assert.deepEqual(bob.caught(), [frame(1, 7), frame(2, 8)]);
  assert.deepEqual(bob.link.read(), []);
  ann.ask("chat", "send", { room: "r", data: { msg: "hi" } });
  assert.deepEqual(bob.caught(), []);
  assert.equal((bob.link.read()[0] as { type: string }).type, "msg");
});

test("A full stream holds up no datagram, and full datagrams hold up no message", async () => {
  const { house, ann, bob, hot } = await pair();
  bob.link.room = 0;
  bob.link.waiting = 100_000;
  ann.ask("chat", "send", { room: "r", data: { msg: "fills it" } });
  ann.ask("chat", "send", { room: "r", data: { msg: "waits" } });
  hot(1, 1);
  assert.deepEqual(bob.caught(), [frame(1, 1)]);
  bob.link.open();
  house.turn();
  assert.equal(bob.link.read().length, 2);

  bob.datagrams.waiting = 100_000;
  hot(1, 2); // says that it is full
  hot(1, 3);
  assert.deepEqual(bob.caught(), [frame(1, 2)]);
  ann.ask("chat", "send", { room: "r", data: { msg: "not held up" } });
  assert.equal(bob.link.read().length, 1);
  bob.datagrams.waiting = 0;
  bob.handler.onDatagramsDrain();
  house.turn();
  assert.deepEqual(bob.caught(), [frame(1, 3)]);
});

test("The last state with each key comes once more on the stream, when nothing newer has followed", async () => {
  const { bob, hot, wait } = await pair();
  hot(2, 1);
  wait(200);
  hot(2, 2);
  hot(1, 9); // what is lost of lossy is lost
  bob.caught();
  wait(200);
  assert.deepEqual(bob.link.read(), [], "it is not quiet yet");
  wait(400);
  assert.deepEqual(bob.link.read(), [frame(2, 2)]);
  wait(5000);
  assert.deepEqual([bob.link.read(), bob.caught()], [[], []], "once");
});

test("However often one key is said, one frame of it is kept to be repeated", async () => {
  const { bob, hot } = await pair({ tenant: ["delivery: { latest: { max_bytes: 1024 } }", ...TENANT] });
  for (let i = 0; i < 4; i++) hot(2, ...new Array(400).fill(i));
  assert.equal(bob.caught().length, 4);
  assert.deepEqual(bob.link.read(), [], "none is early");
});

test("Keys beyond the bound are repeated early, in the order in which they were sent", async () => {
  const { house, ann, bob } = await pair({
    tenant: ["delivery: { latest: { max_bytes: 1024 } }", ...TENANT],
  });
  for (let opcode = 0; opcode < 4; opcode++) {
    ann.handler.binary(Uint8Array.of(1, 2, opcode, 0, ...new Array(400).fill(0)));
    house.turn();
  }
  house.turn();
  assert.deepEqual(bob.caught().map((bytes) => bytes[2]), [0, 1, 2, 3]);
  assert.deepEqual((bob.link.read() as number[][]).map((bytes) => bytes[2]), [0, 1]);
});

test("What is dropped here is told as a gap; what was sent and lost is not known, and not claimed", async () => {
  const { house, bob, hot, wait } = await pair({
    tenant: ["delivery: { lossy: { max_bytes: 1024 } }", ...TENANT],
  });
  for (let i = 0; i < 50; i++) hot(1, i);
  bob.caught(); // lost, for all that anybody knows
  wait(3000);
  assert.deepEqual(bob.link.read(), []);
  bob.datagrams.waiting = 100_000;
  hot(1, 1);
  for (let i = 0; i < 10; i++) hot(1, ...new Array(500).fill(i));
  bob.datagrams.waiting = 0;
  bob.handler.onDatagramsDrain();
  house.turn();
  wait(1000);
  const [gap] = bob.link.read() as [{ type: string; data: { lane: string; dropped: number } }];
  assert.equal(gap.type, "gap");
  assert.equal(gap.data.lane, "lossy");
});

test("A session that ends leaves nothing behind to be repeated or written", async () => {
  const { house, bob, hot, wait } = await pair();
  bob.datagrams.waiting = 100_000;
  hot(1, 1);
  hot(1, 2);
  hot(2, 3);
  bob.gone();
  const [sent, written] = [bob.datagrams.got.length, bob.link.got.length];
  wait(1000);
  assert.deepEqual([bob.datagrams.got.length, bob.link.got.length], [sent, written]);
  assert.deepEqual(await house.metric("outbox_bytes"), ["0"]);
});

test("State that a datagram brings too late is not the latest; a sender that counts anew is heard", async () => {
  const { house, ann, enter } = await pair();
  const zoe = enter("zoe");
  const say = (seq: number, value: number) =>
    zoe.handler.binary(Uint8Array.of(1, 3, 5, 1, seq & 255, seq >> 8, 0, 0, value));
  const heard = () => {
    house.clock.advance(50);
    house.turn();
    return (ann.link.read() as number[][]).filter((bytes) => bytes[1] === 3).map((bytes) => bytes.at(-1));
  };
  say(10, 1);
  say(12, 3);
  say(11, 2); // overtaken
  assert.deepEqual(heard(), [3]);
  say(11, 2); // long after it was sent
  assert.deepEqual(heard(), []);
  say(12, 4); // the same number is none before it
  assert.deepEqual(heard(), [4]);
  say(1000, 5);
  say(1, 6);
  assert.deepEqual(heard(), [6]);
});
