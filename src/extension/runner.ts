// The running extensions of a tenant: those of its configuration, and those of former ones that finish their calls. Lives
// as long as the tenant; without extensions it is nothing but this object.

import type { Log } from "../log.ts";
import type { Inflow, Share } from "../outbound/inflow.ts";
import type { Every } from "../service/service.ts";
import type { State } from "../state/table.ts";
import type { Extension } from "./extension.ts";
import { LOOK_MS } from "./host.ts";
import { HostPool } from "./host_pool.ts";
import type { Confinement, LaunchHost } from "./host_process.ts";
import { SessionTexts } from "./session_texts.ts";

/** What the extensions of all tenants have in common. */
export interface ExtensionContext {
  readonly launch: LaunchHost;
  /** Runs a task once this turn's readable sockets were read. */
  readonly afterTurn: (task: () => void) => void;
  /** Where `ctx.kv` keeps; opened when it is first asked for. */
  readonly state: () => State;
  /** An environment variable of the gateway. */
  readonly env: (name: string) => string | undefined;
  /** `extensions` of the configuration; a reload changes it in place. */
  readonly settings: { readonly confinement: Confinement; host_memory_mb: number };
  readonly every: Every;
  /** For the answers of those whom tenants ask. */
  readonly inflow: Inflow;
  readonly log: Log;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Unix time in milliseconds. */
  readonly unixMs: () => number;
}

export class Runner {
  readonly context: ExtensionContext;
  readonly pool: HostPool;
  /** The tenant's share of what answers may cost, which all that asks in its name has in common. */
  readonly share: Share;
  readonly texts = new SessionTexts();
  readonly #running = new Set<Extension>();
  #stopLooking: (() => void) | null = null;

  /** Has no effects. */
  constructor(tenant: string, context: ExtensionContext) {
    this.context = context;
    this.share = context.inflow.share();
    const { launch, afterTurn, log, settings } = context;
    this.pool = new HostPool({
      tenant,
      launch,
      afterTurn,
      log,
      confinement: settings.confinement,
      hostMemoryMb: () => settings.host_memory_mb,
    });
  }

  start(extension: Extension): void {
    this.#running.add(extension);
    this.#stopLooking ??= this.context.every(LOOK_MS, () => this.#look());
    extension.start();
  }

  /** Ends all that runs, `onStop` included, and the hosts. Resolves when nothing is left, which takes two seconds at most. */
  async stop(): Promise<void> {
    if (this.#running.size === 0) return;
    await Promise.all([...this.#running].map((extension) => extension.retire(null, true)));
    this.#rest();
  }

  #look(): void {
    const now = this.context.now();
    this.pool.look();
    for (const extension of this.#running) {
      extension.look(now);
      if (extension.isStopped) this.#running.delete(extension);
    }
    if (this.#running.size === 0) this.#rest();
  }

  #rest(): void {
    this.#stopLooking?.();
    this.#stopLooking = null;
    this.#running.clear();
    this.pool.stop();
  }
}
