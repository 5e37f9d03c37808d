// Byte sockets on `Bun.listen`. Bun keeps nothing of what the kernel does not take, so that it waits here, in order.

import { Buffer } from "node:buffer";
import { plainAddress } from "../handshake.ts";
import type { TlsPair } from "../port.ts";
import { type SocketCalls, socketCalls, UNREAD_BYTES } from "../unsent_bytes.ts";
import type { ByteEvents, ByteListener, ByteListenerOptions, ByteSocket } from "./byte_socket.ts";

/** The part of Bun's types that is used here (https://bun.com/reference/bun/Socket). */
interface RawSocket {
  data: BunSocket;
  readonly remoteAddress: string;
  /** @returns how many bytes were taken, -1 on a socket that is gone */
  write(bytes: Uint8Array): number;
  /** Half-closes. */
  shutdown(): void;
  terminate(): void;
  pause(): void;
  resume(): void;
  setNoDelay(on: boolean): boolean;
}

interface RawListener {
  readonly hostname: string;
  readonly port: number;
  stop(closeActiveConnections: boolean): void;
}

interface Handlers {
  open(socket: RawSocket): void;
  handshake(socket: RawSocket, success: boolean): void;
  data(socket: RawSocket, chunk: Uint8Array): void;
  drain(socket: RawSocket): void;
  end(socket: RawSocket): void;
  close(socket: RawSocket): void;
  error(socket: RawSocket, error: Error): void;
}

interface Runtime {
  listen(
    options: {
      hostname: string;
      port: number;
      allowHalfOpen: true;
      reusePort: boolean;
      exclusive: boolean;
      tls?: TlsPair;
      socket: Handlers;
    },
  ): RawListener;
}

class BunSocket implements ByteSocket {
  readonly remoteAddress: string;
  events: ByteEvents | null = null;
  #raw: RawSocket | null;
  /** What the kernel has not taken, the oldest first; of the first, all before `#from` is gone. */
  readonly #waiting: Uint8Array[] = [];
  #from = 0;
  #waitingBytes = 0;
  /** What it is sent while it is read gathers, and leaves as one; one list for all, for one is read at a time. */
  readonly #gathered: Uint8Array[];
  #isRead = false;
  #ending = false;

  constructor(raw: RawSocket, gathered: Uint8Array[]) {
    this.#raw = raw;
    this.#gathered = gathered;
    this.remoteAddress = plainAddress(raw.remoteAddress);
  }

  write(bytes: Uint8Array): number {
    const raw = this.#raw;
    if (raw === null || this.#ending) return 0;
    let taken = 0;
    if (this.#waitingBytes === 0) {
      if (this.#isRead) {
        this.#gathered.push(bytes);
        return 0;
      }
      taken = Math.max(0, raw.write(bytes));
      if (taken === bytes.length) return 0;
      this.#from = taken;
    }
    this.#waiting.push(bytes);
    return this.#waitingBytes += bytes.length - taken;
  }

  waitingBytes(): number {
    return this.#waitingBytes;
  }

  data(chunk: Uint8Array): void {
    if (this.events === null) return;
    this.#isRead = true;
    try {
      this.events.data(chunk);
    } finally {
      this.#release(); // whatever happened, nothing of this peer's stays in the list
    }
  }

  /** Writes what has gathered. */
  #release(): void {
    if (!this.#isRead) return;
    this.#isRead = false;
    const gathered = this.#gathered;
    if (gathered.length === 0) return;
    const bytes = gathered.length === 1 ? gathered[0]! : Buffer.concat(gathered);
    gathered.length = 0;
    this.write(bytes);
  }

  pause(): void {
    this.#raw?.pause();
  }

  resume(): void {
    this.#raw?.resume();
  }

  end(): void {
    if (this.#ending) return;
    this.#release();
    this.#ending = true;
    if (this.#waitingBytes === 0) this.#raw?.shutdown();
  }

  destroy(): void {
    const raw = this.#raw;
    if (raw === null) return;
    this.gone();
    raw.terminate();
  }

  drain(raw: RawSocket): void {
    if (this.#waitingBytes === 0) return;
    while (this.#waiting.length > 0) {
      const first = this.#waiting[0]!;
      const rest = this.#from === 0 ? first : first.subarray(this.#from);
      const taken = Math.max(0, raw.write(rest));
      this.#waitingBytes -= taken;
      if (taken < rest.length) return void (this.#from += taken);
      this.#waiting.shift();
      this.#from = 0;
    }
    if (this.#ending) raw.shutdown();
    this.events?.drained();
  }

  gone(): void {
    this.#raw = null;
    if (this.#isRead) this.#gathered.length = 0;
    this.#isRead = false;
    this.#waiting.length = 0;
    this.#waitingBytes = 0;
    this.events?.ended();
  }
}

const HANDLERS: Omit<Handlers, "open"> = {
  // With it, Bun tells of a connection when it is there, and not when TLS is: so that one that never shakes hands has a
  // deadline too (1.4.5; it has none of its own).
  handshake: (raw, success) => {
    if (!success) raw.data?.destroy();
  },
  data: (raw, chunk) => raw.data?.data(chunk),
  drain: (raw) => raw.data?.drain(raw),
  end: (raw) => raw.data?.events?.ended(),
  close: (raw) => raw.data?.gone(),
  error: (raw) => raw.data?.destroy(),
};

export class BunListener implements ByteListener {
  boundsUnsent = false;
  readonly #options: ByteListenerOptions;
  #listener: RawListener | null = null;
  #tls: TlsPair | null;
  #calls: SocketCalls | null = null;
  #port: number;

  constructor(options: ByteListenerOptions) {
    this.#options = options;
    this.#tls = options.tls;
    this.#port = options.port;
  }

  async listen(): Promise<{ readonly hostname: string; readonly port: number }> {
    this.#calls ??= await socketCalls();
    return this.#open(this.#tls);
  }

  #open(tls: TlsPair | null): RawListener {
    const { hostname, connected, socketUnsentBytes, reusePort } = this.#options;
    const { Bun } = globalThis as unknown as { Bun: Runtime };
    const gathered: Uint8Array[] = [];
    const listener = Bun.listen({
      hostname,
      port: this.#port,
      allowHalfOpen: true,
      reusePort,
      exclusive: !reusePort,
      ...(tls === null ? {} : { tls: { cert: tls.cert, key: tls.key } }),
      socket: {
        ...HANDLERS,
        open: (raw) => {
          const socket = raw.data = new BunSocket(raw, gathered);
          raw.setNoDelay(true);
          socket.events = connected(socket);
        },
      },
    });
    // In the turn in which it began to listen, so before it accepts anybody.
    const bounds = { unsent: socketUnsentBytes, unread: UNREAD_BYTES };
    this.boundsUnsent = this.#calls?.bound(listener.port, bounds) === true || socketUnsentBytes === 0;
    this.#port = listener.port;
    return this.#listener = listener;
  }

  leave(): void {
    this.#listener?.stop(false);
    this.#listener = null;
  }

  renewTls(tls: TlsPair): void {
    if (this.#listener !== null) {
      this.leave();
      try {
        this.#open(tls);
      } catch (error) {
        this.#open(this.#tls);
        throw error;
      }
    }
    this.#tls = tls;
  }
}
