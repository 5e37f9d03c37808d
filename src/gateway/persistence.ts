// What the gateway keeps beyond its own life: the webhooks' events, and what has been decided about tenants. Opened before
// the door is, closed after everybody has left.

import { errorText } from "../error_text.ts";
import { inlineChannel, workerChannel } from "../state/state_channel.ts";
import { SteadyUnix } from "../state/steady_unix.ts";
import { historyDisk } from "../state/history_disk.ts";
import { StateStore } from "../state/state_store.ts";
import { Webhooks } from "../webhook/webhooks.ts";
import type { Config, TenantConfig } from "../config/schema.ts";
import type { Log } from "../log.ts";
import type { Tracer } from "../tracing/tracer.ts";
import type { MetricSource } from "../metrics/metrics.ts";
import type { HistoryDisk } from "../room/disk_room.ts";
import type { State } from "../state/table.ts";
import type { Clock } from "./clock.ts";
import { TenantRecord } from "./tenant_record.ts";

export interface PersistenceOptions {
  readonly config: Config;
  readonly log: Log;
  /** Null where nothing is traced. */
  readonly tracer: Tracer | null;
  readonly clock: Pick<Clock, "now" | "unixMs" | "newId" | "wait">;
}

/** A tenant that is served, as far as this is concerned. */
export interface Kept {
  readonly id: string;
  readonly config: TenantConfig;
  /** Takes up what is kept of it. */
  recall(): Promise<void>;
}

export class Persistence {
  readonly webhooks: Webhooks;
  readonly #options: PersistenceOptions;
  /** So that a clock that is set ahead ends no ban. */
  readonly #steady: SteadyUnix;
  #store: StateStore | null = null;
  /** By tenant; those of tenants that have left too, as long as something in them is known here only. */
  readonly #records = new Map<string, TenantRecord>();
  #applying: Promise<void> = Promise.resolve();

  /** Has no effects. */
  constructor(options: PersistenceOptions) {
    this.#options = options;
    const { config, log, tracer, clock } = options;
    this.#steady = new SteadyUnix(clock.unixMs, clock.now);
    this.webhooks = new Webhooks({
      store: () => this.#open(),
      durable: config.gateway.state_dir !== undefined,
      log,
      tracer,
      unixMs: clock.unixMs,
      newId: clock.newId,
    });
  }

  /** Whether something that is to be kept cannot be written. */
  get isDegraded(): boolean {
    return this.#store !== null && this.#store.failing !== null;
  }

  /** Where a tenant's rooms are kept; null without a folder for it. */
  histories(tenant: string): HistoryDisk | null {
    const { state_dir: folder } = this.#options.config.gateway;
    return folder === undefined ? null : historyDisk(tenant, () => this.#open());
  }

  /** For whoever has something to keep. */
  get state(): State {
    return this.#open();
  }

  get metrics(): MetricSource[] {
    return [...this.webhooks.metrics, {
      name: "state_degraded",
      help: "1 while something that is to be kept cannot be written, else 0.",
      type: "gauge",
      read: () => [{ labels: {}, value: this.isDegraded ? 1 : 0 }],
    }, {
      name: "state_write_failures_total",
      help: "Writes to the state that failed; what could be tried again is.",
      type: "counter",
      read: () => [{ labels: {}, value: this.#store?.failures ?? 0 }],
    }];
  }

  /**
   * What has been decided about a tenant: one that has left and comes back finds it as it was. Has no effects: a record
   * that is not held can be dropped.
   */
  record(tenant: string): TenantRecord {
    const { config, log, clock } = this.#options;
    const state = config.gateway.state_dir === undefined ? null : () => this.#open();
    return this.#records.get(tenant) ?? new TenantRecord({
      tenant,
      state,
      log,
      wait: clock.wait,
      aheadMs: () => this.#steady.aheadMs,
    });
  }

  /** A tenant with this record is served. */
  hold(tenant: string, record: TenantRecord): void {
    this.#records.set(tenant, record);
  }

  /** A tenant has left. */
  left(tenant: string): void {
    if (this.#records.get(tenant)?.isDispensable) this.#records.delete(tenant);
    this.webhooks.forget(tenant);
  }

  /**
   * Opens what the configuration names, takes up what is kept there, and tells of what was left open.
   * @throws in one line, when the state cannot be opened or read
   */
  async start(tenants: Iterable<Kept>): Promise<void> {
    const { config } = this.#options;
    const { state_dir: folder } = config.gateway;
    if (folder === undefined && config.tenants.every(({ webhooks }) => webhooks.length === 0)) return;
    try {
      await this.#open().ready;
      await Promise.all([...tenants].map((tenant) => tenant.recall()));
      await this.webhooks.configure(config.tenants);
      await this.webhooks.tellLost();
    } catch (cause) {
      // Its thread would keep the process alive.
      await this.stop();
      throw cause;
    }
  }

  /** Goes by another configuration of the webhooks, soon; those of tenants that leave stay until these have gone. */
  apply(tenants: Iterable<Kept>): void {
    const listed = [...tenants].map(({ id, config: { webhooks } }) => ({ id, webhooks }));
    this.#applying = this.#applying.then(() => this.webhooks.configure(listed)).catch((cause: unknown) => {
      const error = errorText(cause);
      this.#options.log.error("webhooks stay as they were", { error });
    });
  }

  /** Writes what is still to be written. */
  async stop(): Promise<void> {
    await Promise.all([...this.#records.values()].map((record) => record.stop()));
    await this.#store?.close();
  }

  #open(): StateStore {
    if (this.#store !== null) return this.#store;
    const { config, log } = this.#options;
    const { state_dir: folder, state_max_bytes, state_tenant_max_bytes } = config.gateway;
    const bounds = { maxBytes: state_max_bytes, tenantMaxBytes: state_tenant_max_bytes };
    const busy = folder !== undefined ||
      config.tenants.some(({ webhooks, services, plugins }) =>
        webhooks.length > 0 || [...services, ...plugins].some(({ permissions }) => permissions?.kv)
      );
    // A state in memory that neither webhooks nor extensions write to is hardly used: it does without a thread.
    return this.#store = new StateStore({
      open: (listener) =>
        busy ? workerChannel({ folder: folder ?? null, bounds }, listener) : inlineChannel(bounds, listener),
      log,
    });
  }
}
