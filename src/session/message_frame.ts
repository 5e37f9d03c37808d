// A message that somebody other than a client sends to the clients of a tenant, as a frame, within what the tenant allows.

import { type Refusal, refusal } from "../protocol/codes.ts";
import { extFrame, type Frame, LANE, type OutEnvelope } from "../protocol/frame.ts";

export const MESSAGE_TOO_LARGE = refusal(
  "PAYLOAD_TOO_LARGE",
  "message is larger than the tenant's max_frame_bytes",
);
const UNWRITABLE = refusal("BAD_REQUEST", "data cannot be written as JSON");

/** An envelope of the reliable lane as a frame, or why it cannot be one. */
export function messageFrame(envelope: OutEnvelope, maxBytes: number): Frame | Refusal {
  let frame: Frame;
  try {
    frame = extFrame(envelope, LANE.reliable);
  } catch {
    return UNWRITABLE;
  }
  return frame.bytes > maxBytes ? MESSAGE_TOO_LARGE : frame;
}
