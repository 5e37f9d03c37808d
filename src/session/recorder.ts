// The port of somebody who looks at decisions while they are made: an administrator's console. Nobody's by default.

import type { Action } from "../policy/denial.ts";
import type { Refusal } from "../protocol/codes.ts";
import type { SessionHandle } from "./session_handle.ts";

/** What was found against a message. */
export interface Finding {
  /** A check's name or a rule's id. */
  readonly ruleId: string;
  readonly action: Action;
  readonly refusal: Refusal;
  /** The message passed all the same. */
  readonly passes: boolean;
}

/** The message that it was found against. */
export interface FoundMessage {
  readonly lane: "ext" | "hot";
  /** As it came, MUST NOT be kept where it is bytes; null where it is no message. */
  readonly body: string | Uint8Array | null;
  readonly bytes: number;
  /** "svc:type" or "svc_id:opcode"; null where that was not read. */
  readonly service: string | null;
}

/** Told of decisions as they are made. MUST NOT throw, end a session or keep bytes. */
export interface DecisionRecorder {
  /** Called for each message that passes without a finding: MUST cost next to nothing. */
  passed(session: SessionHandle, lane: "ext" | "hot", body: string | Uint8Array): void;
  found(session: SessionHandle, finding: Finding, message: FoundMessage): void;
}
