// Hot frames that come beside a WebTransport session's stream: datagrams, and what is too large for one on a stream of its own.

import { KIND, TcpReader } from "../stream/tcp_frames.ts";
import type { TcpLink } from "../stream/tcp_link.ts";
import type { QuicConnection } from "./deno_quic.ts";
import { readHead, SESSION, STREAM_KIND } from "./stream_head.ts";
import type { StreamSocket } from "./stream_socket.ts";

/** How long a stream's end may take once its frame has come: a browser that is told to stop before calls that an error. */
const END_MS = 1000;
/** What is read of a stream that means nothing here. */
const MEANINGLESS_BYTES_MAX = 65_536;

export interface HotReaderOptions {
  readonly link: TcpLink;
  /** While it is paused, nothing is read here either. */
  readonly socket: StreamSocket;
}

export interface LargeFramesOptions extends HotReaderOptions {
  readonly maxBytes: () => number;
  /** Holds streams that are HTTP/3's own, while they are open; few, as QUIC lets only so many be. */
  readonly open: Set<unknown>;
}

/** Reads datagrams until the connection ends. Of those that nobody has read the runtime keeps the newest. */
export async function readDatagrams(connection: QuicConnection, options: HotReaderOptions): Promise<void> {
  const { link, socket } = options;
  try {
    for (;;) {
      if (socket.isPaused) await socket.unpaused();
      const datagram = await connection.readDatagram();
      if (datagram[0] === SESSION) link.datagram(datagram.subarray(1));
      else link.noise();
    }
  } catch {
    // The connection is gone.
  }
}

/** Reads streams of one frame each until the connection ends; of the peer's, QUIC lets only so many be open. */
export async function readLargeFrames(
  connection: QuicConnection,
  options: LargeFramesOptions,
): Promise<void> {
  const streams = connection.incomingUnidirectionalStreams.getReader();
  try {
    for (;;) {
      const { value, done } = await streams.read();
      if (done) return;
      if (options.socket.isPaused) await options.socket.unpaused();
      void readLargeFrame(value, options);
    }
  } catch {
    // The connection is gone.
  }
}

/** A stream of one frame, whose length says where it ends, for not every client can end a stream (Deno 2.9.6). */
async function readLargeFrame(
  stream: ReadableStream<Uint8Array>,
  options: LargeFramesOptions,
): Promise<void> {
  const { link, socket, maxBytes } = options;
  let isRead = false;
  const violated = (code: number, why: string) => {
    isRead = true;
    link.violated(code, why);
  };
  const frames = new TcpReader({
    maxMessageBytes: maxBytes,
    events: {
      message: (kind, body) => {
        if (isRead) return violated(1002, "a second frame on a stream of its own");
        isRead = true;
        if (kind === KIND.hot) link.datagram(body);
        else violated(1002, "a stream of its own for what is no hot frame");
      },
      ping: () => violated(1002, "a ping on a stream of its own"),
      pong: () => violated(1002, "a pong on a stream of its own"),
      closed: () => violated(1002, "a close on a stream of its own"),
      violated,
    },
  });
  const reader = stream.getReader();
  let overdue: ReturnType<typeof setTimeout> | null = null;
  try {
    const head = await readHead(reader, STREAM_KIND.unidirectional);
    if (head === null) return void readMeaningless(reader, options);
    frames.read(head);
    for (;;) {
      if (socket.isPaused) await socket.unpaused();
      if (isRead) overdue ??= setTimeout(() => void reader.cancel().catch(() => {}), END_MS);
      const { value, done } = await reader.read();
      if (done) break;
      frames.read(value);
    }
  } catch {
    // It was reset, or the connection is gone.
  }
  if (overdue !== null) clearTimeout(overdue);
  if (!isRead) link.noise();
}

/** A stream that is HTTP/3's own, and means nothing here. One that ends makes room for the next, and costs its sender. */
async function readMeaningless(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  { open, link }: LargeFramesOptions,
): Promise<void> {
  open.add(reader); // one that is collected as garbage is closed, and all ends
  try {
    for (let bytes = 0;;) {
      const { value, done } = await reader.read();
      if (done) break;
      bytes += value.length;
      if (bytes > MEANINGLESS_BYTES_MAX) return; // what else comes on it waits for ever
    }
  } catch {
    // It was reset, or the connection is gone.
  }
  open.delete(reader);
  link.noise();
}
