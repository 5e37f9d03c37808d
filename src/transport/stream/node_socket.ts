// Byte sockets on `node:net` and `node:tls`, for Deno and Node. They keep what the kernel does not take themselves.

import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type Server as TlsServer } from "node:tls";
import { plainAddress } from "../handshake.ts";
import type { TlsPair } from "../port.ts";
import type { ByteEvents, ByteListener, ByteListenerOptions, ByteSocket } from "./byte_socket.ts";

class NodeSocket implements ByteSocket {
  readonly remoteAddress: string;
  events: ByteEvents | null = null;
  readonly #socket: Socket;
  /** Writes that were not told of yet. */
  #unwritten = 0;
  #awaited = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.remoteAddress = plainAddress(socket.remoteAddress);
  }

  write(bytes: Uint8Array): number {
    const socket = this.#socket;
    if (!socket.writable) return 0;
    this.#unwritten++;
    socket.write(bytes, this.#written);
    const waiting = socket.writableLength;
    if (waiting > 0) this.#awaited = true;
    return waiting;
  }

  readonly #written = (): void => {
    if (--this.#unwritten > 0 || !this.#awaited || this.#socket.writableLength > 0) return;
    this.#awaited = false;
    if (!this.#socket.destroyed) this.events?.drained();
  };

  waitingBytes(): number {
    return this.#socket.destroyed ? 0 : this.#socket.writableLength;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    if (this.#socket.destroyed) return;
    this.#socket.destroy();
    this.events?.ended();
  }
}

export class NodeListener implements ByteListener {
  /** Deno shows no descriptor. */
  readonly boundsUnsent: boolean;
  readonly #options: ByteListenerOptions;
  readonly #server: Server;
  #port: number;

  constructor(options: ByteListenerOptions) {
    this.#options = options;
    this.#port = options.port;
    this.boundsUnsent = options.socketUnsentBytes === 0;
    const { tls, handshakeTimeoutMs } = options;
    const bounds = { allowHalfOpen: true, noDelay: true };
    this.#server = tls === null ? createServer(bounds, (socket) => this.#connected(socket)) : createTlsServer(
      { ...bounds, ...tls, handshakeTimeout: handshakeTimeoutMs },
      (socket) => this.#connected(socket),
    );
    this.#server.on("error", () => {}); // who listens hears of it by itself
    this.#server.on("tlsClientError", (_error: Error, socket: Socket) => socket.destroy());
  }

  async listen(): Promise<{ readonly hostname: string; readonly port: number }> {
    const server = this.#server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(
        { port: this.#port, host: this.#options.hostname, reusePort: this.#options.reusePort },
        () => {
          server.off("error", reject);
          resolve();
        },
      );
    });
    const { address, port } = server.address() as AddressInfo;
    this.#port = port;
    return { hostname: address, port };
  }

  leave(): void {
    this.#server.close();
  }

  renewTls(tls: TlsPair): void {
    (this.#server as TlsServer).setSecureContext({ ...tls });
  }

  #connected(raw: Socket): void {
    raw.on("error", () => raw.destroy());
    const socket = new NodeSocket(raw);
    const events = socket.events = this.#options.connected(socket);
    raw.on("data", (chunk: Uint8Array) => events.data(chunk));
    raw.on("end", () => events.ended());
    raw.on("close", () => events.ended());
  }
}
