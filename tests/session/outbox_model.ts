// The outbox by its rules alone: plain arrays, everything counted anew each time, no thought of speed. Written from
// the issue and the doc comments. What the real one does differently is a bug in one of the two.

import { LANE, type Lane, LANE_NAMES, type LossLane } from "../../src/protocol/frame.ts";
import type { DropReason } from "../../src/metrics/metrics.ts";
import type { SlowCause } from "../../src/session/outbox_owner.ts";
import type { OutboxLimits } from "../../src/session/outbox_limits.ts";

/** A frame in a model: its name stands for its bytes. */
export interface ModelFrame {
  readonly name: string;
  readonly lane: Lane;
  readonly bytes: number;
  readonly key: number;
}

/** A socket by script: the kernel takes so many bytes more, the rest waits in this process. */
export class ScriptedSocket {
  /** What the kernel takes before anything waits. */
  takes = Number.POSITIVE_INFINITY;
  waiting = 0;

  /** @returns bytes that wait in this process afterwards */
  write(bytes: number): number {
    const taken = this.waiting > 0 ? 0 : Math.min(this.takes, bytes);
    this.takes -= taken;
    this.waiting += bytes - taken;
    return this.waiting;
  }
}

/** What happened to an outbox, in order; the same words for the model and for the real one. */
export type Happening =
  | { readonly wrote: readonly string[]; readonly waiting: number }
  | { readonly gap: string; readonly dropped: number; readonly bytes: number; readonly since_ms: number }
  | { readonly tooSlow: SlowCause };

/** Largest sum of one write, and of one turn's; how often a gap is told. */
const WRITE_BYTES = 16_384;
const TURN_BYTES = 262_144;
const GAP_MS = 1000;

interface Waiting {
  frame: ModelFrame;
  at: number;
}

interface ModelGap {
  dropped: number;
  bytes: number;
  sinceAt: number;
  toldAt: number;
}

/** All sessions' outboxes. */
export class ModelHouse {
  now = 0;
  readonly maxHeldBytes: number;
  /** To be flushed at the end of the turn, in this order. */
  due: ModelOutbox[] = [];
  /** Looked at now and then, those longest watched first. */
  watched: ModelOutbox[] = [];
  readonly outboxes: ModelOutbox[] = [];

  constructor(maxHeldBytes: number) {
    this.maxHeldBytes = maxHeldBytes;
  }

  heldBytes(): number {
    return this.outboxes.reduce((sum, outbox) => sum + outbox.heldBytes(), 0);
  }

  /** Those that hold most are shed first; if that is not enough, they end. */
  turn(): void {
    if (this.maxHeldBytes > 0 && this.heldBytes() > this.maxHeldBytes) {
      const isEnough = () => this.heldBytes() <= this.maxHeldBytes * 0.9;
      const largestFirst = () => [...this.watched].sort((a, b) => b.heldBytes() - a.heldBytes());
      for (const outbox of largestFirst()) if (!isEnough()) outbox.shed();
      for (const outbox of largestFirst()) if (!isEnough()) outbox.giveUp("shed");
    }
    for (const outbox of this.due.splice(0)) outbox.flush();
  }

  look(): void {
    for (const outbox of [...this.watched]) outbox.look();
  }
}

export class ModelOutbox {
  readonly happenings: Happening[] = [];
  /** "lane reason" → frames and bytes. */
  readonly drops = new Map<string, { frames: number; bytes: number }>();
  readonly written: string[] = [];
  readonly pushed: string[] = [];
  readonly dropped: string[] = [];
  readonly conflated: string[] = [];
  readonly lanes: Waiting[][] = [[], [], [], []];
  state: "open" | "overflowed" | "leaving" | "ended" = "open";
  blocked = false;
  /** While blocked: what the socket held when last looked at, and when that last became less. */
  buffered = 0;
  progressAt = 0;
  /** The socket may still hold control or reliable frames. */
  owes = false;
  readonly socket = new ScriptedSocket();
  readonly #gaps = new Map<LossLane, ModelGap>();
  readonly #house: ModelHouse;
  readonly #limits: OutboxLimits;

  constructor(house: ModelHouse, limits: OutboxLimits) {
    this.#house = house;
    this.#limits = limits;
    house.outboxes.push(this);
  }

  bytes(lane?: Lane): number {
    const of = lane === undefined ? this.lanes : [this.lanes[lane]!];
    return of.flat().reduce((sum, { frame }) => sum + frame.bytes, 0);
  }

  /** What waits for a full socket, in it and behind it. */
  heldBytes(): number {
    return this.blocked && this.state !== "ended" ? this.bytes() + this.buffered : 0;
  }

  waitingNames(): string[] {
    return this.lanes.flat().map(({ frame }) => frame.name);
  }

