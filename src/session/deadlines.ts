// When a session's timer is due: pings, silence, the end of its right, the end of a rest, and a peer that does not answer
// our close.

import { CLOSE, type CloseCode } from "../protocol/codes.ts";

/** How long a peer may take to answer our close before its socket is dropped; a flooding one is not read any more. */
const CLOSE_TIMEOUT_MS = 5000;
const FLOOD_CLOSE_TIMEOUT_MS = 1000;

/** How long a peer may take to answer this close. */
export function closeTimeoutMs(code: CloseCode): number {
  return isFloods(code) ? FLOOD_CLOSE_TIMEOUT_MS : CLOSE_TIMEOUT_MS;
}

/** Whether this close is a flooding session's: nothing more of it is read, not even its answer. */
export function isFloods(code: CloseCode): boolean {
  return code === CLOSE.rateLimited;
}

/** What an open session waits for; infinite or, of a rest, 0 for nothing. */
export interface Awaited {
  readonly pingedAt: number;
  readonly heardAt: number;
  readonly warnAt: number;
  readonly expiresAt: number;
  readonly deafUntil: number;
}

/** Milliseconds until the first of these. */
export function dueIn(
  awaited: Awaited,
  now: number,
  house: { readonly idleTimeoutMs: number; readonly pingIntervalMs: number },
): number {
  const { pingedAt, heardAt, warnAt, expiresAt, deafUntil } = awaited;
  const idleAt = house.idleTimeoutMs === 0 ? Number.POSITIVE_INFINITY : heardAt + house.idleTimeoutMs;
  const resumeAt = deafUntil > 0 ? deafUntil : Number.POSITIVE_INFINITY;
  // Sums round: a deadline can be past by one comparison and not yet by another, and 0 would be none at all.
  return Math.max(1, Math.min(pingedAt + house.pingIntervalMs, idleAt, warnAt, expiresAt, resumeAt) - now);
}
