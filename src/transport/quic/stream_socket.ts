// A bidirectional stream of a WebTransport session, as a socket that brings bytes. What QUIC's flow control does not let go
// waits in the runtime, and is counted here.

import type { ByteEvents, ByteSocket } from "../stream/byte_socket.ts";
import type { BidirectionalStream } from "./deno_quic.ts";

/** How long the last words may take to reach the peer, since closing the connection drops what is on its way. */
const LAST_WORDS_MS = 1000;

export interface StreamSocketOptions {
  readonly remoteAddress: string;
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly writable: BidirectionalStream["writable"];
  /** What has been read of it already. */
  readonly head: Uint8Array;
  /** Ends the whole connection. */
  readonly drop: () => void;
}

export class StreamSocket implements ByteSocket {
  readonly remoteAddress: string;
  #events: ByteEvents | null = null;
  readonly #options: StreamSocketOptions;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #waitingBytes = 0;
  #ending = false;
  #gone = false;
  /** Resolves when it is read again; null while it is. */
  #paused: Promise<void> | null = null;
  #resume: () => void = () => {};

  constructor(options: StreamSocketOptions) {
    this.#options = options;
    this.remoteAddress = options.remoteAddress;
    this.#writer = options.writable.getWriter();
    this.#reader = options.reader;
    // Writes tell by themselves that it is gone.
    this.#writer.closed.catch(() => {});
    this.#reader.closed.catch(() => {});
  }

  /** Tells these of what comes, from now on. */
  read(events: ByteEvents): void {
    this.#events = events;
    if (this.#options.head.length > 0) events.data(this.#options.head);
    void this.#readOn(events);
  }

  get isPaused(): boolean {
    return this.#paused !== null;
  }

  /** Resolves when it is no longer paused. */
  async unpaused(): Promise<void> {
    while (this.#paused !== null) await this.#paused;
  }

  write(bytes: Uint8Array): number {
    if (this.#gone || this.#ending) return 0;
    this.#waitingBytes += bytes.length;
    this.#writer.write(bytes).then(() => this.#written(bytes.length), () => this.destroy());
    return this.#waitingBytes;
  }

  waitingBytes(): number {
    return this.#gone ? 0 : this.#waitingBytes;
  }

  pause(): void {
    if (this.#gone) return;
    this.#paused ??= new Promise((resolve) => this.#resume = resolve);
  }

  resume(): void {
    this.#paused = null;
    this.#resume();
  }

  end(): void {
    if (this.#ending || this.#gone) return;
    this.#ending = true;
    this.#writer.close().catch(() => {});
  }

  destroy(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.resume();
    if (this.#ending) setTimeout(this.#options.drop, LAST_WORDS_MS);
    else this.#options.drop();
    this.#events?.ended();
  }

  async #readOn(events: ByteEvents): Promise<void> {
    try {
      for (;;) {
        if (this.#paused !== null) await this.unpaused();
        const { value, done } = await this.#reader.read();
        if (this.#gone) return;
        if (done) break;
        // A pause that came while it was read has to hold this back.
        if (this.#paused !== null) await this.unpaused();
        if (this.#gone) return;
        events.data(value);
      }
    } catch {
      return this.destroy(); // the connection is gone
    }
    events.ended();
  }

  #written(bytes: number): void {
    this.#waitingBytes -= bytes;
    if (this.#waitingBytes === 0 && !this.#gone) this.#events?.drained();
  }
}