  gapWaits(): boolean {
    return [...this.#gaps.values()].some((gap) => gap.dropped > 0);
  }

  push(frame: ModelFrame): void {
    if (this.state === "ended") return;
    const wasOverflowed = this.state === "overflowed";
    this.#take(frame);
    if (!this.blocked && !wasOverflowed) this.#makeDue();
  }

  #take(frame: ModelFrame): void {
    this.pushed.push(frame.name);
    // A session on its way out takes no more than the word why.
    if (this.state === "overflowed" || this.state === "leaving" && frame.lane !== LANE.control) {
      return this.#drop(frame, "closed");
    }
    if (frame.lane === LANE.lossy) this.#pushLossy(frame);
    else if (frame.lane === LANE.latest) this.#pushLatest(frame);
    else this.#pushKept(frame);
  }

  // Full means over the bytes, the full socket's own included, or over the messages. The session ends at the flush.
  #pushKept(frame: ModelFrame): void {
    // The first that must not be lost has its full time, however long the socket has taken nothing.
    if (this.blocked && !this.#owesAnything()) this.progressAt = this.#house.now;
    const lane = this.#add(frame);
    if (this.state === "leaving") return;
    const isFull = () => {
      const inSocket = this.blocked ? this.buffered : 0;
      return lane.length > 0 && this.bytes(frame.lane) + inSocket > this.#limits.reliableBytes ||
        lane.length > this.#limits.reliableMessages;
    };
    if (isFull()) this.#chance();
    if (!isFull()) return;
    this.state = "overflowed";
    for (const { frame } of lane.splice(0)) this.#drop(frame, "full");
    this.#makeDue();
  }

