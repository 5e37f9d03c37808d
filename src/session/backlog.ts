// Messages of a session that its connection is not given yet: there is none, or it is being brought up to date and others
// come first. As long as any wait here, all that the session is sent waits behind them: first what a lost connection was not
// given, then what was missed in rooms, a page at a time, then what is live. Hot frames do not wait: while there is no
// connection they are dropped.

import { cborForm } from "../protocol/cbor.ts";
import { type Frame, nameOf } from "../protocol/frame.ts";
import type { TenantMetrics } from "../metrics/metrics.ts";
import type { Connection } from "./connection.ts";
import type { Missed } from "../room/kept_room.ts";
import type { Flushable, Flusher } from "./flusher.ts";
import type { Parting } from "./handover.ts";
import { LaneQueue } from "./lane_queue.ts";
import { Replay, type ReplayBounds } from "./replay.ts";
import type { ReplayPump } from "./replay_pump.ts";

const NO_FRAMES: readonly Frame[] = [];
/** A connection is given no more of a replay while it holds so much, so that what is live reaches it soon. */
const CONNECTION_BYTES_MAX = 65_536;

export interface BacklogOptions {
  readonly cbor: boolean;
  readonly flusher: Flusher;
  readonly pump: ReplayPump;
  readonly metrics: TenantMetrics;
  /** What may be kept, as it is now. */
  readonly bounds: () => ReplayBounds;
  /** More waits than may wait: the session has to end, but not inside this call. */
  readonly overflowed: () => void;
  /** The same, and it may end inside: all sessions together hold too much. */
  readonly evicted: () => void;
}

export class Backlog implements Flushable {
  readonly replay: Replay;
  readonly #options: BacklogOptions;
  #connection: Connection | null = null;
  /** Histories of rooms, the first of which is being told. */
  readonly #missed: Missed[] = [];
  #page: readonly Frame[] = NO_FRAMES;
  #pageAt = 0;
  /** Until the next page of a history has been read. */
  #loading: Promise<void> | null = null;
  /** What is live while histories are told; null while none is. */
  #behind: LaneQueue | null = null;
  #countedBytes = 0;
  #overflowed = false;
  /** Names of what has come since its session was asked for by another node; null where none asks. */
  #names: Set<string> | null = null;
  /** Names of what has come, there or here, for a while after its session came from another node. */
  #known: Set<string> | null = null;

  constructor(options: BacklogOptions) {
    this.#options = options;
    this.replay = new Replay(options.bounds);
  }

  get isEmpty(): boolean {
    return this.replay.waiting === 0 && this.#behind === null;
  }

