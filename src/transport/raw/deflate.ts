// permessage-deflate (RFC 7692) without context takeover, both ways: a session keeps no window, a message that goes to many
// is deflated once for all of them, and what a message may inflate to is bounded while it inflates.

import { Buffer } from "node:buffer";
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import type { WireFrame } from "../port.ts";
import { deflatedMessage, serverFrame } from "./websocket_writer.ts";

/** What is agreed to, whatever else was offered. A server may ask the client for the last unasked (section 7.1.1.2). */
export const AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

const NAME = "permessage-deflate";
const WINDOW_BITS = /^(?:[89]|1[0-5])$/;
/** The end of a flushed block, which does not travel (section 7.2.1). */
const TAIL = Buffer.from([0x00, 0x00, 0xff, 0xff]);
/** Above level 3 zlib takes twice the time for JSON, and wins little. */
const LEVEL = 3;
/** What is longer would hold up everybody while it is deflated, some milliseconds. */
const DEFLATED_MAX = 262_144;

/** Whether a client's offers have one that can be met. @param header its `Sec-WebSocket-Extensions` */
export function offersDeflate(header: string | null): boolean {
  return header !== null &&
    header.split(",").some((offer) => isMet(offer.split(";").map((part) => part.trim())));
}

/** The frame on the wire for those who agreed: deflated where its length is worth it. */
export function deflatedFrame(frame: WireFrame, minBytes: number): Uint8Array {
  if (!frame.isExt || frame.bytes < minBytes || frame.bytes > DEFLATED_MAX) return serverFrame(frame);
  return frame.deflatedWire ??= deflate(frame);
}

/**
 * A message as it was before it was deflated.
 * @returns 1009 where it is longer than `maxBytes`, 1007 where it is no deflated message
 */
export function inflate(message: Uint8Array, maxBytes: number): Uint8Array | 1007 | 1009 {
  try {
    return inflateRawSync(Buffer.concat([message, TAIL]), {
      finishFlush: constants.Z_SYNC_FLUSH,
      maxOutputLength: maxBytes,
    });
  } catch (error) {
    return error instanceof RangeError ? 1009 : 1007;
  }
}

/** The shared bytes of all that is deflated have the window of 32 KiB, so that a client that asks for a smaller one has none. */
function isMet([name, ...params]: readonly string[]): boolean {
  if (name?.toLowerCase() !== NAME) return false;
  const seen = new Set<string>();
  return params.every((param) => {
    const [key = "", value] = param.split("=", 2).map((part) => part.trim().replace(/^"(.*)"$/, "$1"));
    if (seen.has(key)) return false;
    seen.add(key);
    switch (key) {
      case "server_no_context_takeover":
      case "client_no_context_takeover":
        return value === undefined;
      case "client_max_window_bits":
        return value === undefined || WINDOW_BITS.test(value);
      case "server_max_window_bits":
        return value === "15";
      default:
        return false;
    }
  });
}

function deflate({ payload }: WireFrame): Uint8Array {
  const whole = deflateRawSync(payload, { level: LEVEL, finishFlush: constants.Z_SYNC_FLUSH });
  return deflatedMessage(whole.subarray(0, -TAIL.length), typeof payload === "string");
}
