// As much of HTTP/3 as a WebTransport session needs: the server's settings, and the request that asks for the session, read
// within bounds. https://www.rfc-editor.org/rfc/rfc9114, https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-13.html

import { readFields } from "./qpack.ts";
import { varint } from "./stream_head.ts";

const FRAME = { data: 0x00, headers: 0x01, settings: 0x04 } as const;

/** A stream of this kind and the frame of settings on it. Each is on, or a count of one; old drafts' names are still in use. */
export const CONTROL_STREAM: Uint8Array = controlStream([
  0x08, // ENABLE_CONNECT_PROTOCOL
  0x33, // H3_DATAGRAM
  0xffd277, // the same, draft 4
  0x2b603742, // ENABLE_WEBTRANSPORT, draft 2
  0x2b603743, // WEBTRANSPORT_MAX_SESSIONS, draft 4
  0xc671706a, // WEBTRANSPORT_MAX_SESSIONS, draft 7
]);

/** The answers to a request: a frame with the status alone, from the static table. */
export const ACCEPTED: Uint8Array = Uint8Array.of(FRAME.headers, 3, 0, 0, 0xc0 | 25);
export const NOT_FOUND: Uint8Array = Uint8Array.of(FRAME.headers, 3, 0, 0, 0xc0 | 27);

/** A request for a session, or another one. */
export interface SessionRequest {
  readonly isSession: boolean;
  /** Path and query. */
  readonly target: string;
  header(name: string): string | null;
}

/**
 * Reads a request's head.
 * @param maxBytes of what comes before its end
 * @returns null where the stream ends before
 * @throws when it is longer, or cannot be read
 */
export async function readRequest(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  maxBytes: number,
): Promise<SessionRequest | null> {
  let bytes = new Uint8Array(0);
  for (let at = 0;;) {
    const kind = varint(bytes, at);
    const length = kind === null ? null : varint(bytes, kind.end);
    if (kind !== null && length !== null) {
      const end = length.end + length.value;
      if (end > maxBytes) throw new Error("a head that is too long");
      if (end <= bytes.length) {
        if (kind.value === FRAME.headers) return requestOf(readFields(bytes.subarray(length.end, end)));
        if (kind.value === FRAME.data || kind.value === FRAME.settings) throw new Error("no head");
        at = end; // of a kind that means nothing, as some send to keep others honest
        continue;
      }
    }
    if (bytes.length > maxBytes) throw new Error("a head that is too long");
    const { value, done } = await reader.read();
    if (done) return null;
    const longer = new Uint8Array(bytes.length + value.length);
    longer.set(bytes);
    longer.set(value, bytes.length);
    bytes = longer;
  }
}

function requestOf(fields: Map<string, string>): SessionRequest {
  const protocol = fields.get(":protocol");
  return {
    isSession: fields.get(":method") === "CONNECT" && /^webtransport(-h3)?$/.test(protocol ?? ""),
    target: fields.get(":path") ?? "/",
    // What a header of HTTP/1.1 calls the host.
    header: (name) => fields.get(name === "host" ? ":authority" : name) ?? null,
  };
}

function controlStream(settings: readonly number[]): Uint8Array {
  const content = settings.flatMap((name) => [...written(name), 1]);
  return Uint8Array.of(0x00, FRAME.settings, content.length, ...content);
}

/** A number as RFC 9000, section 16 writes it. */
function written(value: number): number[] {
  if (value < 64) return [value];
  const [head, length] = value < 2 ** 30 ? [0x80, 4] : [0xc0, 8];
  const bytes = Array.from({ length }, (_, i) => Math.floor(value / 256 ** (length - 1 - i)) % 256);
  bytes[0] = bytes[0]! | head;
  return bytes;
}
