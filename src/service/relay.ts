// The hot service `relay`: the frame goes to the others in the active room, with its sender's number.

import type { Refusal } from "../protocol/codes.ts";
import { hotFrame, type LossLane } from "../protocol/frame.ts";
import { withSender } from "../protocol/hot.ts";
import { BUSY, type Rooms } from "../room/rooms.ts";
import { conflationKey, type Context, type HotService, ROOM_BUSY } from "./service.ts";

export class RelayService implements HotService {
  readonly #lane: LossLane;
  readonly #rooms: Rooms;

  constructor(lane: LossLane, rooms: Rooms) {
    this.#lane = lane;
    this.#rooms = rooms;
  }

  handle(context: Context, frame: Uint8Array): Refusal | null {
    const { active } = context;
    if (active === null) return null;
    const key = conflationKey(active, frame);
    const out = hotFrame(withSender(frame, active.member), this.#lane, key);
    const deliveries = this.#rooms.publishHot(active.room.name, out, { except: context.session });
    return deliveries === BUSY ? ROOM_BUSY : null;
  }

  stop(): void {}
}
