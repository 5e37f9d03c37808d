// When a session was opened, as another machine understands it.

import type { SessionHandle } from "../session/session_handle.ts";

/** Both clocks of a gateway. */
export interface Clocks {
  readonly now: () => number;
  readonly unixMs: () => number;
}

/** When a session was opened, Unix time in milliseconds. */
export function openedMs({ openedAt }: SessionHandle, { now, unixMs }: Clocks): number {
  return Math.round(unixMs() - now() + openedAt);
}
