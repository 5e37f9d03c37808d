// A handshake as admission judges it, whatever wire it came over, and what is said to it. What a wire's own form means is
// read beside: upgrade.ts for an HTTP request that becomes a WebSocket, hello.ts for a first message, sse.ts for a stream
// of events.

import type { ErrorCode } from "../protocol/codes.ts";
import type { Compression, LinkHandler } from "../transport/port.ts";
import type { ResumeRequest } from "./resume_request.ts";
import type { FoundTicket } from "./ticket.ts";

export interface Handshake {
  /** As the transport sees it. */
  readonly remoteAddress: string;
  /** A header by its lower-case name; null where there is none, as on wires that have no headers. */
  readonly header: (name: string) => string | null;
  /** What makes it unreadable as a whole; the other fields then say nothing, but for `tenant`. */
  readonly fault: string | null;
  /** Empty where none was named. */
  readonly tenant: string;
  /** What the client calls itself, unchecked; null where it names nothing. */
  readonly sid: string | null;
  readonly ticket: FoundTicket | null;
  /** Ext messages travel as CBOR. */
  readonly cbor: boolean;
  readonly resume: ResumeRequest;
}

/** Why somebody is not let in; each wire words it its own way. */
export interface HandshakeRefusal {
  /** The HTTP status that fits. */
  readonly status: number;
  readonly code: ErrorCode;
  readonly msg: string;
  /** As metrics name it. */
  readonly reason: string;
  readonly retryAfterMs?: number | undefined;
  /** The rule behind it. */
  readonly ruleId?: string | undefined;
}

/** The handler of the connection that is let in, or why it is not. */
export type HandshakeAnswer =
  | { readonly accept: LinkHandler; readonly compression: Compression | null }
  | { readonly refuse: HandshakeRefusal };
