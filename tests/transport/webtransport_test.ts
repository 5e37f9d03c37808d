// The contract of src/transport/port.ts on WebTransport, where the runtime has it: Deno.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import type { Link, TransportOptions, UpgradeAnswer, UpgradeRequest } from "../../src/transport/port.ts";
import { createWebTransport } from "../../src/transport/quic/webtransport.ts";
import { makePair } from "../certificates.ts";
import { within } from "../raw_client.ts";
import { strictly } from "../uncaught.ts";
import { wireFrame } from "./contract.ts";
import { Recorder } from "./recorder.ts";
import { tcpBytes } from "./tcp_client.ts";
import { HAS_WEBTRANSPORT, WebTransportClient } from "./webtransport_client.ts";

const MAX_BYTES = 100_000;
const STALL_BYTES = 32 * 1024 * 1024;
const tls = makePair("localhost", { days: 10 });

const options: TransportOptions = {
  hostname: "127.0.0.1",
  port: 0,
  maxMessageBytes: MAX_BYTES,
  idleTimeoutMs: 60_000,
  maxHeaderBytes: 8192,
  headerTimeoutMs: 12_000,
  socketUnsentBytes: 65_536,
  yields: true,
  reusePort: false,
  tls,
};

interface House {
  readonly transport: ReturnType<typeof createWebTransport>;
  readonly port: number;
  readonly recorders: Recorder[];
  readonly requests: UpgradeRequest[];
  answer: () => UpgradeAnswer | Promise<UpgradeAnswer>;
  enter(cert?: string): Promise<Ends>;
}

interface Ends {
  readonly client: WebTransportClient;
  readonly recorder: Recorder;
  readonly link: Link;
}

const NOWHERE = { request: () => new Response(), accepting: () => {} };

async function inHouse(own: Partial<TransportOptions>, run: (house: House) => Promise<void>): Promise<void> {
  const transport = createWebTransport({ ...options, ...own });
  const recorders: Recorder[] = [], requests: UpgradeRequest[] = [], clients: WebTransportClient[] = [];
  let wake: () => void = () => {};
  const house: House = {
    transport,
    port: 0,
    recorders,
    requests,
    answer: () => {
      const recorder = new Recorder();
      recorders.push(recorder);
      return { accept: recorder, protocol: null };
    },
    enter: async (cert = tls.cert) => {
      const asked = new Promise<void>((resolve) => wake = resolve);
      const client = await WebTransportClient.open(house.port, cert, "/v1/wt?tenant=a%20b&sid=c");
      clients.push(client);
      await within(asked, "the handshake at the door");
      // It is opened in the turn of the answer's.
      await new Promise((resolve) => setTimeout(resolve));
      const recorder = recorders.at(-1)!;
      return { client, recorder, link: recorder.link };
    },
  };
  const { port } = await transport.start({
    ...NOWHERE,
    upgrade: (request) => {
      requests.push(request);
      wake();
      return house.answer();
    },
  });
  Object.assign(house, { port });
  try {
    await run(house);
  } finally {
    await within(transport.stop(), "stop");
    for (const client of clients) client.leave();
  }
  for (const { link, closed } of recorders) {
    if (link !== undefined) await within(closed, "the close of every link after stop");
  }
}

const it = (what: string, run: (ends: Ends & { readonly house: House }) => Promise<void> | void) =>
  test(
    `webtransport: ${what}`,
    { skip: !HAS_WEBTRANSPORT },
    () => strictly(() => inHouse({}, async (house) => run({ ...await house.enter(), house }))),
  );

test("webtransport: a runtime without QUIC says so", { skip: HAS_WEBTRANSPORT }, async () => {
  await assert.rejects(
    createWebTransport(options).start({ ...NOWHERE, upgrade: () => assert.fail() }),
    /^Error: Cannot serve WebTransport: Bun has no server for WebTransport: run wsPrism on Deno for it$/,
  );
});

test("webtransport: an address that is taken is told in one line", { skip: !HAS_WEBTRANSPORT }, async () => {
  await inHouse({}, async ({ port }) => {
    const second = createWebTransport({ ...options, port });
    await assert.rejects(
      second.start({ ...NOWHERE, upgrade: () => assert.fail() }),
      new RegExp(`^Error: Cannot listen on 127\\.0\\.0\\.1:${port}: .*in use`),
    );
  });
});

it("the door sees target and address", ({ house, link }) => {
  assert.equal(house.requests[0]!.target, "/v1/wt?tenant=a%20b&sid=c");
  assert.equal(house.requests[0]!.remoteAddress, "127.0.0.1");
  assert.equal(link.remoteAddress, "127.0.0.1");
  assert.equal(link.transport, "webtransport");
});

it("messages of each kind arrive as they were sent, in order, however they are cut", async ({ client, recorder }) => {
  const bytes = Buffer.concat([
    tcpBytes(1, '{"é":1}'),
    tcpBytes(2, Uint8Array.of(1, 1, 9, 0)),
    tcpBytes(6, Uint8Array.of(0xa0)),
  ]);
  for (const byte of bytes) client.write(Uint8Array.of(byte));
  client.write(bytes);
  const once = ['{"é":1}', [1, 1, 9, 0], [0xa0]];
  assert.deepEqual(await recorder.hears(6), [...once, ...once]);
});

