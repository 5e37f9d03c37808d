// When a session is to be looked at without a message: its client is told that its ticket ends, the ticket ends, or nobody
// has come back within the time for that. Made for a session that has any of these; most have none.

import { Timer, type TimerWheel } from "./timer_wheel.ts";

/** Whose deadlines these are. Each MAY end the session inside. */
export interface DeadlineOwner {
  /** Its right ends so many milliseconds from now; it is told once. */
  rightEndsSoon(leftMs: number): void;
  rightEnded(): void;
  /** Until when its client may come back, on the gateway's clock; infinite while it is there. */
  readonly awayUntil: number;
  expire(): void;
  /** It was marked as one to be ended, at a moment when that could not be done. */
  overflow(): void;
}

export class Deadlines extends Timer {
  readonly #owner: DeadlineOwner;
  /** When its right ends and when the client is told so; infinite for never and for not, or told already. */
  endsAt = Number.POSITIVE_INFINITY;
  warnAt = Number.POSITIVE_INFINITY;
  /** More waits than may wait. */
  overflowed = false;

  constructor(owner: DeadlineOwner) {
    super();
    this.#owner = owner;
  }

  /** To be called when one of them has changed. */
  schedule(wheel: TimerWheel, now: number): void {
    const next = this.#next(now);
    if (next > 0) wheel.schedule(this, next);
    else wheel.cancel(this);
  }

  override onTimer(now: number): number {
    const owner = this.#owner;
    if (this.overflowed) {
      owner.overflow();
      return 0;
    }
    // Whichever came first is the reason that the client is told when it comes back too late.
    if (now >= owner.awayUntil && owner.awayUntil <= this.endsAt) {
      owner.expire();
      return 0;
    }
    if (now >= this.endsAt) {
      owner.rightEnded();
      return 0;
    }
    if (now >= this.warnAt) {
      this.warnAt = Number.POSITIVE_INFINITY;
      owner.rightEndsSoon(Math.ceil(this.endsAt - now));
    }
    return this.#next(now);
  }

  /** @returns milliseconds, 0 for none */
  #next(now: number): number {
    if (this.overflowed) return 1;
    const next = Math.min(this.warnAt, this.endsAt, this.#owner.awayUntil);
    return next === Number.POSITIVE_INFINITY ? 0 : Math.max(1, next - now);
  }
}
