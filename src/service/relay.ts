// The hot service `relay`: the frame goes to the others in the active room, with its sender's number.

import type { Refusal } from "../protocol/codes.ts";
import { hotFrame, LANE } from "../protocol/frame.ts";
import { withSender } from "../protocol/hot.ts";
import type { Context, HotService } from "./service.ts";

export class RelayService implements HotService {
  handle(context: Context, frame: Uint8Array): Refusal | null {
    const { active } = context;
    if (active === null || active.room.members.length === 1) return null;
    active.room.publish(hotFrame(withSender(frame, active.member), LANE.lossy), active.subscriber);
    return null;
  }

  stop(): void {}
}
