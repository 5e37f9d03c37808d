// Sockets that bring bytes, as this house sees them; bun_socket.ts and node_socket.ts serve them. What frames bytes into
// messages stands above.

import type { TlsPair } from "../port.ts";

/** A connection. Every method MAY be called after its end and then does nothing. */
export interface ByteSocket {
  readonly remoteAddress: string;
  /** Writes all of it, which nobody MUST change afterwards. @returns bytes that wait in this process; above 0, `drained` follows */
  write(bytes: Uint8Array): number;
  waitingBytes(): number;
  pause(): void;
  resume(): void;
  /** Says, after what was written, that nothing more comes; the peer is still read. */
  end(): void;
  /** Drops it; what waits is lost. `ended` follows, perhaps within the call. */
  destroy(): void;
}

/** What is told of a connection. None of it MUST throw. */
export interface ByteEvents {
  /** The bytes are somebody else's after the call. */
  data(chunk: Uint8Array): void;
  /** Nothing waits in this process any more. */
  drained(): void;
  /** The peer sends nothing more, or the connection is gone. Comes at least once. */
  ended(): void;
}

export interface ByteListenerOptions {
  readonly hostname: string;
  readonly port: number;
  readonly tls: TlsPair | null;
  /** As `TransportOptions.socketUnsentBytes`. */
  readonly socketUnsentBytes: number;
  /** As `TransportOptions.reusePort`. */
  readonly reusePort: boolean;
  /** Time for the TLS handshake. */
  readonly handshakeTimeoutMs: number;
  readonly connected: (socket: ByteSocket) => ByteEvents;
}

/** A place to listen. */
export interface ByteListener {
  /** Whether the kernel's send buffers are bounded; known once it listens. */
  readonly boundsUnsent: boolean;
  /** Listens, also again after `leave`. */
  listen(): Promise<{ readonly hostname: string; readonly port: number }>;
  /** Listens no more; connections live on. */
  leave(): void;
  /** Another certificate for connections from now on. @throws when it is not taken; then all is as it was */
  renewTls(tls: TlsPair): void;
}