  /** Messages that wait. */
  get count(): number {
    const missed = this.#missed.reduce((sum, { left }) => sum + left, this.#page.length - this.#pageAt);
    return this.replay.waiting + missed + (this.#behind?.size ?? 0);
  }

  /** More came to wait than may: some of it is lost. */
  get hasOverflowed(): boolean {
    return this.#overflowed;
  }

  /** Payload bytes that wait; what shedding goes by. */
  get heldBytes(): number {
    return this.#countedBytes;
  }

  send(frame: Frame): void {
    if (this.#known !== null && this.#isKnown(frame)) return;
    // Behind what is lost nothing more is told: the session ends, and a gap must not come before that word.
    if (this.#overflowed) return;
    const connection = this.#connection;
    if (connection !== null && this.isEmpty) connection.send(frame);
    else if (frame.isExt) this.#wait(frame);
    else if (connection !== null) connection.send(frame);
    else this.#options.metrics.drops.add(frame.lane, "detached", 1, frame.bytes);
  }

  /** Another node asks for the session: from now on it is noted what comes. */
  note(): void {
    this.#names ??= new Set();
  }

  /** Names of what has come since then; null where no other node asks, or the client has come back here. */
  get names(): ReadonlySet<string> | null {
    return this.#names;
  }

  isPortable(frameBytesMax: number, namesMax: number): boolean {
    const { sent, waiting } = this.replay.list();
    const fits = (frame: Frame): boolean => frame.bytes <= frameBytesMax;
    return sent.every(fits) && waiting.every(fits) && (this.#names?.size ?? 0) <= namesMax;
  }

  /** Has what was missed in rooms wait with all else. Resolves with whether there was room for it. */
  async gather(): Promise<boolean> {
    while (this.#connection === null && this.#behind !== null) {
      const frame = this.#nextMissed();
      if (frame === null) await this.#loading;
      else if (!this.replay.wait(this.#options.cbor ? cborForm(frame) : frame)) return false;
    }
    this.#recount();
    return !this.#overflowed;
  }

  /**
   * Goes on where another node's has ended.
   * @param arrived what has come here already, some of which has come there as well
   * @returns whether all that waits has room
   */
  goOn({ sentCount, sent, waiting, names }: Parting, arrived: readonly Frame[]): boolean {
    const fits = this.replay.goOn(sentCount, sent, waiting);
    this.#known = new Set(names);
    for (const frame of arrived) this.send(frame);
    this.#recount();
    return fits && !this.#overflowed;
  }

  /** From now on nothing comes any more that the other node has had as well. */
  settled(): void {
    this.#known = null;
  }

  /** Puts what was missed in a room before all that is sent from now on. */
  recover(missed: Missed): void {
    this.#missed.push(missed);
    this.#behind ??= new LaneQueue(false);
    if (this.#connection !== null) this.#options.pump.add(this);
  }

  /** What waits goes to this connection, which has been greeted, before anything else. */
  attach(connection: Connection): void {
    this.#connection = connection;
    this.#names = null;
    if (!this.isEmpty) this.#options.pump.add(this);
  }

  /** @returns whether all that waits now has room */
  detach(unwritten: readonly Frame[]): boolean {
    this.#connection = null;
    this.#options.pump.remove(this);
    const fits = this.replay.detach(unwritten);
    this.#recount();
    return fits;
  }

  /** Its session has ended. */
  discard(): void {
    this.#connection = null;
    const { pump, flusher } = this.#options;
    pump.remove(this);
    flusher.unwatch(this);
    flusher.count(-this.#countedBytes);
    this.#countedBytes = 0;
    this.#overflowed = true;
    for (const missed of this.#missed.splice(0)) missed.stop();
  }

  /** The connection can take more than it could. */
  drained(): void {
    if (this.#connection !== null && !this.isEmpty) this.#options.pump.add(this);
  }

  /**
   * Gives the connection what waits.
   * @param maxBytes how much at most, but for the last message
   * @returns how many bytes it took; 0 when it takes no more for now
   */
  give(maxBytes: number): number {
    const connection = this.#connection;
    let given = 0;
    // A connection can be found dead by what it is given.
    while (
      connection !== null && connection === this.#connection && !this.#overflowed && !this.isEmpty &&
      given < maxBytes
    ) {
      if (connection.waitingBytes >= CONNECTION_BYTES_MAX) break;
      const frame = this.replay.waiting > 0 ? this.replay.next() : this.#nextMissed();
      if (frame === null) {
        if (this.#loading !== null) break;
        continue;
      }
      given += Math.max(1, frame.bytes);
      connection.send(frame);
    }
    if (given > 0) this.#recount();
    return given;
  }

  /** The next message of a history; null when its page has yet to come, or when that was the last. */
  #nextMissed(): Frame | null {
    if (this.#pageAt < this.#page.length) return this.#page[this.#pageAt++]!;
    this.#page = NO_FRAMES;
    this.#pageAt = 0;
    const first = this.#missed[0];
    if (first === undefined) this.#caughtUp();
    else if (this.#loading === null) {
      const page = first.next();
      if (!(page instanceof Promise)) this.#take(page);
      else {
        // What cannot be read any more is a loss that somebody has to hear of: the session ends, and comes back.
        this.#loading = page.then((loaded) => this.#take(loaded), () => this.#options.evicted()).then(() => {
          this.#loading = null;
          this.drained();
        });
      }
    }
    return null;
  }

  #take(page: readonly Frame[] | null): void {
    if (page === null) this.#missed.shift();
    else this.#page = page;
  }

  /** All histories are told; what is live is next. */
  #caughtUp(): void {
    const behind = this.#behind;
    this.#behind = null;
    while (behind !== null && behind.size > 0) this.#wait(behind.shift());
  }

  // As the flusher sees it: it holds bytes, none of which may be dropped.

  flush(): number {
    return 0;
  }

  look(): void {
    this.drained();
  }

  shed(): void {}

  evict(): void {
    this.#options.evicted();
  }

  /** Whether it has come before; the next time, it has. */
  #isKnown(frame: Frame): boolean {
    const name = nameOf(frame);
    if (name === null) return false;
    if (this.#known!.has(name)) return true;
    this.#known!.add(name);
    return false;
  }

  #wait(frame: Frame): void {
    if (this.#overflowed) return;
    for (const missed of this.#missed) if (missed.hides?.(frame)) return;
    if (this.#names !== null) {
      const name = nameOf(frame);
      if (name !== null) this.#names.add(name);
    }
    const kept = this.#options.cbor ? cborForm(frame) : frame;
    if (!(this.#behind === null ? this.replay.wait(kept) : this.#waitBehind(this.#behind, kept))) {
      this.#overflowed = true;
      this.#options.overflowed();
    }
    this.#recount();
  }

  #waitBehind(behind: LaneQueue, frame: Frame): boolean {
    behind.push(frame, 0);
    const { maxBytes, maxMessages } = this.#options.bounds();
    return behind.bytes <= maxBytes && behind.size <= maxMessages;
  }

  #recount(): void {
    const { flusher } = this.#options;
    const held = this.replay.waitingBytes + (this.#behind?.bytes ?? 0);
    if (held === this.#countedBytes) return;
    if (this.#countedBytes === 0) flusher.watch(this);
    else if (held === 0) flusher.unwatch(this);
    flusher.count(held - this.#countedBytes);
    this.#countedBytes = held;
  }
}
