// The port on WebTransport, over HTTP/3 and Deno's QUIC: experimental, as that is. Ext messages go on the session's first
// bidirectional stream, which its client opens, framed as on plain TCP; hot frames are datagrams. Deno's own session
// (`Deno.upgradeWebTransport`, 2.9.6) is not used: it shows no header and no end of a session, keeps one datagram where several
// come, ends none of its streams, and an empty datagram ends the process with an error that nobody can catch.

import { cannotListen, plainAddress } from "../handshake.ts";
import type { ServerHandler, TlsPair, Transport, TransportLimits, TransportOptions } from "../port.ts";
import { TcpLink, wireOf } from "../stream/tcp_link.ts";
import { TurnJoiner } from "../stream/turn_joiner.ts";
import { DatagramWay } from "./datagram_way.ts";
import {
  type BidirectionalStream,
  type QuicConnection,
  type QuicEndpoint,
  type QuicListener,
  quicRuntime,
} from "./deno_quic.ts";
import { readDatagrams, readLargeFrames } from "./hot_reader.ts";
import { ACCEPTED, CONTROL_STREAM, NOT_FOUND, readRequest, type SessionRequest } from "./http3.ts";
import { readHead, STREAM_KIND } from "./stream_head.ts";
import { StreamSocket } from "./stream_socket.ts";

const LIMITS: TransportLimits = {
  deflates: false,
  pings: true,
  terminates: true,
  pauses: true,
  showsControl: true,
  showsFragments: true, // there are none
  boundsFragments: true,
  renewsTls: true,
  fixed: {},
};

/** Connections without a session yet; above it, the one that has waited longest goes. */
const ARRIVALS_MAX = 1000;
/** QUIC's own handshakes that are under way. Nothing can end one, so above it newcomers are refused. */
const HANDSHAKES_MAX = 1000;
/** What may come on the stream that asked for a session, for as long as that lasts: capsules, which mean nothing here. */
const CAPSULES_BYTES_MAX = 65_536;
/**
 * Streams that a peer may have open: the one that asked for the session, and that for messages; HTTP/3's own three, and
 * hot frames that are too large for a datagram. Few, for Deno keeps 1.25 MB of each for who reads slowly.
 */
const BIDIRECTIONAL_MAX = 2;
const UNIDIRECTIONAL_MAX = 3 + 4;
/** H3_NO_ERROR. https://www.rfc-editor.org/rfc/rfc9114#section-8.1 */
const NO_ERROR = 0x100;

/** A connection on its way to be a session. */
interface Arrival {
  connection: QuicConnection | null;
  isOver: boolean;
}

type Incoming = Awaited<ReturnType<QuicListener["incoming"]>>;

/** The stream of a session's messages, as far as it is read. */
interface MessageStream {
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly head: Uint8Array;
  /** Streams that only stay open. */
  readonly open: Set<unknown>;
}

