// The hot service `echo`: the bare payload goes to the whole active room, its sender included, or back
// to a sender that has no room. An empty payload has nothing to echo.

import type { Refusal } from "../protocol/codes.ts";
import { hotFrame, type LossLane } from "../protocol/frame.ts";
import { hotPayloadAt } from "../protocol/hot.ts";
import { BUSY, type Rooms } from "../room/rooms.ts";
import { conflationKey, type Context, type HotService, ROOM_BUSY } from "./service.ts";

export class EchoService implements HotService {
  readonly #lane: LossLane;
  readonly #rooms: Rooms;

  constructor(lane: LossLane, rooms: Rooms) {
    this.#lane = lane;
    this.#rooms = rooms;
  }

  handle(context: Context, frame: Uint8Array): Refusal | null {
    const at = hotPayloadAt(frame);
    if (at === frame.length) return null;
    const { active } = context;
    const out = hotFrame(payloadOf(frame, at), this.#lane, conflationKey(active, frame));
    if (active !== null) return this.#rooms.publish(active.room.name, out) === BUSY ? ROOM_BUSY : null;
    context.deliver(out);
    return null;
  }

  stop(): void {}
}

/** Below this, copying byte by byte is faster than a view, for which the engine makes an object of its own. */
const COPIED_MAX = 512;

/** What follows the header. */
function payloadOf(frame: Uint8Array, at: number): Uint8Array {
  const length = frame.length - at;
  if (length > COPIED_MAX) return frame.subarray(at);
  const payload = new Uint8Array(length);
  for (let i = 0; i < length; i++) payload[i] = frame[at + i]!;
  return payload;
}