  // The newest of a key takes the place of the one that waits. Full: the oldest leaves.
  #pushLatest(frame: ModelFrame): void {
    const waiting = this.lanes[LANE.latest]!.find((entry) => entry.frame.key === frame.key);
    if (waiting === undefined) this.#add(frame);
    else {
      this.conflated.push(waiting.frame.name);
      waiting.frame = frame;
      waiting.at = this.#house.now;
    }
    if (this.bytes(LANE.latest) > this.#limits.latestBytes) {
      this.#chance();
      this.#dropOldest(LANE.latest, this.#limits.latestBytes);
    }
  }

  // Full: the oldest leave, or the new one does. One that is larger than the lane goes if the socket takes it now.
  #pushLossy(frame: ModelFrame): void {
    const { lossyBytes, lossyDropsOldest } = this.#limits;
    const fits = () => this.bytes(LANE.lossy) + frame.bytes <= lossyBytes;
    if (fits()) return void this.#add(frame);
    this.#chance();
    const goesNow = !this.blocked && this.lanes[LANE.lossy]!.length === 0;
    if (!fits() && !lossyDropsOldest && !goesNow) return this.#drop(frame, "full");
    this.#add(frame);
    this.#chance();
    this.#dropOldest(LANE.lossy, lossyBytes);
  }

  flush(): void {
    if (this.state === "ended") return;
    if (this.state === "overflowed") return this.giveUp("full");
    if (this.blocked) return;
    for (const lane of [LANE.latest, LANE.lossy]) this.#tellGap(lane);
    if (this.#isOverflowed()) return this.giveUp("full");
    this.#chance();
    if (!this.blocked && this.waitingNames().length > 0) this.#makeDue();
    this.#watch();
  }

  /** The socket has taken everything. */
  drained(): void {
    this.owes = false;
    if (!this.blocked || this.state === "ended") return;
    this.blocked = false;
    if (this.waitingNames().length > 0 || this.gapWaits()) this.#makeDue();
    this.#watch();
  }

  look(): void {
    if (!this.blocked) return this.#makeDue();
    const { now } = this.#house;
    if (this.socket.waiting < this.buffered) {
      this.buffered = this.socket.waiting;
      this.progressAt = now;
      return;
    }
    if (this.#owesAnything() && now - this.progressAt >= this.#limits.sendTimeoutMs) this.giveUp("stalled");
  }

  shed(): void {
    if (!this.blocked) return;
    for (const lane of [LANE.latest, LANE.lossy]) {
      for (const { frame } of this.lanes[lane]!.splice(0)) this.#drop(frame, "shed");
    }
  }

  /** The session ends: it says why and closes. */
  giveUp(cause: SlowCause): void {
    this.state = "leaving";
    this.happenings.push({ tooSlow: cause });
    this.push(errorFrame(cause));
    this.finish(false);
  }

  /** What must not be lost is given to the socket all the same, the rest is dropped. */
  finish(reliable: boolean): void {
    if (this.state === "ended") return;
    this.#dropAll([LANE.lossy, LANE.latest, ...reliable ? [] : [LANE.reliable]]);
    while (this.waitingNames().length > 0) this.#writeOnce();
    this.discard();
  }

  discard(): void {
    if (this.state === "ended") return;
    this.#dropAll([LANE.control, LANE.reliable, LANE.latest, LANE.lossy]);
    this.state = "ended";
    this.#watch();
  }

  #owesAnything(): boolean {
    return this.owes || this.lanes[LANE.control]!.length > 0 || this.lanes[LANE.reliable]!.length > 0;
  }

  #add(frame: ModelFrame): Waiting[] {
    const lane = this.lanes[frame.lane]!;
    lane.push({ frame, at: this.#house.now });
    return lane;
  }

  /** An open socket is written to until it is above the watermark, nothing is left, or the turn's share is used. */
  #chance(): void {
    let written = 0;
    while (!this.blocked && written < TURN_BYTES) {
      const wrote = this.#writeOnce();
      if (wrote === 0) return;
      written += wrote;
      if (this.socket.waiting <= this.#limits.watermarkBytes) continue;
      this.blocked = true;
      this.buffered = this.socket.waiting;
      this.progressAt = this.#house.now;
      this.#watch();
    }
  }

  /** One write: lane by lane, what is too old left out. @returns its bytes */
  #writeOnce(): number {
    const batch: ModelFrame[] = [];
    const sum = () => batch.reduce((sum, frame) => sum + frame.bytes, 0);
    let isFull = false;
    for (const [lane, entries] of this.lanes.entries()) {
      const maxAge = lane === LANE.latest
        ? this.#limits.latestAgeMs
        : lane === LANE.lossy
        ? this.#limits.lossyAgeMs
        : 0;
      while (entries.length > 0 && !isFull) {
        const { frame, at } = entries[0]!;
        const isOld = maxAge > 0 && this.#house.now - at > maxAge;
        if (!isOld && batch.length > 0 && sum() + frame.bytes > WRITE_BYTES) isFull = true;
        else {
          entries.shift();
          if (isOld) this.#drop(frame, "age");
          else batch.push(frame);
        }
      }
    }
    if (batch.length === 0) return 0;
    if (batch.some((frame) => frame.lane <= LANE.reliable)) this.owes = true;
    const waiting = this.socket.write(sum());
    if (waiting === 0) this.owes = false;
    this.happenings.push({ wrote: batch.map(({ name }) => name), waiting });
    this.written.push(...batch.map(({ name }) => name));
    return sum();
  }

  #dropOldest(lane: LossLane, maxBytes: number): void {
    while (this.bytes(lane) > maxBytes) this.#drop(this.lanes[lane]!.shift()!.frame, "full");
  }

  #dropAll(lanes: readonly Lane[]): void {
    for (const lane of lanes) {
      for (const { frame } of this.lanes[lane]!.splice(0)) this.#drop(frame, "closed");
    }
  }

  #drop(frame: ModelFrame, reason: DropReason): void {
    this.dropped.push(frame.name);
    const name = `${LANE_NAMES[frame.lane]} ${reason}`;
    const before = this.drops.get(name) ?? { frames: 0, bytes: 0 };
    this.drops.set(name, { frames: before.frames + 1, bytes: before.bytes + frame.bytes });
    // A client is told of what it may lose; whoever is closed knows.
    if (reason === "closed" || frame.lane === LANE.control || frame.lane === LANE.reliable) return;
    const { now } = this.#house;
    const gap = this.#gaps.get(frame.lane) ??
      { dropped: 0, bytes: 0, sinceAt: now, toldAt: Number.NEGATIVE_INFINITY };
    if (gap.dropped === 0) gap.sinceAt = now;
    gap.dropped++;
    gap.bytes += frame.bytes;
    this.#gaps.set(frame.lane, gap);
  }

  // When there is room, and no more than once a second.
  #tellGap(lane: LossLane): void {
    const { now } = this.#house;
    const gap = this.#gaps.get(lane);
    if (gap === undefined || gap.dropped === 0 || now - gap.toldAt < GAP_MS) return;
    const told = { lane, dropped: gap.dropped, bytes: gap.bytes, sinceMs: now - gap.sinceAt };
    this.happenings.push(gapHappening(told));
    gap.dropped = gap.bytes = 0;
    gap.toldAt = now;
    this.#take(gapFrame(told));
  }

  #isOverflowed(): boolean {
    return this.state === "overflowed";
  }

  #makeDue(): void {
    if (!this.#house.due.includes(this)) this.#house.due.push(this);
  }

  #watch(): void {
    const wanted = this.state !== "ended" && (this.blocked || this.gapWaits());
    const { watched } = this.#house;
    if (wanted && !watched.includes(this)) watched.push(this);
    if (!wanted) this.#house.watched = watched.filter((other) => other !== this);
  }
}

export interface Gap {
  readonly lane: LossLane;
  readonly dropped: number;
  readonly bytes: number;
  readonly sinceMs: number;
}

export function gapHappening({ lane, dropped, bytes, sinceMs }: Gap): Happening {
  return { gap: LANE_NAMES[lane], dropped, bytes, since_ms: sinceMs };
}

/** The word on a gap: its name is its content, its size that of a `sys.gap`. */
export function gapFrame({ lane, dropped, bytes, sinceMs }: Gap): ModelFrame {
  const name = `gap ${LANE_NAMES[lane]} ${dropped} ${bytes} ${sinceMs}`;
  return { name, lane: LANE.control, bytes: 120, key: 0 };
}

export function errorFrame(cause: SlowCause): ModelFrame {
  return { name: `error ${cause}`, lane: LANE.control, bytes: 150, key: 0 };
}
