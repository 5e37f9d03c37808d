// Follows a room in a log that all nodes share, and tells its members here in the log's order. What the log tells can get lost
// on the way; each record names the one before it, so a gap is seen, and read from the log before anything goes on.

import { Frame, LANE, withOffset } from "../protocol/frame.ts";
import type { HistoryBounds, LossReason } from "./history.ts";
import {
  type HistoryStream,
  offsetOf,
  placeOf,
  recordId,
  sequenceOf,
  type StreamListener,
  type StreamRead,
  type StreamRecord,
} from "./history_stream.ts";
import { Awaited } from "./awaited.ts";
import { StreamQueue } from "./stream_queue.ts";
import { floorOf, StreamWindow } from "./stream_window.ts";

/** Records of one reading. */
const READ = 256;
/** Between two readings when the one that is asked lags behind, and how often. */
const LAG_MS = 20;
const LAG_TRIES = 100;
const STALE_MS = 500;
/** How long somebody waits to hear what was stored, before it is looked for. */
const REACHED_MS = 250;

export interface StreamFollowerOptions {
  /** What frames are said to be kept in. */
  readonly origin: object;
  readonly name: string;
  readonly stream: HistoryStream;
  readonly bounds: () => HistoryBounds;
  readonly now: () => number;
  readonly unixMs: () => number;
  readonly wait: (ms: number) => Promise<void>;
  /** Hands a frame to all members here, however many wait for them already: it is stored, and so to be heard. */
  readonly deliver: (frame: Frame, except: string | null) => number;
  readonly isOccupied: () => boolean;
  /** Whoever is a member hears all that comes from here on. */
  readonly renewed: () => void;
  /** Members did not hear everything that came before what they hear next, which comes behind this offset. */
  readonly lost: (reason: LossReason, offset: number) => void;
  /** The window holds more than before, or less. */
  readonly changed: () => void;
}

/** What members have heard of an epoch that is over. */
interface Former {
  readonly window: StreamWindow;
  readonly storedMs: number;
}

export class StreamFollower implements StreamListener {
  window: StreamWindow;
  /** Its messages had to make room for others'. */
  isCold = false;
  /** Which life of the room it is; empty for the first. */
  life = "";
  readonly #options: StreamFollowerOptions;
  #base = "";
  /** The newest record that was dealt with; 0 for none. */
  #chain = 0;
  #chainId = "";
  #ready: Promise<void> | null = null;
  #failed = false;
  /** Counts what has been begun, so that what is overtaken ends. */
  #run = 0;
  #isGone = false;
  #reading: Promise<void> | null = null;
  readonly #waiting = new StreamQueue();
  #former: Former | null = null;
  /** Who waits until a record has been dealt with here. */
  readonly #awaited = new Awaited();
  /** When its newest record was stored, here and by the log's clock. */
  #changedAt: number;
  #storedMs = 0;

  constructor(options: StreamFollowerOptions) {
    this.#options = options;
    this.window = new StreamWindow(options.bounds(), 0);
    this.#changedAt = options.now();
    this.#ready = this.#open();
  }

