// The port between the client and what carries its messages. WebSocket implements it here; others can be imported
// beside it, without a byte of theirs in the core. Types only.

/** What a link is opened with. */
export interface LinkRequest {
  /** Where the gateway is, as the caller wrote it, made absolute. */
  readonly url: URL;
  readonly tenant: string;
  /** Undefined for none, such as where a cookie speaks for the user. */
  readonly ticket: string | undefined;
  /** The client's name for itself; undefined lets the gateway make one. */
  readonly sid: string | undefined;
  /** Undefined asks for a session that can be resumed; a token resumes one of which that many messages were heard. */
  readonly resume: { readonly token: string; readonly heard: number } | undefined;
  /** How the messages are written that will be sent; its `protocol` says so to the gateway. */
  readonly codec: Codec;
}

/** The client's end. MUST be called in the order of the wire, and not after `close`; MUST NOT be called from `open`. */
export interface LinkHandler {
  /** One message: a text, or bytes. */
  message(data: string | ArrayBuffer | Uint8Array): void;
  /**
   * Comes once: the link is gone, or never came to be (1006).
   * @param retryAfterMs when the gateway wants the next one, where it said so while it refused this one
   */
  close(code: number, reason: string, retryAfterMs?: number): void;
}

/** A link that is open, or opens. */
export interface Link {
  /** MUST take a copy of bytes before it returns. Is not called before the first message has come. */
  send(message: string | Uint8Array): void;
  /**
   * Ends the link: 1000 for good, 4006 to come back. `LinkHandler.close` follows, however late.
   */
  close(code?: number): void;
  /** Bytes that were sent and still wait here. */
  readonly buffered: number;
}

/** Opens links. */
export interface Transport {
  /** @throws when the request can never work, such as for a URL of another scheme */
  open(request: LinkRequest, handler: LinkHandler): Link;
}

/** How ext messages are written. */
export interface Codec {
  /** The subprotocol that says so. */
  readonly protocol: string;
  encode(message: object): string | Uint8Array;
  /** @returns undefined for what is no ext message, but a hot frame. @throws for what cannot be read */
  decode(data: string | Uint8Array): unknown;
}
