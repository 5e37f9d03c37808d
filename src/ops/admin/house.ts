// What the admin API needs of the gateway, and what its handlers find in their context.

import type { OpenAPIHono } from "@hono/zod-openapi";
import type { ConfigDiff } from "../../config/diff.ts";
import type { ConfigIssue } from "../../config/issue.ts";
import type { AdminConfig, Config, TenantConfig } from "../../config/schema.ts";
import type { Log } from "../../log.ts";
import type { Tenant } from "../../session/tenant.ts";
import type { AdminKey } from "./keys.ts";

/** Something that happened to a session. */
export interface Happening {
  readonly type: string;
  readonly subject: { readonly user: string; readonly sid: string; readonly session: string };
  readonly room?: string;
  readonly data?: unknown;
}

/** Told of what happens in a tenant. MUST NOT throw. */
export interface Teller {
  /** Whether anything is wanted. */
  readonly any: boolean;
  wants(type: string): boolean;
  tell(happening: Happening): void;
  /** Null: nobody has to wait for it. */
  connected(subject: Happening["subject"], data: unknown): null;
  disconnected(subject: Happening["subject"], data: unknown): void;
}

/** A tenant that is served, with the configuration that it has now. */
export interface AdminTenant {
  readonly tenant: Tenant;
  readonly config: TenantConfig;
  /** Whether its configuration, or an administrator, lets nobody in. */
  readonly suspended: boolean;
  /** Links that have not sent their ticket yet. */
  pending(): number;
  /** Tells of what happens there, until the returned function is called; not from within `Teller`. */
  watch(teller: Teller): () => void;
  /** Ends its sessions over this many milliseconds, and lets nobody in until it is resumed. */
  suspend(overMs: number): void;
  /** @returns whether it is served now: its configuration may suspend it too */
  resume(): boolean;
  /**
   * Takes tickets no more and ends their sessions.
   * @param untilMs Unix time in milliseconds at which they have expired by themselves; infinite for never
   * @returns the number of sessions; null when no more revocations can be remembered
   */
  revoke(
    revoked: { readonly jti: string } | { readonly user: string; readonly issuedBeforeMs: number },
    untilMs: number,
  ): number | null;
  /** Whether bans, revocations and suspension, as they are now, outlive the gateway, once that is known; true where none do. */
  kept(): Promise<boolean>;
}

/** What came of a reload. */
export type Reloaded =
  | {
    readonly outcome: "applied" | "unchanged";
    readonly diff: ConfigDiff;
    readonly warnings: readonly ConfigIssue[];
  }
  | { readonly outcome: "refused"; readonly reason: string; readonly failures: readonly ConfigIssue[] };

/** The gateway, as its administrators see it. */
export interface AdminHouse {
  /** In use now. */
  readonly config: () => Config;
  /** `admin` of it. */
  readonly admin: () => AdminConfig;
  /** Reads the configuration anew; never rejects. */
  readonly reload: () => Promise<Reloaded>;
  readonly log: Log;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Unix time in milliseconds. */
  readonly unixMs: () => number;
  /** Repeats a task every so many milliseconds, until the returned function is called. */
  readonly every: (ms: number, task: () => void) => () => void;
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
