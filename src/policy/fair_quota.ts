// A quota that several senders share fairly (max-min): one bucket, and turns. While one sender is alone, the whole bucket
// is its. As soon as there are several, they take turns: in each round everybody has the same small quantum, and a round
// passes as fast as the quota's rate pays for what was sent in it. Whoever has had its turn may run ahead of the round, by
// no more than is still free in the bucket: so there is always something left for those who are not ahead, and what they
// leave unused is everybody's. A round waits for those who came in it while the bucket was empty, but not for ever.
// All of it is a few numbers: rounds are cells of a ring, and each was filled by a message before it is emptied.

import { Rate } from "./rate.ts";

/** Quanta that the burst is divided into: what fairness is exact to. */
const QUANTA = 256;
/** Rounds that can be told apart, a power of two; nobody is further ahead than the burst, debts aside. */
const ROUNDS = 512;
/** A sender counts as there for this long after it came. */
const PRESENT_MS = 1000;

/** What a quota keeps of one sender. */
export class Share {
  /** What it has taken, counted in units since the first round; below the current round's start: nothing lately. */
  units = 0;
  /** The round that waits for it, or -1. */
  awaitedIn = -1;
}

export class FairQuota {
  readonly perSecond: number;
  readonly burst: number;
  readonly #rate: Rate;
  readonly #perMs: number;
  readonly #quantum: number;
  /** Units sent in each round from the current one on. */
  readonly #sent = new Float64Array(ROUNDS);
  #fullAt = 0;
  #round = 0;
  /** The first round in which nothing was sent. */
  #end = 0;
  /** Units that the rate has paid for, from the current round's first on, and until when. */
  #paid = 0;
  #paidAt = 0;
  #roundAt = 0;
  /** Senders that the current round waits for. */
  #awaited = 0;
  /** The two senders who came last, to tell whether there is another one. */
  #last: Share | null = null;
  #lastAt = 0;
  #other: Share | null = null;
  #otherAt = 0;

  /**
   * @param perSecond units that come back each second, above 0
   * @param burst units of the full bucket, 1 or more
   */
  constructor(perSecond: number, burst: number) {
    this.perSecond = perSecond;
    this.burst = burst;
    this.#rate = new Rate(perSecond, burst);
    this.#perMs = perSecond / 1000;
    this.#quantum = Math.max(1, burst / QUANTA);
  }

  /** Milliseconds until this sender may take so many units, as far as that can be known: 0 when it may now. */
  waitMs(share: Share, now: number, units: number): number {
    this.#note(share, now);
    this.#advance(now);
    const ahead = share.units - this.#round * this.#quantum;
    const inTurn = ahead <= 0 || ahead + units <= this.#quantum;
    const wait = this.#rate.waitMs(this.#fullAt, now, units);
    if (wait > 0) {
      if (inTurn && share.awaitedIn !== this.#round) {
        share.awaitedIn = this.#round;
        this.#awaited++;
      }
      return wait;
    }
    if (inTurn || !this.#isShared(share, now)) return 0;
    const used = Math.max(0, this.#fullAt - now) * this.#perMs;
    const free = this.burst - used - this.#awaited * this.#quantum;
    const over = ahead + Math.min(units, this.burst / 2) - free;
    return over > 1e-6 ? over / this.#perMs : 0;
  }

  /** Takes units; ask `waitMs` first, in the same moment. */
  take(share: Share, now: number, units: number): void {
    this.#advance(now);
    this.#fullAt = this.#rate.take(this.#fullAt, now, units);
    if (share.awaitedIn === this.#round) this.#awaited--;
    share.awaitedIn = -1;
    this.#send(share, units);
  }

  /** Goes on where a quota with other limits was: its bucket is empty at worst, and nobody is ahead of anybody. */
  takeOver(before: FairQuota, now: number): void {
    this.#fullAt = this.#rate.capped(before.#fullAt, now);
    this.#paidAt = this.#roundAt = now;
  }

  /** Enters units into the rounds that they belong to, from the sender's own place on. */
  #send(share: Share, units: number): void {
    const quantum = this.#quantum, last = this.#round + ROUNDS - 1;
    let at = Math.max(share.units, this.#round * quantum), left = units;
    let round = Math.floor(at / quantum);
    while (left > 0) {
      // A debt larger than the ring is all in its last round: the bucket knows it exactly.
      const here = round >= last ? left : Math.min(left, (round + 1) * quantum - at);
      const cell = Math.min(round, last);
      this.#sent[cell & (ROUNDS - 1)]! += here;
      if (cell >= this.#end) this.#end = cell + 1;
      left -= here;
      at += here;
      round++;
    }
    share.units = Math.min(at, (last + 1) * quantum);
  }

  /** Ends the rounds that have passed by now. */
  #advance(now: number): void {
    if (this.#fullAt <= now) return this.#restart(now);
    this.#paid += (now - this.#paidAt) * this.#perMs;
    this.#paidAt = now;
    while (this.#round < this.#end) {
      const cell = this.#round & (ROUNDS - 1);
      if (this.#paid < this.#sent[cell]! || !this.#isWaitOver(now)) return;
      this.#paid -= this.#sent[cell]!;
      this.#sent[cell] = 0;
      this.#begin(this.#round + 1, now);
    }
  }

  /** Whether nobody is awaited any more: they have come, or have had the time in which all could have. */
  #isWaitOver(now: number): boolean {
    return this.#awaited === 0 ||
      (now - this.#roundAt) * this.#perMs >= this.burst + this.#awaited * this.#quantum;
  }

  /** The bucket is full: nobody is ahead of anybody. */
  #restart(now: number): void {
    for (let round = this.#round; round < this.#end; round++) this.#sent[round & (ROUNDS - 1)] = 0;
    if (this.#end > this.#round) this.#begin(this.#end, now);
    this.#awaited = 0;
    this.#paid = 0;
    this.#paidAt = this.#roundAt = now;
  }

  #begin(round: number, now: number): void {
    this.#round = round;
    this.#roundAt = now;
    this.#awaited = 0;
  }

  #note(share: Share, now: number): void {
    if (share !== this.#last) {
      this.#other = this.#last;
      this.#otherAt = this.#lastAt;
      this.#last = share;
    }
    this.#lastAt = now;
  }

  /** Whether somebody else than this sender, who has just come, came lately. */
  #isShared(share: Share, now: number): boolean {
    return share === this.#last && this.#other !== null && now - this.#otherAt < PRESENT_MS;
  }
}
