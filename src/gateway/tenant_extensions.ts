// The extensions of one tenant, as the gateway holds them: where they run, which ones, and who tells them what happens.

import type { Extension } from "../extension/extension.ts";
import type { ExtensionSet } from "../extension/extension_set.ts";
import type { HostPool } from "../extension/host_pool.ts";
import { type ExtensionContext, Runner } from "../extension/runner.ts";
import type { Tenant } from "../session/tenant.ts";
import { ExtensionWatch } from "./extension_watch.ts";

export class TenantExtensions {
  readonly runner: Runner;
  /** Those that run; null before any. */
  #set: ExtensionSet | null = null;
  /** Null where there are none. */
  #watch: ExtensionWatch | null = null;

  /** Has no effects. */
  constructor(tenant: string, context: ExtensionContext) {
    this.runner = new Runner(tenant, context);
  }

  /** Those in use. */
  get all(): readonly Extension[] {
    return this.#set?.all ?? [];
  }

  /** The processes in which they run, none perhaps. */
  get hosts(): HostPool {
    return this.runner.pool;
  }

  /** Runs these, in the place of those that run now; what is in both goes on. */
  run(set: ExtensionSet, tenant: Tenant): void {
    const former = this.#set;
    if (former === set) return;
    this.#set = set;
    set.start(former);
    former?.retire(set);
    this.#tell(set, tenant);
  }

  /** Ends all of them, and the processes. */
  async stop(): Promise<void> {
    await this.runner.stop();
  }

  /** A tenant without extensions has nobody to tell, and no call for each that joins. */
  #tell(set: ExtensionSet, { watchers, rooms }: Tenant): void {
    const watch = this.#watch;
    if (watch !== null && !set.isEmpty) watch.set = set;
    else if (watch !== null) {
      watchers.splice(watchers.indexOf(watch), 1);
      rooms.unwatch(watch);
      this.#watch = null;
    } else if (!set.isEmpty) {
      this.#watch = new ExtensionWatch(this.runner.texts, set);
      watchers.push(this.#watch);
      rooms.watch(this.#watch);
    }
  }
}
