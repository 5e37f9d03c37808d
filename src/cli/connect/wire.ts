// What `wsprism connect` sees of a connection, whatever door it is by.

/** Who wants in, and where. */
export interface Target {
  readonly door: "websocket" | "tcp" | "sse" | "webtransport";
  readonly tls: boolean;
  readonly hostname: string;
  readonly port: number;
  /** A path in front of the gateway's own; "" for none. */
  readonly prefix: string;
  readonly tenant: string | null;
  readonly ticket: string | null;
  readonly sid: string | null;
  /** Certificates to trust in the place of the system's, as PEM. */
  readonly ca: string | null;
  /** SHA-256 of the certificate to trust in the place of any authority's; by WebTransport only. */
  readonly certificateHash: Uint8Array<ArrayBuffer> | null;
}

/** MUST NOT throw. */
export interface WireEvents {
  /** Messages can be sent. */
  opened(): void;
  text(message: string): void;
  bytes(message: Uint8Array): void;
  /** The handshake was refused with an HTTP status. Nothing follows. */
  refused(status: number, body: string): void;
  /** It is over. @param code as the gateway said it; 1006 where it did not */
  closed(code: number, reason: string): void;
  /** It could not be reached, or broke. `closed` or nothing follows. */
  failed(why: string): void;
}

export interface Wire {
  text(message: string): void;
  bytes(message: Uint8Array): void;
  /** Says goodbye; `closed` follows. */
  close(): void;
}

/** What a handshake says in its query. */
export function queryOf({ tenant, sid }: Target): URLSearchParams {
  return new URLSearchParams({
    ...(tenant === null ? {} : { tenant }),
    ...(sid === null ? {} : { sid }),
  });
}

/** What a handshake says in its headers: there, no log keeps the ticket. */
export function headersOf({ ticket }: Target): Record<string, string> {
  return ticket === null ? {} : { authorization: `Bearer ${ticket}` };
}

/** Host and port as they stand in an address. */
export function authorityOf({ hostname, port }: Target): string {
  return `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
}
