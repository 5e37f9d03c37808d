// The part of Bun's types that its adapter uses (https://bun.com/reference/bun/serve); `bun-types` would clash with Deno's.

import type { BunLink } from "./bun.ts";
import type { TlsPair } from "./port.ts";

export interface BunSocket {
  readonly data: BunLink;
  readonly remoteAddress: string;
  send(payload: string | Uint8Array): number;
  cork(callback: (socket: BunSocket) => void): void;
  getBufferedAmount(): number;
  ping(): number;
  pause(): void;
  resume(): void;
  close(code: number, reason: string): void;
  terminate(): void;
}

export interface BunServer {
  readonly hostname: string;
  readonly port: number;
  requestIP(request: Request): { readonly address: string; readonly port: number } | null;
  upgrade(request: Request, options: { data: BunLink; headers: Record<string, string> }): boolean;
  stop(closeActiveConnections: boolean): Promise<void>;
  reload(handlers: BunHandlers): void;
}

export type BunAnswer = (request: Request, server: BunServer) => Promise<Response | undefined>;

export interface BunHandlers {
  /** Bun matches routes with the path as it was sent; to `fetch` goes what matches none. */
  routes: Readonly<Record<string, BunAnswer>>;
  fetch: BunAnswer;
  error(error: unknown): Response;
  websocket: {
    maxPayloadLength: number;
    backpressureLimit: number;
    closeOnBackpressureLimit: boolean;
    idleTimeout: number;
    sendPings: boolean;
    perMessageDeflate: boolean;
    open(socket: BunSocket): void;
    message(socket: BunSocket, message: string | Uint8Array): void;
    ping(socket: BunSocket, data: Uint8Array): void;
    pong(socket: BunSocket): void;
    drain(socket: BunSocket): void;
    close(socket: BunSocket, code: number, reason: string): void;
  };
}

export interface BunRuntime {
  serve(
    options: BunHandlers & {
      hostname: string;
      port: number;
      development: false;
      reusePort: false;
      tls?: TlsPair;
    },
  ): BunServer;
}
