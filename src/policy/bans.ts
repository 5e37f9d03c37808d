// Users of one tenant who are kept out for a time. Times are Unix time in milliseconds, so that a list of them means the
// same to another process.

/** One user's ban. */
export interface Ban {
  readonly user: string;
  /** When it ends, Unix time in milliseconds. */
  readonly untilMs: number;
  /** The rule, or whoever else has banned the user. */
  readonly by: string;
}

export class Bans {
  readonly #max: number;
  /** By user, the oldest first. */
  readonly #bans = new Map<string, Ban>();

  /** @param max how many are remembered at most; the oldest is forgotten for one more */
  constructor(max = 100_000) {
    this.#max = max;
  }

  get size(): number {
    return this.#bans.size;
  }

  /** Keeps a user out; a ban that lasts longer stays as it is. */
  ban(ban: Ban, nowMs: number): void {
    const before = this.find(ban.user, nowMs);
    if (before !== null && before.untilMs >= ban.untilMs) return;
    this.#bans.delete(ban.user);
    if (this.#bans.size >= this.#max) this.#forgetPast(nowMs);
    if (this.#bans.size >= this.#max) this.#bans.delete(this.#bans.keys().next().value!);
    this.#bans.set(ban.user, ban);
  }

  /** @returns whether the user was banned */
  unban(user: string): boolean {
    return this.#bans.delete(user);
  }

  /** The ban that keeps a user out now, or null. */
  find(user: string, nowMs: number): Ban | null {
    const ban = this.#bans.get(user);
    if (ban === undefined) return null;
    if (ban.untilMs > nowMs) return ban;
    this.#bans.delete(user);
    return null;
  }

  /** All bans that hold now. */
  list(nowMs: number): Ban[] {
    this.#forgetPast(nowMs);
    return [...this.#bans.values()];
  }

  #forgetPast(nowMs: number): void {
    for (const [user, { untilMs }] of this.#bans) if (untilMs <= nowMs) this.#bans.delete(user);
  }
}
