// The contract of src/transport/port.ts as tests, run on every adapter. Where an adapter's limits say that its
// runtime cannot do a thing, the test asserts what happens instead.

import assert from "node:assert/strict";
import { test } from "node:test";
import { WebSocket } from "ws";
import type {
  Link,
  LinkHandler,
  ServerHandler,
  TlsPair,
  Transport,
  TransportOptions,
  UpgradeAnswer,
  UpgradeRequest,
  WireFrame,
} from "../../src/transport/port.ts";
import { makePair } from "../certificates.ts";
import { strictly } from "../uncaught.ts";
import { closePayload, frame, handshake, OP, type Peer, RawClient, statusOf, within } from "../raw_client.ts";
import { BAD_FRAMES, CLOSES, GOOD_FRAMES } from "../raw_frames.ts";
import { expected, PLAIN, UPGRADES } from "../raw_requests.ts";

const MAX_MESSAGE_BYTES = 100_000;
const MAX_HEADER_BYTES = 8_192;
const STALL_BYTES = 32 * 1024 * 1024;
const UNSENT_BYTES = 65_536;

type Happening =
  | { kind: "text"; text: string }
  | { kind: "binary"; bytes: Uint8Array }
  | { kind: "pong" | "drain" }
  | { kind: "close"; code: number; reason: string };

/** A session's end of a link that remembers what it was told, and can be awaited. */
class Recorder implements LinkHandler {
  link: Link | null = null;
  opens = 0;
  /** What broke the contract's order; every test ends by seeing that there is nothing here. */
  readonly faults: string[] = [];
  readonly heard: Happening[] = [];
  /** Frames that were no message. */
  controls = 0;
  onText: (message: string) => void = () => {};
  readonly opened: Promise<Link>;
  readonly closed: Promise<{ code: number; reason: string }>;
  #opened!: (link: Link) => void;
  #closed!: (end: { code: number; reason: string }) => void;
  #waiting: { from: number; kind: string; resolve: (happening: Happening) => void }[] = [];
  #read = 0;

