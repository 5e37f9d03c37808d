// A message that somebody other than a client sends to the clients of a tenant, as a frame, within what the tenant allows.

import { type Refusal, refusal } from "../protocol/codes.ts";
import { extFrame, type Frame, LANE, type OutEnvelope } from "../protocol/frame.ts";
import { depthOf } from "../protocol/json.ts";

export const MESSAGE_TOO_LARGE = refusal(
  "PAYLOAD_TOO_LARGE",
  "message is larger than the tenant's max_frame_bytes",
);
const TOO_DEEP = refusal("BAD_REQUEST", "data is nested deeper than the tenant's max_json_depth");
const UNWRITABLE = refusal("BAD_REQUEST", "data cannot be written as JSON");

/** What a tenant allows of a message: bytes, and levels of values within each other. */
export interface MessageBounds {
  readonly maxBytes: number;
  readonly maxDepth: number;
}

/** An envelope of the reliable lane as a frame, or why it cannot be one. */
export function messageFrame(envelope: OutEnvelope, { maxBytes, maxDepth }: MessageBounds): Frame | Refusal {
  if (depthOf(envelope.data, maxDepth - 1) > maxDepth - 1) return TOO_DEEP;
  let frame: Frame;
  try {
    frame = extFrame(envelope, LANE.reliable);
  } catch {
    return UNWRITABLE;
  }
  return frame.bytes > maxBytes ? MESSAGE_TOO_LARGE : frame;
}