it("datagrams arrive both ways, and a frame's datagram is built once", async ({ client, recorder, link }) => {
  client.datagram(1, 2, 3, 4);
  assert.deepEqual(await recorder.hears(1), [[1, 2, 3, 4]]);
  const frame = wireFrame(Uint8Array.of(5, 6));
  const drained = recorder.datagramsDrained();
  assert.ok(link.datagrams!.write([frame], 1) > 0);
  await within(drained, "the drain of datagrams");
  const { datagram } = frame;
  link.datagrams!.write([frame], 1);
  assert.equal(frame.datagram, datagram);
  for (let i = 0; i < 2; i++) assert.deepEqual([...(await client.hot.next("a datagram"))!], [5, 6]);
  assert.equal(link.bufferedBytes(), 0, "datagrams are no bytes of the stream");
});

it("what is too large for a datagram goes on a stream of its own, both ways, again and again", async ({ client, recorder, link }) => {
  for (let round = 1; round <= 20; round++) {
    link.datagrams!.write([wireFrame(new Uint8Array(50_000).fill(round))], 1);
    const frame = (await client.hot.next("a large frame"))!;
    assert.equal(frame.length, 50_000);
    assert.equal(frame[49_999], round);
  }
  assert.equal(client.large, 20);
  for (let round = 1; round <= 3; round++) {
    await client.stream(tcpBytes(2, new Uint8Array(20_000).fill(round)));
    assert.deepEqual((await recorder.hears(round))[round - 1], [...new Uint8Array(20_000).fill(round)]);
  }
});

for (
  const [what, bytes, code] of [
    ["sends one byte too many", tcpBytes(2, new Uint8Array(MAX_BYTES + 1)), 1009],
    ["announces 4 GiB", Buffer.from([0xff, 0xff, 0xff, 0xff, 2]), 1009],
    ["sends a text", tcpBytes(1, "{}"), 1002],
    ["sends a second frame", Buffer.concat([tcpBytes(2, "1234"), tcpBytes(2, "1234")]), 1002],
    ["sends CBOR", tcpBytes(2, Uint8Array.of(0xa1, 1)), 1002],
  ] as const
) {
  it(`who ${what} on a stream of its own is told ${code}`, async ({ client, recorder }) => {
    void client.stream(bytes).catch(() => {});
    assert.equal((await client.close())[0], code);
    assert.equal((await within(recorder.closed, "the close"))[0], code);
  });
}

it("who sends CBOR in a datagram is told 1002, and an empty one costs as a ping does", async ({ client, recorder }) => {
  client.datagram();
  assert.deepEqual(await recorder.hears(1), ["control 0"]);
  assert.equal((await client.next())!.kind, 5);
  client.datagram(0xa1, 1);
  assert.equal((await client.close())[0], 1002);
});

it("a ping is answered with its body and told, a pong is told", async ({ client, recorder, link }) => {
  client.send(4, "yo");
  assert.deepEqual(await client.next(), { kind: 5, body: Buffer.from("yo") });
  link.ping();
  assert.equal((await client.next())!.kind, 4);
  client.send(5);
  assert.deepEqual(await recorder.hears(2), ["control 2", "pong!"]);
});

it("the peer's close is answered", async ({ client, recorder }) => {
  client.send(3, Buffer.concat([Buffer.from([0xa0, 0x0f]), Buffer.from("bye")]));
  assert.deepEqual(await client.close(), [4000, ""]);
  assert.deepEqual(await within(recorder.closed, "the close"), [4000, "bye"]);
});

it("our close comes after what was written, and ends once the peer has gone", async ({ client, recorder, link }) => {
  link.write([wireFrame("last")], 1);
  link.close(4500, "no");
  link.write([wireFrame("never")], 1);
  assert.equal(link.datagrams!.write([wireFrame(Uint8Array.of(1))], 1) > 0, true);
  assert.equal((await client.next())!.body.toString(), "last");
  assert.deepEqual(await client.close(), [4500, "no"]);
  client.leave();
  assert.deepEqual(await within(recorder.closed, "the close"), [4500, "no"]);
});

it("a peer that leaves without a close is 1006", async ({ client, recorder }) => {
  client.leave();
  assert.deepEqual(await within(recorder.closed, "the close"), [1006, ""]);
});

for (
  const [what, bytes, code] of [
    ["announces 4 GiB", Buffer.from([0xff, 0xff, 0xff, 0xff, 1]), 1009],
    ["names an unknown kind", tcpBytes(9, ""), 1002],
    ["calls CBOR a hot frame", tcpBytes(2, Uint8Array.of(0xa1, 1)), 1002],
    ["sends a text that is no UTF-8", tcpBytes(1, Uint8Array.of(0xff)), 1007],
  ] as const
) {
  it(`who ${what} is told ${code}`, async ({ client, recorder }) => {
    client.write(bytes);
    assert.equal((await client.close())[0], code);
    assert.equal((await within(recorder.closed, "the close"))[0], code);
    assert.deepEqual(recorder.heard, []);
  });
}

