// What the admin API needs of the gateway, and what its handlers find in their context.

import type { OpenAPIHono } from "@hono/zod-openapi";
import type { AdminConfig, TenantConfig } from "../../config/schema.ts";
import type { Log } from "../../log.ts";
import type { Tenant } from "../../session/tenant.ts";
import type { AdminKey } from "./keys.ts";

/** A tenant that is served, with the configuration that it has now. */
export interface AdminTenant {
  readonly tenant: Tenant;
  readonly config: TenantConfig;
  /** Links that have not sent their ticket yet. */
  pending(): number;
}

/** The gateway, as its administrators see it. */
export interface AdminHouse {
  /** `admin` as it is now. */
  readonly config: AdminConfig;
  readonly log: Log;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Unix time in milliseconds. */
  readonly unixMs: () => number;
  /** Resolves when the sockets that are readable now have been read: what takes long is done in slices. */
  readonly turn: () => Promise<void>;
  readonly tenants: () => Iterable<AdminTenant>;
  readonly tenant: (id: string) => AdminTenant | undefined;
  readonly draining: () => boolean;
  readonly metrics: {
    readonly contentType: string;
    /** Those of one tenant, or all. */
    readonly render: (tenant: string | null) => Promise<string>;
  };
  /** Of this build, for the API's document. */
  readonly version: string;
}

/** What a request has brought and come to. */
export interface AdminEnv {
  readonly Bindings: {
    /** The peer's address. */
    readonly address: string;
  };
  readonly Variables: {
    key: AdminKey;
    /** On routes below a tenant. */
    seat: AdminTenant;
  };
}

/** The application that routes are added to. */
export type AdminApp = OpenAPIHono<AdminEnv>;
