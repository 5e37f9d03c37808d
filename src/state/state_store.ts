// The state as the gateway sees it: jobs are gathered and go to the state's thread together, so that one write to the
// disk serves many; while one is under way the next gathers.

import type { Log } from "../log.ts";
import type { State, Table, TableLimits } from "./table.ts";
import type { StateChannel, StateListener } from "./state_channel.ts";
import type { FromThread, HookStats, Job, JobName, Jobs } from "./state_messages.ts";

export interface StateStoreOptions {
  readonly open: (listener: StateListener) => StateChannel;
  readonly log: Log;
}

/** What nobody waits for is written after this long at most, unless the disk is slower. */
const GATHER_MS = 5;
/** After a write that failed, the next one is tried this much later. */
const RETRY_MS = 1000;
/** Bytes of events and of messages that may wait to be written; above it events are dropped, and messages refused. */
const WAITING_BYTES_MAX = 67_108_864;

interface Waiting {
  readonly job: Job;
  /** Null where nobody waits for the result. */
  readonly settle: { resolve(result: unknown): void; reject(cause: Error): void } | null;
}

export class StateStore implements State {
  readonly #channel: StateChannel;
  readonly #log: Log;
  readonly #ready: Promise<void>;
  #readyNow: (failed: string | null) => void = () => {};
  /** Jobs to go next. */
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  /** Jobs that went and are not committed yet. */
  #under: readonly Waiting[] | null = null;
  #flush: { kind: "timer"; timer: ReturnType<typeof setTimeout> } | { kind: "soon" } | null = null;
  /** Events that were dropped, by webhook, to be told before the next one. */
  readonly #skipped = new Map<number, number>();
  #dead: string | null = null;
  #closed: (() => void) | null = null;
  /** By webhook number, as last told. */
  readonly hookStats = new Map<number, HookStats>();
  /** Writes that failed. */
  failures = 0;
  #failing: string | null = null;

