// The part of Deno's QUIC and WebTransport that is used here, which it has with `--unstable-net` only; Bun and Node have no
// server for either. https://docs.deno.com/api/deno/~/Deno.QuicEndpoint

import type { TlsPair } from "../port.ts";

export interface QuicAddress {
  readonly hostname: string;
  readonly port: number;
}

export interface QuicConnection {
  readonly remoteAddr: QuicAddress;
  /** Of one datagram, now; it changes with what is known of the path. */
  readonly maxDatagramSize: number;
  sendDatagram(bytes: Uint8Array): Promise<void>;
  createUnidirectionalStream(
    options: { readonly waitUntilAvailable: boolean },
  ): Promise<WritableStream<Uint8Array>>;
  close(info: { closeCode: number; reason: string }): void;
}

export interface QuicIncoming {
  accept(): Promise<QuicConnection>;
}

export interface QuicListener {
  incoming(): Promise<QuicIncoming>;
}

export interface QuicListenOptions extends TlsPair {
  readonly alpnProtocols: string[];
  readonly maxIdleTimeout: number;
  readonly maxConcurrentBidirectionalStreams: number;
  readonly maxConcurrentUnidirectionalStreams: number;
}

export interface QuicEndpoint {
  readonly addr: QuicAddress;
  listen(options: QuicListenOptions): QuicListener;
  close(info: { closeCode: number; reason: string }): void;
}

/** One WebTransport session; the standard's, and where it was asked for. https://www.w3.org/TR/webtransport/ */
export interface WebTransportSession {
  readonly url: string;
  readonly closed: Promise<unknown>;
  readonly datagrams: { readonly readable: ReadableStream<Uint8Array>; incomingHighWaterMark: number };
  readonly incomingBidirectionalStreams: ReadableStream<BidirectionalStream>;
  readonly incomingUnidirectionalStreams: ReadableStream<ReadableStream<Uint8Array>>;
}

export interface BidirectionalStream {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
}

export interface QuicRuntime {
  readonly QuicEndpoint: new (address: QuicAddress) => QuicEndpoint;
  upgradeWebTransport(connection: QuicConnection): Promise<WebTransportSession>;
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
