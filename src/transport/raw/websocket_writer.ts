// RFC 6455, the way out: a server's frames, which have no mask. A frame that goes to many is built once.

import { Buffer } from "node:buffer";
import type { WireFrame } from "../port.ts";

const FIN = 0x80;
/** The message is deflated (RFC 7692). */
const RSV1 = 0x40;
const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

/** The bytes of a message with its header, built at the first call and kept on the frame. */
export function serverFrame(frame: WireFrame): Uint8Array {
  return frame.wire ??= build(frame);
}

/** A message that is deflated already, with its header. */
export function deflatedMessage(payload: Uint8Array, isText: boolean): Uint8Array {
  const out = header(RSV1 | (isText ? TEXT : BINARY), payload.length);
  out.set(payload, out.length - payload.length);
  return out;
}

/** A close frame; `code` 1005 sends none. `reason` MUST be at most 123 bytes. */
export function closeFrame(code: number, reason: string): Uint8Array {
  if (code === 1005) return header(CLOSE, 0);
  const text = Buffer.from(reason);
  const out = header(CLOSE, 2 + text.length);
  const at = out.length - text.length - 2;
  out[at] = code >>> 8;
  out[at + 1] = code;
  out.set(text, at + 2);
  return out;
}

export function pingFrame(): Uint8Array {
  return header(PING, 0);
}

/** @param payload that of the ping, at most 125 bytes */
export function pongFrame(payload: Uint8Array): Uint8Array {
  const out = header(PONG, payload.length);
  out.set(payload, out.length - payload.length);
  return out;
}

function build({ payload, bytes }: WireFrame): Uint8Array {
  const isText = typeof payload === "string";
  const out = header(isText ? TEXT : BINARY, bytes);
  const at = out.length - bytes;
  if (isText) Buffer.from(out.buffer).write(payload, at);
  else out.set(payload, at);
  return out;
}

/** A header with room behind it for its payload. */
function header(opcode: number, bytes: number): Uint8Array {
  const length = bytes < 126 ? 2 : bytes < 65_536 ? 4 : 10;
  const out = new Uint8Array(length + bytes);
  out[0] = FIN | opcode;
  if (length === 2) out[1] = bytes;
  else if (length === 4) {
    out[1] = 126;
    out[2] = bytes >>> 8;
    out[3] = bytes;
  } else {
    out[1] = 127;
    const high = Math.floor(bytes / 2 ** 32);
    for (let i = 0; i < 4; i++) {
      out[2 + i] = high >>> (24 - 8 * i);
      out[6 + i] = bytes >>> (24 - 8 * i);
    }
  }
  return out;
}
