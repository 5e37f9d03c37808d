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
  /** When its ticket was issued, Unix time in milliseconds; null where nobody says. */
  readonly issuedAtMs: number | null;
  /** Ends it: what it was sent reliably goes out before the close, `farewell` first of all. */
  end(code: CloseCode, farewell: Frame | null): void;
  /** Tells the client why and ends it. */
  endRefused(refused: Refusal, detail: ErrorDetail): void;
}

/** What it answers from then on. */
export const SESSION_ENDED = refusal("UNAVAILABLE", "session has ended");

/** The rooms of a session that has never joined one. */
export const NO_MEMBERSHIPS: ReadonlyMap<string, Membership> = new Map();
