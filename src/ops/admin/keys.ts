// Who may use the admin API: keys by their secrets, and what each is good for.

import { type AdminPermission, EVERY_TENANT } from "../../config/admin_schema.ts";
import type { AdminConfig } from "../../config/schema.ts";
import { Rate } from "../../policy/rate.ts";
import { SecretIndex } from "../../collections/secret_index.ts";

type KeyConfig = AdminConfig["keys"][number];

/** One key, and what it has used of its rate. */
export class AdminKey {
  readonly id: string;
  /** Whether it is good for what concerns the gateway as a whole. */
  readonly isGlobal: boolean;
  readonly rate: Rate;
  /** Its bucket (see policy/rate.ts). */
  fullAt = 0;
  readonly #tenants: ReadonlySet<string>;
  readonly #permissions: ReadonlySet<AdminPermission>;

  readonly #config: string;

  constructor(config: KeyConfig) {
    this.#config = JSON.stringify(config);
    this.id = config.id;
    this.isGlobal = config.tenants.includes(EVERY_TENANT);
    this.rate = new Rate(config.rps, config.burst);
    this.#tenants = new Set(config.tenants);
    this.#permissions = new Set(config.permissions);
  }

  /** Whether another configuration of it says the same. */
  isAs(config: KeyConfig): boolean {
    return JSON.stringify(config) === this.#config;
  }

  may(permission: AdminPermission): boolean {
    return this.#permissions.has(permission);
  }

  reaches(tenant: string): boolean {
    return this.isGlobal || this.#tenants.has(tenant);
  }
}

export class AdminKeys {
  #keys: readonly AdminKey[] = [];
  #bySecret = new SecretIndex<AdminKey>([]);

  constructor(configs: readonly KeyConfig[]) {
    this.apply(configs, 0);
  }

  /** Other keys from now on. One that stays the same stays the same object; one of the same id owes what it owed. */
  apply(configs: readonly KeyConfig[], now: number): void {
    const former = new Map(this.#keys.map((key) => [key.id, key]));
    const pairs = configs.map((config) => {
      const before = former.get(config.id);
      if (before?.isAs(config)) return [config.secret, before] as const;
      const key = new AdminKey(config);
      key.fullAt = key.rate.capped(before?.fullAt ?? 0, now);
      return [config.secret, key] as const;
    });
    this.#keys = pairs.map(([, key]) => key);
    this.#bySecret = new SecretIndex(pairs);
  }

  /** Whether this very key is still good. */
  has(key: AdminKey): boolean {
    return this.#keys.includes(key);
  }

  /** The key of an `Authorization` header, or null. */
  find(authorization: string | undefined): AdminKey | null {
    const bearer = /^Bearer +(\S+) *$/i.exec(authorization ?? "");
    return bearer === null ? null : this.#bySecret.find(bearer[1]!) ?? null;
  }
}
