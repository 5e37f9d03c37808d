// Answers that wait: a bad ticket is answered a moment later, so that guessing is slow, while nothing but the
// connection itself waits with it. How many may wait is bounded; above that, answers come at once. Those that have
// waited go out a few per turn: in a storm a hundred are due in the same tick, and sessions would wait for all of them.

import { Timer, type TimerWheel } from "../session/timer_wheel.ts";

/** Answers waiting at the same time, all tenants together. */
export const WAITING_MAX = 4096;
/** Answers given in one turn of the event loop: at some 50 µs each, about half a millisecond. */
export const TURN_ANSWERS_MAX = 8;

export interface DelayOptions {
  readonly wheel: TimerWheel;
  /** Runs a task once this turn's readable sockets were read (see `Transport.afterTurn`). */
  readonly afterTurn: (task: () => void) => void;
  /** Answers that may wait. */
  readonly max: number;
}

export class Delay {
  readonly #options: DelayOptions;
  readonly #answer = () => this.#turn();
  /** Whose time has come, in that order. */
  #due: (() => void)[] = [];
  #head = 0;
  #waiting = 0;

  constructor(options: DelayOptions) {
    this.#options = options;
  }

  /** Answers waiting now. */
  get waiting(): number {
    return this.#waiting;
  }

  /** The value, `delayMs` later; or at once where there is nothing to wait for or too many wait already. */
  after<T>(delayMs: number, value: T): T | Promise<T> {
    const { wheel, max } = this.#options;
    if (delayMs === 0 || this.#waiting >= max) return value;
    this.#waiting++;
    return new Promise((resolve) => {
      const timer = new AnswerTimer(() => this.#add(() => resolve(value)));
      wheel.schedule(timer, delayMs);
    });
  }

  #add(answer: () => void): void {
    if (this.#due.push(answer) === 1) this.#options.afterTurn(this.#answer);
  }

  #turn(): void {
    const end = Math.min(this.#due.length, this.#head + TURN_ANSWERS_MAX);
    while (this.#head < end) {
      this.#waiting--;
      this.#due[this.#head++]!();
    }
    if (this.#head < this.#due.length) return this.#options.afterTurn(this.#answer);
    this.#due = [];
    this.#head = 0;
  }
}

/** An answer that waits. */
class AnswerTimer extends Timer {
  readonly #answer: () => void;

  constructor(answer: () => void) {
    super();
    this.#answer = answer;
  }

  override onTimer(): number {
    this.#answer();
    return 0;
  }
}
