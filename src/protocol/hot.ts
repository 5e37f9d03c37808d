// The hot lane's binary header, little-endian:
//   [v u8][svc_id u8][opcode u8][flags u8][seq u32, if 0x01][sender u32, if 0x04][payload …]
// Read in place, by index: nothing is allocated per message.

import { CLOSE, type Refusal, refusal } from "./codes.ts";
import { PROTOCOL_VERSION } from "./limits.ts";

/** Bits of a hot frame's `flags`. `senderPresent` travels from the gateway to clients only. */
export const HOT_FLAG = { seqPresent: 0x01, ackRequested: 0x02, senderPresent: 0x04 } as const;

/** Where the fields that are always there stand. */
export const HOT_AT = { version: 0, svcId: 1, opcode: 2, flags: 3 } as const;

const HEADER_BYTES = 4;
const FIELD_BYTES = 4;
/** Up to here a copy byte by byte is faster than one through a view. */
const LOOP_BYTES_MAX = 512;
const INBOUND_FLAGS = HOT_FLAG.seqPresent | HOT_FLAG.ackRequested;

const bad = (msg: string): Refusal => refusal("BAD_REQUEST", msg, CLOSE.badMessage);

const TOO_SHORT = bad("hot frame is shorter than its header");
const NO_SEQ = bad("hot frame announces a seq that is not there");
const RESERVED = bad("hot frame has a reserved flag set");
const ACK_WITHOUT_SEQ = bad("hot frame asks for an ack without a seq");
const WRONG_VERSION = refusal("UNSUPPORTED_VERSION", "hot frame version must be 1", CLOSE.unsupportedVersion);

/** Checks the header of a client's frame; null when it can be read by the functions below. */
export function checkHot(frame: Uint8Array): Refusal | null {
  if (frame.length < HEADER_BYTES) return TOO_SHORT;
  if (frame[HOT_AT.version] !== PROTOCOL_VERSION) return WRONG_VERSION;
  const flags = frame[HOT_AT.flags]!;
  if (flags === 0) return null;
  if ((flags & ~INBOUND_FLAGS) !== 0) return RESERVED;
  if ((flags & HOT_FLAG.seqPresent) === 0) return ACK_WITHOUT_SEQ;
  return frame.length < HEADER_BYTES + FIELD_BYTES ? NO_SEQ : null;
}

/** How far a datagram can be behind those that overtook it. What is further behind has begun to count anew. */
const OVERTAKEN_MAX = 64;

/** Whether a frame was sent before another of its sender's, as far as both have a `seq`, which wraps. */
export function wasOvertaken(frame: Uint8Array, by: Uint8Array): boolean {
  const seq = hotSeq(frame), other = hotSeq(by);
  if (seq === null || other === null) return false;
  const behind = (other - seq) | 0;
  return behind > 0 && behind <= OVERTAKEN_MAX;
}

/** A checked frame's `seq`, or null. */
export function hotSeq(frame: Uint8Array): number | null {
  return (frame[HOT_AT.flags]! & HOT_FLAG.seqPresent) === 0 ? null : readU32(frame, HEADER_BYTES);
}

/** Where a checked client frame's payload begins. */
export function hotPayloadAt(frame: Uint8Array): number {
  return (frame[HOT_AT.flags]! & HOT_FLAG.seqPresent) === 0 ? HEADER_BYTES : HEADER_BYTES + FIELD_BYTES;
}

/** The same frame with the sender's member number, without ACK_REQUESTED: what the others in a room get. */
export function withSender(frame: Uint8Array, sender: number): Uint8Array {
  const at = hotPayloadAt(frame);
  const out = new Uint8Array(frame.length + FIELD_BYTES);
  for (let i = 0; i < at; i++) out[i] = frame[i]!;
  out[HOT_AT.flags] = (frame[HOT_AT.flags]! & HOT_FLAG.seqPresent) | HOT_FLAG.senderPresent;
  writeU32(out, at, sender);
  copyTo(out, at + FIELD_BYTES, frame, at);
  return out;
}

/** A checked client frame's payload, in bytes of its own. MUST have one. */
export function hotPayload(frame: Uint8Array): Uint8Array {
  const at = hotPayloadAt(frame);
  const out = new Uint8Array(frame.length - at);
  copyTo(out, 0, frame, at);
  return out;
}

/** The answer to ACK_REQUESTED: the same service and opcode, that seq, no payload. */
export function ackOf(frame: Uint8Array): Uint8Array {
  const out = frame.slice(0, HEADER_BYTES + FIELD_BYTES);
  out[HOT_AT.flags] = HOT_FLAG.seqPresent | HOT_FLAG.ackRequested;
  return out;
}

// A view of a message that came in makes JavaScriptCore build an ArrayBuffer for it, which costs a tenth of an echo and
// more of its tail; for what a game sends, a loop costs nothing (bench/, row "echo").
function copyTo(out: Uint8Array, to: number, from: Uint8Array, at: number): void {
  if (from.length - at > LOOP_BYTES_MAX) out.set(from.subarray(at), to);
  else for (let i = at, o = to; i < from.length; i++, o++) out[o] = from[i]!;
}

function readU32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24) >>> 0;
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}
