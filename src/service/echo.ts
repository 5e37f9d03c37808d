// The hot service `echo`: the bare payload goes to the whole active room, its sender included, or back
// to a sender that has no room. An empty payload has nothing to echo.

import type { Refusal } from "../protocol/codes.ts";
import { hotFrame, LANE } from "../protocol/frame.ts";
import { hotPayloadAt } from "../protocol/hot.ts";
import type { Context, HotService } from "./service.ts";

export class EchoService implements HotService {
  handle(context: Context, frame: Uint8Array): Refusal | null {
    const at = hotPayloadAt(frame);
    if (at === frame.length) return null;
    const out = hotFrame(frame.subarray(at), LANE.lossy);
    if (context.active === null) context.deliver(out);
    else context.active.room.publish(out, null);
    return null;
  }

  stop(): void {}
}
