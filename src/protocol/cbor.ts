// CBOR envelopes (`wsprism.v1.cbor`): the same messages as on the JSON ext lane, in the form of plain_cbor.ts.

import { CLOSE, refusal } from "./codes.ts";
import { checkEnvelope, type Envelope, type Unreadable } from "./envelope.ts";
import { Frame } from "./frame.ts";
import { readPlainCbor, writePlainCbor } from "./plain_cbor.ts";

const NOT_CBOR = refusal(
  "BAD_REQUEST",
  "message is not CBOR limited to JSON's types, with definite lengths and text keys",
  CLOSE.badMessage,
);
const UNREADABLE: Unreadable = { ok: false, refusal: NOT_CBOR, seq: null };

/** Whether a binary message of a CBOR session is an envelope: its first byte opens a map. */
export function looksLikeCborMap(message: Uint8Array): boolean {
  const first = message[0]!;
  return first >= 0xa0 && first <= 0xbf;
}

/** Reads a binary message as an ext envelope. */
export function decodeCbor(message: Uint8Array): Envelope | Unreadable {
  const value = readPlainCbor(message);
  return value === undefined ? UNREADABLE : checkEnvelope(value);
}

/**
 * The form of a frame for a CBOR session: an ext frame as CBOR, anything else as it is. Made once per frame, from
 * the JSON, so that both say the same whatever a service has put into its data.
 */
export function cborForm(frame: Frame): Frame {
  if (typeof frame.payload !== "string") return frame;
  return frame.cbor ??= new Frame(writePlainCbor(JSON.parse(frame.payload)), frame.lane, frame.key, true);
}
