// All tenants of a gateway, and how they come and go. A reload is planned first, in slices and without effects; the plan
// is then put in place within one turn, so that no message sees some of both configurations.

import type { Gate } from "../admission/admission.ts";
import type { SchemaCodes } from "../config/data_schema.ts";
import { type Change, type ConfigDiff, diffTenant } from "../config/diff.ts";
import { configHash } from "../config/fingerprint.ts";
import type { Config, GatewayConfig } from "../config/schema.ts";
import { Slices } from "./slices.ts";
import { type Parts, type Surroundings, Tenancy } from "./tenancy.ts";

/** A configuration, and the code of its rules' schemas. */
export interface Loaded {
  readonly config: Config;
  readonly schemas: SchemaCodes;
}

/** What another configuration does to the tenants. */
export interface Plan {
  readonly diff: ConfigDiff;
  /** New tenants, and those that come back before they had quite gone. */
  readonly opening: readonly Tenancy[];
  readonly closing: readonly Tenancy[];
  /** Parts to put in place, of those that stay or come back. */
  readonly parts: ReadonlyMap<Tenancy, Parts>;
}

export class Tenants implements Iterable<Tenancy> {
  /** The tenants that are served, by id. */
  readonly gates: ReadonlyMap<string, Gate>;
  readonly #gates = new Map<string, Gate>();
  readonly #surroundings: Surroundings;
  #gateway: GatewayConfig;
  /** By id; those that leave among them, until their last session has ended. */
  readonly #all = new Map<string, Tenancy>();

  constructor({ config: { tenants, gateway }, schemas }: Loaded, surroundings: Surroundings) {
    this.gates = this.#gates;
    this.#surroundings = surroundings;
    this.#gateway = gateway;
    for (const config of tenants) this.#open(new Tenancy({ config, schemas }, gateway, surroundings));
  }

  [Symbol.iterator](): Iterator<Tenancy> {
    return this.#all.values();
  }

  get(id: string): Tenancy | undefined {
    return this.#all.get(id);
  }

  /** The largest message that a client of any tenant may send, in bytes. */
  get maxMessageBytes(): number {
    return Math.max(...[...this.#all.values()].map(({ config }) => config.limits.max_frame_bytes));
  }

  /** A short name of the configuration that they make up. */
  hash(config: Config): string {
    return configHash(config, config.tenants.map(({ id }) => `${id} ${this.#all.get(id)!.print}`));
  }

  /** Makes what another configuration needs; changes nothing. */
  async plan({ config: { tenants, gateway }, schemas }: Loaded): Promise<Plan> {
    const slices = new Slices(this.#surroundings.clock.now);
    const closing = new Map(this.#gates);
    const changes: Change[] = [], added: string[] = [];
    const opening: Tenancy[] = [];
    const parts = new Map<Tenancy, Parts>();
    for (const config of tenants) {
      const known = this.#all.get(config.id);
      if (!closing.delete(config.id)) {
        added.push(config.id);
        opening.push(known ?? new Tenancy({ config, schemas }, gateway, this.#surroundings));
        if (known !== undefined) parts.set(known, known.prepare({ config, schemas }, "anew"));
      } else if (known!.config !== config) {
        const changed = diffTenant(known!.config, config);
        if (changed.length > 0) parts.set(known!, known!.prepare({ config, schemas }));
        changes.push(...changed);
      }
      await slices.rest();
    }
    await Promise.all(opening.map((tenancy) => tenancy.recall()));
    const removed = [...closing.keys()];
    return {
      diff: { changes, added, removed },
      opening,
      closing: removed.map((id) => this.#all.get(id)!),
      parts,
    };
  }

  /** Puts a plan in place. */
  adopt({ opening, closing, parts }: Plan, gateway: GatewayConfig): void {
    for (const tenancy of opening) {
      tenancy.comeBack();
      this.#open(tenancy);
    }
    // What holds for all is told all; else, of 1,000 tenants, only those hear of it who are concerned.
    const all = JSON.stringify(gateway) !== JSON.stringify(this.#gateway);
    this.#gateway = gateway;
    for (const tenancy of all ? this.#all.values() : [...opening, ...parts.keys()]) {
      tenancy.adopt(parts.get(tenancy) ?? tenancy.parts, gateway);
    }
    for (const tenancy of closing) {
      this.#gates.delete(tenancy.id);
      tenancy.leave(gateway.drain_grace_ms, () => this.#all.delete(tenancy.id));
    }
  }

  stop(): void {
    for (const tenancy of this.#all.values()) tenancy.stop();
  }

  #open(tenancy: Tenancy): void {
    // One that comes back before it had quite gone is there still.
    if (!this.#all.has(tenancy.id)) tenancy.begin();
    this.#all.set(tenancy.id, tenancy);
    this.#gates.set(tenancy.id, tenancy.gate);
  }
}
