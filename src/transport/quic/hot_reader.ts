// Hot frames that come beside a WebTransport session's stream: datagrams, and what is too large for one on a stream of its own.

import { KIND, TcpReader } from "../stream/tcp_frames.ts";
import type { TcpLink } from "../stream/tcp_link.ts";
import type { QuicConnection } from "./deno_quic.ts";
import { readHead, SESSION, STREAM_KIND } from "./stream_head.ts";
import type { StreamSocket } from "./stream_socket.ts";

/** How long a stream's end may take once its frame has come: a browser that is told to stop before calls that an error. */
const END_MS = 1000;

export interface HotReaderOptions {
  readonly link: TcpLink;
  /** While it is paused, nothing is read here either. */
  readonly socket: StreamSocket;
}

export interface LargeFramesOptions extends HotReaderOptions {
  readonly maxBytes: () => number;
  /** Gets streams that are HTTP/3's own, and stay open; few, as QUIC lets only so many be. */
  readonly open: unknown[];
}

/** Reads datagrams until the connection ends. Of those that nobody has read the runtime keeps the newest. */
export async function readDatagrams(connection: QuicConnection, options: HotReaderOptions): Promise<void> {
  const { link, socket } = options;
  try {
    for (;;) {
      if (socket.isPaused) await socket.unpaused();
      const datagram = await connection.readDatagram();
      if (datagram[0] === SESSION) link.datagram(datagram.subarray(1));
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
      void readLargeFrame(value, options);
    }
  } catch {
    // The connection is gone.
  }
}

/** A stream of one frame, whose length says where it ends, for not every client can end a stream (Deno 2.9.6). */
async function readLargeFrame(
  stream: ReadableStream<Uint8Array>,
  { link, socket, maxBytes, open }: LargeFramesOptions,
): Promise<void> {
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
    if (head === null) return void open.push(reader);
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
}
