// What a stream of a WebTransport session begins with: its kind and its session, two numbers of QUIC's variable length.
// https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-13.html#section-4

/** Kinds of streams, by who may write on them. */
export const STREAM_KIND = { bidirectional: 0x41, unidirectional: 0x54 } as const;

/**
 * The session, as the number of the stream that asked for it, or a quarter of that in a datagram (RFC 9297): the first stream
 * of a connection asks, for no other is taken here.
 */
export const SESSION = 0;

/** What a stream from the server begins with; 0x54 takes two bytes. */
export const UNIDIRECTIONAL_HEAD: Uint8Array = Uint8Array.of(0x40, STREAM_KIND.unidirectional, SESSION);

/** A longer head is nobody's. */
const HEAD_BYTES_MAX = 16;

/**
 * Reads a stream's head, if it is this session's and of this kind.
 * @returns what came behind it, perhaps nothing; null for another stream, or one that has ended
 */
export async function readHead(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  kind: number,
): Promise<Uint8Array | null> {
  let head = new Uint8Array(0);
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return null;
    const longer = new Uint8Array(head.length + value.length);
    longer.set(head);
    longer.set(value, head.length);
    head = longer;
    const of = varint(head, 0);
    if (of !== null && of.value !== kind) return null;
    const session = of === null ? null : varint(head, of.end);
    if (session !== null) return session.value === SESSION ? head.subarray(session.end) : null;
    if (head.length >= HEAD_BYTES_MAX) return null;
  }
}

/** RFC 9000, section 16; null where it is not whole. */
export function varint(
  bytes: Uint8Array,
  at: number,
): { readonly value: number; readonly end: number } | null {
  if (at >= bytes.length) return null;
  const length = 1 << (bytes[at]! >> 6);
  if (at + length > bytes.length) return null;
  let value = bytes[at]! & 0x3f;
  for (let i = 1; i < length; i++) value = value * 256 + bytes[at + i]!;
  return { value, end: at + length };
}
