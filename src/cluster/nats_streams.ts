// The logs of all tenants' classes on this node: they are looked at from time to time, and when NATS is back. What a server
// tells of what it stored can get lost, also the last message of a room in which nothing more is said, so rooms are checked.

import type { Log } from "../log.ts";
import type { MetricSource } from "../metrics/metrics.ts";
import type { HistoryBounds } from "../room/history.ts";
import type { HistoryStreams, StreamListener } from "../room/history_stream.ts";
import { Semaphore } from "../collections/semaphore.ts";
import { NatsStream } from "./nats_stream.ts";
import type { StreamCounts } from "./stream_writer.ts";
import type { StreamLink } from "./stream_link.ts";

const TICK_MS = 250;
/** Between two looks at a stream, and at a room: far below the time that records are kept. */
const STREAM_MS = 5000;
const ROOM_MS = 30_000;
/** Where rooms are many, the time between two looks grows. */
const ROOMS_PER_TICK_MAX = 125;
/** After a room is listened to: servers further away hear of that a little later. */
const FIRST_MS = 1000;
/** Rooms that are looked at, at the same time. */
const AT_ONCE = 32;
const RETRY_MS = 500;
/** New rooms that wait for their first look; of more, some are looked at in their round. */
const FRESH_MAX = 100_000;

export interface NatsStreamsOptions {
  readonly link: StreamLink;
  readonly prefix: string;
  readonly replicas: number;
  /** Of one stream; 0 for as much as NATS has room for. */
  readonly maxBytes: number;
  readonly log: Log;
  readonly clock: {
    readonly now: () => number;
    readonly wait: (ms: number) => Promise<void>;
    readonly newId: () => string;
    readonly every: (ms: number, task: () => void) => () => void;
  };
}

export class NatsStreams {
  readonly #options: NatsStreamsOptions;
  readonly #streams = new Set<NatsStream>();
  /** Rooms that are new, in the order in which they came. */
  readonly #fresh: { readonly listener: StreamListener; readonly at: number }[] = [];
  /** All of them, as far as this round has come. */
  #round: Iterator<StreamListener> | null = null;
  readonly #semaphore = new Semaphore(AT_ONCE);
  readonly #counts: StreamCounts = { stored: 0, failed: 0, refused: 0, pending: 0, epochs: 0 };
  #lookedAt = 0;
  #stopTicking: (() => void) | null = null;

  /** Has no effects. */
  constructor(options: NatsStreamsOptions) {
    this.#options = options;
  }

  start(): void {
    const { link, clock } = this.#options;
    link.watch((isUp) => {
      if (isUp) { for (const stream of this.#streams) void this.#comeBack(stream); }
      else for (const stream of this.#streams) stream.lose();
    });
    this.#stopTicking = clock.every(TICK_MS, () => this.#tick());
  }

  stop(): void {
    this.#stopTicking?.();
    for (const stream of [...this.#streams]) this.#end(stream);
  }

  /** Whether a history cannot be written or read now. */
  get isDegraded(): boolean {
    for (const { isUp } of this.#streams) if (!isUp) return true;
    return false;
  }

  get metrics(): MetricSource[] {
    const counts = this.#counts;
    const read = (value: () => number) => () => [{ labels: {}, value: value() }];
    return [{
      name: "history_streams",
      help: "Streams of NATS that rooms of this node are kept in.",
      type: "gauge",
      read: read(() => this.#streams.size),
    }, {
      name: "history_streams_away",
      help: "Those of them that cannot be written to now.",
      type: "gauge",
      read: read(() => [...this.#streams].filter(({ isUp }) => !isUp).length),
    }, {
      name: "history_stream_pending",
      help: "Messages on their way into a stream.",
      type: "gauge",
      read: read(() => counts.pending),
    }, {
      name: "history_stream_stored_total",
      help: "Messages that a stream has taken.",
      type: "counter",
      read: read(() => counts.stored),
    }, {
      name: "history_stream_failed_total",
      help: "Messages that were refused with UNAVAILABLE, because no stream said that it has taken them.",
      type: "counter",
      read: read(() => counts.failed),
    }, {
      name: "history_stream_refused_total",
      help: "Messages that were refused because too many were on their way already.",
      type: "counter",
      read: read(() => counts.refused),
    }, {
      name: "history_stream_epochs_total",
      help: "Times that a stream was found to be another, or to have lost its newest messages.",
      type: "counter",
      read: read(() => counts.epochs),
    }];
  }

  /** A tenant's. */
  of(tenant: string): HistoryStreams {
    const own = new Map<string, NatsStream>();
    const end = (match: string, stream: NatsStream) => {
      own.delete(match);
      this.#end(stream);
    };
    return {
      of: (match, bounds) => {
        const known = own.get(match);
        if (known !== undefined) {
          known.apply(bounds);
          return known;
        }
        const stream = this.#begin(tenant, match, bounds);
        own.set(match, stream);
        return stream;
      },
      keepOnly(matches) {
        for (const [match, stream] of own) if (!matches.has(match)) end(match, stream);
      },
      stop() {
        for (const [match, stream] of own) end(match, stream);
      },
    };
  }

  #begin(tenant: string, match: string, bounds: HistoryBounds): NatsStream {
    const { link, prefix, replicas, maxBytes, log, clock } = this.#options;
    const stream = new NatsStream({
      link,
      prefix,
      tenant,
      match,
      bounds,
      replicas,
      maxBytes,
      log,
      wait: clock.wait,
      newId: clock.newId,
      counts: this.#counts,
      listened: (listener) => {
        if (this.#fresh.length < FRESH_MAX) this.#fresh.push({ listener, at: clock.now() + FIRST_MS });
      },
    });
    this.#streams.add(stream);
    return stream;
  }

  #end(stream: NatsStream): void {
    stream.stop();
    this.#streams.delete(stream);
  }

  #tick(): void {
    const { link, clock: { now } } = this.#options;
    if (!link.isUp) return void (this.#fresh.length = 0);
    if (now() - this.#lookedAt >= STREAM_MS) {
      this.#lookedAt = now();
      for (const stream of this.#streams) stream.look().catch(() => {});
    }
    // Behind a round that is late, another would only wait.
    if (this.#semaphore.waiting > 0) return;
    while (this.#fresh.length > 0 && this.#fresh[0]!.at <= now()) this.#check(this.#fresh.shift()!.listener);
    let rooms = 0;
    for (const stream of this.#streams) rooms += stream.size;
    const due = Math.min(ROOMS_PER_TICK_MAX, Math.ceil(rooms * TICK_MS / ROOM_MS));
    for (let i = 0; i < due; i++) {
      this.#round ??= this.#all();
      const { done, value } = this.#round.next();
      if (done) {
        this.#round = null;
        return;
      }
      this.#check(value);
    }
  }

  *#all(): Generator<StreamListener> {
    for (const stream of this.#streams) yield* stream.listeners();
  }

  /** NATS is back: what was said meanwhile is read, some rooms at a time. */
  async #comeBack(stream: NatsStream): Promise<void> {
    const { link, clock } = this.#options;
    for (;;) {
      try {
        await stream.look();
        break;
      } catch {
        // A stream without a leader has one soon.
        await clock.wait(RETRY_MS);
        if (!link.isUp || !this.#streams.has(stream)) return;
      }
    }
    for (const listener of [...stream.listeners()]) this.#check(listener);
  }

  #check(listener: StreamListener): void {
    void this.#semaphore.run(() => listener.check()).catch(() => {});
  }
}
