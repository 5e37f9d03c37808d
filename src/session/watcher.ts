// The port of those who want to know what happens to a tenant's sessions: webhooks, for one.

import type { Envelope } from "../protocol/envelope.ts";
import type { Context } from "../service/service.ts";

/** How a session ended. */
export interface Ending {
  /** The close code, the gateway's or the client's; 1006 for a connection that was lost. */
  readonly code: number;
  /** A word for it: the close code's name, "client_closed" or "connection_lost". */
  readonly reason: string;
  /** How long it was open. */
  readonly durationMs: number;
}

/** A message that policy did not let pass. */
export interface DenialNote {
  readonly lane: "ext" | "hot";
  readonly action: string;
  readonly ruleId: string;
  readonly code: string;
  /** "svc:type" or "svc_id:opcode"; null where that was not read. */
  readonly service: string | null;
  /** Others like it, of this session and rule, since the last one that was told of. */
  readonly untold: number;
}

/** Told of everything at once, in the order of happening. MUST NOT throw, nor end a session inside it. */
export interface SessionWatcher {
  /** A session is taken in. @returns whether it may begin, later; null for now */
  opened(session: Context): Promise<boolean> | null;
  closed(session: Context, ending: Ending): void;
  /** Its connection is lost, and it waits for its client. @param ending of the connection */
  detached(session: Context, ending: Pick<Ending, "code" | "reason">): void;
  /** Its client has come back. @param detachedMs how long it was away */
  resumed(session: Context, detachedMs: number): void;
  /** A client's message passed policy. */
  message(session: Context, message: Envelope): void;
  denied(session: Context, denial: DenialNote): void;
}
