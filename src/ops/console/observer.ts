// What the console sees of a gateway over time. It looks only while the configuration has a console: before, and after
// that, no tenant is followed and nothing is sampled.

import type { AdminHouse, AdminTenant } from "../admin/house.ts";
import { GATEWAY_STEP_MS, History } from "./history.ts";
import { Probe } from "./probe.ts";

export class Observer {
  readonly #house: AdminHouse;
  readonly #probes = new Map<AdminTenant, Probe>();
  /** Null while nobody may look. */
  #history: History | null = null;
  #stop: (() => void) | null = null;

  constructor(house: AdminHouse) {
    this.#house = house;
  }

  /** Looks, or looks no more, as the configuration says. */
  apply(): void {
    if (!this.#house.admin().console) return this.stop();
    this.#history ??= new History();
    if (this.#stop === null) {
      this.#stop = this.#house.every(GATEWAY_STEP_MS, () => this.#step());
      this.#step();
    } else this.#follow();
  }

  stop(): void {
    this.#stop?.();
    this.#stop = this.#history = null;
    for (const probe of this.#probes.values()) probe.detach();
    this.#probes.clear();
  }

  /** Of the last hour; null while nothing is sampled. */
  get history(): History | null {
    return this.#history;
  }

  /** Of a tenant; null while it is not followed. */
  probe(seat: AdminTenant): Probe | null {
    return this.#probes.get(seat) ?? null;
  }

  #step(): void {
    this.#follow();
    for (const probe of this.#probes.values()) probe.turn();
    const { now, unixMs, vitals } = this.#house;
    const tenants = [...this.#probes.keys()].map(({ tenant }) => tenant);
    this.#history!.step(tenants, vitals(), { now: now(), unixMs: unixMs() });
  }

  /** Follows the tenants that there are now. */
  #follow(): void {
    const { now, unixMs } = this.#house;
    const served = new Set(this.#house.tenants());
    for (const seat of served) {
      if (this.#probes.has(seat)) continue;
      const probe = new Probe({ tenant: seat.tenant, tap: seat.tap, now, unixMs });
      probe.attach();
      this.#probes.set(seat, probe);
    }
    for (const [seat, probe] of this.#probes) {
      if (served.has(seat)) continue;
      probe.detach();
      this.#probes.delete(seat);
    }
  }
}
