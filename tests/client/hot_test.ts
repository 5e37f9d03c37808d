import { strict as assert } from "node:assert";
import { test } from "node:test";
import { hotLane } from "../../clients/typescript/src/hot.ts";
import { connected } from "./start.ts";

test("A frame has its header, and its payload as it was when it was sent", async () => {
  const { clock, client, gateway } = await connected({}, { hot: hotLane });
  const frames: number[][] = [];
  gateway.binary = (frame) => frames.push([...frame]);
  const payload = Uint8Array.of(1, 2, 3);
  assert.equal(client.hot.send(2, 10, payload), true);
  payload[0] = 9;
  client.hot.send(3, 0);
  client.hot.send(3, 1, new Uint8Array(600).fill(7));
  client.hot.send(2, 10, payload);
  await clock.pass(5);
  assert.deepEqual(frames.map((frame) => frame.slice(0, 8)), [
    [1, 2, 10, 0, 1, 2, 3],
    [1, 3, 0, 0],
    [1, 3, 1, 0, 7, 7, 7, 7],
    [1, 2, 10, 0, 9, 2, 3],
  ]);
  assert.equal(frames[2]!.length, 604);
});

test("A frame is heard by who listens to its service, with its sender's number", async () => {
  const { clock, client, gateway } = await connected({}, { hot: hotLane });
  const heard: unknown[] = [];
  const off = client.hot.on(2, (opcode, sender, payload) => heard.push([opcode, sender, ...payload]));
  client.hot.onBare((bytes) => heard.push([...bytes]));
  const { link } = gateway;
  link.deliver(Uint8Array.of(1, 2, 10, 4, 0xff, 0xff, 0xff, 0xff, 42));
  link.deliver(Uint8Array.of(1, 2, 11, 5, 1, 0, 0, 0, 7, 1, 0, 0, 43, 44));
  link.deliver(Uint8Array.of(1, 2, 12, 3, 5, 0, 0, 0));
  link.deliver(Uint8Array.of(7, 7));
  await clock.pass(5);
  assert.deepEqual(heard, [[10, 0xffffffff, 42], [11, 263, 43, 44], [12, 0], [7, 7]]);
  off();
  link.deliver(Uint8Array.of(1, 2, 10, 0));
  await clock.pass(5);
  assert.equal(heard.length, 5, "and bare to others when nobody does");
});

test("Hot frames are dropped without a connection, and when too much waits", async () => {
  const { client, gateway } = await connected({}, { hot: hotLane });
  gateway.buffered = 100_000;
  assert.equal(client.hot.send(2, 1), false);
  gateway.buffered = 0;
  assert.equal(client.hot.send(2, 1), true);
  gateway.link.cut();
  assert.equal(client.hot.send(2, 1), false);
});

test("A client that was made without the hot lane says how to have it", async () => {
  const { client } = await connected();
  assert.throws(() => client.hot, /pass \{ hot: hotLane \}/);
});
