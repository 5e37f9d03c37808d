// The log of one class of rooms as a JetStream stream. What is stored in it is published again by the server (RePublish), so
// nodes listen to plain subjects and need no consumers.

import type { StoredMsg, StreamInfo } from "@nats-io/jetstream";
import { errorText } from "../error_text.ts";
import type { Log } from "../log.ts";
import type { HistoryBounds } from "../room/history.ts";
import type {
  HistoryStream,
  StreamDraft,
  StreamHead,
  StreamListener,
  StreamPlace,
  StreamRead,
  StreamRecord,
  StreamState,
} from "../room/history_stream.ts";
import { JetStreamApi } from "./jetstream_api.ts";
import type { StreamLink } from "./stream_link.ts";
import { StreamWitness } from "./stream_witness.ts";
import { type StreamCounts, StreamWriter } from "./stream_writer.ts";
import {
  codeOf,
  COMPARED,
  epochOf,
  HEADER,
  maxAgeMsOf,
  META,
  NAME_IN_USE,
  NOT_FOUND,
  ownMetadata,
  recordOf,
  renewedMetadata,
  roomMaxOf,
  STREAM_NOT_FOUND,
  streamConfig,
  streamNames,
} from "./stream_names.ts";

/** How long a request may take. */
const REQUEST_MS = 5000;
/** Bytes of one reading. */
const READ_BYTES = 4_194_304;
/** How often what was over is asked about again, until it is believed: somebody may have brought back an older stream. */
const STALE_TRIES = 4;
/** Between two attempts to have the stream, and two looks at a stream that seems to have lost its end. */
const RETRY_MS = 500;

export interface NatsStreamOptions {
  readonly link: StreamLink;
  readonly prefix: string;
  readonly tenant: string;
  readonly match: string;
  readonly bounds: HistoryBounds;
  readonly replicas: number;
  readonly maxBytes: number;
  readonly log: Log;
  readonly wait: (ms: number) => Promise<void>;
  readonly newId: () => string;
  readonly counts: StreamCounts;
  /** A room has come, and is to be looked at from time to time. */
  readonly listened: (listener: StreamListener) => void;
}

interface Heard {
  readonly listener: StreamListener;
  readonly listening: { stop(): void };
}

export class NatsStream implements HistoryStream {
  readonly #options: NatsStreamOptions;
  readonly #names;
  #bounds: HistoryBounds;
  #epoch = "";
  #meta: Readonly<Record<string, string>> = {};
  #last = 0;
  readonly #witness = new StreamWitness();
  #countsFrom = 0;
  #having: Promise<void> | null = null;
  #has = false;
  #isStopped = false;
  #looking: Promise<void> | null = null;
  #isSuspect = false;
  readonly #api: JetStreamApi;
  readonly #heard = new Map<string, Heard>();
  readonly #writer: StreamWriter;
  #complaint = "";

