// The hot service `echo`: the bare payload goes to the whole active room, its sender included, or back
// to a sender that has no room. An empty payload has nothing to echo.

import type { Refusal } from "../protocol/codes.ts";
import { hotFrame, type LossLane } from "../protocol/frame.ts";
import { hotPayload, hotPayloadAt } from "../protocol/hot.ts";
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
    if (hotPayloadAt(frame) === frame.length) return null;
    const { active } = context;
    const out = hotFrame(hotPayload(frame), this.#lane, conflationKey(active, frame));
    if (active !== null) return this.#rooms.publishHot(active.room.name, out) === BUSY ? ROOM_BUSY : null;
    context.deliver(out);
    return null;
  }

  stop(): void {}
}
