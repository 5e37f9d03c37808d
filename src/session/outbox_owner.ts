// What an outbox asks of the session it writes for.

import type { Gap } from "./gaps.ts";

/** Why reliable frames cannot be delivered. */
export type SlowCause = "full" | "stalled" | "shed";

/** The session behind an outbox. Nothing of it is called inside `push`. */
export interface OutboxOwner {
  /** Reliable frames cannot be delivered: the session must end, inside the call. */
  tooSlow(cause: SlowCause): void;
  /** Tells the client of dropped frames by pushing a control frame. */
  tellGap(gap: Gap): void;
}
