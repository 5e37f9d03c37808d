// The end of all sessions when the gateway drains: each client is told when to come back elsewhere, and its session ends
// then. Sessions whose clients are away end first and at once: nobody can come back to a gateway that lets nobody in.

import { CLOSE } from "../protocol/codes.ts";
import { sysDraining } from "../protocol/sys.ts";
import { SPREAD_MS } from "../admission/retry.ts";
import type { SessionHandle } from "../session/session_handle.ts";
import type { Clock } from "./clock.ts";
import { StaggeredClose } from "./staggered_close.ts";

export interface DrainOptions {
  readonly sessions: readonly SessionHandle[];
  /** Over which the sessions end. */
  readonly graceMs: number;
  /** Whether none is left, before the time or after. */
  readonly isEmpty: () => boolean;
  readonly clock: Clock;
}

/** Resolves when all have ended. */
export async function sendElsewhere({ sessions, graceMs, isEmpty, clock }: DrainOptions): Promise<void> {
  const present = sessions.filter(({ detachedMs }) => detachedMs === null);
  for (const session of sessions) if (session.detachedMs !== null) session.end(CLOSE.draining, null);
  const closing = new StaggeredClose({
    sessions: present,
    overMs: graceMs,
    end: (session) => session.end(CLOSE.draining, null),
    isEmpty,
    clock,
  });
  // Their ends are spread over the grace already; where that is short, their return is.
  const spreadMs = Math.max(0, SPREAD_MS.one - graceMs);
  present.forEach((session, i) => {
    const retryAfterMs = Math.ceil(closing.endsAfter(i) + clock.random() * spreadMs);
    session.deliver(sysDraining(session.traceId, retryAfterMs));
  });
  await closing.start();
}
