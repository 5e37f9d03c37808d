// All tenants of a gateway, and how they come and go. A reload is planned first, in slices and without effects; the plan
// is then put in place within one turn, so that no message sees some of both configurations.

import type { TenantEntry } from "../admission/admission.ts";
import type { SchemaCodes } from "../config/data_schema.ts";
import { type Change, type ConfigDiff, diffTenant } from "../config/diff.ts";
import { configHash } from "../config/fingerprint.ts";
import type { Config, GatewayConfig } from "../config/schema.ts";
import type { Extension } from "../extension/extension.ts";
import type { HostPool } from "../extension/host_pool.ts";
import { Slices } from "./slices.ts";
import type { TenantDeps } from "./tenant_deps.ts";
import { type Parts, TenantRuntime } from "./tenant_runtime.ts";

/** A configuration, and the code of its rules' schemas. */
export interface Loaded {
  readonly config: Config;
  readonly schemas: SchemaCodes;
}

/** What another configuration does to the tenants. */
export interface Plan {
  readonly diff: ConfigDiff;
  /** New tenants, and those that come back before they had quite gone. */
  readonly opening: readonly TenantRuntime[];
  readonly closing: readonly TenantRuntime[];
  /** Parts to put in place, of those that stay or come back. */
  readonly parts: ReadonlyMap<TenantRuntime, Parts>;
}

export class Tenants implements Iterable<TenantRuntime> {
  /** The tenants that are served, by id. */
  readonly entries: ReadonlyMap<string, TenantEntry>;
  readonly #entries = new Map<string, TenantEntry>();
  readonly #deps: TenantDeps;
  #gateway: GatewayConfig;
  /** By id; those that leave among them, until their last session has ended. */
  readonly #all = new Map<string, TenantRuntime>();

  constructor({ config: { tenants, gateway }, schemas }: Loaded, deps: TenantDeps) {
    this.entries = this.#entries;
    this.#deps = deps;
    this.#gateway = gateway;
    for (const config of tenants) this.#open(new TenantRuntime({ config, schemas }, gateway, deps));
  }

  [Symbol.iterator](): Iterator<TenantRuntime> {
    return this.#all.values();
  }

  get(id: string): TenantRuntime | undefined {
    return this.#all.get(id);
  }

  /** The largest message that a client of any tenant may send, in bytes. */
  get maxMessageBytes(): number {
    return Math.max(...[...this.#all.values()].map(({ config }) => config.limits.max_frame_bytes));
  }

  /** The extensions of all of them. */
  *extensions(): Generator<Extension> {
    for (const { extensions } of this.#all.values()) yield* extensions.all;
  }

  /** Where these run; of tenants that have any. */
  *extensionHosts(): Generator<HostPool> {
    for (const { extensions } of this.#all.values()) if (extensions.all.length > 0) yield extensions.hosts;
  }

  /** Whether an extension is down. */
  get isDegraded(): boolean {
    for (const { condition } of this.extensions()) if (condition === "down") return true;
    return false;
  }

  /** A short name of the configuration that they make up. */
  hash(config: Config): string {
    return configHash(config, config.tenants.map(({ id }) => `${id} ${this.#all.get(id)!.print}`));
  }

  /** Makes what another configuration needs; changes nothing. */
  async plan({ config: { tenants, gateway }, schemas }: Loaded): Promise<Plan> {
    const slices = new Slices(this.#deps.clock.now);
    const closing = new Map(this.#entries);
    const changes: Change[] = [], added: string[] = [];
    const opening: TenantRuntime[] = [];
    const parts = new Map<TenantRuntime, Parts>();
    for (const config of tenants) {
      const known = this.#all.get(config.id);
      if (!closing.delete(config.id)) {
        added.push(config.id);
        opening.push(known ?? new TenantRuntime({ config, schemas }, gateway, this.#deps));
        if (known !== undefined) parts.set(known, known.prepare({ config, schemas }, gateway, "anew"));
      } else if (known!.config !== config) {
        const changed = diffTenant(known!.config, config, this.#deps.deflates);
        if (changed.length > 0) parts.set(known!, known!.prepare({ config, schemas }, gateway));
        changes.push(...changed);
      }
      await slices.rest();
    }
    await Promise.all(opening.map((tenant) => tenant.recall()));
    const removed = [...closing.keys()];
    return {
      diff: { changes, added, removed },
      opening,
      closing: removed.map((id) => this.#all.get(id)!),
      parts,
    };
  }

  /** Puts a plan in place. */
  apply({ opening, closing, parts }: Plan, gateway: GatewayConfig): void {
    for (const tenant of opening) {
      tenant.comeBack();
      this.#open(tenant);
    }
    // What holds for all is told all; else, of 1,000 tenants, only those hear of it who are concerned.
    const all = JSON.stringify(gateway) !== JSON.stringify(this.#gateway);
    this.#gateway = gateway;
    for (const tenant of all ? this.#all.values() : [...opening, ...parts.keys()]) {
      tenant.apply(parts.get(tenant) ?? tenant.parts, gateway);
    }
    for (const tenant of opening) tenant.runExtensions();
    for (const tenant of closing) {
      this.#entries.delete(tenant.id);
      tenant.leave(gateway.drain_grace_ms, () => this.#all.delete(tenant.id));
    }
  }

  /** Begins what they do by themselves. */
  start(): void {
    for (const tenant of this.#all.values()) tenant.runExtensions();
  }

  /** Lets go of what their rooms keep and is too old, and of quotas what other nodes have a part in. */
  eachSecond(): void {
    for (const runtime of this.#all.values()) {
      runtime.tenant.rooms.histories.sweep();
      runtime.shareQuotas();
    }
  }

  /** Resolves when all that they ran has ended. */
  async stop(): Promise<void> {
    await Promise.all([...this.#all.values()].map((tenant) => tenant.stop()));
  }

  #open(tenant: TenantRuntime): void {
    // One that comes back before it had quite gone is there still.
    if (!this.#all.has(tenant.id)) tenant.start();
    this.#all.set(tenant.id, tenant);
    this.#entries.set(tenant.id, tenant.entry);
  }
}
