// What the console sees of a gateway over time. It looks only while the configuration has a console: before, and after
// that, no tenant is followed and nothing is sampled.

import type { AdminContext, AdminTenant } from "../admin/admin_context.ts";
import { GATEWAY_STEP_MS, History } from "./history.ts";
import { Probe } from "./probe.ts";

export class Observer {
  readonly #context: AdminContext;
  readonly #probes = new Map<AdminTenant, Probe>();
  /** Null while nobody may look. */
  #history: History | null = null;
  #stop: (() => void) | null = null;

  constructor(context: AdminContext) {
    this.#context = context;
  }

  /** Looks, or looks no more, as the configuration says. */
  apply(): void {
    if (!this.#context.admin().console) return this.stop();
    this.#history ??= new History();
    if (this.#stop === null) {
      this.#stop = this.#context.every(GATEWAY_STEP_MS, () => this.#step());
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
    const { now, unixMs, vitals } = this.#context;
    const tenants = [...this.#probes.keys()].map(({ tenant }) => tenant);
    this.#history!.step(tenants, vitals(), { now: now(), unixMs: unixMs() });
  }

  /** Follows the tenants that there are now. */
  #follow(): void {
    const { now, unixMs } = this.#context;
    const served = new Set(this.#context.tenants());
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
