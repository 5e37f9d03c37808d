// Reloads the configuration: loads it off the loop, plans what it changes, and has that put in place at once; or refuses
// it, and then nothing has changed. One at a time; who asks while one runs gets one more, which sees what changed since.

import { errorTrace } from "../error_text.ts";
import { type ConfigDiff, diffConfigs, diffGeneral, formatChange } from "../config/diff.ts";
import type { ConfigSource } from "../config/file_source.ts";
import { type ConfigIssue, describeIssue } from "../config/issue.ts";
import type { Config } from "../config/schema.ts";
import type { Log } from "../log.ts";
import { Counts, type ReloadMetrics } from "../metrics/metrics.ts";
import type { Clock } from "./clock.ts";
import { Slices } from "./slices.ts";
import type { Plan, Tenants } from "./tenants.ts";

/** Who asked for it. */
export type ReloadCause = "signal" | "watch" | "admin";

/** What came of it. */
export type ReloadResult =
  | {
    readonly outcome: "applied" | "unchanged";
    /** What was changed; of its `changes`, those with `restart` wait for one. */
    readonly diff: ConfigDiff;
    readonly warnings: readonly ConfigIssue[];
  }
  | { readonly outcome: "refused"; readonly reason: string; readonly failures: readonly ConfigIssue[] };

/** What a reload would do. */
export type Preview =
  | { readonly ok: true; readonly diff: ConfigDiff; readonly warnings: readonly ConfigIssue[] }
  | { readonly ok: false; readonly failures: readonly ConfigIssue[] };

export interface ReloaderOptions {
  readonly source: ConfigSource;
  readonly tenants: Tenants;
  /** The configuration in use. */
  readonly running: () => Config;
  /** Puts a planned configuration in place; MUST do so within the call. */
  readonly apply: (loaded: { readonly config: Config; readonly text: string }, plan: Plan) => void;
  /** Keys of `gateway` that the transport cannot change while it runs. */
  readonly fixed: readonly string[];
  readonly log: Log;
  readonly clock: Pick<Clock, "now" | "unixMs">;
}

/** Items of a list that a log line shows. */
const SHOWN_MAX = 50;

export class Reloader {
  readonly metrics: ReloadMetrics;
  readonly #options: ReloaderOptions;
  #running: Promise<ReloadResult> | null = null;
  /** The one after it. */
  #next: Promise<ReloadResult> | null = null;
  /** Why there are no more reloads. */
  #ended: string | null = null;

  constructor(options: ReloaderOptions) {
    this.#options = options;
    this.metrics = {
      outcomes: new Counts(),
      lastMs: options.clock.unixMs(),
      hash: options.tenants.hash(options.running()),
    };
  }

  /** Never rejects. */
  reload(cause: ReloadCause): Promise<ReloadResult> {
    if (this.#running === null) return this.#start(cause);
    return this.#next ??= this.#running.then(() => {
      this.#next = null;
      return this.#start(cause);
    });
  }

  /** What a reload would change, or why it would be refused; nothing changes. Never rejects. */
  async preview(): Promise<Preview> {
    const { source, running, fixed } = this.#options;
    const loaded = await source.look();
    if (!loaded.ok) return { ok: false, failures: loaded.failures };
    const { config, warnings } = loaded;
    return { ok: true, diff: diffConfigs(running(), config, fixed), warnings };
  }

  /** From now on all are refused; one under way changes nothing any more. */
  end(reason: string): void {
    this.#ended = reason;
  }

  #start(cause: ReloadCause): Promise<ReloadResult> {
    const run = this.#run(cause).finally(() => this.#running = null);
    this.#running = run;
    return run;
  }

  async #run(cause: ReloadCause): Promise<ReloadResult> {
    const { source, tenants, running, apply, fixed, log, clock } = this.#options;
    const since = clock.now();
    try {
      if (this.#ended !== null) return this.#refuse(cause, this.#ended);
      const loaded = await source.load();
      if (!loaded.ok) return this.#refuse(cause, "the configuration has failures", loaded.failures);
      const { config, warnings, schemas, text } = loaded;
      const general = diffGeneral(running(), config, fixed);
      const plan = await tenants.plan({ config, schemas });
      const slices = new Slices(clock.now);
      await slices.next();
      if (this.#ended !== null) return this.#refuse(cause, this.#ended);
      apply({ config, text }, plan);
      await slices.next();
      const diff = { ...plan.diff, changes: [...general, ...plan.diff.changes] };
      const outcome = diff.changes.length + diff.added.length + diff.removed.length > 0
        ? "applied"
        : "unchanged";
      this.metrics.lastMs = clock.unixMs();
      this.metrics.hash = tenants.hash(running());
      this.metrics.outcomes.add({ outcome });
      this.#tell(diff, { cause, outcome, hash: this.metrics.hash, ms: Math.round(clock.now() - since) });
      const warned = warnings.map(describeIssue);
      if (outcome === "applied" && warned.length > 0) {
        log.warn("the configuration has warnings", shown("warnings", warned));
      }
      return { outcome, diff, warnings };
    } catch (error) {
      log.error("reload failed", {
        error: errorTrace(error),
      });
      return this.#refuse(cause, "the gateway failed on it");
    }
  }

  #refuse(cause: ReloadCause, reason: string, failures: readonly ConfigIssue[] = []): ReloadResult {
    const { log } = this.#options;
    this.metrics.outcomes.add({ outcome: "refused" });
    const lines = failures.map(describeIssue);
    const fields = { cause, reason, ...shown("failures", lines) };
    // Who stops the gateway knows that it stops.
    if (this.#ended === null) log.error("reload refused, nothing has changed", fields);
    else log.warn("reload refused, nothing has changed", fields);
    return { outcome: "refused", reason, failures };
  }

  #tell(
    { changes, added, removed }: ConfigDiff,
    facts: {
      readonly cause: ReloadCause;
      readonly outcome: string;
      readonly hash: string;
      readonly ms: number;
    },
  ): void {
    const { log } = this.#options;
    const lines = changes.filter(({ restart }) => !restart).map((change) =>
      `${change.tenant === null ? "" : `${change.tenant} `}${formatChange(change)}`
    );
    log.info("configuration reloaded", {
      ...facts,
      ...shown("changes", lines),
      ...shown("added", added),
      ...shown("removed", removed),
    });
    const waiting = changes.filter(({ restart }) => restart).map(formatChange);
    if (waiting.length > 0) log.warn("changes that wait for a restart", shown("changes", waiting));
  }
}

/** A list as fields of a log line: as much of it as anybody reads, and how long it is where that is not all. */
function shown(name: string, list: readonly string[]): Record<string, readonly string[] | number> {
  if (list.length <= SHOWN_MAX) return { [name]: list };
  return { [name]: list.slice(0, SHOWN_MAX), [`${name}_in_all`]: list.length };
}
