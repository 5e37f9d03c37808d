// The configuration file of a running gateway, loaded anew for each reload on a thread of its own. A tenant whose part
// of the file has not changed comes back as the very object that it was, which costs the loop next to nothing.

import { fingerprint } from "./fingerprint.ts";
import type { LoadResult } from "./load.ts";
import type { LoadAnswer, LoadOrder } from "./load_worker.ts";
import type { Config, TenantConfig } from "./schema.ts";

/** Where a gateway's configuration comes from when it is reloaded. */
export interface ConfigSource {
  /** Reads and checks it anew without holding up the loop. Never rejects. MUST NOT be called before the last call ended. */
  load(): Promise<LoadResult>;
}

export interface FileSourceOptions {
  readonly file: string;
  readonly dev: boolean;
  /** What the file was at the start, and which files it named. */
  readonly config: Config;
  readonly files: readonly string[];
}

/**
 * A file system that does not answer must not keep later reloads waiting for ever. Long, for the thread has the lowest
 * priority: on a machine that is busy with clients, 1,000 tenants take their time.
 */
const LOAD_MS = 300_000;

interface Known {
  readonly print: string;
  readonly config: TenantConfig;
}

export class FileSource implements ConfigSource {
  readonly #options: FileSourceOptions;
  /** Tenants as they were loaded last, by id. */
  #known: ReadonlyMap<string, Known>;
  #files: readonly string[];

  constructor(options: FileSourceOptions) {
    this.#options = options;
    this.#files = options.files;
    this.#known = new Map(
      options.config.tenants.map((config) => [config.id, { print: fingerprint(config), config }]),
    );
  }

  /** The file, and those that it named when it was looked at last. */
  get files(): readonly string[] {
    return [this.#options.file, ...this.#files];
  }

  async load(): Promise<LoadResult> {
    let thread: LoadThread | null = null;
    try {
      thread = new LoadThread();
      return await this.#load(thread);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      return { ok: false, failures: [{ path: "", message: `the file cannot be loaded: ${reason}` }] };
    } finally {
      thread?.end();
    }
  }

  async #load(thread: LoadThread): Promise<LoadResult> {
    const { file, dev } = this.#options;
    const prints = new Map([...this.#known].map(([id, { print }]) => [id, print]));
    const answer = await thread.ask({ file, dev, known: prints } satisfies LoadOrder) as LoadAnswer;
    this.#files = answer.files;
    if (!answer.ok) return answer;
    const fresh = await this.#fresh(thread);
    const known = new Map(answer.tenants.map(({ id, print }) => {
      return [id, { print, config: fresh.get(id) ?? this.#known.get(id)!.config }];
    }));
    this.#known = known;
    const { general, warnings } = answer;
    return { ok: true, config: { ...general, tenants: [...known.values()].map(tenantOf) }, warnings };
  }

  /** Tenants that are not as they were, portion by portion. */
  async #fresh(thread: LoadThread): Promise<Map<string, TenantConfig>> {
    const fresh = new Map<string, TenantConfig>();
    for (;;) {
      const portion = await thread.ask(null) as readonly TenantConfig[];
      if (portion.length === 0) return fresh;
      for (const config of portion) fresh.set(config.id, config);
    }
  }
}

function tenantOf({ config }: Known): TenantConfig {
  return config;
}

/** The thread of load_worker.ts, asked one thing at a time. */
class LoadThread {
  readonly #worker: Worker;
  readonly #timer: ReturnType<typeof setTimeout>;
  #resolve: (answer: unknown) => void = () => {};
  #reject: (cause: Error) => void = () => {};

  constructor() {
    // A bundle has every module at its root, and this entry where its source was (see compile.sh).
    const here = import.meta.url;
    const entry = here.endsWith(".ts") ? "./load_worker.ts" : "./src/config/load_worker.ts";
    this.#worker = new Worker(new URL(entry, here), { type: "module" });
    this.#worker.onmessage = ({ data }) => this.#resolve(data);
    this.#worker.onerror = (event) => {
      event.preventDefault(); // or Deno ends the process
      this.#reject(new Error(event.message));
    };
    this.#timer = setTimeout(() => this.#reject(new Error(`it took more than ${LOAD_MS} ms`)), LOAD_MS);
  }

  ask(question: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#worker.postMessage(question);
    });
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#worker.terminate();
  }
}
