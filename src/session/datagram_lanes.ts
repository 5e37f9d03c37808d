// The lanes of one session that go as datagrams, where its link has them: an outbox of their own beside the ordered one, so
// that neither waits for the other. What the network loses of `lossy` is lost. Of `latest` the newest has to arrive in the end,
// or a state that was changed once and then left alone would stay wrong for ever: so the last frame with each key is sent once
// more on the ordered way, as soon as no newer one has followed it for a moment.

import { type Frame, LANE } from "../protocol/frame.ts";
import type { Flushable, Flusher } from "./flusher.ts";
import { Outbox } from "./outbox.ts";
import type { OutboxOptions, OutboxWay } from "./outbox_lanes.ts";

/** How long nothing newer comes before a frame is repeated: some round trips, and more than any sender's ticks. */
const QUIET_MS = 250;

export interface DatagramLanesOptions extends Omit<OutboxOptions, "replay"> {
  /** Sends a frame on the ordered way. */
  readonly repeat: (frame: Frame) => void;
}

export class DatagramLanes {
  readonly #outbox: Outbox;
  readonly #repeats: Repeats;

  constructor(options: DatagramLanesOptions) {
    const { link, flusher, tenant } = options;
    const repeats = this.#repeats = new Repeats({
      way: link,
      flusher,
      repeat: options.repeat,
      maxBytes: () => tenant.settings.outbox.latestBytes,
    });
    this.#outbox = new Outbox({ ...options, link: repeats, replay: null });
  }

  /** Of these lanes only. */
  push(frame: Frame): void {
    this.#outbox.push(frame);
  }

  flushSpeaker(): void {
    this.#outbox.flushSpeaker();
  }

  drained(): void {
    this.#outbox.drained();
  }

  get waitingBytes(): number {
    return this.#outbox.waitingBytes;
  }

  /** Nothing waits, and nothing is to be repeated. */
  get isIdle(): boolean {
    return this.#outbox.isIdle && this.#repeats.size === 0;
  }

  /** Ends it; what waits is lost and counted. */
  discard(): void {
    this.#repeats.stop();
    this.#outbox.discard();
  }
}

interface RepeatsOptions {
  readonly way: OutboxWay;
  readonly flusher: Flusher;
  readonly repeat: (frame: Frame) => void;
  /** Of all that is kept to be repeated; above it, what is oldest is repeated early. */
  readonly maxBytes: () => number;
}

/** Stands between an outbox and the datagrams, and knows what was sent last with each key. */
class Repeats implements OutboxWay, Flushable {
  readonly heldBytes = 0; // the frames are their room's, and shared
  readonly #options: RepeatsOptions;
  /** The one that was sent longest ago comes first. */
  readonly #sent = new Map<number, { frame: Frame; at: number }>();
  #bytes = 0;

  constructor(options: RepeatsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#sent.size;
  }

  write(frames: readonly Frame[], count: number): number {
    const { way, flusher } = this.#options;
    const waiting = way.write(frames, count);
    let now = 0;
    for (let i = 0; i < count; i++) {
      const frame = frames[i]!;
      if (frame.lane === LANE.latest) this.#note(frame, now === 0 ? now = flusher.now() : now);
    }
    return waiting;
  }

  bufferedBytes(): number {
    return this.#options.way.bufferedBytes();
  }

  look(now: number): void {
    for (const [key, { frame, at }] of this.#sent) {
      if (now - at < QUIET_MS) return;
      this.#repeat(key, frame);
    }
    this.#options.flusher.unwatch(this);
  }

  flush(): number {
    return 0;
  }

  shed(): void {}

  evict(): void {}

  stop(): void {
    this.#sent.clear();
    this.#bytes = 0;
    this.#options.flusher.unwatch(this);
  }

  #note(frame: Frame, now: number): void {
    const { flusher, maxBytes } = this.#options;
    let entry = this.#sent.get(frame.key);
    if (entry === undefined) entry = { frame, at: now };
    else {
      this.#bytes -= entry.frame.bytes;
      this.#sent.delete(frame.key);
      entry.frame = frame;
      entry.at = now;
    }
    if (this.#sent.size === 0) flusher.watch(this);
    this.#sent.set(frame.key, entry);
    this.#bytes += frame.bytes;
    if (this.#bytes <= maxBytes()) return;
    for (const [key, oldest] of this.#sent) {
      if (this.#bytes <= maxBytes()) return;
      this.#repeat(key, oldest.frame);
    }
  }

  #repeat(key: number, frame: Frame): void {
    this.#sent.delete(key);
    this.#bytes -= frame.bytes;
    this.#options.repeat(frame);
  }
}