  /** Opens the state; `ready` tells how that went. */
  constructor({ open, log }: StateStoreOptions) {
    this.#log = log;
    this.#ready = new Promise((resolve, reject) => {
      this.#readyNow = (failed) => failed === null ? resolve() : reject(new Error(failed));
    });
    this.#ready.catch(() => {}); // told to whoever asks
    this.#channel = open({ told: (message) => this.#told(message), died: (cause) => this.#died(cause) });
  }

  /** Why the state cannot be written, or not by all; null for all is well. */
  get failing(): string | null {
    return this.#dead ?? this.#failing;
  }

  /** Resolves once it is open. @throws in one line, when it cannot be opened */
  get ready(): Promise<void> {
    return this.#ready;
  }

  table(name: string, { maxBytes }: TableLimits): Table {
    return {
      get: (key) => this.ask({ name: "get", table: name, key }),
      list: (range) => this.ask({ name: "list", table: name, range }),
      put: (entry) => this.ask({ name: "put", table: name, entry, maxBytes }),
      increment: (key, by, expiresMs) =>
        this.ask({ name: "increment", table: name, key, by, expiresMs, maxBytes }),
      delete: (key) => this.ask({ name: "delete", table: name, key }),
    };
  }

  /** Has a job done soon. @returns its result, once it is committed; rejects when it cannot be */
  ask<N extends JobName>(job: { readonly name: N } & Jobs[N]["job"]): Promise<Jobs[N]["result"]> {
    if (job.name === "historyAppend" && this.#waitingBytes > WAITING_BYTES_MAX) {
      return Promise.reject(new Error("Cannot write the state: too much waits for the disk"));
    }
    return new Promise((resolve, reject) => {
      const settle = { resolve: (result: unknown) => resolve(result as Jobs[N]["result"]), reject };
      this.#add({ job: job as unknown as Job, settle });
      this.#soon();
    });
  }

  /** Has a job done within a moment; nobody waits for it. An event may be dropped, and is missed in its sequence then. */
  tell(job: Job): void {
    if (this.#dead !== null) return;
    if (job.name === "emit" && this.#waitingBytes > WAITING_BYTES_MAX) return this.#drop(job.hooks);
    this.#add({ job, settle: null });
    this.#later(GATHER_MS);
  }

  /** Whether all that was told so far could be committed; resolves once that is known. */
  committed(): Promise<boolean> {
    return this.ask({ name: "committed" }).then(() => true, () => false);
  }

  /** Writes what waits, and closes the state. Resolves when that is done. */
  async close(): Promise<void> {
    if (this.#dead !== null) return this.#channel.end();
    if (!await this.committed()) this.#log.warn("state ends with jobs that could not be written");
    await new Promise<void>((resolve) => {
      this.#closed = resolve;
      this.#channel.send({ kind: "close" });
    });
    this.#dead = "it is closed";
    this.#channel.end();
  }

  #add(waiting: Waiting): void {
    if (this.#dead !== null) {
      waiting.settle?.reject(new Error(`Cannot use the state: ${this.#dead}`));
      return;
    }
    if (waiting.job.name === "emit") {
      this.#tellSkipped(waiting.job.atMs);
      this.#waitingBytes += waiting.job.json.length;
    } else if (waiting.job.name === "historyAppend") this.#waitingBytes += waiting.job.message.text.length;
    this.#waiting.push(waiting);
  }

  #drop(hooks: readonly number[]): void {
    for (const hook of hooks) this.#skipped.set(hook, (this.#skipped.get(hook) ?? 0) + 1);
  }

  #tellSkipped(atMs: number): void {
    if (this.#skipped.size === 0) return;
    for (const [hook, count] of this.#skipped) {
      this.#waiting.push({ job: { name: "skip", hook, count, atMs }, settle: null });
    }
    this.#skipped.clear();
  }

  #soon(): void {
    if (this.#under !== null || this.#flush?.kind === "soon") return;
    if (this.#flush?.kind === "timer") clearTimeout(this.#flush.timer);
    this.#flush = { kind: "soon" };
    setImmediate(() => this.#send());
  }

  #later(ms: number): void {
    if (this.#under !== null || this.#flush !== null) return;
    this.#flush = { kind: "timer", timer: setTimeout(() => this.#send(), ms) };
  }

  #send(): void {
    this.#flush = null;
    if (this.#waiting.length === 0 || this.#under !== null || this.#dead !== null) return;
    this.#under = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#channel.send({ kind: "batch", jobs: this.#under.map(({ job }) => job) });
  }

  #told(message: FromThread): void {
    switch (message.kind) {
      case "ready":
        if (message.failed !== null) this.#dead = message.failed;
        return this.#readyNow(message.failed);
      case "done":
        return this.#done(message);
      case "health":
        if (message.failing === null) this.#log.info("state can be written again", {});
        else this.#log.warn("state cannot take all that is to be kept", { error: message.failing });
        this.#failing = message.failing;
        return;
      case "warning":
        return this.#log.warn(message.message, message.fields);
      case "stats":
        for (const [hook, stats] of message.hooks) this.hookStats.set(hook, stats);
        return;
      case "closed":
        return this.#closed?.();
    }
  }

  #done(message: FromThread & { readonly kind: "done" }): void {
    const under = this.#under!;
    this.#under = null;
    if (message.failed === null) {
      under.forEach(({ settle }, i) => settle?.resolve(message.results[i]));
      // They have waited for the disk already.
      if (this.#waiting.length > 0) this.#soon();
      return;
    }
    const { results, failed } = message;
    this.failures++;
    this.#log.error("state cannot be written", { error: failed, jobs: under.length });
    const kept: Waiting[] = [];
    for (const [place, waiting] of under.entries()) {
      if (waiting.settle === null) kept.push(waiting);
      else if (results.has(place)) waiting.settle.resolve(results.get(place));
      else waiting.settle.reject(new Error(`Cannot write the state: ${failed}`));
    }
    // What nobody waits for must still happen, and in this order.
    this.#waiting = [...kept, ...this.#waiting];
    for (const { job } of kept) if (job.name === "emit") this.#waitingBytes += job.json.length;
    if (this.#flush?.kind === "timer") clearTimeout(this.#flush.timer);
    this.#flush = null;
    this.#later(RETRY_MS);
  }

  #died(cause: string): void {
    if (this.#dead !== null) return;
    this.#dead = cause;
    this.#readyNow(`Cannot open the state: ${cause}`);
    this.#log.error("state has failed, and nothing is kept any more", { error: cause });
    for (const { settle } of [...this.#under ?? [], ...this.#waiting]) {
      settle?.reject(new Error(`Cannot use the state: ${cause}`));
    }
    this.#under = null;
    this.#waiting = [];
    this.#closed?.();
  }
}
