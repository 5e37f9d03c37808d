// What the message handler keeps of one session. Made at the session's first message, so that one that only listens does
// without.

import { SessionPolicyState } from "../policy/input.ts";
import type { PendingCalls } from "./pending.ts";
import type { SessionHandle } from "./session_handle.ts";

export class InboundState {
  readonly session: SessionHandle;
  readonly policyState = new SessionPolicyState();
  /** Until when the session's messages are not looked at; 0: they are. */
  throttledUntil = 0;
  /** Hot messages so far. */
  hotCount = 0;
  /** Ext messages that wait for services; null until a service is asynchronous. */
  pending: PendingCalls | null = null;

  constructor(session: SessionHandle) {
    this.session = session;
  }
}
