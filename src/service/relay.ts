// The hot service `relay`: the frame goes to the others in the active room, with its sender's number.

import type { Refusal } from "../protocol/codes.ts";
import { hotFrame, type LossLane } from "../protocol/frame.ts";
import { withSender } from "../protocol/hot.ts";
import { conflationKey, type Context, type HotService, ROOM_BUSY } from "./service.ts";

export class RelayService implements HotService {
  readonly #lane: LossLane;

  constructor(lane: LossLane) {
    this.#lane = lane;
  }

  handle(context: Context, frame: Uint8Array): Refusal | null {
    const { active } = context;
    if (active === null || active.room.members.length === 1) return null;
    const key = conflationKey(active, frame);
    const out = hotFrame(withSender(frame, active.member), this.#lane, key);
    return active.room.publish(out, active.subscriber) ? null : ROOM_BUSY;
  }

  stop(): void {}
}
