// The configuration file of a running gateway, loaded anew for each reload on a thread of its own. A tenant whose part
// of the file has not changed comes back as the very object that it was, which costs the loop next to nothing.

import { ownEntry } from "../own_entry.ts";
import { errorText } from "../error_text.ts";
import type { Log } from "../log.ts";
import type { MetricSource } from "../metrics/metrics.ts";
import { fingerprint } from "./fingerprint.ts";
import type { LoadResult } from "./load.ts";
import type { LinesOrder, LoadAnswer, LoadOrder, Pasted, Portion } from "./load_worker.ts";
import type { Path } from "./places.ts";
import type { Config, TenantConfig } from "./schema.ts";

/** Where a gateway's configuration comes from when it is reloaded. */
export interface ConfigSource {
  /** Reads and checks it anew without holding up the loop. Never rejects. */
  load(): Promise<LoadResult>;
  /** The same for somebody who only wants to know: what is loaded next is compared with what was loaded last. */
  look(): Promise<LoadResult>;
  /** Checks a text that somebody has pasted, as if it were the file. It can be used for its policy, and not be served. */
  check(text: string): Promise<LoadResult>;
  /** The lines at which a text that was loaded says these, null for what it does not say; null where that cannot be found. */
  lines(text: string, paths: readonly Path[]): Promise<readonly (number | null)[] | null>;
}

export interface FileSourceOptions {
  readonly file: string;
  readonly dev: boolean;
  /** A file whose variables go before the environment's, read at each load; null for none. */
  readonly envFile: string | null;
  /** What the file was at the start, and which files it named. */
  readonly config: Config;
  readonly files: readonly string[];
  /**
   * Whether one thread is kept for all loads, or each has its own. A kept one costs memory, what a file of 1,000 tenants
   * takes; making one holds up the loop for 13 to 28 ms on Deno 2.9, and for 1 ms on Bun 1.4.
   */
  readonly thread: "kept" | "each";
  readonly log: Pick<Log, "error">;
}

/**
 * A file system that does not answer must not keep later reloads waiting for ever. Long, for the thread has the lowest
 * priority: on a machine that is busy with clients, 1,000 tenants take their time.
 */
const LOAD_MS = 300_000;
/** Who may wait for the thread at a time; reloads, of which one runs and one waits at most, come on top. */
const ASKING_MAX = 16;

interface Known {
  readonly print: string;
  readonly config: TenantConfig;
}

