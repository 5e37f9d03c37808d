// Users of one tenant who are kept out for a time. Times are Unix time in milliseconds, so that a list of them means the
// same to another process.

import { OrderedIndex } from "../collections/ordered_index.ts";

/** One user's ban. */
export interface Ban {
  readonly user: string;
  /** When it ends, Unix time in milliseconds. */
  readonly untilMs: number;
  /** The rule, or whoever else has banned the user. */
  readonly by: string;
}

/** Told of what changes: null for a user who is banned no more, but not of a ban that is over. */
export type BanNote = (user: string, ban: Ban | null) => void;

/** How many are remembered, unless it is said. */
export const BANS_MAX = 100_000;

/** Those that are over are looked for this often at most: when it is full of others, a ban is not to cost a look at all. */
const LOOK_MS = 1000;

export class Bans {
  readonly #max: number;
  readonly #note: BanNote;
  /** Milliseconds by which the clock has been set ahead, and is not believed yet. */
  readonly #aheadMs: () => number;
  /** By user, the oldest first. */
  readonly #bans = new Map<string, Ban>();
  readonly #inOrder = new OrderedIndex<Ban>();
  #nextLookMs = 0;

  /**
   * @param max how many are remembered at most; the oldest is forgotten for one more
   * @param aheadMs by how much the times that are given here are ahead of those that count
   */
  constructor(max = BANS_MAX, note: BanNote = () => {}, aheadMs: () => number = () => 0) {
    this.#aheadMs = aheadMs;
    this.#max = max;
    this.#note = note;
  }

  get size(): number {
    return this.#bans.size;
  }

  /** Keeps a user out; a ban that lasts longer stays as it is. @returns the one that holds */
  ban(wish: Ban, clockMs: number): Ban {
    const aheadMs = this.#aheadMs();
    const nowMs = clockMs - aheadMs;
    const ban = aheadMs === 0 ? wish : { ...wish, untilMs: wish.untilMs - aheadMs };
    const before = this.#find(ban.user, nowMs);
    if (before !== null && before.untilMs >= ban.untilMs) return before;
    this.#forget(ban.user);
    if (this.#bans.size >= this.#max && nowMs >= this.#nextLookMs) this.#forgetPast(nowMs);
    if (this.#bans.size >= this.#max) this.unban(this.#bans.keys().next().value!);
    this.#keep(ban);
    this.#note(ban.user, ban);
    return ban;
  }

  /** @returns whether the user was banned */
  unban(user: string): boolean {
    if (!this.#forget(user)) return false;
    this.#note(user, null);
    return true;
  }

  /** Takes up bans of before a restart; those that end first count as the oldest. Nobody is told. */
  restore(bans: readonly Ban[]): void {
    const latest = bans.toSorted((a, b) => a.untilMs - b.untilMs).slice(-this.#max);
    for (const ban of latest) this.#keep(ban);
  }

  /** The ban that keeps a user out now, or null. */
  find(user: string, clockMs: number): Ban | null {
    return this.#find(user, clockMs - this.#aheadMs());
  }

  #find(user: string, nowMs: number): Ban | null {
    const ban = this.#bans.get(user);
    if (ban === undefined) return null;
    if (ban.untilMs > nowMs) return ban;
    this.#forget(user);
    return null;
  }

  /** The bans that hold now of users whose names come behind this one, null for all, in the order of these. */
  *behind(user: string | null, clockMs: number): Generator<Ban> {
    const nowMs = clockMs - this.#aheadMs();
    const past: string[] = [];
    try {
      for (const ban of this.#inOrder.behind(user)) {
        if (ban.untilMs > nowMs) yield ban;
        else past.push(ban.user);
      }
    } finally {
      // Each is in the way once.
      for (const one of past) this.#forget(one);
    }
  }

  #forgetPast(nowMs: number): void {
    this.#nextLookMs = nowMs + LOOK_MS;
    for (const [user, { untilMs }] of this.#bans) if (untilMs <= nowMs) this.#forget(user);
  }

  #keep(ban: Ban): void {
    this.#bans.set(ban.user, ban);
    this.#inOrder.set(ban.user, ban);
  }

  #forget(user: string): boolean {
    this.#inOrder.delete(user);
    return this.#bans.delete(user);
  }
}
