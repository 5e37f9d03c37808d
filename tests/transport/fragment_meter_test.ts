import assert from "node:assert/strict";
import { test } from "node:test";
import { FragmentMeter, keyOf, type Metered } from "../../src/transport/fragment_meter.ts";

function link(peerPort: number, peerAddress = "127.0.0.1") {
  return {
    peerAddress,
    peerPort,
    countedBytes: 0,
    toldBytes: -1,
    told: 0,
    tell(fragments: number) {
      this.told += fragments;
    },
  } satisfies Metered & { told: number };
}

function metered(links: readonly Metered[], maxMessageBytes = 1000) {
  const read = new Map<string, number>();
  const meter = new FragmentMeter({ read: () => read }, links, () => maxMessageBytes);
  return { meter, read };
}

test("What is no message and more than the largest one under way is told as fragments, once", async () => {
  const one = link(5), { meter, read } = metered([one]);
  read.set(keyOf(one), 300);
  await meter.read();
  assert.equal(one.told, 0, "what came before the link was seen is nobody's fault");
  read.set(keyOf(one), 300 + 1000 + 14 + 13);
  await meter.read();
  assert.equal(one.told, 0, "so much may be the message under way");
  read.set(keyOf(one), 300 + 1000 + 14 + 10 * 14);
  await meter.read();
  await meter.read();
  assert.equal(one.told, 10);
});

test("Messages and control frames that came are no fragments", async () => {
  const one = link(5), { meter, read } = metered([one]);
  read.set(keyOf(one), 0);
  await meter.read();
  one.countedBytes = 50_000;
  read.set(keyOf(one), 50_000);
  await meter.read();
  assert.equal(one.told, 0);
});

test("Peers are told apart by address and port, in either family", async () => {
  const links = [link(5, "::ffff:127.0.0.1"), link(6), link(5, "::1")];
  const { meter, read } = metered(links, 0);
  for (const each of links) read.set(keyOf(each), 0);
  await meter.read();
  assert.equal(read.size, 3);
  read.set("5 127.0.0.1", 28);
  await meter.read();
  assert.deepEqual(links.map(({ told }) => told), [1, 0, 0]);
});

test("Many links are looked at in pieces, and a link that is unknown to the kernel is left alone", async () => {
  const links = Array.from({ length: 1000 }, (_, port) => link(port));
  const { meter, read } = metered(links, 0);
  for (const each of links) read.set(keyOf(each), 0);
  await meter.read();
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  for (const each of links) read.set(keyOf(each), 28);
  read.delete(keyOf(links[7]!));
  await meter.read();
  clearInterval(timer);
  assert.ok(turns > 0);
  assert.equal(links.filter(({ told }) => told === 1).length, 999);
});

test("A list of sockets that cannot be read accuses nobody", async () => {
  const one = link(5);
  const sockets = {
    read: () => {
      throw new Error("EMFILE");
    },
  };
  await new FragmentMeter(sockets, [one], () => 0).read();
  assert.equal(one.told, 0);
});