export class FileSource implements ConfigSource {
  readonly #options: FileSourceOptions;
  /** Tenants as they were loaded last, by id. */
  #known: ReadonlyMap<string, Known>;
  #files: readonly string[];
  #thread: LoadThread | null = null;
  /** Those who ask come one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  #asking = 0;
  #lost = 0;

  constructor(options: FileSourceOptions) {
    this.#options = options;
    this.#files = options.files;
    this.#known = new Map(
      options.config.tenants.map((config) => [config.id, { print: fingerprint(config), config }]),
    );
  }

  /** The file, and those that it named when it was looked at last. */
  get files(): readonly string[] {
    const { file, envFile } = this.#options;
    return [file, ...envFile === null ? [] : [envFile], ...this.#files];
  }

  /** Makes the thread, where one is kept: before there is anybody whom that could hold up. */
  start(): void {
    if (this.#options.thread === "kept") this.#open();
  }

  /** How often the thread was lost. */
  get metric(): MetricSource {
    return {
      name: "load_threads_lost_total",
      help: "Threads that load the configuration and ended by themselves; the next reload has another.",
      type: "counter",
      read: () => [{ labels: {}, value: this.#lost }],
    };
  }

  /** Lets go of the thread. */
  stop(): void {
    this.#thread?.end();
    this.#thread = null;
  }

  load(): Promise<LoadResult> {
    return this.#loaded((thread) => this.#load(thread, { pasted: null, remember: true }), "reload");
  }

  look(): Promise<LoadResult> {
    return this.#loaded((thread) => this.#load(thread, { pasted: null, remember: false }));
  }

  check(text: string): Promise<LoadResult> {
    const pasted = { text, files: this.#files };
    return this.#loaded((thread) => this.#load(thread, { pasted, remember: false }));
  }

  async lines(text: string, paths: readonly Path[]): Promise<readonly (number | null)[] | null> {
    const order = { text, paths, envFile: this.#options.envFile } satisfies LinesOrder;
    try {
      return await this.#ask(async (thread) => await thread.ask(order) as (number | null)[]);
    } catch {
      return null;
    }
  }

  async #loaded(ask: (thread: LoadThread) => Promise<LoadResult>, by?: "reload"): Promise<LoadResult> {
    try {
      return await this.#ask(ask, by);
    } catch (cause) {
      const reason = errorText(cause);
      return { ok: false, failures: [{ path: "", message: `the file cannot be loaded: ${reason}` }] };
    }
  }

  /** Has the thread do something when those are done who have asked before. */
  #ask<T>(ask: (thread: LoadThread) => Promise<T>, by?: "reload"): Promise<T> {
    if (this.#asking >= ASKING_MAX && by !== "reload") {
      return Promise.reject(new Error("too many ask for it already"));
    }
    this.#asking++;
    const answer = this.#last.then(() => ask(this.#open())).then((found) => {
      if (this.#options.thread === "each") this.stop();
      return found;
    }, (cause) => {
      // It may be busy for ever.
      this.stop();
      throw cause;
    }).finally(() => this.#asking--);
    this.#last = answer.catch(() => {});
    return answer;
  }

  #open(): LoadThread {
    return this.#thread ??= new LoadThread((thread, error) => {
      // One that is lost while nobody waits for it would be found out by the next reload, which would wait for ever.
      if (this.#thread === thread) this.stop();
      this.#lost++;
      this.#options.log.error(
        "the thread that loads the configuration was lost, the next reload has another",
        {
          error,
        },
      );
    });
  }

  async #load(
    thread: LoadThread,
    { pasted, remember }: { readonly pasted: Pasted | null; readonly remember: boolean },
  ): Promise<LoadResult> {
    const { file, dev, envFile } = this.#options;
    const prints = new Map([...this.#known].map(([id, { print }]) => [id, print]));
    const order = { file, dev, envFile, known: prints, pasted } satisfies LoadOrder;
    const answer = await thread.ask(order) as LoadAnswer;
    if (remember) this.#files = answer.files;
    if (!answer.ok) return answer;
    const fresh = new Map<string, TenantConfig>(), schemas = new Map<string, string>();
    for (;;) {
      const portion = await thread.ask(null) as Portion;
      if (portion.tenants.length === 0) break;
      for (const config of portion.tenants) fresh.set(config.id, config);
      for (const [text, code] of portion.schemas) schemas.set(text, code);
    }
    const known = new Map(answer.tenants.map(({ id, print }) => {
      return [id, { print, config: fresh.get(id) ?? this.#known.get(id)!.config }];
    }));
    if (remember) this.#known = known;
    const { general, warnings, text } = answer;
    const config = { ...general, tenants: [...known.values()].map(tenantOf) };
    return { ok: true, config, warnings, schemas, text };
  }
}

function tenantOf({ config }: Known): TenantConfig {
  return config;
}

/** The thread of load_worker.ts, asked one thing at a time. */
class LoadThread {
  readonly #worker: Worker;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #resolve: (answer: unknown) => void = () => {};
  #reject: (cause: Error) => void = () => {};

  constructor(lost: (thread: LoadThread, error: string) => void) {
    this.#worker = new Worker(ownEntry(import.meta.url, "config", "load_worker.ts"), { type: "module" });
    this.#worker.onmessage = ({ data }) => {
      clearTimeout(this.#timer);
      this.#resolve(data);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault(); // or Deno ends the process
      lost(this, event.message);
      this.#reject(new Error(event.message));
    };
  }

  ask(question: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#timer = setTimeout(() => reject(new Error(`it took more than ${LOAD_MS} ms`)), LOAD_MS);
      this.#worker.postMessage(question);
    });
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#worker.terminate();
  }
}
