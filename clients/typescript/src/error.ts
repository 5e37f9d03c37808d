// The one error that this library rejects with.

import type { Refused } from "./wire.ts";

/** What the gateway says, as docs/protocol.md lists it. */
export type GatewayErrorCode =
  | "BAD_REQUEST"
  | "AUTH_FAILED"
  | "RATE_LIMITED"
  | "PAYLOAD_TOO_LARGE"
  | "NOT_ALLOWED"
  | "RESOURCE_EXHAUSTED"
  | "UNSUPPORTED_VERSION"
  | "INTERNAL"
  | "TOO_MANY_SESSIONS"
  | "TIMEOUT"
  | "NOT_FOUND"
  | "UNAVAILABLE"
  | "DRAINING"
  | "SUSPENDED";

/**
 * What this library says itself. `OFFLINE`: not sent, there is no connection. `CONNECTION_LOST`: sent, and nobody knows
 * what became of it. `EXPIRED`: waited in the outbox for too long, and was not sent. `OUTBOX_FULL`: not sent. `OVERFLOW`:
 * a `for await` that reads too slowly. `CLOSED`: the client, or the room, has been left.
 */
export type ClientErrorCode =
  | "OFFLINE"
  | "CONNECTION_LOST"
  | "EXPIRED"
  | "OUTBOX_FULL"
  | "OVERFLOW"
  | "CLOSED";

export type ErrorCode = GatewayErrorCode | ClientErrorCode;

/** Why something was refused. */
export class WsPrismError extends Error {
  override readonly name = "WsPrismError";
  readonly code: ErrorCode;
  /** The rule or check of the gateway that refused. */
  readonly ruleId: string | undefined;
  /** When trying again can help. */
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, more?: Pick<Refused, "rule_id" | "retry_after_ms">) {
    super(message);
    this.code = code;
    this.ruleId = more?.rule_id;
    this.retryAfterMs = more?.retry_after_ms;
  }
}
