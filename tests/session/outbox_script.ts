// The real outbox under a script: links that take what they are told to take, a clock that stands still, turns that
// end when the script says so. What happens is noted in the words of outbox_model.ts.

import { strict as assert } from "node:assert";
import { TenantMetrics } from "../../src/metrics/metrics.ts";
import { Frame, LANE_NAMES } from "../../src/protocol/frame.ts";
import { Flusher } from "../../src/session/flusher.ts";
import { Outbox } from "../../src/session/outbox.ts";
import type { OutboxOwner, SlowCause } from "../../src/session/outbox_owner.ts";
import type { OutboxLimits } from "../../src/session/outbox_limits.ts";
import type { Link, WireFrame } from "../../src/transport/port.ts";
import {
  errorFrame,
  type Gap,
  gapFrame,
  gapHappening,
  type Happening,
  type ModelFrame,
  ScriptedSocket,
} from "./outbox_model.ts";

/** The largest frame of any script. */
const ZEROS = new Uint8Array(600_000);

/** All sessions' outboxes: the real counterpart of `ModelHouse`. */
export class RealHouse {
  now = 0;
  readonly flusher: Flusher;
  #tasks: (() => void)[] = [];

  constructor(maxHeldBytes: number) {
    this.flusher = new Flusher({
      afterTurn: (task) => void this.#tasks.push(task),
      now: () => this.now,
      prepare: () => false,
      maxHeldBytes: () => maxHeldBytes,
    });
  }

  /** Ends the event-loop turn. */
  turn(): void {
    const tasks = this.#tasks;
    this.#tasks = [];
    for (const task of tasks) task();
  }
}

/** One session's outbox, with its socket and its owner. */
export class RealBox implements OutboxOwner {
  readonly happenings: Happening[] = [];
  readonly metrics = new TenantMetrics(LANE_NAMES);
  readonly socket = new ScriptedSocket();
  readonly outbox: Outbox;
  ended = false;
  writtenBytes = 0;
  pushedBytes = 0;
  readonly #names = new Map<WireFrame, string>();
  readonly #toldAt = new Map<number, number>();
  readonly #house: RealHouse;
  readonly #limits: OutboxLimits;
  #isEnding = false;

  constructor(house: RealHouse, limits: OutboxLimits) {
    this.#house = house;
    this.#limits = limits;
    const link: Link = {
      transport: "websocket",
      canPing: true,
      datagrams: null,
      remoteAddress: "192.0.2.1",
      write: (frames, count) => this.#write(frames.slice(0, count)),
      bufferedBytes: () => this.socket.waiting,
      ping() {},
      pause() {},
      resume() {},
      close() {},
      terminate() {},
    };
    this.outbox = new Outbox({
      link,
      flusher: house.flusher,
      tenant: { settings: { outbox: limits }, metrics: this.metrics },
      owner: this,
      replay: null,
    });
  }

  push({ name, lane, bytes, key }: ModelFrame): void {
    const frame = new Frame(ZEROS.subarray(0, bytes), lane, key);
    this.#names.set(frame, name);
    if (!this.ended) this.pushedBytes += bytes;
    this.outbox.push(frame);
  }

  finish(reliable: boolean): void {
    this.#isEnding = true;
    this.outbox.finish(reliable);
    this.ended = true;
  }

  discard(): void {
    this.outbox.discard();
    this.ended = true;
  }

  tooSlow(cause: SlowCause): void {
    this.happenings.push({ tooSlow: cause });
    this.push(errorFrame(cause));
    this.finish(false);
  }

  tellGap(gap: Gap): void {
    const sinceMs = this.#house.now - (this.#toldAt.get(gap.lane) ?? Number.NEGATIVE_INFINITY);
    assert.ok(sinceMs >= 1000, "told twice within a second");
    this.#toldAt.set(gap.lane, this.#house.now);
    this.happenings.push(gapHappening(gap));
    this.push(gapFrame(gap));
  }

  /** "lane reason" → frames and bytes. */
  drops(): Map<string, { frames: number; bytes: number }> {
    const { drops } = this.metrics;
    const bytes = [...drops.bytes()].map(({ value }) => value);
    return new Map(
      [...drops.messages()].map(({ labels, value }, i) => [
        `${labels["lane"]} ${labels["reason"]}`,
        { frames: value, bytes: bytes[i]! },
      ]),
    );
  }

  #write(frames: readonly WireFrame[]): number {
    const bytes = frames.reduce((sum, frame) => sum + frame.bytes, 0);
    this.writtenBytes += bytes;
    // The last words go out all the same.
    const isOpen = this.socket.waiting <= this.#limits.watermarkBytes;
    assert.ok(isOpen || this.#isEnding, "written above the watermark");
    const waiting = this.socket.write(bytes);
    this.happenings.push({ wrote: frames.map((frame) => this.#names.get(frame) ?? "a stranger"), waiting });
    return waiting;
  }
}