  constructor(options: NatsStreamOptions) {
    this.#options = options;
    this.#bounds = options.bounds;
    const { prefix, tenant, match } = options;
    this.#names = streamNames(prefix, tenant, match);
    this.#api = new JetStreamApi(options.link, REQUEST_MS);
    this.#writer = new StreamWriter({
      ...options,
      client: () => this.#api.client,
      having: () => this.#has ? null : this.#have(),
      known: () => ({ epoch: this.#epoch, last: this.#last }),
      suspect: () => {
        this.#isSuspect = true;
        return this.look();
      },
      verify: () => (this.#looking ?? Promise.resolve()).catch(() => {}).then(() => this.look()),
      placed: (sequence, id) => this.#note(sequence, id),
      failed: (error) => {
        this.#complain("NATS did not store a message", error);
        this.look().catch(() => {});
      },
    });
    void this.#have().catch(() => {});
  }

  get name(): string {
    return this.#names.stream;
  }

  get epoch(): string {
    return this.#epoch;
  }

  get isUp(): boolean {
    return this.#options.link.isUp && this.#has;
  }

  get last(): number {
    return this.#last;
  }

  get countsFrom(): number {
    return this.#countsFrom;
  }

  get lags(): boolean {
    return this.#options.replicas > 1;
  }

  get roomMax(): number {
    return roomMaxOf(this.#bounds);
  }

  get maxAgeMs(): number {
    return maxAgeMsOf(this.#bounds);
  }

  /** Rooms that are listened to. */
  get size(): number {
    return this.#heard.size;
  }

  *listeners(): Generator<StreamListener> {
    for (const { listener } of this.#heard.values()) yield listener;
  }

  async listen(room: string, listener: StreamListener): Promise<void> {
    await this.#have();
    const heard = this.#heard.get(room);
    if (heard?.listener !== listener) {
      heard?.listening.stop();
      const { link, listened } = this.#options;
      const listening = link.listen(this.#names.out(room), (data, { headers }) => {
        const record = recordOf(headers, data);
        if (record === null) return;
        this.#note(record.sequence, record.id);
        listener.receive(record);
      });
      this.#heard.set(room, { listener, listening });
      listened(listener);
    }
    await this.#options.link.settled();
  }

  forget(room: string, listener: StreamListener): void {
    const heard = this.#heard.get(room);
    if (heard?.listener !== listener) return;
    heard.listening.stop();
    this.#heard.delete(room);
  }

  append(room: string, draft: StreamDraft): Promise<StreamPlace | null> | "full" {
    return this.#writer.append(this.#names.in(room), draft);
  }

  async read(room: string, from: number, limit: number): Promise<StreamRead> {
    await this.#have();
    const manager = await this.#api.manager;
    const records: StreamRecord[] = [];
    let pending = 0;
    const query = { seq: from, next_by_subj: this.#names.in(room), batch: limit, max_bytes: READ_BYTES };
    try {
      const found = await manager.direct.getBatch(this.name, query as never);
      for await (const { header, data } of found) {
        const record = recordOf(header, data);
        if (record !== null) records.push({ ...record, before: null });
        pending = Number(header.get("Nats-Num-Pending"));
      }
    } catch (error) {
      // None of the room from there on.
      if ((error as { code?: number }).code !== NOT_FOUND) throw error;
    }
    return { records, pending };
  }

  async newest(room: string): Promise<StreamHead | null> {
    await this.#have();
    const manager = await this.#api.manager;
    const found: StoredMsg | null = await manager.streams.getMessage(this.name, {
      last_by_subj: this.#names.in(room),
    });
    return found === null ? null : { sequence: found.seq, id: found.header.get(HEADER.id) };
  }

  async digestOf(sequence: number): Promise<string | null> {
    const manager = await this.#api.manager;
    const found = await manager.streams.getMessage(this.name, { seq: sequence });
    return found?.header.get(HEADER.digest) || null;
  }

  async state(): Promise<StreamState> {
    await this.#have();
    return await this.#ask();
  }

  async purge(room: string, before: number): Promise<void> {
    const manager = await this.#api.manager;
    await manager.streams.purge(this.name, { filter: this.#names.in(room), seq: before });
  }

  suspect(): void {
    this.#isSuspect = true;
    void this.look().catch(() => {});
  }

  /** Sees whether the stream is there, and still the same. Rejects when it cannot be asked. */
  look(): Promise<void> {
    return this.#looking ??= this.#look().finally(() => this.#looking = null);
  }

  /** Other bounds hold from now on. */
  apply(bounds: HistoryBounds): void {
    if (JSON.stringify(bounds) === JSON.stringify(this.#bounds)) return;
    this.#bounds = bounds;
    this.#has = false;
    void this.#have().catch(() => {});
  }

  /** NATS is away: nobody knows what became of what was on its way. */
  lose(): void {
    this.#has = false;
    this.#writer.lose();
  }

  stop(): void {
    this.#isStopped = true;
    this.lose();
    for (const { listening } of this.#heard.values()) listening.stop();
    this.#heard.clear();
  }

  /** Resolves when the stream is there as it has to be. */
  #have(): Promise<void> {
    if (this.#has) return Promise.resolve();
    if (this.#isStopped || !this.#options.link.isUp) return Promise.reject(new Error("NATS is away"));
    return this.#having ??= this.#open().finally(() => this.#having = null);
  }

  async #open(): Promise<void> {
    const { epoch } = this, before = this.#last, { state: { last_seq } } = await this.#make();
    this.#has = true;
    this.#complaint = "";
    // It is another, or somebody else has seen to it.
    if (this.#epoch !== epoch) return void (this.#isSuspect = false);
    // While NATS was away it may have lost its end, and others may have stored more since.
    if (last_seq < before || !await this.#isWitnessed()) this.#isSuspect = true;
    if (this.#isSuspect) await this.#look();
  }

  #isWitnessed(): Promise<boolean> {
    return this.#witness.isThere(async (seq) => {
      const found = await (await this.#api.manager).streams.getMessage(this.name, { seq });
      return found?.header.get(HEADER.id) ?? null;
    });
  }

  #note(sequence: number, id: string): void {
    this.#last = Math.max(this.#last, sequence);
    this.#witness.note(sequence, id);
  }

  async #make(): Promise<StreamInfo> {
    const { replicas, maxBytes, newId } = this.#options;
    const manager = await this.#api.manager;
    const wanted = streamConfig(this.#names, { bounds: this.#bounds, replicas, maxBytes });
    try {
      let info: StreamInfo;
      try {
        info = await this.#info();
      } catch (error) {
        if (codeOf(error) !== STREAM_NOT_FOUND) throw error;
        try {
          info = await manager.streams.add({ ...wanted, metadata: { [META.epoch]: newId() } });
        } catch (error) {
          // Another node was first.
          if (codeOf(error) !== NAME_IN_USE) throw error;
          info = await this.#info();
        }
      }
      if (COMPARED.some((key) => info.config[key] !== wanted[key])) {
        const grown = info.config.max_msgs_per_subject < wanted.max_msgs_per_subject ||
          info.config.max_age < wanted.max_age;
        const metadata = {
          ...ownMetadata(info.config),
          ...(grown ? { [META.countsFrom]: String(info.state.last_seq) } : {}),
        };
        info = await manager.streams.update(this.name, { ...wanted, metadata });
      }
      this.#goBy(info);
      return info;
    } catch (error) {
      this.#complain("NATS has no stream for a history", error);
      throw error;
    }
  }

  async #look(): Promise<void> {
    if (!this.#has) return await this.#have();
    const known = this.#epoch;
    try {
      const before = this.#last;
      let state = await this.#ask();
      if (this.#epoch !== known) return void (this.#isSuspect = false);
      if (state.last < before && !this.#isSuspect) {
        // One that was asked may not have been the leader any more.
        await this.#options.wait(RETRY_MS);
        state = await this.#ask();
      }
      if (this.#epoch === known && (state.last < before || this.#isSuspect)) await this.#renew();
      this.#isSuspect = false;
    } catch (error) {
      if (codeOf(error) !== STREAM_NOT_FOUND) throw error;
      this.#has = false;
      await this.#have();
    }
  }

  /** It gives sequences a second time: another epoch begins. All nodes that see it come to the same one. */
  async #renew(): Promise<void> {
    const manager = await this.#api.manager;
    const { config } = await this.#info();
    const metadata = ownMetadata(config);
    if (metadata[META.epoch] !== this.#meta[META.epoch]) return void await this.#ask();
    const next = renewedMetadata(metadata);
    const info = await manager.streams.update(this.name, { ...config, metadata: next });
    this.#options.log.warn("a stream has lost its newest messages: its rooms begin a new epoch", {
      stream: this.name,
    });
    this.#goBy(info);
  }

  async #ask(): Promise<StreamState> {
    const info = await this.#info();
    this.#goBy(info);
    const { state: { first_seq, last_seq } } = info;
    return { first: first_seq, last: last_seq };
  }

  /** What the server says of the stream: twice where that is how it was before, for answers come late, or from one that lags. */
  async #info(): Promise<StreamInfo> {
    const manager = await this.#api.manager;
    for (let tries = 1;; tries++) {
      const info = await manager.streams.info(this.name);
      const epoch = epochOf(info.created, ownMetadata(info.config));
      if (epoch === this.#epoch || !this.#witness.isOver(epoch) || tries === STALE_TRIES) return info;
      await this.#options.wait(RETRY_MS);
    }
  }

  /** Goes by what the server says of the stream. */
  #goBy({ config, created, state }: StreamInfo): void {
    const metadata = ownMetadata(config), epoch = epochOf(created, metadata);
    const former = this.#epoch, isOther = former !== "" && former !== epoch;
    this.#meta = metadata;
    this.#epoch = epoch;
    this.#countsFrom = Number(metadata[META.countsFrom] ?? 0);
    if (!isOther) return void (this.#last = Math.max(this.#last, state.last_seq));
    this.#last = state.last_seq;
    this.#witness.renewed(former, epoch);
    this.#options.counts.epochs++;
    this.#options.log.info("a stream is another than before", { stream: this.name, epoch, former });
    for (const listener of [...this.listeners()]) listener.renew();
  }

  /** Tells of a fault once, as long as it is the same. */
  #complain(what: string, error: unknown): void {
    const why = errorText(error);
    if (why === this.#complaint) return;
    this.#complaint = why;
    this.#options.log.warn(what, { stream: this.name, why });
  }
}
