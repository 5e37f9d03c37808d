// Peers of the WebTransport listener that speak QUIC as they like: half a handshake, half a head, streams and datagrams that
// mean nothing, as many as they can. By Deno's QUIC itself, below its WebTransport.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import type { TransportOptions } from "../../src/transport/port.ts";
import { createWebTransport } from "../../src/transport/quic/webtransport.ts";
import { makePair } from "../certificates.ts";
import { within } from "../raw_client.ts";
import { strictly } from "../uncaught.ts";
import { Recorder } from "./recorder.ts";
import { tcpBytes } from "./tcp_client.ts";
import { HAS_WEBTRANSPORT } from "./webtransport_client.ts";

const ca = makePair("an authority", { days: 10 });
const tls = makePair("localhost", { days: 10, issuer: ca, isLeaf: true });

const options: TransportOptions = {
  hostname: "127.0.0.1",
  port: 0,
  maxMessageBytes: 10_000,
  idleTimeoutMs: 60_000,
  maxHeaderBytes: 8192,
  headerTimeoutMs: 500,
  socketUnsentBytes: 65_536,
  yields: true,
  reusePort: false,
  tls,
};

/** A request for a session, as a frame of HTTP/3. */
const REQUEST = Uint8Array.of(
  1,
  ...[36, 0, 0, 0xcf, 0xd7, 0x51, 6, ...Buffer.from("/v1/wt"), 0x27, 2, ...Buffer.from(":protocol"), 12],
  ...Buffer.from("webtransport"),
);
/** What a stream of messages begins with, and a first message on it. */
const FIRST = Uint8Array.of(0x40, 0x41, 0, ...tcpBytes(1, "{}"));

interface House {
  readonly recorders: Recorder[];
  connect(more?: object): Promise<Deno.QuicConn>;
  /** With a session. */
  enter(): Promise<{ readonly conn: Deno.QuicConn; readonly recorder: Recorder; readonly asking: Writer }>;
}
type Writer = WritableStreamDefaultWriter<Uint8Array>;

async function writerOf(conn: Deno.QuicConn, kind: "both" | "one", bytes: Uint8Array): Promise<Writer> {
  const stream = kind === "both"
    ? (await conn.createBidirectionalStream({ waitUntilAvailable: true })).writable
    : await conn.createUnidirectionalStream({ waitUntilAvailable: true });
  const writer = stream.getWriter();
  writer.closed.catch(() => {});
  await writer.write(bytes);
  return writer;
}

