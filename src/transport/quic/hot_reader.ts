// Hot frames that come beside a WebTransport session's stream: datagrams, and what is too large for one on a stream of its own.

import { KIND, TcpReader } from "../stream/tcp_frames.ts";
import type { TcpLink } from "../stream/tcp_link.ts";
import type { WebTransportSession } from "./deno_quic.ts";
import type { StreamSocket } from "./stream_socket.ts";

/** Datagrams that may wait to be read; of more, the oldest are lost, as datagrams are. */
const DATAGRAMS_WAITING_MAX = 512;

export interface HotReaderOptions {
  readonly link: TcpLink;
  /** While it is paused, nothing is read here either. */
  readonly socket: StreamSocket;
}

/** Reads datagrams until the session ends. */
export async function readDatagrams(session: WebTransportSession, options: HotReaderOptions): Promise<void> {
  const { link, socket } = options;
  keepWaiting(session, DATAGRAMS_WAITING_MAX);
  const reader = session.datagrams.readable.getReader();
  try {
    for (;;) {
      if (socket.isPaused) await socket.unpaused();
      const { value, done } = await reader.read();
      if (done) return;
      link.datagram(value);
    }
  } catch {
    // The connection is gone.
  }
}

/** Has so many datagrams wait, where Deno has one by itself. */
function keepWaiting(session: WebTransportSession, count: number): void {
  const scope = globalThis as { NumberIsNaN?: typeof Number.isNaN };
  // Deno 2.9.6 looks at the value with a function of this name, which it has forgotten to import.
  const had = Object.hasOwn(scope, "NumberIsNaN");
  if (!had) scope.NumberIsNaN = Number.isNaN;
  try {
    session.datagrams.incomingHighWaterMark = count;
  } finally {
    if (!had) delete scope.NumberIsNaN;
  }
}

/** Reads streams of one frame each until the session ends; of the peer's, QUIC lets only so many be open. */
export async function readLargeFrames(
  session: WebTransportSession,
  options: HotReaderOptions & { readonly maxBytes: () => number },
): Promise<void> {
  const streams = session.incomingUnidirectionalStreams.getReader();
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
  { link, socket, maxBytes }: HotReaderOptions & { readonly maxBytes: () => number },
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
  try {
    while (!isRead) {
      if (socket.isPaused) await socket.unpaused();
      const { value, done } = await reader.read();
      if (done) return;
      frames.read(value);
    }
    await reader.cancel();
  } catch {
    // It was reset, or the connection is gone.
  }
}
