// The state's own thread, without the thread: it runs jobs on the database, a batch in a transaction, and the webhooks'
// senders beside them, whose changes are committed with the next batch or soon.

import { errorText } from "../error_text.ts";
import type { LogFields } from "../log.ts";
import { Inflow, type Share } from "../outbound/inflow.ts";
import { HookQueue } from "./hook_queue.ts";
import { type After, HookSender } from "./hook_sender.ts";
import { HistoryStore } from "./history_store.ts";
import { KvStore } from "./kv_store.ts";
import { type BoundsConfig, type Disk, StateBounds } from "./state_bounds.ts";
import { StateDb } from "./state_db.ts";
import { type Clocks, StateTime } from "./state_time.ts";
import type { FromThread, HookSpec, HookStats, Job, JobName, Jobs } from "./state_messages.ts";

export interface StateThreadOptions {
  /** `gateway.state_dir`, null for a state in memory. */
  readonly folder: string | null;
  readonly tell: (message: FromThread) => void;
  readonly bounds: BoundsConfig;
  readonly clocks: Clocks;
  /** The disk of that folder; null where nobody says, or there is none. */
  readonly disk: () => Disk | null;
  /** 0 up to, not including, 1. */
  readonly random: () => number;
}

/** What a sender has changed is committed after this long; until then a crash sends it again. */
const COMMIT_MS = 10;
/** Between two looks at what expires. */
const SWEEP_MS = 60_000;
/** Numbers are told this often, while they change. */
const STATS_MS = 1000;
/** Events of a webhook that is no more are kept this long, should it come back. */
const ORPHAN_MS = 7 * 86_400_000;
/** Between two writes that show whether the state can be written, and note the time. */
const PROBE_MS = 10_000;
/** While it cannot be written, it is tried this much more often. */
const RETRY_MS = 1000;
/** How long a batch on its way may hold up the end. */
const CLOSE_MS = 1000;

/** How it is said that tenants can keep no more, though the gateway can. */
const SHORT = "the disk has no room for what tenants keep";

/** Jobs that change nothing that they would be wrong without. */
const READS: ReadonlySet<JobName> = new Set([
  "lost",
  "hookStats",
  "deadLetters",
  "get",
  "list",
  "historyOpen",
  "historyRead",
]);

interface Hook {
  /** Null once it is no webhook any more. */
  readonly spec: string | null;
  readonly queue: HookQueue;
  readonly sender: HookSender;
  readonly ended: Promise<void>;
}

const after: After = (ms, task) => {
  const timer = setTimeout(task, ms);
  return () => clearTimeout(timer);
};

type Run = { [N in keyof Jobs]: (job: Jobs[N]["job"]) => Jobs[N]["result"] };

export class StateThread {
  readonly #options: StateThreadOptions;
  readonly #db: StateDb;
  readonly #time: StateTime;
  readonly #bounds: StateBounds;
  readonly #kv: KvStore;
  readonly #history: HistoryStore;
  /** By number. */
  readonly #hooks = new Map<number, Hook>();
  readonly #inflow = new Inflow(() => performance.now());
  /** By tenant; as many as have had webhooks. */
  readonly #shares = new Map<string, Share>();
  readonly #sweep: ReturnType<typeof setInterval>;
  #probe: ReturnType<typeof setTimeout>;
  /** As last told. */
  #health: string | null = null;
  #commit: ReturnType<typeof setTimeout> | null = null;
  #stats: ReturnType<typeof setTimeout> | null = null;

