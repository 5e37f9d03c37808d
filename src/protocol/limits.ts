// The numbers that the wire protocol itself fixes. What an operator may choose is in config/schema.ts.

/** The version in every envelope and every hot header. */
export const PROTOCOL_VERSION = 1;

/** Subprotocols, as offered in `Sec-WebSocket-Protocol`. */
export const SUBPROTOCOL_JSON = "wsprism.v1";
export const SUBPROTOCOL_CBOR = "wsprism.v1.cbor";
/** A ticket travels as `wsprism.ticket.<base64url>`; it is never selected, and so never echoed. */
export const SUBPROTOCOL_TICKET_PREFIX = "wsprism.ticket.";

/** Offered by clients that may want to come back; with `.<token>.<heard>` by those that do. Never selected. */
export const SUBPROTOCOL_RESUME = "wsprism.resume";

/** Tenant ids, session ids, service names and message types: 1–64 of these. */
export const NAME_PATTERN = /^[A-Za-z0-9._-]{1,64}$/;
/** What `NAME_PATTERN` allows, in words for an error. */
export const NAME_RULE = "1–64 of A–Z a–z 0–9 . _ -";

/** The key of a message. */
export const KEY_PATTERN = /^[A-Za-z0-9._:-]{1,64}$/;

/** A `traceparent`, as far as it can be told by its form. */
export const TRACE_PATTERN = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** A room's name: 1–128 bytes of printable UTF-8. */
export const ROOM_BYTES_MAX = 128;

/** Keys that sign one request at the same time: the new one and the old one. */
export const SIGNING_KEYS_MAX = 2;

/** The room of a `room.join` that names none. */
export const DEFAULT_ROOM = "default";

/** Largest `seq` on the ext lane, 2^53-1. */
export const SEQ_MAX = Number.MAX_SAFE_INTEGER;

/** Largest message that a tenant may allow, in bytes. */
export const MESSAGE_BYTES_MAX = 16_777_216;
