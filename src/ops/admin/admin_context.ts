// What the admin API needs of the gateway, and what its handlers find in their context.

import type { OpenAPIHono } from "@hono/zod-openapi";
import type { SchemaCodes } from "../../config/data_schema.ts";
import type { ConfigDiff } from "../../config/diff.ts";
import type { ConfigIssue, Path } from "../../config/issue.ts";
import type { AdminConfig, Config, TenantConfig } from "../../config/schema.ts";
import type { Log } from "../../log.ts";
import type { Tenant } from "../../session/tenant.ts";
import type { RoomTap } from "../../room/room_tap.ts";
import type { Vitals } from "../console/history.ts";
import type { AdminKey } from "./keys.ts";

/** Something that happened to a session. */
export interface SessionEvent {
  readonly type: string;
  readonly subject: { readonly user: string; readonly sid: string; readonly session: string };
  readonly room?: string;
  readonly data?: unknown;
}

/** Told of what happens in a tenant. MUST NOT throw. */
export interface EventSink {
  /** Whether anything is wanted. */
  readonly any: boolean;
  wants(type: string): boolean;
  tell(event: SessionEvent): void;
  /** Null: nobody has to wait for it. */
  connected(subject: SessionEvent["subject"], data: unknown): null;
  disconnected(subject: SessionEvent["subject"], data: unknown): void;
}

/** A tenant that is served, with the configuration that it has now. */
export interface AdminTenant {
  readonly tenant: Tenant;
  readonly config: TenantConfig;
  /** Whether its configuration, or an administrator, lets nobody in. */
  readonly suspended: boolean;
  /** Links that have not sent their ticket yet. */
  pending(): number;
  /** What goes through its rooms. */
  readonly tap: RoomTap;
  readonly extensions: { readonly all: Iterable<AdminExtension> };
  /** Revoked tickets that have not expired by themselves, in no order; others MAY come and go meanwhile. */
  revoked(): Iterable<AdminRevocation>;
  /** Tells of what happens there, until the returned function is called; not from within an `EventSink`. */
  watch(sink: EventSink): () => void;
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

/** Tickets that are not taken any more. */
export interface AdminRevocation {
  /** Unique in the tenant: "t" and a ticket's id, or "u" and a user. */
  readonly name: string;
  /** Null where all tickets of a user are meant, up to a moment. */
  readonly ticketId: string | null;
  readonly user: string | null;
  /** Unix time in milliseconds; null of a single ticket. */
  readonly issuedBeforeMs: number | null;
  /** When it can be forgotten; infinite for never. */
  readonly untilMs: number;
}

/** An extension that is configured. */
export interface AdminExtension {
  readonly spec: { readonly extension: string; readonly role: "service" | "plugin" };
  readonly condition: string;
  /** Calls under way. */
  readonly pending: number;
  readonly metrics: {
    /** By `hook` and `outcome`. */
    readonly calls: Iterable<Labelled>;
    readonly durations: { readonly counts: readonly number[]; readonly sumMs: number };
    /** By `cause`. */
    readonly kills: Iterable<Labelled>;
    readonly restarts: number;
    readonly failedStarts: number;
    readonly droppedLogLines: number;
    readonly droppedEvents: number;
    readonly lines: { all(): readonly AdminLogLine[] };
  };
}

/** A number under label values. */
export interface Labelled {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A line that was logged of an extension. */
export interface AdminLogLine {
  /** Unix time in milliseconds. */
  readonly timeMs: number;
  readonly level: string;
  readonly text: string;
}

/** A webhook, and what is known of it; null for nothing yet. */
export interface AdminWebhook {
  readonly webhook: string;
  readonly url: string;
  readonly stats: {
    readonly events: number;
    readonly bytes: number;
    /** Unix time in milliseconds; null for an empty queue. */
    readonly oldestMs: number | null;
    readonly deadLetters: number;
    readonly delivered: number;
    /** Events given up, by reason. */
    readonly lost: Readonly<Record<string, number>>;
    /** Requests, by outcome. */
    readonly batches: Readonly<Record<string, number>>;
  } | null;
}

/** An event that a webhook's backend refuses. */
export interface AdminDeadLetter {
  readonly seq: number;
  readonly atMs: number;
  readonly reason: string;
  /** The event, as JSON. */
  readonly json: string;
}

/** The webhooks of all tenants. Null where there is no such one; rejects where the state cannot be used. */
export interface AdminWebhooks {
  look(tenant: string): Promise<readonly AdminWebhook[]>;
  /** Those behind `after`, oldest first: so many at most, and no more bytes than that, unless it is one. */
  deadLetters(
    tenant: string,
    webhook: string,
    range: { readonly after: number; readonly max: { readonly letters: number; readonly bytes: number } },
  ): Promise<{ readonly letters: readonly AdminDeadLetter[]; readonly more: boolean } | null>;
  /** Sends these again; null for all. @returns how many */
  retry(tenant: string, webhook: string, seqs: readonly number[] | null): Promise<number | null>;
  /** Forgets these; null for all. @returns how many */
  drop(tenant: string, webhook: string, seqs: readonly number[] | null): Promise<number | null>;
}

/** What came of a reload. */
export type Reloaded =
  | {
    readonly outcome: "applied" | "unchanged";
    readonly diff: ConfigDiff;
    readonly warnings: readonly ConfigIssue[];
  }
  | { readonly outcome: "refused"; readonly reason: string; readonly failures: readonly ConfigIssue[] };

/** What a reload would do. */
export type Preview =
  | { readonly ok: true; readonly diff: ConfigDiff; readonly warnings: readonly ConfigIssue[] }
  | { readonly ok: false; readonly failures: readonly ConfigIssue[] };

/** A text that is a configuration, or what is wrong with it. */
export type Checked =
  | { readonly ok: true; readonly config: Config; readonly schemas: SchemaCodes; readonly text: string }
  | { readonly ok: false; readonly failures: readonly ConfigIssue[] };

/** The gateway, as its administrators see it. */
export interface AdminContext {
  /** In use now. */
  readonly config: () => Config;
  /** `admin` of it. */
  readonly admin: () => AdminConfig;
  /** Reads the configuration anew; never rejects. */
  readonly reload: () => Promise<Reloaded>;
  /** What `reload` would do; never rejects. */
  readonly preview: () => Promise<Preview>;
  /** Checks a text that somebody has pasted as if it were the file; never rejects. */
  readonly check: (text: string) => Promise<Checked>;
  /** The lines at which a text, that of the configuration in use where none is given, says these; null for what it does not say. */
  readonly lines: (paths: readonly Path[], text?: string) => Promise<readonly (number | null)[]>;
  readonly log: Log;
  /** The gateway's name among several; null where it is alone. */
  readonly node: string | null;
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
  /** Whether what it needs to serve anybody is not there yet. */
  readonly waiting: () => boolean;
  /** Whether something of it is down that a tenant relies on; it serves all the same. */
  readonly degraded: () => boolean;
  /** Whether every listener accepts connections. */
  readonly accepting: () => boolean;
  readonly webhooks: AdminWebhooks;
  /** The process itself, as it is now. */
  readonly vitals: () => Vitals;
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
