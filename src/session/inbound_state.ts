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

  /** What has come from its client, whatever became of it. */
  readonly heard = { extMessages: 0, extBytes: 0, hotMessages: 0, hotBytes: 0 };

  constructor(session: SessionHandle) {
    super();
    this.session = session;
  }

  ext(bytes: number): void {
    this.heard.extMessages++;
    this.heard.extBytes += bytes;
  }

  hot(bytes: number): void {
    this.heard.hotMessages++;
    this.heard.hotBytes += bytes;
  }
}

/** What came from a client, for the access log. @param inbound null for a client that has said nothing */
export function heardFrom(inbound: InboundState | null) {
  return {
    ext_messages_in: inbound?.heard.extMessages ?? 0,
    ext_bytes_in: inbound?.heard.extBytes ?? 0,
    hot_messages_in: inbound?.heard.hotMessages ?? 0,
    hot_bytes_in: inbound?.heard.hotBytes ?? 0,
  };
}
