// The part of Deno's QUIC that is used here, which it has with `--unstable-net` only; Bun and Node have no server for it.
// https://docs.deno.com/api/deno/~/Deno.QuicEndpoint

import type { TlsPair } from "../port.ts";

export interface QuicAddress {
  readonly hostname: string;
  readonly port: number;
}

export interface QuicConnection {
  readonly remoteAddr: QuicAddress;
  /** Of one datagram, now; it changes with what is known of the path. */
  readonly maxDatagramSize: number;
  readonly closed: Promise<unknown>;
  readonly incomingBidirectionalStreams: ReadableStream<BidirectionalStream>;
  readonly incomingUnidirectionalStreams: ReadableStream<ReadableStream<Uint8Array>>;
  readDatagram(): Promise<Uint8Array>;
  sendDatagram(bytes: Uint8Array): Promise<void>;
  createUnidirectionalStream(
    options: { readonly waitUntilAvailable: boolean },
  ): Promise<WritableStream<Uint8Array>>;
  close(info: { closeCode: number; reason: string }): void;
}

export interface BidirectionalStream {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
}

interface QuicIncoming {
  /** Rejects where the peer does not end its handshake in `maxIdleTimeout`; until then nothing ends it. */
  accept(): Promise<QuicConnection>;
  refuse(): void;
}

export interface QuicListener {
  incoming(): Promise<QuicIncoming>;
}

export interface QuicEndpoint {
  readonly addr: QuicAddress;
  listen(
    options: TlsPair & {
      readonly alpnProtocols: string[];
      readonly maxIdleTimeout: number;
      readonly maxConcurrentBidirectionalStreams: number;
      readonly maxConcurrentUnidirectionalStreams: number;
    },
  ): QuicListener;
  close(info: { closeCode: number; reason: string }): void;
}

export interface QuicRuntime {
  readonly QuicEndpoint: new (address: QuicAddress) => QuicEndpoint;
}

/** This process's QUIC, or why it has none. */
export function quicRuntime(): QuicRuntime | string {
  const { Bun, Deno } = globalThis as { Bun?: unknown; Deno?: QuicRuntime };
  if (Bun !== undefined) return "Bun has no server for WebTransport: run wsPrism on Deno for it";
  if (Deno === undefined) return "Node has no server for WebTransport: run wsPrism on Deno for it";
  return typeof Deno.QuicEndpoint === "function"
    ? Deno
    : "Deno serves WebTransport with its option --unstable-net only";
}