async function inHouse(run: (house: House) => Promise<void>): Promise<void> {
  const transport = createWebTransport(options);
  const recorders: Recorder[] = [], conns: Deno.QuicConn[] = [];
  const { port } = await transport.start({
    request: () => new Response(),
    accepting: () => {},
    upgrade: () => {
      const recorder = new Recorder();
      recorders.push(recorder);
      return { accept: recorder, protocol: null };
    },
  });
  const house: House = {
    recorders,
    connect: async (more = {}) => {
      const conn = await Deno.connectQuic({
        hostname: "127.0.0.1",
        serverName: "localhost",
        port,
        alpnProtocols: ["h3"],
        caCerts: [ca.cert],
        ...more,
      });
      conn.closed.catch(() => {});
      conns.push(conn);
      return conn;
    },
    enter: async () => {
      const conn = await house.connect();
      const asking = await writerOf(conn, "both", REQUEST);
      await writerOf(conn, "both", FIRST);
      while (recorders.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      const recorder = recorders[0]!;
      assert.deepEqual(await recorder.hears(1), ["{}"]);
      return { conn, recorder, asking };
    },
  };
  try {
    await run(house);
  } finally {
    await transport.stop();
    for (const conn of conns) {
      try {
        conn.close({ closeCode: 0, reason: "" });
      } catch {
        // It is gone.
      }
    }
  }
}

const it = (what: string, run: (house: House) => Promise<void>) =>
  test(`webtransport: ${what}`, { skip: !HAS_WEBTRANSPORT }, () => strictly(() => inHouse(run)));

const gone = (conn: Deno.QuicConn) => within(conn.closed.then(() => {}, () => {}), "the end");

for (
  const [what, bytes] of [
    ["nothing", null],
    ["a byte of a head", Uint8Array.of(1)],
    ["a head without its end", REQUEST.subarray(0, 20)],
    ["a request and no stream", REQUEST],
  ] as const
) {
  it(`who sends ${what} is dropped in time`, async ({ connect, recorders }) => {
    const conn = await connect();
    if (bytes !== null) await writerOf(conn, "both", bytes);
    await gone(conn);
    assert.deepEqual(recorders, []);
  });
}

it("who lets the gateway open no stream is dropped in time", async ({ connect, recorders }) => {
  const conn = await connect({ maxConcurrentUnidirectionalStreams: 0 });
  await writerOf(conn, "both", REQUEST);
  await writerOf(conn, "both", FIRST);
  await gone(conn);
  assert.deepEqual(recorders, []);
});

it("bytes of chance in the place of a request, or of a head, end their connection and nothing else", async ({ connect, recorders }) => {
  for (let round = 0; round < 100; round++) {
    const conn = await connect();
    const bytes = Uint8Array.from({ length: 1 + randomInt(300) }, () => randomInt(256));
    const request = Uint8Array.from(REQUEST);
    request[randomInt(request.length)] = randomInt(256);
    const said = writerOf(conn, "both", round % 2 === 0 ? bytes : request)
      .then(() => writerOf(conn, "both", round % 3 === 0 ? bytes : FIRST));
    // Some are told to go before.
    await Promise.race([said.then(() => {}, () => {}), gone(conn)]);
    conn.close({ closeCode: 1, reason: "" });
  }
  const conn = await connect();
  await writerOf(conn, "both", REQUEST);
  await writerOf(conn, "both", Uint8Array.of(0x40, 0x41, 0, ...tcpBytes(1, "honest")));
  const heard = () => recorders.some((recorder) => recorder.heard.includes("honest"));
  for (let i = 0; i < 1000 && !heard(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(heard());
});

it("a flood on the stream that asked for the session ends it", async ({ enter }) => {
  const { recorder, conn, asking } = await enter();
  const flood = async () => {
    for (let i = 0; i < 100; i++) await asking.write(new Uint8Array(10_000));
  };
  void flood().catch(() => {});
  assert.deepEqual(await within(recorder.closed, "the close"), [1006, ""]);
  await gone(conn);
});

it("datagrams of sessions that are none cost what pings do", async ({ enter }) => {
  const { recorder, conn } = await enter();
  for (let i = 0; i < 50; i++) await conn.sendDatagram(Uint8Array.of(1, 1, 1, 1));
  await recorder.hears(20);
  assert.deepEqual(new Set(recorder.heard.slice(1)), new Set(["control 0"]));
});

it("streams that say nothing, or what means nothing, cost what pings do, and make room for others", async ({ enter }) => {
  const { recorder, conn } = await enter();
  for (let i = 0; i < 100; i++) {
    // Another kind, a head without a frame, and half a frame.
    const bytes = [
      Uint8Array.of(0x21),
      Uint8Array.of(0x40, 0x54, 0),
      Uint8Array.of(0x40, 0x54, 0, 9, 0, 0, 0, 2),
    ];
    const writer = await within(writerOf(conn, "one", bytes[i % 3]!), "room for a stream");
    if (i % 2 === 0) await writer.close();
    else await writer.abort();
  }
  await recorder.hears(90);
  assert.deepEqual(new Set(recorder.heard.slice(1)), new Set(["control 0"]));
});

it("while it is paused no stream is taken, and those that stay unread are few", async ({ enter }) => {
  const { recorder, conn } = await enter();
  recorder.link.pause();
  let opened = 0;
  const flood = async () => {
    for (;;) {
      const writer = await writerOf(conn, "one", Uint8Array.of(0x40, 0x54, 0, 2, 0, 0, 0, 2, 7));
      await writer.close();
      opened++;
    }
  };
  flood().catch(() => {});
  // Another connection's whole life is time enough for a flood.
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(opened <= 9, `${opened} streams`);
  assert.deepEqual(recorder.heard, ["{}"]);
  recorder.link.resume();
  await recorder.hears(20);
});

test(
  "webtransport: of handshakes that do not end, only so many are begun",
  { skip: !HAS_WEBTRANSPORT },
  async () => {
    const runtime = globalThis.Deno as unknown as { QuicEndpoint: unknown };
    const real = runtime.QuicEndpoint;
    let refused = 0, accepted = 0, come = 0;
    const over = Promise.withResolvers<never>();
    runtime.QuicEndpoint = class {
      readonly addr = { hostname: "127.0.0.1", port: 1 };
      listen() {
        return {
          incoming: () =>
            come++ < 1500
              ? Promise.resolve({
                accept: () => {
                  accepted++;
                  return over.promise;
                },
                refuse: () => refused++,
              })
              : over.promise,
        };
      }
      close() {
        over.reject(new Error("closed"));
      }
    };
    try {
      const transport = createWebTransport(options);
      await transport.start({
        request: () => new Response(),
        accepting: () => {},
        upgrade: () => assert.fail(),
      });
      while (come <= 1500) await new Promise((resolve) => setTimeout(resolve));
      assert.deepEqual([accepted, refused], [1000, 500]);
      await transport.stop();
    } finally {
      runtime.QuicEndpoint = real;
    }
  },
);