  constructor() {
    this.opened = new Promise((resolve) => this.#opened = resolve);
    this.closed = new Promise((resolve) => this.#closed = resolve);
  }

  open(link: Link): void {
    if (this.opens++ > 0 || this.heard.length > 0) this.faults.push("open came late or twice");
    this.link = link;
    this.#opened(link);
  }

  text(text: string): void {
    this.#hear({ kind: "text", text });
    this.onText(text);
  }

  binary(bytes: Uint8Array): void {
    this.#hear({ kind: "binary", bytes });
  }

  pong(): void {
    this.#hear({ kind: "pong" });
  }

  control(): void {
    if (this.opens === 0 || this.count("close") > 0) {
      this.faults.push("a frame came before open or after close");
    }
    this.controls++;
  }

  onDrain(): void {
    const waiting = this.link?.bufferedBytes();
    if (waiting !== 0) this.faults.push(`drain came while ${waiting} bytes waited`);
    this.#hear({ kind: "drain" });
  }

  onDatagramsDrain(): void {
    this.faults.push("datagrams drained that are not there");
  }

  onClose(code: number, reason: string): void {
    this.#hear({ kind: "close", code, reason });
    this.#closed({ code, reason });
  }

  /** The next happening of a kind that no earlier `next` has returned, in the order of arrival. */
  async next<K extends Happening["kind"]>(kind: K): Promise<Extract<Happening, { kind: K }>> {
    for (let i = this.#read; i < this.heard.length; i++) {
      if (this.heard[i]!.kind !== kind) continue;
      this.#read = i + 1;
      return this.heard[i] as Extract<Happening, { kind: K }>;
    }
    const happening = await within(
      new Promise<Happening>((resolve) => this.#waiting.push({ from: this.heard.length, kind, resolve })),
      `a ${kind} at the handler`,
    );
    return happening as Extract<Happening, { kind: K }>;
  }

  count(kind: Happening["kind"]): number {
    return this.heard.filter((happening) => happening.kind === kind).length;
  }

  #hear(happening: Happening): void {
    if (this.opens === 0) this.faults.push(`${happening.kind} came before open`);
    if (this.count("close") > 0) this.faults.push(`${happening.kind} came after close`);
    this.heard.push(happening);
    const rest = this.#waiting.filter((waiter) => waiter.kind !== happening.kind);
    for (const waiter of this.#waiting) {
      if (waiter.kind !== happening.kind) continue;
      this.#read = this.heard.length;
      waiter.resolve(happening);
    }
    this.#waiting = rest;
  }
}

/** A started transport, with a door that accepts everybody unless a test changes it. */
interface House {
  readonly transport: Transport;
  readonly port: number;
  /** Where clients connect, with TLS where this run has it. */
  readonly peer: Peer;
  readonly requests: UpgradeRequest[];
  /** One per accepted upgrade, in order. */
  readonly recorders: Recorder[];
  upgrade: (request: UpgradeRequest) => UpgradeAnswer | Promise<UpgradeAnswer>;
  request: ServerHandler["request"];
  accept(protocol?: string | null): UpgradeAnswer;
  /** Connects a raw client and returns both ends, open. */
  pair(
    headers?: Record<string, string | null>,
  ): Promise<{ client: RawClient; recorder: Recorder; link: Link }>;
  /** Proves that the server still serves: a whole round trip with a new client. */
  alive(): Promise<void>;
}

/** A frame as the gateway builds it. */
export function wireFrame(payload: string | Uint8Array): WireFrame {
  return {
    payload,
    bytes: typeof payload === "string" ? Buffer.byteLength(payload) : payload.length,
    wire: null,
    tcpWire: null,
    datagram: null,
    sseWire: null,
    deflatedWire: null,
    isExt: true,
  };
}

/** How a runtime's own reader of frames differs from RFC 6455, where no adapter can change it. */
export interface Quirks {
  /** False: a broken frame ends the connection without a close frame, and the handler is told 1006. */
  readonly tellsViolations: boolean;
  /** False: frames that are not masked are taken. */
  readonly refusesUnmasked: boolean;
  /** Status for a head that is too large. */
  readonly tooLarge: number;
}

/** Registers the suite for one adapter, on plain TCP or on TLS. */
export function contract(
  name: "bun" | "raw" | "deno" | "node",
  create: (options: TransportOptions) => Transport,
  { tls = null, ...differences }: Partial<Quirks> & { readonly tls?: TlsPair | null } = {},
): void {
  const quirks: Quirks = {
    tellsViolations: true,
    refusesUnmasked: true,
    tooLarge: 431,
    ...differences,
  };
  const options: TransportOptions = {
    hostname: "127.0.0.1",
    port: 0,
    maxMessageBytes: MAX_MESSAGE_BYTES,
    idleTimeoutMs: 60_000,
    maxHeaderBytes: MAX_HEADER_BYTES,
    headerTimeoutMs: 12_000,
    yields: true,
    reusePort: false,
    socketUnsentBytes: UNSENT_BYTES,
    tls,
  };
  const { limits } = create(options);
  const label = tls === null ? name : `${name} with TLS`;

  function it(what: string, run: (house: House) => Promise<void>): void {
    test(`${label}: ${what}`, () =>
      strictly(async () => {
        const transport = create(options);
        const house: House = {
          transport,
          port: 0,
          peer: { port: 0 },
          requests: [],
          recorders: [],
          upgrade: () => house.accept(),
          request: () => new Response("hello"),
          accept(protocol = null) {
            const recorder = new Recorder();
            house.recorders.push(recorder);
            return { accept: recorder, protocol };
          },
          async pair(headers = {}) {
            const index = house.recorders.length;
            const client = await RawClient.open(house.peer, "/pair", headers);
            const recorder = house.recorders[index]!;
            return { client, recorder, link: await within(recorder.opened, "open") };
          },
          async alive() {
            house.upgrade = () => house.accept();
            const { client, recorder, link } = await house.pair();
            client.text("alive?");
            assert.equal((await recorder.next("text")).text, "alive?");
            link.write([wireFrame("alive")], 1);
            assert.equal(await client.nextText(), "alive");
            client.destroy();
            await within(recorder.closed, "the close of the last client");
          },
        };
        const bound = await transport.start({
          request: (request, address) => house.request(request, address),
          upgrade: (request) => {
            house.requests.push(request);
            return house.upgrade(request);
          },
          accepting: () => {},
        });
        const peer = tls === null ? { port: bound.port } : { port: bound.port, ca: tls.cert };
        Object.assign(house, { port: bound.port, peer });
        try {
          await run(house);
        } finally {
          await within(transport.stop(), "stop");
        }
        for (const recorder of house.recorders) {
          if (recorder.opens > 0) await within(recorder.closed, "the close of every link after stop");
          assert.deepEqual(recorder.faults, []);
        }
      }));
  }

  // Handshake

  it("a handshake is answered with 101 and the right accept key", async (house) => {
    const client = await RawClient.connect(house.peer);
    const head = await client.upgrade("/v1/ws");
    assert.equal(head.status, 101);
    assert.equal(head.headers.get("upgrade")?.toLowerCase(), "websocket");
    assert.equal(head.headers.get("connection")?.toLowerCase(), "upgrade");
    assert.equal(head.headers.get("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert.equal(head.headers.get("sec-websocket-extensions"), undefined);
    client.destroy();
  });

  it("the door sees target, address and headers as they were sent", async (house) => {
    let seen: unknown[] = [];
    house.upgrade = (request) => {
      seen = ["origin", "x-missing", "x-twice", "set-cookie"].map((name) => request.header(name));
      return house.accept();
    };
    const client = await RawClient.connect(house.peer);
    await client.upgrade("/v1/ws?tenant=acme&ticket=a%20b+c&sid=x.y", {
      Origin: "https://a.example",
      "X-Twice": "one",
      "x-twice": "two",
      "Set-Cookie": "a", // the one header that some runtimes keep as a list
      "set-cookie": "b",
    });
    assert.equal(house.requests[0]!.target, "/v1/ws?tenant=acme&ticket=a%20b+c&sid=x.y");
    assert.equal(house.requests[0]!.remoteAddress, "127.0.0.1");
    assert.deepEqual(seen, ["https://a.example", null, "one, two", "a, b"]);
    const link = await within(house.recorders[0]!.opened, "open");
    assert.equal(link.remoteAddress, "127.0.0.1");
    client.destroy();
  });

  it("the selected subprotocol is sent, and the offered ticket never", async (house) => {
    house.upgrade = () => house.accept("wsprism.v1");
    // Browsers write a space after the comma, others do not.
    for (const comma of [", ", ",", " ,\t"]) {
      const client = await RawClient.connect(house.peer);
      const offered = `wsprism.ticket.c2VjcmV0${comma}wsprism.v1`;
      const head = await client.upgrade("/", { "sec-websocket-protocol": offered });
      assert.equal(head.status, 101);
      assert.equal(head.headers.get("sec-websocket-protocol"), "wsprism.v1");
      assert.ok(!head.text.includes("c2VjcmV0"));
      client.destroy();
    }
  });

  it("no subprotocol header is sent when none is selected, whatever was offered", async (house) => {
    for (const offered of [null, "wsprism.ticket.c2VjcmV0", "wsprism.ticket.c2VjcmV0, other"]) {
      const client = await RawClient.connect(house.peer);
      const head = await client.upgrade("/", { "sec-websocket-protocol": offered });
      assert.equal(head.status, 101);
      assert.equal(head.headers.has("sec-websocket-protocol"), false, head.text);
      assert.ok(!head.text.includes("c2VjcmV0"));
      client.destroy();
    }
  });

  for (const [how, wrap] of [["at once", (a: UpgradeAnswer) => a], ["later", later]] as const) {
    it(`a refusal given ${how} carries status, headers and body, and ends the connection`, async (house) => {
      const body = '{"code":"RATE_LIMITED","msg":"zu viele – später","retry_after_ms":1000}';
      house.upgrade = () => wrap({ refuse: { status: 429, headers: { "retry-after": "1" }, body } });
      const client = await RawClient.connect(house.peer);
      const head = await client.upgrade();
      assert.equal(head.status, 429);
      assert.equal(head.headers.get("retry-after"), "1");
      assert.match(head.headers.get("content-type")!, /^application\/json/);
      assert.equal(await client.body(head), body);
      client.end();
      await within(client.gone, "the end of a refused connection");
    });

    it(`an acceptance given ${how} opens the link`, async (house) => {
      house.upgrade = () => wrap(house.accept());
      const { client, recorder, link } = await house.pair();
      client.text("in");
      assert.equal((await recorder.next("text")).text, "in");
      link.write([wireFrame("out")], 1);
      assert.equal(await client.nextText(), "out");
      client.destroy();
    });
  }

  for (
    const [leave, act] of [["a reset", (c: RawClient) => c.reset()], [
      "a FIN",
      (c: RawClient) => c.end(),
    ]] as const
  ) {
    it(`an acceptance opens nothing for a peer that left by ${leave} meanwhile`, async (house) => {
      let answer!: (answer: UpgradeAnswer) => void;
      const asked = new Promise<void>((resolve) => {
        house.upgrade = () => {
          resolve();
          return new Promise((give) => answer = give);
        };
      });
      const client = await RawClient.connect(house.peer);
      client.send(handshake("/"));
      await within(asked, "the door being asked");
      act(client);
      await roundTrips(house, 3); // the end has reached the server by then
      answer(house.accept());
      const recorder = house.recorders.at(-1)!;
      await house.alive();
      if (recorder.opens > 0) await within(recorder.closed, "the close of a link whose peer is gone");
      assert.equal(recorder.opens, recorder.count("close"));
      if (name !== "deno") assert.equal(recorder.opens, 0);
    });
  }

  it("a malformed handshake is refused before the door is asked", async (house) => {
    const cases: [string, number][] = [
      [handshake("/", { "sec-websocket-key": "short" }), 400],
      [handshake("/", { "sec-websocket-key": null }), 400],
      [handshake("/", { "sec-websocket-version": null }), 426],
      [handshake("/", { "sec-websocket-version": "8" }), 426],
      [handshake("/", { "sec-websocket-protocol": "a b" }), 400],
      [handshake("/", { "sec-websocket-protocol": "a,,b" }), 400],
      [handshake("/", { "sec-websocket-protocol": "a, b, a" }), 400],
      [handshake("/", { upgrade: "websocket, h2c" }), 400],
      [handshake("/").replace("GET", "POST"), 405],
    ];
    for (const [bytes, status] of cases) {
      const client = await RawClient.connect(house.peer);
      client.send(bytes);
      const head = await client.head();
      assert.equal(head.status, status, bytes);
      assert.equal(JSON.parse(await client.body(head)).code, "BAD_REQUEST");
      if (status === 426) assert.equal(head.headers.get("sec-websocket-version"), "13");
      client.destroy();
    }
    assert.equal(house.requests.length, 0);
    await house.alive();
  });

  it("an Upgrade header without Connection: upgrade is an ordinary request", async (house) => {
    const client = await RawClient.connect(house.peer);
    const head = await client.upgrade("/", { connection: "keep-alive" });
    assert.equal(head.status, 200);
    assert.equal(house.requests.length, 0);
    client.destroy();
  });

  for (const row of [...PLAIN, ...UPGRADES]) {
    it(`${row.what} is answered with ${expected(row, name)}`, async (house) => {
      house.request = async (request) => {
        await request.arrayBuffer();
        const { pathname } = new URL(request.url);
        return new Response("", { status: pathname === "/healthz" ? 200 : 404 });
      };
      const status = await statusOf(house.peer, row.bytes);
      assert.equal(status, expected(row, name));
      const served = house.recorders.length;
      assert.equal(served, status === 101 ? 1 : 0);
      await house.alive();
    });
  }

  it("a handshake may arrive byte by byte, with lists and any case in its headers", async (house) => {
    const client = await RawClient.connect(house.peer);
    for (const byte of handshake("/", { connection: "keep-alive, UPGRADE", upgrade: "WebSocket" })) {
      client.send(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal((await client.head()).status, 101);
    client.destroy();
  });

  it("frames that follow the handshake in the same packet arrive after open, in order", async (house) => {
    const client = await RawClient.connect(house.peer);
    client.send(Buffer.concat([
      Buffer.from(handshake("/")),
      frame(OP.text, "first"),
      frame(OP.binary, Uint8Array.of(2)),
      frame(OP.text, "third"),
    ]));
    assert.equal((await client.head()).status, 101);
    const recorder = house.recorders[0]!;
    assert.equal((await recorder.next("text")).text, "first");
    assert.equal((await recorder.next("text")).text, "third");
    assert.deepEqual(recorder.heard.map((happening) => happening.kind), ["text", "binary", "text"]);
    client.destroy();
  });

  it("a compressing client gets no compression", async (house) => {
    const client = await RawClient.connect(house.peer);
    const head = await client.upgrade("/", { "sec-websocket-extensions": "permessage-deflate" });
    assert.equal(head.status, 101);
    assert.equal(head.headers.has("sec-websocket-extensions"), false);
    client.destroy();
  });

  it("an upgrade whose door fails is answered with 500, and tells nothing", async (house) => {
    for (const fail of [() => Promise.reject(new Error("secret")), throwSecret]) {
      house.upgrade = fail;
      const client = await RawClient.connect(house.peer);
      const head = await client.upgrade();
      assert.equal(head.status, 500);
      assert.ok(!(await client.body(head)).includes("secret"));
      client.destroy();
    }
    await house.alive();
  });

  it("pings and fragments of what is not whole yet are told, each once, where the runtime shows them", async (house) => {
    const { client, recorder } = await house.pair();
    client.sendFrame(OP.ping, "abc");
    client.sendFrame(OP.text, "one", { fin: false });
    client.sendFrame(OP.continuation, "", { fin: false });
    client.sendFrame(OP.ping);
    client.sendFrame(OP.continuation, "two");
    assert.equal((await recorder.next("text")).text, "onetwo");
    assert.equal(recorder.controls, (limits.showsControl ? 2 : 0) + (limits.showsFragments ? 2 : 0));
    client.text("whole");
    await recorder.next("text");
    assert.equal(recorder.controls, (limits.showsControl ? 2 : 0) + (limits.showsFragments ? 2 : 0));
    client.destroy();
  });

  // Hostile before the upgrade

  it("garbage, resets and endless headers before the upgrade leave the server serving", async (house) => {
    const garbage = [
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
      "\r\n\r\n\r\n\r\n",
      "GET\r\n\r\n",
      "\0".repeat(5000),
    ];
    for (const bytes of garbage) {
      const client = await RawClient.connect(house.peer);
      client.send(Buffer.from(bytes, "latin1"));
      client.end();
      await within(client.gone, "the end of a garbage connection");
    }
    const half = await RawClient.connect(house.peer);
    half.send("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: webso");
    half.reset();
    const bare = await RawClient.connect(house.peer);
    bare.reset();
    const early = await RawClient.connect(house.peer);
    early.send(handshake("/"));
    early.reset();
    const huge = await RawClient.connect(house.peer);
    huge.send(handshake("/", { "x-huge": "a".repeat(1_000_000) }));
    await within(huge.gone.then(() => {}), "the end of a connection with 1 MB of headers");
    assert.equal(house.requests.filter((request) => request.header("x-huge") !== null).length, 0);
    await house.alive();
  });

  for (
    const [where, head] of [
      ["the address", (bytes: number) => handshake(`/?${"a".repeat(bytes)}`)],
      ["a header", (bytes: number) => handshake("/", { "x-big": "a".repeat(bytes) })],
      ["many headers", (bytes: number) => handshake("/", fewHeaders(bytes))],
    ] as const
  ) {
    it(`a head that is too large by ${where} is refused, one below the limit is not`, async (house) => {
      const most = limits.fixed.maxHeaderBytes ?? MAX_HEADER_BYTES;
      const fits = await RawClient.connect(house.peer);
      fits.send(head(most - 500));
      assert.equal((await fits.head()).status, 101);
      fits.destroy();
      const asked = house.requests.length;
      for (const bytes of [most + 500, most * 4]) {
        const client = await RawClient.connect(house.peer);
        client.send(head(bytes));
        assert.equal((await client.head()).status, quirks.tooLarge);
        client.end();
        await within(client.gone, "the end of a connection whose head is too large");
      }
      assert.equal(house.requests.length, asked);
      await house.alive();
    });
  }

  it("a request with 90 headers is served, one with 300 is refused", async (house) => {
    const headers = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-${i}`, "y"]));
    for (const upgrade of ["websocket", null]) {
      const many = await RawClient.connect(house.peer);
      many.send(handshake("/", { ...headers(90), upgrade }));
      assert.equal((await many.head()).status, upgrade === null ? 200 : 101);
      many.destroy();
      const tooMany = await RawClient.connect(house.peer);
      tooMany.send(handshake("/", { ...headers(300), upgrade }));
      assert.equal((await tooMany.head()).status, quirks.tooLarge);
      tooMany.destroy();
    }
    await house.alive();
  });

  it("what smuggles a second request or header into a first one is refused", async (house) => {
    const cases = [
      "GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n b: folded\r\n\r\n",
      "GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n",
      "GET / HTTP/1.1\r\nhost: a\r\nx : spaced\r\n\r\n",
      "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc",
      "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +3\r\n\r\nabc",
      "GET /a b HTTP/1.1\r\nhost: a\r\n\r\n",
    ];
    let served = 0;
    house.request = () => new Response(String(++served));
    for (const bytes of cases) {
      const client = await RawClient.connect(house.peer);
      client.send(bytes);
      const { status } = await client.head();
      assert.ok(status >= 400, `${JSON.stringify(bytes)} was answered with ${status}`);
      client.destroy();
    }
    assert.equal(served, 0);
    await house.alive();
  });

  // TLS

  if (tls !== null) {
    const other = makePair("renewed");

    it("bytes that are no TLS end their connection and nobody else's", async (house) => {
      const { client, recorder } = await house.pair();
      for (
        const bytes of ["GET / HTTP/1.1\r\nhost: a\r\n\r\n", "\x16\x03\x01\xff\xff", "\0".repeat(20_000)]
      ) {
        const stranger = await RawClient.connect(house.port);
        stranger.send(Buffer.from(bytes, "latin1"));
        stranger.end();
        await within(stranger.gone, "the end of a connection without TLS");
        assert.ok(!(await stranger.rest()).includes("200"));
      }
      const left = await RawClient.connect(house.port);
      left.send("\x16\x03");
      left.reset();
      client.text("still here");
      assert.equal((await recorder.next("text")).text, "still here");
      client.destroy();
      await house.alive();
    });

    it("a renewed certificate is for new connections, and living links talk on", async (house) => {
      const old = await house.pair();
      assert.equal(old.client.certificateName, "contract");
      const { next } = turns(house, old);
      await next();
      if (!limits.renewsTls) {
        assert.throws(() => house.transport.renewTls(other));
        await next();
        assert.equal((await RawClient.connect(house.peer)).certificateName, "contract");
        return;
      }
      // Half a request and an unanswered one, for what is under way lives on too.
      const half = await RawClient.connect(house.peer);
      half.send("GET / HTTP/1.1\r\nho");
      let answer!: (answer: UpgradeAnswer) => void;
      const asked = new Promise<void>((resolve) => {
        house.upgrade = () => {
          resolve();
          return new Promise((give) => answer = give);
        };
      });
      const waiting = await RawClient.connect(house.peer);
      waiting.send(handshake("/"));
      await within(asked, "the door being asked");

      for (const [pair, name] of [[other, "renewed"], [tls, "contract"], [other, "renewed"]] as const) {
        house.transport.renewTls(pair);
        await next();
        const fresh = await RawClient.connect({ port: house.port, ca: pair.cert });
        assert.equal(fresh.certificateName, name);
        fresh.destroy();
      }
      half.send("st: a\r\n\r\n");
      assert.equal((await half.head()).status, 200);
      answer(house.accept());
      assert.equal((await waiting.head()).status, 101);
      house.upgrade = () => house.accept();
      for (const client of [half, waiting, old.client]) client.destroy();
      await within(old.recorder.closed, "the close of the oldest link");
    });

    it("after renewals stop ends the links of every certificate and frees the port", async (house) => {
      if (!limits.renewsTls) return assert.throws(() => house.transport.renewTls(other));
      const pairs = [await house.pair()];
      for (const pair of [other, tls]) {
        house.transport.renewTls(pair);
        (house as { peer: Peer }).peer = { port: house.port, ca: pair.cert };
        pairs.push(await house.pair());
      }
      await within(house.transport.stop(), "stop", 2_000);
      for (const { client, recorder } of pairs) {
        assert.equal((await within(recorder.closed, "close")).code, 1006);
        await within(client.gone, "the end of a stopped connection");
      }
      await assert.rejects(RawClient.connect(house.port));
    });

    it("a pair that cannot be used changes nothing where the runtime refuses it", async (house) => {
      if (name !== "bun" && name !== "raw") return await house.alive(); // the contract asks for checked pairs only
      assert.throws(() => house.transport.renewTls({ cert: "no certificate", key: "no key" }));
      await house.alive();
    });
  }

  // Messages

  it("texts and binaries of every length class go out whole and in order", async (house) => {
    const { client, link } = await house.pair();
    const lengths = [1, 125, 126, 127, 65_535, 65_536, 70_000];
    const frames = lengths.flatMap((length) => [
      wireFrame("é".repeat(length >> 1) + "x".repeat(length & 1)),
      wireFrame(new Uint8Array(length).fill(length)),
    ]);
    for (const one of frames) link.write([one], 1);
    link.write(frames, frames.length);
    for (const expected of [...frames, ...frames]) {
      const got = await client.frame();
      assert.equal(got.opcode, typeof expected.payload === "string" ? OP.text : OP.binary);
      assert.equal(got.fin && !got.masked && got.rsv === 0, true);
      assert.equal(got.payload.length, expected.bytes);
      assert.ok(got.payload.equals(Buffer.from(expected.payload as string)));
    }
    client.destroy();
  });

  it("write sends the first count frames only, and nothing for a count of 0", async (house) => {
    const { client, link } = await house.pair();
    const frames = ["a", "b", "c"].map(wireFrame);
    assert.equal(link.write(frames, 0), 0);
    link.write(frames, 2);
    link.write([wireFrame("end")], 1);
    assert.deepEqual([await client.nextText(), await client.nextText(), await client.nextText()], [
      "a",
      "b",
      "end",
    ]);
    client.destroy();
  });

  it("one frame object can be written to many links and many times", async (house) => {
    const one = await house.pair();
    const two = await house.pair();
    const [text, binary] = [wireFrame("shared ✓"), wireFrame(Uint8Array.of(1, 2, 3))];
    for (const { link } of [one, two, one]) link.write([text, binary], 2);
    for (const { client } of [one, two, one]) {
      assert.equal(await client.nextText(), "shared ✓");
      assert.deepEqual([...(await client.frame()).payload], [1, 2, 3]);
    }
    one.client.destroy();
    two.client.destroy();
  });

  it("inbound messages keep their type, their bytes and their order, empty ones too", async (house) => {
    const { client, recorder } = await house.pair();
    client.text("");
    client.binary(new Uint8Array(0));
    client.text("grüße 🎈");
    for (const length of [1, 125, 126, 65_536, MAX_MESSAGE_BYTES]) {
      client.binary(new Uint8Array(length).fill(7));
    }
    client.text("x".repeat(MAX_MESSAGE_BYTES));
    while (recorder.heard.length < 9) await recorder.next(recorder.heard.length === 8 ? "text" : "binary");
    const shape = recorder.heard.map((happening) =>
      happening.kind === "text"
        ? `text ${happening.text.length}`
        : happening.kind === "binary"
        ? `binary ${happening.bytes.length}`
        : happening.kind
    );
    assert.deepEqual(shape, [
      "text 0",
      "binary 0",
      "text 8",
      "binary 1",
      "binary 125",
      "binary 126",
      "binary 65536",
      "binary 100000",
      "text 100000",
    ]);
    assert.equal((recorder.heard[2] as { text: string }).text, "grüße 🎈");
    client.destroy();
  });

  it("inbound bytes may be kept: later messages do not change them", async (house) => {
    const { client, recorder } = await house.pair();
    for (let i = 0; i < 200; i++) client.binary(new Uint8Array(500).fill(i));
    client.text("end");
    await recorder.next("text");
    const kept = recorder.heard.filter((happening) => happening.kind === "binary");
    assert.equal(kept.length, 200);
    kept.forEach(({ bytes }, i) => {
      assert.ok(bytes instanceof Uint8Array);
      assert.ok(bytes.length === 500 && bytes.every((byte) => byte === i));
    });
    client.destroy();
  });

  it("a fragmented message arrives as one, control frames between its parts are answered", async (house) => {
    const { client, recorder } = await house.pair();
    const text = Buffer.from("a ✓ b");
    client.sendFrame(OP.text, text.subarray(0, 3), { fin: false }); // cuts the character in two
    client.sendFrame(OP.ping, "between");
    client.sendFrame(OP.continuation, text.subarray(3, 4), { fin: false });
    client.sendFrame(OP.continuation, text.subarray(4));
    assert.equal((await recorder.next("text")).text, "a ✓ b");
    const pong = await client.frame();
    assert.deepEqual([pong.opcode, pong.payload.toString()], [OP.pong, "between"]);
    client.destroy();
  });

  it("the ws client talks with it", async (house) => {
    const scheme = tls === null ? "ws" : "wss";
    const trust = tls === null ? {} : { ca: tls.cert };
    const client = new WebSocket(`${scheme}://127.0.0.1:${house.port}/v1/ws`, trust);
    const messages: string[] = [];
    const closed = new Promise<[number, string]>((resolve) => {
      client.on("close", (code, reason) => resolve([code, reason.toString()]));
    });
    await within(new Promise((resolve) => client.on("open", resolve)), "the ws client's open");
    const recorder = house.recorders[0]!;
    recorder.onText = (text) => {
      recorder.link!.write([wireFrame(`${text} back`), wireFrame(Uint8Array.of(9))], 2);
      recorder.link!.close(1000, "done");
    };
    client.on("message", (data, isBinary) => messages.push(isBinary ? "binary" : data.toString()));
    client.send("there");
    assert.deepEqual(await within(closed, "the ws client's close"), [1000, "done"]);
    assert.deepEqual(messages, ["there back", "binary"]);
    assert.deepEqual(await within(recorder.closed, "close"), { code: 1000, reason: "done" });
  });

  // Backpressure

  it("write tells what waits behind a stalled reader, and drain follows when it is gone", async (house) => {
    const { client, recorder, link } = await house.pair();
    client.pause();
    const big = wireFrame(new Uint8Array(60_000).fill(1));
    let written = 0;
    let waiting = 0;
    while (waiting < 1_000_000) {
      assert.ok(written < STALL_BYTES, "no backpressure after 32 MB");
      waiting = link.write([big], 1);
      written += big.bytes;
      if (written % 600_000 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(link.bufferedBytes() > 0, true);
    assert.equal(recorder.count("drain") === 0 || !limits.terminates, true, "drained though nobody reads");
    // The kernel may take some more of it yet, but not for ever.
    for (let grows = !limits.terminates; !grows; written += big.bytes) {
      assert.ok(written < STALL_BYTES, "what waits does not grow by what is written");
      const now = link.write([big], 1);
      grows = now > waiting;
      waiting = now;
    }
    const last = wireFrame("last");
    link.write([last], 1);
    client.resume();
    const count = written / big.bytes;
    for (let i = 0; i < count; i++) {
      const got = await client.frame();
      assert.equal(got.payload.length, big.bytes);
    }
    assert.equal(await client.nextText(), "last");
    if (recorder.count("drain") === 0) await recorder.next("drain");
    assert.equal(link.bufferedBytes(), 0);
    client.destroy();
  });

  it("drain follows even when only a few bytes waited", async (house) => {
    const { client, recorder, link } = await house.pair();
    client.pause();
    const small = wireFrame(new Uint8Array(1_000).fill(1));
    let written = 0;
    while (link.write([small], 1) === 0) {
      written += small.bytes;
      assert.ok(written < STALL_BYTES, "no backpressure after 32 MB");
      if (written % 100_000 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    client.resume();
    await recorder.next("drain");
    assert.equal(link.bufferedBytes(), 0);
    client.destroy();
  });

  it("the kernel keeps no more unsent than it was told, after a renewal too", async (house) => {
    if (limits.fixed.socketUnsentBytes !== undefined) return await house.alive(); // told at start, see start_report.ts
    const small = wireFrame(new Uint8Array(1_000).fill(1));
    const stalls = async (): Promise<number> => {
      const { client, link } = await house.pair();
      client.pause();
      let written = 0;
      while (link.write([small], 1) === 0) {
        written += small.bytes;
        assert.ok(written < STALL_BYTES, "no backpressure after 32 MB");
        if (written % 100_000 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      client.destroy();
      return written;
    };
    // What the peer's kernel takes comes on top; unbounded, this one alone takes some 2.5 MB.
    assert.ok(await stalls() < 1_000_000);
    if (tls === null) return;
    const renewed = makePair("renewed");
    house.transport.renewTls(renewed);
    (house as { peer: Peer }).peer = { port: house.port, ca: renewed.cert };
    assert.ok(await stalls() < 1_000_000);
  });

  it("what waits for a stalled reader stays as it was written while others are written to", async (house) => {
    const [slow, fast] = [await house.pair(), await house.pair()];
    slow.client.pause();
    let next = 0;
    const flush = (link: Link) => {
      const frames = Array.from({ length: 10 }, () => wireFrame(`${next++} `.padEnd(700, "·")));
      return link.write(frames, frames.length);
    };
    while (flush(slow.link) === 0) {
      assert.ok(next < STALL_BYTES / 1_000, "no backpressure after 32 MB");
      if (next % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    const stalledAt = next;
    for (let i = 0; i < 20; i++) {
      const from = next = 1_000_000 + i * 10;
      flush(fast.link);
      for (let n = from; n < next; n++) assert.equal(parseInt(await fast.client.nextText()), n);
      next = stalledAt + i * 10; // the slow link's own numbers go on
      flush(slow.link);
    }
    const total = next;
    slow.client.resume();
    for (let n = 0; n < total; n++) assert.equal(await slow.client.nextText(), `${n} `.padEnd(700, "·"));
    slow.client.destroy();
    fast.client.destroy();
  });

  // Pings

  it("ping reaches the peer, and its pong the handler", async (house) => {
    const { client, recorder, link } = await house.pair();
    link.ping();
    if (limits.pings) {
      assert.equal((await client.frame()).opcode, OP.ping);
      client.sendFrame(OP.pong);
      await recorder.next("pong");
    } else {
      client.sendFrame(OP.pong);
      client.text("after the pong");
      await recorder.next("text");
      assert.equal(recorder.count("pong"), 0);
      link.write([wireFrame("no ping came before me")], 1);
      assert.equal(await client.nextText(), "no ping came before me");
    }
    client.destroy();
  });

  it("a ping is answered with its own payload, also between flushes", async (house) => {
    const { client, link } = await house.pair();
    for (let i = 0; i < 20; i++) client.sendFrame(OP.ping, `n${i}`);
    link.write([wireFrame("a"), wireFrame("b")], 2);
    const pongs: string[] = [];
    const texts: string[] = [];
    while (pongs.length < 20 || texts.length < 2) {
      const got = await client.frame();
      (got.opcode === OP.pong ? pongs : texts).push(got.payload.toString());
    }
    assert.deepEqual(pongs, Array.from({ length: 20 }, (_, i) => `n${i}`));
    assert.deepEqual(texts, ["a", "b"]);
    client.destroy();
  });

  // Pausing

  it("a paused link delivers nothing until it resumes", async (house) => {
    const { client, recorder, link } = await house.pair();
    link.pause();
    client.text("held");
    await roundTrips(house, 5);
    assert.equal(recorder.count("text"), limits.pauses ? 0 : 1);
    link.resume();
    if (limits.pauses) assert.equal((await recorder.next("text")).text, "held");
    client.text("free");
    assert.equal((await recorder.next("text")).text, limits.pauses ? "free" : "held");
    client.destroy();
  });

  it("a paused link still writes and still closes", async (house) => {
    const { client, recorder, link } = await house.pair();
    link.pause();
    link.write([wireFrame("out")], 1);
    assert.equal(await client.nextText(), "out");
    link.close(4001, "over");
    assert.deepEqual(await client.nextClose(), { code: 4001, reason: "over" });
    client.close(4001);
    client.end();
    assert.equal((await within(recorder.closed, "close")).code, 4001);
  });

  // Closing

  it("our close reaches the peer after what was written, with code and reason", async (house) => {
    const { client, recorder, link } = await house.pair();
    const reason = "é".repeat(61) + "x"; // 123 bytes, the most that fits
    link.write([wireFrame("before"), wireFrame("the end")], 2);
    link.close(4505, reason);
    link.write([wireFrame("too late")], 1);
    link.close(1000, "twice");
    assert.equal(await client.nextText(), "before");
    assert.equal(await client.nextText(), "the end");
    assert.deepEqual(await client.nextClose(), { code: 4505, reason });
    client.close(4505);
    client.end();
    assert.deepEqual(await within(recorder.closed, "close"), { code: 4505, reason });
    assert.equal(await client.rest(), "", "nothing follows a close frame");
  });

  it("nothing is heard of a peer after our close but the close", async (house) => {
    const { client, recorder, link } = await house.pair();
    link.close(4000, "");
    for (let i = 0; i < 10; i++) client.text("late");
    client.sendFrame(OP.pong);
    await client.nextClose();
    client.close(4000);
    client.end();
    await within(recorder.closed, "close");
    assert.deepEqual(recorder.heard.map((happening) => happening.kind), ["close"]);
  });

  it("the peer's close is echoed, and its code and reason are told", async (house) => {
    const { client, recorder } = await house.pair();
    client.text("before");
    client.close(4321, "auf Wiedersehen, ✓");
    assert.equal((await client.nextClose()).code, 4321);
    client.end();
    assert.deepEqual(await within(recorder.closed, "close"), { code: 4321, reason: "auf Wiedersehen, ✓" });
    assert.deepEqual(recorder.heard.map((happening) => happening.kind), ["text", "close"]);
  });

  it("a close without a code is told as 1005", async (house) => {
    const { client, recorder } = await house.pair();
    client.close();
    client.end();
    assert.equal((await within(recorder.closed, "close")).code, 1005);
  });

  for (
    const [how, act] of [
      ["a FIN", (client: RawClient) => client.end()],
      ["a reset", (client: RawClient) => client.reset()],
    ] as const
  ) {
    it(`a peer that leaves by ${how} without a close frame is told as 1006`, async (house) => {
      const { client, recorder } = await house.pair();
      client.text("last");
      await recorder.next("text");
      act(client);
      assert.deepEqual(await within(recorder.closed, "close"), { code: 1006, reason: "" });
    });
  }

  it("a peer that reads nothing and ends its side is told as 1006 at once", async (house) => {
    const { client, recorder, link } = await house.pair();
    await stall(client, link);
    client.end();
    assert.equal((await within(recorder.closed, "close", 2_000)).code, 1006);
    client.destroy();
  });

  it("a peer that sends pings and reads nothing is dropped before its pongs pile up", async (house) => {
    const { client, recorder, link } = await house.pair();
    await stall(client, link);
    const before = link.bufferedBytes();
    const pings = Buffer.concat(Array.from({ length: 1_000 }, () => frame(OP.ping, "x".repeat(125))));
    let most = before;
    for (let i = 0; i < 100 && recorder.count("close") === 0; i++) {
      client.send(pings);
      await new Promise((resolve) => setImmediate(resolve));
      most = Math.max(most, link.bufferedBytes());
    }
    assert.ok(most - before < 1_000_000, `${most - before} bytes of pongs wait`);
    if (limits.terminates) assert.equal((await within(recorder.closed, "close")).code, 1006);
    client.destroy();
  });

  it("terminate ends a link with 1006, once, and without a close frame", async (house) => {
    const { client, recorder, link } = await house.pair();
    link.terminate();
    link.terminate();
    link.close(1000, "");
    assert.deepEqual(await within(recorder.closed, "close"), { code: 1006, reason: "" });
    if (limits.terminates) {
      await within(client.gone, "the end of a terminated connection");
      assert.equal(await client.rest(), "");
    } else {
      assert.equal((await client.frame()).opcode, OP.close); // the best this runtime can do
      client.close();
      await within(client.gone, "the end of a terminated connection");
    }
    await house.alive();
    assert.equal(recorder.count("close"), 1);
  });

  it("terminate frees the gateway of a peer that reads nothing", async (house) => {
    const { client, recorder, link } = await house.pair();
    await stall(client, link);
    link.terminate();
    assert.equal((await within(recorder.closed, "close", 2_000)).code, 1006);
    assert.equal(link.bufferedBytes(), 0);
    assert.equal(link.write([wireFrame("nobody")], 1), 0);
    client.destroy();
    await house.alive();
  });

  it("every method does nothing after the close", async (house) => {
    const { client, recorder, link } = await house.pair();
    client.reset();
    await within(recorder.closed, "close");
    assert.equal(link.write([wireFrame("x"), wireFrame("y")], 2), 0);
    assert.equal(link.write([wireFrame("x")], 1), 0);
    assert.equal(link.bufferedBytes(), 0);
    link.ping();
    link.pause();
    link.resume();
    link.close(1000, "");
    link.terminate();
    assert.equal(link.remoteAddress, "127.0.0.1");
    await house.alive();
    assert.equal(recorder.count("close"), 1);
  });

  it("links may be written and ended from within their own callbacks", async (house) => {
    const { client, recorder, link } = await house.pair();
    recorder.onText = (text) => {
      if (text === "bye") {
        link.write([wireFrame("bye"), wireFrame("bye")], 2);
        link.terminate();
      } else link.write([wireFrame(text), wireFrame(text)], 2);
    };
    client.text("one");
    assert.deepEqual([await client.nextText(), await client.nextText()], ["one", "one"]);
    client.text("bye");
    assert.equal((await within(recorder.closed, "close")).code, 1006);
    await house.alive();
  });

  // Limits and broken frames

  it("a message over the limit is closed with 1009 and never delivered, in one frame or in many", async (house) => {
    const part = new Uint8Array(MAX_MESSAGE_BYTES / 2 + 1);
    const attacks: [string, Buffer][] = [
      ["one binary frame", frame(OP.binary, new Uint8Array(MAX_MESSAGE_BYTES + 1))],
      ["one text frame", frame(OP.text, "é".repeat(MAX_MESSAGE_BYTES / 2 + 1))],
      [
        "two fragments",
        Buffer.concat([frame(OP.binary, part, { fin: false }), frame(OP.continuation, part)]),
      ],
    ];
    for (const [what, bytes] of attacks) {
      const { client, recorder } = await house.pair();
      client.send(bytes);
      assert.equal((await client.nextClose()).code, 1009, what);
      client.close(1009);
      client.end();
      assert.equal((await within(recorder.closed, "close")).code, 1009, what);
      assert.deepEqual(recorder.heard.map((happening) => happening.kind), ["close"]);
    }
    await house.alive();
  });

  it("the largest message can change, for links that are open too", async (house) => {
    const { transport } = house;
    const before = await house.pair();
    const large = new Uint8Array(MAX_MESSAGE_BYTES + 1);
    transport.boundMessages(2 * MAX_MESSAGE_BYTES);
    const after = await house.pair();
    for (const { client, recorder } of [before, after]) {
      client.sendFrame(OP.binary, large);
      assert.equal((await recorder.next("binary")).bytes.length, large.length);
    }
    transport.boundMessages(MAX_MESSAGE_BYTES);
    const last = await house.pair();
    for (const { client, recorder } of [before, after, last]) {
      client.sendFrame(OP.binary, large);
      assert.equal((await client.nextClose()).code, 1009);
      client.close(1009);
      client.end();
      assert.equal((await within(recorder.closed, "close")).code, 1009);
    }
    await house.alive();
  });

  it("a fragmented message without an end is refused once it passes the limit", async (house) => {
    const { client, recorder } = await house.pair();
    const part = new Uint8Array(MAX_MESSAGE_BYTES / 4);
    client.sendFrame(OP.binary, part, { fin: false });
    for (let i = 0; i < 5; i++) client.sendFrame(OP.continuation, part, { fin: false });
    if (!limits.boundsFragments) {
      client.sendFrame(OP.ping, "still there?"); // it collects on, and refuses only the whole message
      assert.equal((await client.frame()).opcode, OP.pong);
      client.sendFrame(OP.continuation);
    }
    assert.equal((await client.nextClose()).code, 1009);
    client.close(1009);
    client.end();
    assert.equal((await within(recorder.closed, "close")).code, 1009);
    assert.equal(recorder.count("binary"), 0);
  });

  for (const { what, bytes, codes, unmasked = false, passedOver = false } of BAD_FRAMES) {
    it(`${what} ends the link with ${codes.join(" or ")}, and nothing is delivered`, async (house) => {
      const { client, recorder } = await house.pair();
      client.send(bytes);
      client.text("after");
      if (unmasked && !quirks.refusesUnmasked) {
        assert.equal((await recorder.next("text")).text, "x");
        client.destroy();
        return;
      }
      if (passedOver && name === "deno") {
        assert.equal((await recorder.next("text")).text, "after");
        client.destroy();
        return;
      }
      if (!quirks.tellsViolations) {
        await within(client.gone, "the end of a broken connection");
        assert.deepEqual(await within(recorder.closed, "close"), { code: 1006, reason: "" });
        assert.deepEqual(recorder.heard.map((happening) => happening.kind), ["close"]);
        await house.alive();
        return;
      }
      const { code } = await client.nextClose();
      assert.ok(codes.includes(code), `the peer was told ${code}`);
      client.close(code);
      client.end();
      const end = await within(recorder.closed, "close");
      assert.equal(end.code, code, "the handler and the peer must be told the same");
      assert.deepEqual(recorder.heard.map((happening) => happening.kind), ["close"]);
      await house.alive();
    });
  }

  for (const { what, bytes, heard, pongs = [] } of GOOD_FRAMES) {
    it(`${what} is taken, whole and byte by byte, and the link goes on`, async (house) => {
      for (const parts of [[bytes], Array.from(bytes, (byte) => Uint8Array.of(byte))]) {
        const { client, recorder } = await house.pair();
        for (const part of parts) client.send(part);
        client.text("after");
        for (;;) {
          const said = await recorder.next("text");
          if (said.text === "after") break;
        }
        const messages = recorder.heard.flatMap((happening) =>
          happening.kind === "text"
            ? [happening.text]
            : happening.kind === "binary"
            ? [Buffer.from(happening.bytes).toString("hex")]
            : []
        );
        assert.deepEqual(messages, [...heard, "after"]);
        for (const payload of pongs) {
          const pong = await client.frame();
          assert.deepEqual([pong.opcode, pong.payload.toString()], [OP.pong, payload]);
        }
        client.destroy();
        await within(recorder.closed, "close");
      }
    });
  }

  for (const [code, reason] of CLOSES) {
    it(`a close with ${code} and a reason of ${reason.length} characters is echoed, and told`, async (house) => {
      const { client, recorder } = await house.pair();
      client.sendFrame(OP.close, closePayload(code, reason));
      assert.equal((await client.nextClose()).code, code);
      client.end();
      assert.deepEqual(await within(recorder.closed, "close"), { code, reason });
    });
  }

  // HTTP

  it("requests that are no upgrade reach the door as web requests, and its response the client", async (house) => {
    house.request = async (request, address) =>
      new Response(`${request.method} ${new URL(request.url).pathname} ${await request.text()} ${address}`, {
        status: 202,
        headers: { "x-answer": request.headers.get("x-question") ?? "" },
      });
    const client = await RawClient.connect(house.peer);
    client.send("GET /metrics?x=1 HTTP/1.1\r\nhost: 127.0.0.1\r\nx-question: 42\r\n\r\n");
    const got = await client.head();
    assert.deepEqual([got.status, got.headers.get("x-answer")], [202, "42"]);
    assert.equal(await client.body(got), "GET /metrics  127.0.0.1");
    const body = Buffer.from("payload ✓");
    client.send(
      `POST /publish HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`,
    );
    client.send(body);
    const posted = await client.head();
    assert.equal(await client.body(posted), "POST /publish payload ✓ 127.0.0.1");
    client.destroy();
    assert.equal(house.requests.length, 0);
  });

  it("a handshake with a body is refused", async (house) => {
    const cases = [
      handshake("/", { "content-length": "5" }) + "hello",
      handshake("/", { "transfer-encoding": "chunked" }) + "0\r\n\r\n",
    ];
    for (const bytes of cases) {
      const client = await RawClient.connect(house.peer);
      client.send(bytes);
      assert.equal((await client.head()).status, 400, bytes);
      client.destroy();
    }
    assert.equal(house.requests.length, 0);
    await house.alive();
  });

  for (
    const [what, head, part] of [
      ["chunks without end", "transfer-encoding: chunked", "5\r\nhello\r\n"],
      ["a gigabyte", "content-length: 1000000000", "hello"],
    ]
  ) {
    it(`a body that nobody reads is not read to its end: ${what}`, async (house) => {
      // Its HTTP server reads all that comes, and has no option against it (2.9.6).
      if (house.transport.name === "deno") return;
      house.request = () => new Response("ok");
      const client = await RawClient.connect(house.peer);
      client.send(`POST / HTTP/1.1\r\nhost: 127.0.0.1\r\n${head}\r\n\r\n${part}`);
      const { socket } = client, more = Buffer.from(part!.repeat(5000));
      let ended = false;
      void client.gone.then(() => ended = true);
      // Either its connection ends, or nothing more is read of it.
      while (!ended) {
        const taken = socket.bytesWritten - socket.writableLength;
        assert.ok(taken < 67_108_864, `${taken} bytes were read`);
        if (socket.write(more)) await new Promise((resolve) => setImmediate(resolve));
        else {
          const drained = new Promise((resolve) => socket.once("drain", () => resolve(true)));
          const stalled = new Promise((resolve) => setTimeout(resolve, 500, false));
          if (await Promise.race([drained, stalled, client.gone]) === false) break;
        }
      }
      client.destroy();
      await house.alive();
    });
  }

  it("a request that fails is answered with 500, and tells nothing", async (house) => {
    house.request = () => Promise.reject(new Error("secret"));
    const client = await RawClient.connect(house.peer);
    client.send("GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
    const got = await client.head();
    assert.equal(got.status, 500);
    assert.ok(!(await client.body(got)).includes("secret"));
    client.destroy();
    await house.alive();
  });

  // Turns

  it("afterTurn runs its task once, after microtasks and after what many sockets had to read", async (house) => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => RawClient.open(house.peer)));
    const texts = () => house.recorders.reduce((sum, recorder) => sum + recorder.count("text"), 0);
    let runs = 0;
    let runsAtMicrotask = -1;
    let gathered = 0;
    const ran = new Promise<void>((resolve) => {
      const first = () => {
        for (const recorder of house.recorders) recorder.onText = () => {};
        house.transport.afterTurn(() => {
          runs++;
          gathered = texts();
          resolve();
        });
        queueMicrotask(() => queueMicrotask(() => runsAtMicrotask = runs));
      };
      for (const recorder of house.recorders) recorder.onText = first;
    });
    for (const client of clients) client.send(Buffer.concat([frame(OP.text, "a"), frame(OP.text, "b")]));
    await within(ran, "afterTurn");
    assert.equal(runsAtMicrotask, 0);
    assert.ok(gathered > 2, `one turn gathered ${gathered} of 40 messages`);
    await roundTrips(house, 2);
    assert.equal(runs, 1);
    for (const client of clients) client.destroy();
  });

  it("afterTurn in an endless chain does not starve reading", async (house) => {
    const { client, recorder, link } = await house.pair();
    let turns = 0;
    let on = true;
    const spin = () => {
      turns++;
      if (on) house.transport.afterTurn(spin);
    };
    spin();
    recorder.onText = (text) => void link.write([wireFrame(text)], 1);
    const rounds = 50;
    for (let i = 0; i < rounds; i++) {
      client.text(`n${i}`);
      assert.equal(await client.nextText(), `n${i}`);
    }
    on = false;
    assert.ok(turns / rounds < 25, `${turns} turns for ${rounds} round trips`); // 122 a round trip where it starves
    client.destroy();
  });

  // Start and stop

  it("stop ends every link once with 1006 and frees the port", async (house) => {
    const pairs = [await house.pair(), await house.pair(), await house.pair()];
    const stalled = await house.pair();
    await stall(stalled.client, stalled.link);
    const idle = await RawClient.connect(house.peer);
    house.upgrade = () => ({ refuse: { status: 403, headers: {}, body: "" } });
    const refused = await RawClient.connect(house.peer);
    await refused.upgrade();
    const asked = new Promise<void>((resolve) => {
      house.upgrade = () => {
        resolve();
        return new Promise(() => {}); // the gateway never answers
      };
    });
    const waiting = await RawClient.connect(house.peer);
    waiting.send(handshake("/"));
    await within(asked, "the door being asked");
    await within(house.transport.stop(), "stop", 2_000);
    for (const { recorder } of [...pairs, stalled]) {
      assert.equal((await within(recorder.closed, "close")).code, 1006);
      assert.equal(recorder.count("close"), 1);
    }
    for (const { client } of pairs) await within(client.gone, "the end of a stopped connection");
    stalled.client.destroy();
    for (const client of [idle, refused, waiting]) client.destroy();
    await assert.rejects(RawClient.connect(house.peer));
    const again = create({ ...options, port: house.port });
    assert.equal(
      (await again.start({
        request: () => new Response(),
        upgrade: () => house.accept(),
        accepting: () => {},
      })).port,
      house.port,
    );
    await again.stop();
  });

  it("a port in use is told in one line that names the address", async (house) => {
    const second = create({ ...options, port: house.port });
    await assert.rejects(
      second.start({ request: () => new Response(), upgrade: () => house.accept(), accepting: () => {} }),
      (error: Error) => {
        assert.equal(error.message, `Cannot listen on 127.0.0.1:${house.port}: the address is in use`);
        return true;
      },
    );
    await second.stop();
    await house.alive();
  });

  test(`${label}: construction has no effects, and stop before start resolves`, async () => {
    const transport = create({ ...options, hostname: "no such host", port: 1 });
    assert.equal(typeof transport.limits.pings, "boolean");
    await transport.stop();
  });
}

/** Headers of this size together, few enough for every runtime. */
function fewHeaders(bytes: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`x${i}`, "a".repeat(bytes / 50 - 5)]));
}

/** A link whose two ends can be asked to exchange one more message each. */
function turns(
  house: House,
  { client, recorder, link }: Awaited<ReturnType<House["pair"]>>,
): { next: () => Promise<void> } {
  let turn = 0;
  return {
    next: async () => {
      const text = `${house.port} ${++turn}`;
      client.text(text);
      assert.equal((await recorder.next("text")).text, text);
      link.write([wireFrame(text)], 1);
      assert.equal(await client.nextText(), text);
    },
  };
}

function throwSecret(): never {
  throw new Error("secret");
}

function later(answer: UpgradeAnswer): Promise<UpgradeAnswer> {
  return new Promise((resolve) => setTimeout(() => resolve(answer), 5));
}

/** Whole round trips with a fresh client: whatever was on its way before them has arrived after. */
async function roundTrips(house: House, count: number): Promise<void> {
  const before = house.upgrade;
  for (let i = 0; i < count; i++) await house.alive();
  house.upgrade = before;
}

/** Fills a link whose client does not read until bytes wait in the server. */
async function stall(client: RawClient, link: Link): Promise<void> {
  client.pause();
  const big = wireFrame(new Uint8Array(60_000));
  for (let written = 0; link.write([big], 1) < 1_000_000; written += big.bytes) {
    assert.ok(written < STALL_BYTES, "no backpressure after 32 MB");
    if (written % 600_000 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}
