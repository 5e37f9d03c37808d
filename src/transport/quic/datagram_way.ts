// Hot frames of one WebTransport session: each a datagram, or, where it is too large for one, on a stream of its own, framed
// as on the first stream, so that it holds nothing up either.

import { Buffer } from "node:buffer";
import type { FrameWay, WireFrame } from "../port.ts";
import { wireOf } from "../stream/tcp_link.ts";
import type { QuicConnection } from "./deno_quic.ts";
import { SESSION, UNIDIRECTIONAL_HEAD } from "./stream_head.ts";

/** Frames on streams of their own that may be on their way: of a client that is behind, further ones wait here. */
const STREAMS_MAX = 8;

export interface DatagramWayOptions {
  readonly connection: QuicConnection;
  /** Nothing waits any more. */
  readonly drained: () => void;
}

export class DatagramWay implements FrameWay {
  readonly #options: DatagramWayOptions;
  #waitingBytes = 0;
  #streams = 0;
  /** Too large for a datagram, and more than may be on their way at once. */
  #large: WireFrame[] = [];
  #isOver = false;

  constructor(options: DatagramWayOptions) {
    this.#options = options;
  }

  write(frames: readonly WireFrame[], count: number): number {
    if (this.#isOver) return 0;
    const { connection } = this.#options;
    const maxBytes = connection.maxDatagramSize;
    for (let i = 0; i < count; i++) {
      const frame = frames[i]!;
      this.#waitingBytes += frame.bytes;
      const datagram = frame.datagram ??= datagramOf(frame);
      if (datagram.length > maxBytes) {
        if (this.#streams < STREAMS_MAX) void this.#sendLarge(frame);
        else this.#large.push(frame);
        continue;
      }
      // It waits for room in the runtime's own queue, which the congestion control empties. What is lost is lost.
      const sent = () => this.#sent(frame.bytes);
      connection.sendDatagram(datagram).then(sent, sent);
    }
    return this.#waitingBytes;
  }

  bufferedBytes(): number {
    return this.#isOver ? 0 : this.#waitingBytes;
  }

  /** The connection is gone. */
  end(): void {
    this.#isOver = true;
    this.#large = [];
  }

  #sent(bytes: number): void {
    this.#waitingBytes -= bytes;
    if (this.#waitingBytes === 0 && !this.#isOver) this.#options.drained();
  }

  async #sendLarge(frame: WireFrame): Promise<void> {
    this.#streams++;
    try {
      // A client lets streams be opened as it has read earlier ones.
      const stream = await this.#options.connection.createUnidirectionalStream({ waitUntilAvailable: true });
      const writer = stream.getWriter();
      writer.closed.catch(() => {});
      await writer.write(UNIDIRECTIONAL_HEAD);
      await writer.write(wireOf(frame));
      await writer.close();
    } catch {
      // The stream was refused, or the connection is gone: the frame is one of those that may be lost.
    }
    this.#streams--;
    const next = this.#large.shift();
    if (next !== undefined && !this.#isOver) void this.#sendLarge(next);
    this.#sent(frame.bytes);
  }
}

function bytesOf({ payload }: WireFrame): Uint8Array {
  return typeof payload === "string" ? Buffer.from(payload) : payload;
}

function datagramOf(frame: WireFrame): Uint8Array {
  const out = new Uint8Array(1 + frame.bytes);
  out[0] = SESSION;
  out.set(bytesOf(frame), 1);
  return out;
}
