// What policy and the message handler keep of one session, in one object. Made at the session's first message, so that one that only listens does
// without.

import { SessionPolicyState } from "../policy/input.ts";
import type { PendingCalls } from "./pending.ts";
import type { SessionHandle } from "./session_handle.ts";

export class InboundState extends SessionPolicyState {
  readonly session: SessionHandle;
  /** Hot messages so far. */
  hotCount = 0;
  /** Ext messages of which it turns out later what becomes of them. */
  later = 0;
  /** Ext messages that wait for services; null until a service is asynchronous. */
  pending: PendingCalls | null = null;

  constructor(session: SessionHandle) {
    super();
    this.session = session;
  }
}