  /** Null once it is known what the log has. */
  get ready(): Promise<void> | null {
    // What failed is tried again by the next who comes.
    if (this.#failed && !this.#isGone) this.#ready = this.#open();
    return this.#ready;
  }

  get epoch(): string {
    return this.epochIn(this.#base === "" ? this.#options.stream.epoch : this.#base);
  }

  /** The room's epoch in one of the log's. */
  epochIn(base: string): string {
    return this.life === "" ? base : `${base}.${this.life}`;
  }

  /** Reads it anew: its messages had to go. */
  reload(): Promise<void> {
    this.#run++;
    this.#reading = null;
    const heard = this.#chain;
    return this.#ready = this.#begin(() =>
      this.#load((frame, { sequence, except }) => {
        if (sequence > heard) this.#options.deliver(frame, except);
      })
    );
  }

  /** Reads what this node was not told yet. */
  async look(): Promise<void> {
    await this.#options.stream.state();
    await this.check();
  }

  /** Resolves when a record has been dealt with here, or cannot be; null where that is so already. */
  reached(sequence: number): Promise<void> | null {
    if (sequence <= this.#chain || this.#ready !== null || this.#isGone) return null;
    if (this.#awaited.isEmpty) void this.#options.wait(REACHED_MS).then(() => this.#reach());
    return this.#awaited.add(sequence);
  }

  stop(): void {
    this.#isGone = true;
    this.#awaited.all()();
    this.#run++;
    this.#options.stream.forget(this.#options.name, this);
  }

  receive(record: StreamRecord): void {
    if (this.#reading !== null || this.#ready !== null) return this.#waiting.add(record);
    const { sequence, before } = record;
    if (sequence > this.#chain) {
      if (before === this.#chain) return this.#take(record);
      this.#waiting.add(record);
      // What cannot be read now is read when the room is looked at next.
      this.#catchUp().catch(() => {});
    } else if (!this.#isKnown(record)) this.#options.stream.suspect();
  }

  async check(): Promise<void> {
    if (this.#isGone) return;
    const under = this.ready ?? this.#reading;
    if (under !== null) return await under;
    const { stream, name, now, wait } = this.#options;
    const run = this.#run, chain = this.#chain, place = placeOf(stream.last);
    let head = await stream.newest(name);
    if (head !== null && head.sequence < chain) {
      // One that was asked may not have been the leader any more.
      await wait(STALE_MS);
      head = await stream.newest(name);
    }
    if (run !== this.#run || chain !== this.#chain) return;
    if (head !== null && head.sequence > chain || !this.#waiting.isEmpty) return await this.#catchUp();
    if (head !== null && (head.sequence < chain || head.id !== this.#chainId)) return stream.suspect();
    if (head === null) {
      const { first } = await stream.state();
      if (run !== this.#run || chain !== this.#chain) return;
      if (chain > 0 && first <= chain) return stream.suspect();
      if (first > this.#seen + 1) this.#cutOff(placeOf(first - 1));
    }
    this.window.advance(place);
    // A cursor is proven by what stands in the log. So something stands there, also in a room where nothing is said.
    if (now() - this.#changedAt > stream.maxAgeMs / 2) await this.#mark(head === null ? 0 : chain);
  }

  renew(): void {
    this.#former ??= { window: this.window, storedMs: this.#storedMs };
    this.#reading = null;
    this.#waiting.clear();
    this.#ready = this.#open();
  }

  #open(): Promise<void> {
    const { stream, name, deliver, isOccupied, lost } = this.#options;
    this.#run++;
    return this.#begin(async () => {
      await stream.listen(name, this);
      const former = this.#former;
      // Members of an epoch that is over have heard it, and not what was stored since in the next one.
      const tells = former !== null && isOccupied();
      const unheard: { readonly frame: Frame; readonly record: StreamRecord }[] = [];
      await this.#load((frame, record) => {
        const { sequence, id, storedMs } = record;
        if (!tells || former.window.has(offsetOf(sequence, id), frame.payload)) return;
        if (storedMs > former.storedMs) unheard.push({ frame, record });
      });
      this.#former = null;
      if (!tells) return;
      const next = unheard[0]?.record.sequence;
      lost("epoch", next === undefined ? this.window.last : placeOf(next));
      for (const { frame, record } of unheard) deliver(frame, record.except);
    });
  }

  /** Reads the room; whoever waits for it is told if that fails. */
  #begin(work: () => Promise<void>): Promise<void> {
    this.#failed = false;
    const run = this.#run;
    const begun = work().then(async () => {
      if (run === this.#run) await this.#settle(run);
      // It was begun anew meanwhile.
      if (run !== this.#run) return void await this.#ready;
      this.#ready = null;
    });
    begun.catch(() => {
      if (run === this.#run) this.#failed = true;
    });
    return begun;
  }

  /** Reads all that the log keeps of the room. @param told called with each message */
  async #load(told: (frame: Frame, record: StreamRecord) => void): Promise<void> {
    const { stream, name, now, bounds, changed, renewed } = this.#options;
    const run = this.#run;
    const place = placeOf(stream.last);
    let window = new StreamWindow(bounds(), place), isWhole = false;
    let chain = 0, chainId = "", life = "", changedAt = this.#changedAt, storedMs = 0;
    let first: number | null = null, count = 0, isCleared = false;
    for (let read: StreamRead | null = null; read === null || read.pending > 0;) {
      read = await stream.read(name, chain + 1, READ);
      if (run !== this.#run) return;
      if (read.records.length === 0) break;
      for (const record of read.records) {
        ({ sequence: chain, id: chainId, storedMs } = record);
        changedAt = this.#at(record);
        first ??= chain;
        count++;
        const offset = offsetOf(chain, chainId);
        if (record.kind === "clear") {
          life = record.life;
          window = new StreamWindow(bounds(), offset);
          isWhole = isCleared = true;
        } else if (!isCleared) life = record.life;
        // It says what stood before it, when that is gone.
        if (record.kind === "mark" && count === 1 && record.last !== null) {
          window = new StreamWindow(bounds(), record.last);
          isWhole = true;
        }
        if (record.kind !== "message") continue;
        const frame = this.#frameOf(record, offset);
        window.append(offset, frame, changedAt);
        window.trim(now());
        told(frame, record);
      }
    }
    const { first: oldest } = await stream.state();
    if (run !== this.#run) return;
    // What was cut off here, or begun anew, says by itself from where on it is whole.
    if (!isWhole && !window.isCut) {
      const { roomMax, countsFrom } = stream;
      const floor = Math.max(floorOf({ count, first, roomMax, oldest }), placeOf(countsFrom));
      window.prove(floor);
    }
    this.window = window;
    this.life = life;
    this.isCold = false;
    this.#base = stream.epoch;
    this.#chain = chain;
    this.#chainId = chainId;
    this.#changedAt = changedAt;
    this.#storedMs = storedMs;
    changed();
    renewed();
  }

  /** Takes what came while it was read, and what the log had not told yet because it lagged behind. */
  async #settle(run: number): Promise<void> {
    const { stream, name } = this.#options;
    const head = stream.lags ? await stream.newest(name) : null;
    if (run !== this.#run) return;
    if (!this.#drain() || head !== null && head.sequence > this.#chain) {
      await this.#readOn(run, head?.sequence ?? 0);
    }
  }

  #catchUp(): Promise<void> {
    const run = this.#run;
    return this.#reading ??= this.#readOn(run, 0).finally(() => {
      if (run === this.#run) this.#reading = null;
    });
  }

  /** Takes what stands behind the newest record, until nothing waits any more, and at least up to a sequence. */
  async #readOn(run: number, upTo: number): Promise<void> {
    const { stream, name, wait } = this.#options;
    for (let tries = 0; tries < LAG_TRIES; tries++) {
      // From the last one on: if it is still there, nothing behind it is missing.
      const from = Math.max(1, this.#chain, sequenceOf(this.window.last));
      const read = await stream.read(name, from, READ);
      if (run !== this.#run) return;
      const next = read.records[0];
      if (next?.sequence === this.#chain && next.id !== this.#chainId) return stream.suspect();
      if (next !== undefined && next.sequence > this.#chain) {
        const count = read.records.length + read.pending;
        const { first } = await stream.state();
        if (run !== this.#run) return;
        const isWhole = count < stream.roomMax && first <= this.#seen + 1;
        // It has not let go of the newest record, and does not have it: it has lost its end, and was given another.
        if (isWhole && first <= from && from === this.#chain && next.kind !== "clear") {
          return stream.suspect();
        }
        if (!isWhole) this.#cutOff(placeOf(next.sequence));
      }
      for (const record of read.records) if (record.sequence > this.#chain) this.#take(record);
      if (read.pending > 0) {
        tries = 0;
        continue;
      }
      if (this.#drain() && this.#chain >= upTo) return;
      await wait(LAG_MS);
      if (run !== this.#run) return;
    }
    throw new Error("the log does not tell what it has told of");
  }

  /** Up to here it is known what came. */
  get #seen(): number {
    return Math.max(this.#chain, sequenceOf(this.window.seen));
  }

  /** What came before this place is gone, and members have not heard it. */
  #cutOff(place: number): void {
    this.window = new StreamWindow(this.#options.bounds(), place);
    this.#options.lost("trimmed", place);
  }

  #take(record: StreamRecord): void {
    const { now, deliver, renewed, bounds, changed } = this.#options;
    const { kind, sequence, id } = record;
    this.#chain = sequence;
    this.#chainId = id;
    this.#changedAt = this.#at(record);
    this.#storedMs = record.storedMs;
    const offset = offsetOf(sequence, id);
    if (kind === "message") {
      const frame = this.#frameOf(record, offset);
      this.window.append(offset, frame, this.#changedAt);
      this.window.trim(now());
      changed();
      deliver(frame, record.except);
      this.#awaited.reached(sequence);
    } else if (kind === "clear") {
      this.life = record.life;
      this.window = new StreamWindow(bounds(), offset);
      changed();
      renewed();
    }
  }

  async #reach(): Promise<void> {
    const isBehind = this.#awaited.isBeyond(this.#chain), release = this.#awaited.all();
    if (isBehind) await this.check().catch(() => {});
    release();
  }

  /** When a record was stored, by this node's clock. */
  #at({ storedMs }: StreamRecord): number {
    const { now, unixMs } = this.#options;
    return now() - Math.max(0, unixMs() - storedMs);
  }

  /** Takes what waits. @returns whether nothing is missing before it or behind it */
  #drain(): boolean {
    return this.#waiting.drain(() => this.#chain, (record) => this.#take(record));
  }

  /** Whether a record that comes late has been dealt with, and is not another in the same place. */
  #isKnown(record: StreamRecord): boolean {
    const { sequence, id, kind } = record;
    if (sequence === this.#chain) return id === this.#chainId;
    const offset = offsetOf(sequence, id);
    return kind !== "message" || offset < this.window.first ||
      this.window.has(offset, this.#frameOf(record, offset).payload);
  }

  #frameOf({ text }: StreamRecord, offset: number): Frame {
    const frame = withOffset(new Frame(text, LANE.reliable, 0), offset);
    frame.origin = this.#options.origin;
    return frame;
  }

  async #mark(behind: number): Promise<void> {
    const { stream, name } = this.#options;
    const { last } = this.window;
    // The same from all nodes that are in the room, so that one of them is stored.
    const id = recordId(`mark ${behind} ${sequenceOf(last)} ${name}`);
    const nothing = { text: "", except: null, digest: null };
    await stream.append(name, { kind: "mark", id, life: this.life, last, behind, ...nothing });
  }
}
