// A session, as the others of its tenant find it in the registry: what services see of it, and its end.

import { type CloseCode, type Refusal, refusal } from "../protocol/codes.ts";
import type { Frame } from "../protocol/frame.ts";
import type { ErrorDetail } from "../protocol/sys.ts";
import type { Membership } from "../room/rooms.ts";
import type { Context } from "../service/service.ts";
import type { Registered } from "./registry.ts";

/** A session of a tenant's registry. */
export interface Resident extends Registered, Context {
  readonly address: string;
  /** When it was opened, in milliseconds of the house's monotonic clock. */
  readonly openedAt: number;
  /** Rooms joined, by name. */
  readonly memberships: ReadonlyMap<string, Membership>;
  /** Ends it: what it was sent reliably goes out before the close, `farewell` first of all. */
  end(code: CloseCode, farewell: Frame | null): void;
  /** Tells the client why and ends it. */
  endRefused(refused: Refusal, detail: ErrorDetail): void;
}

/** What it answers from then on. */
export const SESSION_ENDED = refusal("UNAVAILABLE", "session has ended");

/** How logs name a session. */
export function namesOf(
  { tenant, user, session, traceId }: Pick<Context, "tenant" | "user" | "session" | "traceId">,
): { tenant: string; user: string; session: string; trace_id: string } {
  return { tenant, user, session, trace_id: traceId };
}
