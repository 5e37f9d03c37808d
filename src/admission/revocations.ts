// Tickets of one tenant that are good by themselves and are not taken any more: single ones by their id, and all that a
// user was given before some moment. Times are Unix time in milliseconds, so that they mean the same to another process.

import type { Grant } from "../session/grant.ts";

/** What is revoked: one ticket, or a user's tickets up to a moment. */
export type Revoked =
  | { readonly jti: string }
  | { readonly user: string; readonly issuedBeforeMs: number };

/** Told of what is revoked, with all that was revoked of it before. */
export type RevocationNote = (revoked: Revoked, untilMs: number) => void;

interface UserEntry {
  readonly issuedBeforeMs: number;
  readonly untilMs: number;
}

/** A revocation, for whoever lists them. */
export interface Listed {
  /** Unique: "t" and a ticket's id, or "u" and a user. */
  readonly name: string;
  readonly ticketId: string | null;
  readonly user: string | null;
  readonly issuedBeforeMs: number | null;
  readonly untilMs: number;
}

/** Ids, and users, that are remembered, unless it is said. */
export const REVOKED_MAX = 100_000;

/** How far ahead the clock of whoever issues tickets may be. */
const FUTURE_MS = 60_000;

export class Revocations {
  readonly #max: number;
  readonly #note: RevocationNote;
  /** When each may be forgotten. */
  readonly #tickets = new Map<string, number>();
  readonly #users = new Map<string, UserEntry>();

  /** @param max how many ids, and how many users, are remembered at most */
  constructor(max = REVOKED_MAX, note: RevocationNote = () => {}) {
    this.#max = max;
    this.#note = note;
  }

  /** Ids and users remembered now. */
  get size(): number {
    return this.#tickets.size + this.#users.size;
  }

  /**
   * @param untilMs when the tickets have expired by themselves; infinite for never
   * @returns false when no more can be remembered: none is forgotten for another, or its tickets would be good again
   */
  revoke(revoked: Revoked, untilMs: number, nowMs: number): boolean {
    if ("jti" in revoked) {
      const { jti } = revoked;
      if (!this.#hasRoom(this.#tickets, jti, (until) => until <= nowMs)) return false;
      const until = Math.max(untilMs, this.#tickets.get(jti) ?? 0);
      this.#tickets.set(jti, until);
      this.#note({ jti }, until);
      return true;
    }
    const { user } = revoked;
    if (!this.#hasRoom(this.#users, user, (entry) => entry.untilMs <= nowMs)) return false;
    const before = this.#users.get(user);
    const issuedBeforeMs = Math.max(revoked.issuedBeforeMs, before?.issuedBeforeMs ?? 0);
    const until = Math.max(untilMs, before?.untilMs ?? 0);
    this.#users.set(user, { issuedBeforeMs, untilMs: until });
    this.#note({ user, issuedBeforeMs }, until);
    return true;
  }

  /** All that are not over, in no order. While iterating, others MAY come and go. */
  *all(nowMs: number): Generator<Listed> {
    for (const [ticketId, untilMs] of this.#tickets) {
      if (untilMs > nowMs) {
        yield { name: `t${ticketId}`, ticketId, user: null, issuedBeforeMs: null, untilMs };
      }
    }
    for (const [user, { issuedBeforeMs, untilMs }] of this.#users) {
      if (untilMs > nowMs) yield { name: `u${user}`, ticketId: null, user, issuedBeforeMs, untilMs };
    }
  }

  /** Takes up what was revoked before a restart. Nobody is told. */
  restore(revoked: Revoked, untilMs: number): void {
    if ("jti" in revoked) this.#tickets.set(revoked.jti, untilMs);
    else this.#users.set(revoked.user, { issuedBeforeMs: revoked.issuedBeforeMs, untilMs });
  }

  /**
   * Whether a ticket is revoked. One that does not say when it was issued was issued before any moment, and so was one that
   * says a time still to come: whoever made it up may have done so long ago. Such a ticket is remembered by its id, so that
   * it is not good again when its time has come.
   */
  has(
    { user, ticketId, issuedAtMs }: Pick<Grant, "user" | "ticketId" | "issuedAtMs">,
    nowMs: number,
  ): boolean {
    if (ticketId !== null && (this.#tickets.get(ticketId) ?? 0) > nowMs) return true;
    const entry = this.#users.get(user);
    if (entry === undefined || entry.untilMs <= nowMs) return false;
    if ((issuedAtMs ?? 0) < entry.issuedBeforeMs) return true;
    if (issuedAtMs === null || issuedAtMs <= nowMs + FUTURE_MS) return false;
    if (ticketId !== null) this.revoke({ jti: ticketId }, entry.untilMs, nowMs);
    return true;
  }

  #hasRoom<T>(entries: Map<string, T>, name: string, isPast: (entry: T) => boolean): boolean {
    if (entries.has(name) || entries.size < this.#max) return true;
    for (const [known, entry] of entries) if (isPast(entry)) entries.delete(known);
    return entries.size < this.#max;
  }
}
