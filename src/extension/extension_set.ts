// The extensions of one configuration of a tenant. At a reload one whose part of the configuration and whose files are the
// same goes on as it is; one that has changed is a new one beside the old, which finishes its calls and then stops.

import {
  type ExtensionLimits,
  type ExtensionPermissions,
  extensionTerms,
} from "../config/extension_schema.ts";
import type { PluginConfig, ServiceConfig } from "../config/schema.ts";
import { Patterns } from "../protocol/patterns.ts";
import type { Actions } from "../service/action.ts";
import type { Context, ExtService } from "../service/service.ts";
import { Extension } from "./extension.ts";
import { ExtensionLog } from "./extension_log.ts";
import { ExtensionMetrics } from "./extension_metrics.ts";
import { ExtensionService } from "./extension_service.ts";
import { GuardedFetch, resolveName } from "./fetch.ts";
import { KeyValues } from "./key_values.ts";
import type { Hook, WorkerLimits } from "../program/messages.ts";
import { Plugins } from "./plugins.ts";
import { RequestBroker } from "./request_broker.ts";
import type { Runner } from "./runner.ts";

export interface ExtensionSetOptions {
  readonly tenant: string;
  readonly services: readonly ServiceConfig[];
  readonly plugins: readonly PluginConfig[];
  readonly runner: Runner;
  readonly actions: Actions;
}

type Entry = (ServiceConfig | PluginConfig) & { readonly code: NonNullable<ServiceConfig["code"]> };

interface Wanted {
  readonly role: "service" | "plugin";
  readonly name: string;
  readonly entry: Entry;
}

interface Made {
  readonly spec: string;
  readonly extension: Extension;
  readonly fetch: GuardedFetch | null;
}

export class ExtensionSet {
  /** Those that are services, by `svc`. */
  readonly services: ReadonlyMap<string, ExtService>;
  /** Null where there are none. */
  readonly plugins: Plugins | null;
  readonly #options: ExtensionSetOptions;
  /** By role and name. */
  readonly #made = new Map<string, Made>();

  /**
   * Has no effects: what was made and is not wanted after all can be dropped.
   * @param former whose extensions may be kept; null for a new tenant
   */
  constructor(options: ExtensionSetOptions, former: ExtensionSet | null) {
    this.#options = options;
    const services = new Map<string, ExtService>();
    for (const entry of options.services) {
      if (isLoaded(entry)) {
        services.set(
          entry.svc,
          new ExtensionService(this.#make({ role: "service", name: entry.svc, entry }, former)),
        );
      }
    }
    this.services = services;
    const plugins = options.plugins.filter(isLoaded).map((entry) => ({
      extension: this.#make({ role: "plugin", name: entry.id, entry }, former),
      service: entry.match.service,
      room: entry.match.room ?? null,
      open: entry.on_failure === "open",
    }));
    this.plugins = plugins.length === 0 ? null : new Plugins(plugins);
  }

  get isEmpty(): boolean {
    return this.#made.size === 0;
  }

  get all(): readonly Extension[] {
    return [...this.#made.values()].map(({ extension }) => extension);
  }

  /** Starts those that did not run before. */
  start(former: ExtensionSet | null): void {
    for (const [name, { extension }] of this.#made) {
      if (former?.find(name)?.extension !== extension) this.#options.runner.start(extension);
    }
  }

  /** Ends those that are not in use any more: all, or all but what `successor` goes on with. */
  retire(successor: ExtensionSet | null): void {
    for (const [name, { extension, fetch }] of this.#made) {
      const next = successor?.find(name)?.extension ?? null;
      if (next === extension) continue;
      void extension.retire(next, false).then(() => fetch?.stop());
    }
  }

  /** Tells those who want to hear of it. @param input made only where there is somebody */
  tell(hook: Hook, context: Context, input: () => object): void {
    let text: string | null = null;
    for (const { extension } of this.#made.values()) {
      if (extension.wants(hook)) extension.tell(hook, text ??= JSON.stringify(input()), context);
    }
  }

  /** By role and name, for another set. */
  find(key: string): Made | undefined {
    return this.#made.get(key);
  }

  #make(wanted: Wanted, former: ExtensionSet | null): Extension {
    const { code, ...config } = wanted.entry;
    const key = `${wanted.role} ${wanted.name}`;
    const spec = JSON.stringify([code.digest, config]);
    const kept = former?.find(key);
    // What is counted goes on.
    const metrics = kept?.extension.metrics ?? new ExtensionMetrics();
    const made = kept?.spec === spec ? kept : { spec, ...this.#new(wanted, metrics) };
    this.#made.set(key, made);
    return made.extension;
  }

  #new({ role, name, entry }: Wanted, metrics: ExtensionMetrics): Omit<Made, "spec"> {
    const { tenant, runner, actions } = this.#options;
    const { env, log, now, unixMs } = runner.context;
    const { permissions, limits, tickMs } = extensionTerms(entry);
    const fetch = permissions.net.length === 0 ? null : new GuardedFetch({
      allow: permissions.net,
      concurrency: limits.fetch_concurrency,
      resolve: resolveName,
      share: runner.share,
    });
    const extension = new Extension({
      spec: {
        tenant,
        extension: name,
        role,
        program: entry.code.program,
        options: entry.options ?? null,
        env: Object.fromEntries(permissions.env.flatMap((variable) => {
          const value = env(variable);
          return value === undefined ? [] : [[variable, value]];
        })),
        limits: workerLimits(limits),
      },
      timeoutMs: limits.timeout_ms,
      maxPending: limits.max_pending,
      tickMs,
      pool: runner.pool,
      texts: runner.texts,
      broker: new RequestBroker({
        svc: name,
        publish: permissions.publish.length === 0 ? null : new Patterns(permissions.publish),
        users: permissions.users,
        kv: this.#keyValues(`extension ${tenant} ${role} ${name}`, { permissions, limits, unixMs }),
        fetch: fetch === null ? null : (url, options) => fetch.fetch(url, options),
        actions,
        share: runner.share,
        actionsPerSecond: limits.max_actions_per_second,
        maxWaiting: limits.max_pending,
        metrics,
        now,
      }),
      metrics,
      log: new ExtensionLog({
        tenant,
        extension: name,
        log,
        linesPerSecond: limits.max_log_lines_per_second,
        lines: metrics.lines,
        unixMs,
        dropped: () => metrics.droppedLogLines++,
        now,
      }),
      now,
    });
    return { extension, fetch };
  }

  #keyValues(
    table: string,
    { permissions, limits, unixMs }: {
      readonly permissions: ExtensionPermissions;
      readonly limits: ExtensionLimits;
      readonly unixMs: () => number;
    },
  ): KeyValues | null {
    if (!permissions.kv) return null;
    const { context: { state }, share } = this.#options.runner;
    return new KeyValues(() => state().table(table, { maxBytes: limits.kv_max_bytes }), unixMs, share);
  }
}

function isLoaded<E extends ServiceConfig | PluginConfig>(entry: E): entry is E & Entry {
  return entry.code !== undefined;
}

function workerLimits(limits: ExtensionLimits): WorkerLimits {
  return {
    cpuMs: limits.cpu_ms,
    memoryMb: limits.memory_mb,
    maxReplyBytes: limits.max_reply_bytes,
    maxRequests: limits.max_pending,
    maxTimers: limits.max_timers,
  };
}