class WebTransportTransport implements Transport {
  readonly name = "webtransport";
  readonly limits = LIMITS;
  readonly #options: TransportOptions;
  readonly #joiner = new TurnJoiner(wireOf);
  /** Each with its connection's streams that only stay open: one that is collected as garbage is closed, and all ends. */
  readonly #links = new Map<TcpLink, Set<unknown>>();
  readonly #arrivals = new Set<Arrival>();
  #handshakes = 0;
  /** One more for each new certificate; an earlier one that is collected as garbage would end the endpoint's listening. */
  readonly #listeners: QuicListener[] = [];
  #endpoint: QuicEndpoint | null = null;
  #door: ServerHandler | null = null;
  #maxMessageBytes: number;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#maxMessageBytes = options.maxMessageBytes;
  }

  // deno-lint-ignore require-await -- what it throws is to reject
  async start(door: ServerHandler): Promise<{ readonly hostname: string; readonly port: number }> {
    const { hostname, port, tls } = this.#options;
    const runtime = quicRuntime();
    if (typeof runtime === "string") throw new Error(`Cannot serve WebTransport: ${runtime}`);
    if (tls === null) throw new Error("Cannot serve WebTransport without a certificate");
    try {
      this.#endpoint = new runtime.QuicEndpoint({ hostname, port });
      this.renewTls(tls);
    } catch (cause) {
      this.#endpoint?.close({ closeCode: NO_ERROR, reason: "" });
      this.#endpoint = null;
      throw cannotListen(hostname, port, cause);
    }
    this.#door = door;
    void this.#acceptAll(this.#listeners[0]!);
    const { addr } = this.#endpoint;
    return { hostname: addr.hostname, port: addr.port };
  }

  renewTls(tls: TlsPair): void {
    this.#listeners.push(this.#endpoint!.listen({
      cert: tls.cert,
      key: tls.key,
      alpnProtocols: ["h3"],
      maxIdleTimeout: this.#options.idleTimeoutMs,
      maxConcurrentBidirectionalStreams: BIDIRECTIONAL_MAX,
      maxConcurrentUnidirectionalStreams: UNIDIRECTIONAL_MAX,
    }));
  }

  boundMessages(maxBytes: number): void {
    this.#maxMessageBytes = maxBytes;
  }

  afterTurn(task: () => void): void {
    this.#joiner.afterTurn(task);
  }

  stop(): Promise<void> {
    const endpoint = this.#endpoint;
    this.#endpoint = null;
    for (const arrival of this.#arrivals) this.#drop(arrival);
    for (const link of this.#links.keys()) link.terminate();
    endpoint?.close({ closeCode: NO_ERROR, reason: "" });
    return Promise.resolve();
  }

  async #acceptAll(listener: QuicListener): Promise<void> {
    for (;;) {
      let incoming: Incoming;
      try {
        incoming = await listener.incoming();
      } catch (error) {
        if (this.#endpoint !== null) this.#door!.accepting(false, String(error));
        return;
      }
      if (this.#handshakes < HANDSHAKES_MAX) void this.#arrive(incoming);
      else incoming.refuse();
    }
  }

  async #handshake(incoming: Incoming): Promise<QuicConnection> {
    this.#handshakes++;
    try {
      return await incoming.accept();
    } finally {
      this.#handshakes--;
    }
  }

  async #arrive(incoming: Incoming): Promise<void> {
    const arrival: Arrival = { connection: null, isOver: false };
    this.#arrivals.add(arrival);
    if (this.#arrivals.size > ARRIVALS_MAX) this.#drop(this.#arrivals.values().next().value!);
    const tooLate = setTimeout(() => this.#drop(arrival), this.#options.headerTimeoutMs);
    try {
      const connection = arrival.connection = await this.#handshake(incoming);
      if (arrival.isOver) return this.#drop(arrival);
      connection.closed.catch(() => {});
      const settings = (await connection.createUnidirectionalStream({ waitUntilAvailable: true }))
        .getWriter();
      settings.closed.catch(() => {});
      await settings.write(CONTROL_STREAM); // stays open as long as the connection
      const streams = connection.incomingBidirectionalStreams.getReader();
      const { value: asking, done } = await streams.read();
      if (done) return this.#drop(arrival);
      const request = await this.#answer(asking);
      if (request === null) return this.#drop(arrival);
      void this.#untilItEnds(asking, connection);
      const { value: stream } = await streams.read();
      if (stream === undefined) return this.#drop(arrival);
      const reader = stream.readable.getReader();
      const head = await readHead(reader, STREAM_KIND.bidirectional);
      if (head === null || arrival.isOver) return this.#drop(arrival);
      this.#arrivals.delete(arrival);
      clearTimeout(tooLate);
      await this.#admit(connection, request, {
        reader,
        writable: stream.writable,
        head,
        open: new Set([settings, asking]),
      });
      void refuseMore(streams);
    } catch {
      this.#drop(arrival); // it left, or spoke something else
    } finally {
      clearTimeout(tooLate);
    }
  }

  /** Reads who asks for what, and answers. @returns null where it is no session */
  async #answer({ readable, writable }: BidirectionalStream): Promise<SessionRequest | null> {
    const reader = readable.getReader(), writer = writable.getWriter();
    writer.closed.catch(() => {});
    const request = await readRequest(reader, this.#options.maxHeaderBytes);
    await writer.write(request?.isSession === true ? ACCEPTED : NOT_FOUND);
    reader.releaseLock();
    return request?.isSession === true ? request : null;
  }

  /** The stream that asked for a session ends with it. Until then little comes on it, and nothing that matters here. */
  async #untilItEnds({ readable }: BidirectionalStream, connection: QuicConnection): Promise<void> {
    const reader = readable.getReader();
    try {
      for (let bytes = 0; bytes <= CAPSULES_BYTES_MAX;) {
        const { value, done } = await reader.read();
        if (done) break;
        bytes += value.length;
      }
    } catch {
      // It was reset, or the connection is gone.
    }
    close(connection);
  }

  async #admit(connection: QuicConnection, request: SessionRequest, stream: MessageStream): Promise<void> {
    const remoteAddress = plainAddress(connection.remoteAddr.hostname);
    let isGone = false;
    const gone = () => isGone = true;
    connection.closed.then(gone, gone);
    const answer = await this.#door!.upgrade({
      target: request.target,
      remoteAddress,
      header: (name) => request.header(name),
    });
    const drop = () => close(connection);
    if (isGone || this.#endpoint === null || "refuse" in answer) return drop();
    const socket = new StreamSocket({ ...stream, remoteAddress, drop });
    const datagrams = new DatagramWay({ connection, drained: () => link.datagramsDrained() });
    const link: TcpLink = new TcpLink(socket, {
      transport: "webtransport",
      datagrams,
      handler: answer.accept,
      join: this.#joiner.join,
      maxMessageBytes: () => this.#maxMessageBytes,
      ended: () => {
        datagrams.end();
        this.#links.delete(link);
      },
    });
    this.#links.set(link, stream.open);
    const lost = () => socket.destroy();
    connection.closed.then(lost, lost);
    answer.accept.open(link);
    socket.read(link);
    void readDatagrams(connection, { link, socket });
    void readLargeFrames(connection, {
      link,
      socket,
      maxBytes: () => this.#maxMessageBytes,
      open: stream.open,
    });
  }

  #drop(arrival: Arrival): void {
    this.#arrivals.delete(arrival);
    arrival.isOver = true;
    if (arrival.connection !== null) close(arrival.connection);
  }
}

function close(connection: QuicConnection): void {
  try {
    connection.close({ closeCode: NO_ERROR, reason: "" });
  } catch {
    // It is gone already.
  }
}

/** Further streams for messages are none of the protocol's; whoever opens one is told off. */
async function refuseMore(streams: ReadableStreamDefaultReader<BidirectionalStream>): Promise<void> {
  try {
    for (;;) {
      const { value, done } = await streams.read();
      if (done) return;
      value.readable.cancel().catch(() => {});
      value.writable.abort().catch(() => {});
    }
  } catch {
    // The connection is gone.
  }
}

/** A transport on WebTransport; Deno only, elsewhere `start` says why not. */
export function createWebTransport(options: TransportOptions): Transport {
  return new WebTransportTransport(options);
}
