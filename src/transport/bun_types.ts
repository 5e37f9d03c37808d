// The part of Bun's types that its adapter uses (https://bun.com/reference/bun/serve); `bun-types` would clash with Deno's.

import type { TlsPair } from "./port.ts";

/** @typeParam D what the program keeps with a socket */
export interface BunSocket<D> {
  readonly data: D;
  readonly remoteAddress: string;
  send(payload: string | Uint8Array): number;
  cork(callback: (socket: BunSocket<D>) => void): void;
  getBufferedAmount(): number;
  ping(): number;
  pause(): void;
  resume(): void;
  close(code: number, reason: string): void;
  terminate(): void;
}

export interface BunServer<D> {
  readonly hostname: string;
  readonly port: number;
  requestIP(request: Request): { readonly address: string; readonly port: number } | null;
  /** Of this request's connection, while it is answered; 0 for never. */
  timeout(request: Request, seconds: number): void;
  upgrade(request: Request, options: { data: D; headers: Record<string, string> }): boolean;
  stop(closeActiveConnections: boolean): Promise<void>;
  reload(handlers: BunHandlers<D>): void;
}

export type BunAnswer<D> = (request: Request, server: BunServer<D>) => Promise<Response | undefined>;

export interface BunHandlers<D> {
  /** Bun matches routes with the path as it was sent; to `fetch` goes what matches none. */
  routes: Readonly<Record<string, BunAnswer<D>>>;
  fetch: BunAnswer<D>;
  error(error: unknown): Response;
  websocket: {
    maxPayloadLength: number;
    backpressureLimit: number;
    closeOnBackpressureLimit: boolean;
    idleTimeout: number;
    sendPings: boolean;
    perMessageDeflate: boolean;
    open(socket: BunSocket<D>): void;
    message(socket: BunSocket<D>, message: string | Uint8Array): void;
    ping(socket: BunSocket<D>, data: Uint8Array): void;
    pong(socket: BunSocket<D>): void;
    drain(socket: BunSocket<D>): void;
    close(socket: BunSocket<D>, code: number, reason: string): void;
  };
}

export interface BunRuntime {
  serve<D>(
    options: BunHandlers<D> & {
      hostname: string;
      port: number;
      development: false;
      reusePort: boolean;
      tls?: TlsPair;
    },
  ): BunServer<D>;
}
