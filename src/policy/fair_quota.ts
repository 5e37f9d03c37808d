// A quota that several senders share fairly (max-min): one bucket, and one pace. The pace is what the quota lets each
// sender have, the same for all, and follows from how full the bucket is: steeply slower the emptier it is. Who asks for
// less than the pace gets all of it, the others get the pace; while that is more than the quota's rate the bucket empties
// and the pace falls, while it is less the bucket fills and the pace rises, until all of them together get the rate. So
// nobody has to be counted, and the whole state is a few numbers, for ten senders as for a hundred thousand.
// Where each stands is told by a level that rises at the pace: a sender takes from its own mark up, and may while its mark
// is below the level. A mark may lag behind, but not far: what is not used for long is lost. A sender that is alone has
// the bucket to itself.

import { Rate } from "./rate.ts";

/** With this much of the bucket taken, the pace is the quota's rate: enough for one that sends all it can. */
const TAKEN_AT_RATE = 0.1;
/** How steep: with the bucket empty, the pace of a quarter of a million equal senders. */
const STEEPNESS = Math.log(250_000) / (1 - TAKEN_AT_RATE);
/** A sender counts as there for this long after it came: long, so that who comes rarely finds something left. */
const PRESENT_MS = 60_000;

/** Least time that somebody is told to wait. */
const WAIT_MS_MIN = 1;

/** What a quota keeps of one sender. */
export class Share {
  /** How high it has come, in units. */
  mark = 0;
}

export class FairQuota {
  /** What a unit counts for: above 1 where others, whom this quota does not see, have a part in it. */
  weight = 1;
  readonly perSecond: number;
  readonly burst: number;
  readonly #rate: Rate;
  /** How long the empty bucket takes to be full. */
  readonly #burstMs: number;
  #fullAt = 0;
  /** What each sender could have taken so far, in units. */
  #level: number;
  /** Until when that was counted. */
  #countedAt = 0;
  /** Where the level was: last looked at `#lookedAt`, and the time before, each at least one `#burstMs` apart. */
  #recently = 0;
  #formerly = 0;
  #lookedAt = 0;
  /** The highest mark of all. */
  #highest = 0;
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
    this.#burstMs = burst / perSecond * 1000;
    // As if the bucket had been full all the time.
    this.#level = burst;
  }

  /** Milliseconds until this sender may take so many units, as far as that can be known: 0 when it may now. */
  waitMs(share: Share, now: number, count: number): number {
    const units = count * this.weight;
    this.#note(share, now);
    const wait = this.#rate.waitMs(this.#fullAt, now, units);
    if (wait > 0 || !this.#isShared(now)) return wait;
    this.#rise(now);
    const above = share.mark - this.#level;
    return above < 0 ? 0 : Math.max(WAIT_MS_MIN, this.#untilRisen(above));
  }

  /** Takes units; ask `waitMs` first, in the same moment. */
  take(share: Share, now: number, count: number): void {
    const units = count * this.weight;
    if (this.#isShared(now)) this.#mark(share, now, units);
    this.#fullAt = this.#rate.take(this.#fullAt, now, units);
  }

  /** Goes on where a quota with other limits was: its bucket is empty at worst, and nobody is above anybody. */
  apply(before: FairQuota, now: number): void {
    this.#fullAt = this.#rate.capped(before.#fullAt, now);
    this.#countedAt = now;
  }

  #mark(share: Share, now: number, units: number): void {
    this.#rise(now);
    const free = this.burst * (1 - this.#taken(now));
    // What the pace gave in the time in which the bucket comes back, and no more than half of what is there.
    // One message too late is never lost, up to half of the burst.
    const lag = Math.max(Math.min(units, this.burst / 2), Math.min(free / 2, this.#level - this.#formerly));
    share.mark = Math.max(share.mark, this.#level - lag) + units;
    if (share.mark > this.#highest) this.#highest = share.mark;
  }

  /** Has the level rise to where it is by now. */
  #rise(now: number): void {
    if (now <= this.#countedAt) return;
    if (now - this.#lookedAt >= this.#burstMs) {
      this.#formerly = this.#recently;
      this.#recently = this.#level;
      this.#lookedAt = now;
    }
    // The bucket fills evenly until it is full, and the pace is an exponential of that.
    const from = this.#countedAt, filled = Math.max(from, Math.min(this.#fullAt, now));
    const pace = paceAt(this.#taken(filled));
    this.#level += (pace - paceAt(this.#taken(from))) * this.burst / STEEPNESS;
    // With the bucket full, nobody is above anybody.
    if (filled < now) this.#level = Math.max(this.#level, this.#highest);
    this.#level += pace * (now - filled) / this.#burstMs * this.burst;
    this.#countedAt = now;
  }

  /** Milliseconds until the level has risen by so many units, if nobody takes anything meanwhile. */
  #untilRisen(units: number): number {
    const pace = paceAt(this.#taken(this.#countedAt));
    return Math.log1p(units * STEEPNESS / (this.burst * pace)) * this.#burstMs / STEEPNESS;
  }

  /** How much of the bucket is taken, as a part of it. */
  #taken(now: number): number {
    return this.#fullAt <= now ? 0 : (this.#fullAt - now) / this.#burstMs;
  }

  #note(share: Share, now: number): void {
    if (share !== this.#last) {
      this.#other = this.#last;
      this.#otherAt = this.#lastAt;
      this.#last = share;
    }
    this.#lastAt = now;
  }

  /** Whether somebody else than whoever has just come came lately. */
  #isShared(now: number): boolean {
    return this.#other !== null && now - this.#otherAt < PRESENT_MS;
  }
}

/** The pace, as a part of the quota's rate, with so much of the bucket taken. */
function paceAt(taken: number): number {
  return Math.exp(STEEPNESS * (TAKEN_AT_RATE - taken));
}