it("what a peer does not read waits, is told, and arrives whole, while datagrams go on", async ({ client, recorder, link }) => {
  client.pause();
  const frame = wireFrame(new Uint8Array(32_768).fill(7));
  const burst = new Array(64).fill(frame);
  let sent = 0;
  while (link.bufferedBytes() === 0 && sent < STALL_BYTES) {
    link.write(burst, burst.length);
    sent += burst.length;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.ok(link.bufferedBytes() > 0, "the runtime took everything");
  link.datagrams!.write([wireFrame(Uint8Array.of(9))], 1);
  assert.deepEqual([...(await client.hot.next("a datagram beside a stream that is full"))!], [9]);
  const drained = recorder.drained();
  client.resume();
  await within(drained, "the drain");
  link.write([wireFrame("last")], 1);
  let last;
  for (let i = 0; i < sent + 1; i++) last = await client.next();
  assert.equal(last!.body.toString(), "last");
});

it("a peer that reads nothing can be dropped", async ({ client, recorder, link }) => {
  client.pause();
  link.write(new Array(128).fill(wireFrame(new Uint8Array(65_536))), 128);
  link.terminate();
  link.terminate();
  assert.deepEqual(await within(recorder.closed, "the close"), [1006, ""]);
  assert.equal(link.write([wireFrame("x")], 1), 0);
  assert.equal(link.datagrams!.write([wireFrame("x")], 1), 0);
  await within(client.closed, "the end at the peer");
});

it("another bound of messages holds for open links", async ({ client, recorder, house }) => {
  house.transport.boundMessages(10);
  client.send(1, "x".repeat(10));
  client.send(1, "x".repeat(11));
  assert.equal((await client.close())[0], 1009);
  assert.deepEqual(recorder.heard, ["x".repeat(10)]);
});

it("a paused link reads nothing until it is resumed, neither its stream nor datagrams", async ({ client, recorder, link }) => {
  client.send(1, "a");
  await recorder.hears(1);
  link.pause();
  client.send(1, "b");
  client.datagram(1, 1);
  await new Promise((resolve) => setTimeout(resolve, 50));
  // A read was under way when it was paused, and one datagram may have come by it.
  assert.ok(!recorder.heard.includes("b"));
  link.resume();
  const heard = await recorder.hears(3);
  assert.deepEqual(new Set(heard.map(String)), new Set(["a", "b", "1,1"]));
});

it("new connections get a new certificate, open ones live on", async ({ client, recorder, house }) => {
  for (let round = 0; round < 3; round++) {
    const other = makePair("localhost", { days: 10 });
    house.transport.renewTls(other);
    (globalThis as { gc?: () => void }).gc?.();
    const second = await house.enter(other.cert);
    second.client.send(1, "second");
    assert.deepEqual(await second.recorder.hears(1), ["second"]);
  }
  client.send(1, "first");
  assert.deepEqual(await recorder.hears(1), ["first"]);
});

it("further streams for messages are not heard, and cost nobody else", async ({ client, recorder, house }) => {
  await assert.rejects(client.session.createBidirectionalStream(), /maximum number of concurrent/);
  client.send(1, "still");
  assert.deepEqual(await recorder.hears(1), ["still"]);
  const other = await house.enter();
  other.client.send(1, "other");
  assert.deepEqual(await other.recorder.hears(1), ["other"]);
});

it("what nobody reads and writes stays open, whenever memory is tidied up", async ({ client, recorder }) => {
  const { gc } = globalThis as { gc?: () => void }; // with --v8-flags=--expose-gc
  for (let round = 0; round < 20; round++) {
    gc?.();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  client.send(1, "still");
  assert.deepEqual(await recorder.hears(1), ["still"]);
});

it("the door sees origin and host of a request, and no session but the one that was asked for", ({ house }) => {
  const { header } = house.requests[0]!;
  assert.equal(header("host"), `127.0.0.1:${house.port}`);
  assert.equal(header("origin"), null);
});

it("who is refused at the door is dropped", async ({ house }) => {
  house.answer = () => ({ refuse: { status: 503, headers: {}, body: "{}" } });
  const client = await WebTransportClient.open(house.port, tls.cert);
  await within(client.closed, "the end");
});

test("webtransport: who asks for a session and opens no stream is dropped in time", {
  skip: !HAS_WEBTRANSPORT,
}, () =>
  strictly(() =>
    inHouse({ headerTimeoutMs: 300 }, async (house) => {
      const quiet = new WebTransport(`https://127.0.0.1:${house.port}/`, {
        serverCertificateHashes: [{
          algorithm: "sha-256",
          value: (await import("./webtransport_client.ts")).certificateHash(tls.cert),
        }],
      });
      await within(quiet.ready, "a session");
      await within(quiet.closed.then(() => {}, () => {}), "the end");
      assert.deepEqual(house.recorders, []);
    })
  ));
