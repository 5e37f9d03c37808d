// The contract of src/transport/port.ts on plain TCP and on TLS.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import type { Link, TransportOptions, WireFrame } from "../../src/transport/port.ts";
import { createTcpTransport } from "../../src/transport/stream/tcp.ts";
import { makePair } from "../certificates.ts";
import { within } from "../raw_client.ts";
import { strictly } from "../uncaught.ts";
import { wireFrame } from "./contract.ts";
import { Recorder } from "./recorder.ts";
import { tcpBytes, TcpClient } from "./tcp_client.ts";

const MAX_BYTES = 100_000;
const STALL_BYTES = 32 * 1024 * 1024;

function suite(label: string, tls: { cert: string; key: string } | null): void {
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
  type House = { transport: ReturnType<typeof createTcpTransport>; port: number; recorders: Recorder[] };
  const it = (
    what: string,
    run: (ends: { client: TcpClient; recorder: Recorder; link: Link; house: House }) => Promise<void>,
  ) =>
    test(`${label}: ${what}`, () =>
      strictly(async () => {
        const transport = createTcpTransport(options);
        const recorders: Recorder[] = [];
        let connected!: () => void;
        const first = new Promise<void>((resolve) => connected = resolve);
        const { port } = await transport.start({
          connect: () => {
            const recorder = new Recorder();
            recorders.push(recorder);
            connected();
            return recorder;
          },
          accepting: () => {},
        });
        const client = await TcpClient.open(port, tls?.cert);
        try {
          await within(first, "the connection at the door");
          const recorder = recorders[0]!;
          await run({ client, recorder, link: recorder.link, house: { transport, port, recorders } });
        } finally {
          await within(transport.stop(), "stop");
          client.socket.destroy();
        }
        for (const { closed } of recorders) await within(closed, "the close of every link after stop");
      }));

  it("messages of each kind arrive as they were sent, in order, however they are cut", async ({ client, recorder }) => {
    const bytes = Buffer.concat([
      tcpBytes(1, '{"é":1}'),
      tcpBytes(2, Uint8Array.of(1, 1, 9, 0)),
      tcpBytes(6, Uint8Array.of(0xa0)),
    ]);
    for (const byte of bytes) client.socket.write(Uint8Array.of(byte));
    client.socket.write(bytes);
    const once = ['{"é":1}', [1, 1, 9, 0], [0xa0]];
    assert.deepEqual(await recorder.hears(6), [...once, ...once]);
  });

  it("frames go out with the kind that fits, and a frame's bytes are built once", async ({ client, link }) => {
    const frames = [wireFrame('{"é":1}'), wireFrame(Uint8Array.of(1, 2)), wireFrame(Uint8Array.of(0xa0))];
    link.write(frames, 3);
    const wires = frames.map(({ tcpWire }) => tcpWire);
    link.write(frames, 1);
    assert.deepEqual(frames.map(({ tcpWire }) => tcpWire), wires);
    const kinds = [];
    for (let i = 0; i < 4; i++) kinds.push((await client.next())!);
    assert.deepEqual(kinds.map(({ kind }) => kind), [1, 2, 6, 1]);
    assert.equal(kinds[3]!.body.toString(), '{"é":1}');
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
    await within(client.closed, "the end");
  });

  it("our close comes after what was written, and ends once the peer has gone", async ({ client, recorder, link }) => {
    link.write([wireFrame("last")], 1);
    link.close(4500, "no");
    link.write([wireFrame("never")], 1);
    assert.equal((await client.next())!.body.toString(), "last");
    assert.deepEqual(await client.close(), [4500, "no"]);
    assert.equal(await client.next(), null);
    client.socket.end();
    assert.deepEqual(await within(recorder.closed, "the close"), [4500, "no"]);
  });

  it("a peer that leaves without a close is 1006", async ({ client, recorder }) => {
    client.socket.end();
    assert.deepEqual(await within(recorder.closed, "the close"), [1006, ""]);
  });

  for (
    const [what, bytes, code] of [
      ["announces 4 GiB", Buffer.from([0xff, 0xff, 0xff, 0xff, 1]), 1009],
      ["sends one byte too many", tcpBytes(2, new Uint8Array(MAX_BYTES + 1)), 1009],
      ["names an unknown kind", tcpBytes(9, ""), 1002],
      ["names no kind", Buffer.from([0, 0, 0, 0, 0]), 1002],
      ["calls a hot frame CBOR", tcpBytes(6, Uint8Array.of(1, 1)), 1002],
      ["calls CBOR a hot frame", tcpBytes(2, Uint8Array.of(0xa1, 1)), 1002],
      ["sends a text that is no UTF-8", tcpBytes(1, Uint8Array.of(0xff)), 1007],
      ["speaks HTTP", Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 1002],
    ] as const
  ) {
    it(`who ${what} is told ${code}`, async ({ client, recorder }) => {
      client.socket.write(bytes);
      assert.equal((await client.close())[0], code);
      assert.equal((await within(recorder.closed, "the close"))[0], code);
      assert.deepEqual(recorder.heard, []);
    });
  }

  it("what a peer does not read waits, is told, and arrives whole", async ({ client, recorder, link }) => {
    client.socket.pause();
    const frame: WireFrame = wireFrame(new Uint8Array(32_768).fill(7));
    let sent = 0;
    // With TLS, and on Deno, every write waits for a moment: what counts is what still waits a turn later. Deno's paused TLS
    // sockets read on: more is written in a turn than they can read in one.
    const burst = new Array<WireFrame>(128).fill(frame);
    while (link.bufferedBytes() === 0 && sent < STALL_BYTES) {
      link.write(burst, burst.length);
      sent += burst.length * 32_773;
      await new Promise((resolve) => setTimeout(resolve));
    }
    assert.ok(link.bufferedBytes() > 0, "the kernel took everything");
    const drained = recorder.drained();
    assert.ok(link.write([frame, frame], 2) > 0);
    sent += 2 * 32_773;
    client.socket.resume();
    await within(drained, "the drain");
    link.write([wireFrame("last")], 1);
    let last;
    for (let i = 0; i < sent / 32_773 + 1; i++) last = await client.next();
    assert.equal(last!.body.toString(), "last");
  });

  it("a peer that reads nothing can be dropped", async ({ client, recorder, link }) => {
    client.socket.pause();
    const frame = wireFrame(new Uint8Array(65_536).fill(7));
    for (let sent = 0; sent < STALL_BYTES && link.write([frame], 1) === 0; sent += 65_536);
    link.terminate();
    link.terminate();
    assert.deepEqual(await within(recorder.closed, "the close"), [1006, ""]);
    assert.equal(link.write([frame], 1), 0);
  });

  it("another bound of messages holds for open links", async ({ client, recorder, house }) => {
    house.transport.boundMessages(10);
    client.send(1, "x".repeat(10));
    client.send(1, "x".repeat(11));
    assert.equal((await client.close())[0], 1009);
    assert.deepEqual(recorder.heard, ["x".repeat(10)]);
  });

  it("a paused link reads nothing until it is resumed", async ({ client, recorder, link }) => {
    client.send(1, "a");
    await recorder.hears(1);
    link.pause();
    client.send(1, "b");
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual(recorder.heard, ["a"]);
    link.resume();
    assert.deepEqual(await recorder.hears(2), ["a", "b"]);
  });

  if (tls !== null) {
    it("new connections get a new certificate, open ones live on", async ({ client, recorder, house }) => {
      const other = makePair("localhost");
      house.transport.renewTls(other);
      const second = await TcpClient.open(house.port, other.cert);
      second.send(1, "second");
      client.send(1, "first");
      assert.deepEqual(await recorder.hears(1), ["first"]);
      assert.deepEqual(await house.recorders[1]!.hears(1), ["second"]);
      second.socket.destroy();
    });
  }
}

suite("tcp", null);
suite("tcp with TLS", makePair("localhost"));