  /** @throws in one line, when the database cannot be used */
  constructor(options: StateThreadOptions) {
    this.#options = options;
    const { clocks, bounds, disk } = options;
    this.#db = new StateDb(options.folder);
    try {
      this.#time = new StateTime(this.#db, clocks);
      this.#bounds = new StateBounds({ ...bounds, disk, now: clocks.now });
      this.#kv = new KvStore(this.#db, this.#time.steady, this.#bounds);
      this.#history = new HistoryStore(this.#db, () => this.#time.steady.unixMs, this.#bounds);
    } catch (cause) {
      this.#db.close();
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`Cannot open the state in "${options.folder ?? ":memory:"}": ${why}`, { cause });
    }
    this.#sweep = setInterval(() => this.#sweepNow(), SWEEP_MS);
    this.#probe = setTimeout(() => this.#probeNow(), PROBE_MS);
  }

  /** Does these jobs and tells their results: all that change something, or none of these. */
  batch(jobs: readonly Job[]): void {
    let message: FromThread;
    try {
      // What senders have done stands, whatever becomes of the jobs.
      this.#write();
      const results = jobs.map((job) => this.#do(job));
      if (this.#health !== null && !this.#db.isDirty) this.#time.save();
      this.#write();
      message = { kind: "done", results, failed: null };
      this.#tellHealth(this.#bounds.isShort ? SHORT : null);
    } catch (cause) {
      this.#undo();
      const failed = errorText(cause);
      message = { kind: "done", results: this.#readAlone(jobs), failed };
      this.#tellHealth(failed);
    }
    this.#options.tell(message);
    for (const { sender } of this.#hooks.values()) sender.notice();
    this.#tellStats();
  }

  /** A disk that takes nothing can still be read: the results of jobs that change nothing, by their places. */
  #readAlone(jobs: readonly Job[]): ReadonlyMap<number, unknown> {
    const results = new Map<number, unknown>();
    for (const [place, job] of jobs.entries()) {
      if (!READS.has(job.name)) continue;
      try {
        results.set(place, this.#do(job));
      } catch {
        // It fails as its batch did; opening a history may have let go of what is too old.
        this.#undo();
      }
    }
    return results;
  }

  /** Ends the senders and closes the database. */
  async close(): Promise<void> {
    clearInterval(this.#sweep);
    clearTimeout(this.#probe);
    for (const { sender } of this.#hooks.values()) sender.stop();
    const ended = Promise.all([...this.#hooks.values()].map((hook) => hook.ended));
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, CLOSE_MS))]);
    if (this.#commit !== null) clearTimeout(this.#commit);
    if (this.#stats !== null) clearTimeout(this.#stats);
    this.#probeNow();
    clearTimeout(this.#probe);
    this.#db.close();
    this.#options.tell({ kind: "closed" });
  }

  #do<N extends keyof Jobs>(job: { readonly name: N } & Jobs[N]["job"]): Jobs[N]["result"] {
    return this.#run[job.name](job);
  }

  readonly #run: Run = {
    emit: ({ hooks, json, atMs }) => {
      for (const hook of hooks) this.#hooks.get(hook)?.queue.append(json, atMs);
      return null;
    },
    skip: ({ hook, count, atMs }) => {
      this.#hooks.get(hook)?.queue.skip(count, atMs);
      return null;
    },
    opened: ({ tenant, session, info }) => {
      this.#db.run(
        "INSERT OR REPLACE INTO sessions (tenant, session, info) VALUES (?, ?, ?)",
        tenant,
        session,
        info,
      );
      return null;
    },
    closed: ({ tenant, session }) => {
      this.#db.run("DELETE FROM sessions WHERE tenant = ? AND session = ?", tenant, session);
      return null;
    },
    lost: () =>
      this.#db.all("SELECT tenant, session, info FROM sessions").map(({ tenant, session, info }) => ({
        tenant: String(tenant),
        session: String(session),
        info: String(info),
      })),
    configure: ({ hooks }) => this.#configure(hooks),
    hookStats: ({ hooks }) =>
      hooks.map((id) => {
        const hook = this.#hooks.get(id);
        return hook === undefined ? null : statsOf(hook);
      }),
    deadLetters: ({ hook, after, max }) =>
      this.#hooks.get(hook)?.queue.deadLetters(after, max) ?? { letters: [], more: false },
    retryDead: ({ hook, seqs }) =>
      this.#hooks.get(hook)?.queue.retry(seqs, this.#options.clocks.unixMs()) ?? 0,
    dropDead: ({ hook, seqs }) => this.#hooks.get(hook)?.queue.drop(seqs) ?? 0,
    committed: () => null,
    get: ({ table, key }) => this.#kv.get(table, key),
    list: ({ table, range }) => this.#kv.list(table, range),
    put: ({ table, entry, maxBytes }) => this.#kv.put(table, entry, maxBytes),
    increment: ({ table, key, by, expiresMs, maxBytes }) =>
      this.#kv.increment(table, { key, by, expiresMs }, maxBytes),
    delete: ({ table, key }) => this.#kv.delete(table, key),
    historyOpen: ({ tenant, room, bounds }) => this.#history.open(tenant, room, bounds),
    historyAppend: ({ tenant, room, message }) => this.#history.append(tenant, room, message),
    historyRead: ({ tenant, room, range }) => this.#history.read(tenant, room, range),
    historyTrim: ({ tenant, room, bounds, keepAfter }) => this.#history.trim(tenant, room, bounds, keepAfter),
    historyClear: ({ tenant, room }) => this.#history.clear(tenant, room),
  };

  /** Starts, changes and ends senders; a webhook that is the same goes on. */
  #configure(specs: readonly HookSpec[]): number[] {
    const ids = specs.map(({ tenant, id: name }) => {
      this.#db.run("INSERT OR IGNORE INTO hooks (tenant, name, last_seq) VALUES (?, ?, 0)", tenant, name);
      return Number(this.#db.get("SELECT id FROM hooks WHERE tenant = ? AND name = ?", tenant, name)!["id"]);
    });
    for (const [id, hook] of this.#hooks) {
      const at = ids.indexOf(id);
      if (hook.spec === null || (at >= 0 && hook.spec === JSON.stringify(specs[at]))) continue;
      hook.sender.stop();
      this.#hooks.set(id, { ...hook, spec: null });
    }
    ids.forEach((id, at) => {
      const former = this.#hooks.get(id);
      if (former === undefined || former.spec === null) {
        this.#hooks.set(id, this.#start(id, specs[at]!, former));
      }
    });
    return ids;
  }

  /** @param former the same webhook as it was; what it has on its way is awaited */
  #start(id: number, spec: HookSpec, former: Hook | undefined): Hook {
    const { clocks: { unixMs }, random } = this.#options;
    const { tenant } = spec;
    const owner = {
      id,
      tenant,
      time: () => this.#time.now(),
      admits: (bytes: number) => this.#bounds.admits(tenant, bytes),
      kept: (bytes: number) => this.#bounds.add(tenant, bytes),
    };
    const queue = former?.queue ?? new HookQueue(this.#db, owner, spec.limits);
    queue.limits = spec.limits;
    const warn = (message: string, fields: LogFields) =>
      this.#options.tell({ kind: "warning", message, fields });
    const changed = () => this.#changed();
    const broken = (cause: unknown) => this.#broken(cause);
    const sender = new HookSender({
      spec,
      queue,
      share: this.#share(tenant),
      unixMs,
      random,
      after,
      changed,
      warn,
      broken,
    });
    const ended = Promise.resolve(former?.ended).then(() => sender.run());
    return { spec: JSON.stringify(spec), queue, sender, ended };
  }

  #share(tenant: string): Share {
    let share = this.#shares.get(tenant);
    if (share === undefined) this.#shares.set(tenant, share = this.#inflow.share());
    return share;
  }

  #sweepNow(): void {
    try {
      this.#kv.sweep();
      this.#history.sweep();
      const configured = [...this.#hooks].filter(([, { spec }]) => spec !== null).map(([id]) => id);
      this.#db.run(
        "DELETE FROM events WHERE since_ms < ? AND hook NOT IN (SELECT value FROM json_each(?))",
        ...[this.#time.now() - ORPHAN_MS, JSON.stringify(configured)],
      );
      this.#changed();
    } catch (cause) {
      this.#broken(cause);
    }
  }

  #changed(): void {
    this.#commit ??= setTimeout(() => {
      this.#commit = null;
      this.#commitNow();
    }, COMMIT_MS);
    this.#tellStats();
  }

  /** Notes the time, which shows whether anything can be written. */
  #probeNow(): void {
    try {
      this.#time.save();
      this.#write();
      this.#tellHealth(this.#bounds.isShort ? SHORT : null);
    } catch (cause) {
      this.#broken(cause);
    }
    this.#probe = setTimeout(() => this.#probeNow(), this.#health === null ? PROBE_MS : RETRY_MS);
  }

  #tellHealth(failing: string | null): void {
    if (failing === this.#health) return;
    if (this.#health === null) {
      clearTimeout(this.#probe);
      this.#probe = setTimeout(() => this.#probeNow(), RETRY_MS);
    }
    this.#health = failing;
    this.#options.tell({ kind: "health", failing });
  }

  #write(): void {
    for (const { queue } of this.#hooks.values()) queue.settle();
    this.#db.commit();
  }

  #commitNow(): void {
    try {
      this.#write();
    } catch (cause) {
      this.#broken(cause);
    }
  }

  #broken(cause: unknown): void {
    this.#undo();
    const error = errorText(cause);
    this.#options.tell({ kind: "warning", message: "state cannot be written", fields: { error } });
    this.#tellHealth(error);
  }

  #undo(): void {
    this.#db.rollback();
    this.#kv.load();
    this.#history.load();
    for (const { queue } of this.#hooks.values()) queue.load();
  }

  #tellStats(): void {
    if (this.#hooks.size === 0) return;
    this.#stats ??= setTimeout(() => {
      this.#stats = null;
      const configured = [...this.#hooks].filter(([, { spec }]) => spec !== null);
      const hooks = configured.map(([id, hook]): [number, HookStats] => [id, statsOf(hook)]);
      this.#options.tell({ kind: "stats", hooks });
    }, STATS_MS);
  }
}

function statsOf({ queue, sender }: Hook): HookStats {
  return { ...queue.stats, ...sender.stats };
}
