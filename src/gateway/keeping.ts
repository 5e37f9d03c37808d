// What the gateway keeps beyond its own life, and the webhooks, whose events are kept there: opened before the door is,
// closed after everybody has left.

import { inlineChannel, workerChannel } from "../backend/state_channel.ts";
import { StateStore } from "../backend/state_store.ts";
import { Webhooks } from "../backend/webhooks.ts";
import type { Config, TenantConfig } from "../config/schema.ts";
import type { Log } from "../log.ts";
import type { State } from "../state.ts";
import type { Clock } from "./clock.ts";

export interface KeepingOptions {
  readonly config: Config;
  readonly log: Log;
  readonly clock: Pick<Clock, "unixMs" | "newId">;
}

export class Keeping {
  readonly webhooks: Webhooks;
  readonly #options: KeepingOptions;
  #store: StateStore | null = null;
  #following: Promise<void> = Promise.resolve();

  /** Has no effects. */
  constructor(options: KeepingOptions) {
    this.#options = options;
    const { config, log, clock } = options;
    this.webhooks = new Webhooks({
      store: () => this.#open(),
      durable: config.gateway.state_dir !== undefined,
      log,
      unixMs: clock.unixMs,
      newId: clock.newId,
    });
  }

  /** For whoever has something to keep. */
  get state(): State {
    return this.#open();
  }

  /**
   * Opens what the configuration names, and tells of what was left open.
   * @throws in one line, when the state cannot be opened
   */
  async start(): Promise<void> {
    const { config } = this.#options;
    const { state_dir: folder } = config.gateway;
    if (folder === undefined && config.tenants.every(({ webhooks }) => webhooks.length === 0)) return;
    await this.#open().ready;
    await this.webhooks.configure(config.tenants);
    await this.webhooks.tellLost();
  }

  /** Goes by another configuration of the webhooks, soon; those of tenants that leave stay until these have gone. */
  follow(tenants: Iterable<{ readonly id: string; readonly config: TenantConfig }>): void {
    const listed = [...tenants].map(({ id, config: { webhooks } }) => ({ id, webhooks }));
    this.#following = this.#following.then(() => this.webhooks.configure(listed)).catch((cause: unknown) => {
      const error = cause instanceof Error ? cause.message : String(cause);
      this.#options.log.error("webhooks stay as they were", { error });
    });
  }

  /** Writes what is still to be written. */
  async stop(): Promise<void> {
    await this.#store?.close();
  }

  #open(): StateStore {
    if (this.#store !== null) return this.#store;
    const { config, log } = this.#options;
    const { state_dir: folder } = config.gateway;
    const busy = folder !== undefined ||
      config.tenants.some(({ webhooks, services, plugins }) =>
        webhooks.length > 0 || [...services, ...plugins].some(({ permissions }) => permissions?.kv)
      );
    // A state in memory that neither webhooks nor extensions write to is hardly used: it does without a thread.
    return this.#store = new StateStore({
      open: busy ? (listener) => workerChannel(folder ?? null, listener) : inlineChannel,
      log,
    });
  }
}
