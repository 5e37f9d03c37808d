// What the gateway and the state's thread say to each other: jobs go there in batches, each batch is one transaction,
// and its results come back when it is committed.

import type { LogFields } from "../log.ts";
import type { Entry, Range } from "./table.ts";
import type { DeadLetters, QueueLimits, QueueStats } from "./hook_queue.ts";
import type { SenderSpec, SenderStats } from "./hook_sender.ts";

/** A webhook as its thread needs it. */
export interface HookSpec extends SenderSpec {
  readonly limits: QueueLimits;
}

/** A session that is open, as it is told of when it is lost. */
export interface OpenSession {
  readonly tenant: string;
  readonly session: string;
  /** JSON, the business of whoever wrote it. */
  readonly info: string;
}

/** What is kept of a room. */
export interface HistoryMeta {
  readonly epoch: string;
  readonly first: number;
  readonly last: number;
  readonly bytes: number;
}

/** A message that a room is to keep. */
export interface HistoryAppend {
  readonly text: string;
  /** By what it is known when it is said again, null for nothing: its sender's name and key, in one. */
  readonly key: { readonly name: string; readonly digest: string | null; readonly forMs: number } | null;
  /** The epoch that the room's members were told, should this be its first message; null for any. */
  readonly epoch: string | null;
  readonly bounds: { readonly maxMessages: number; readonly maxBytes: number; readonly maxAgeMs: number };
  /** What comes behind this offset must stay; infinite for nothing. */
  readonly keepAfter: number;
}

export interface HistoryStored extends HistoryMeta {
  readonly offset: number;
  readonly duplicate: boolean;
}

/** Messages behind an offset, or before one. */
export interface HistoryRange {
  readonly after: number | null;
  readonly before: number;
  readonly limit: number;
  readonly maxBytes: number;
  /** Also what is kept no more, for one who was promised it before. */
  readonly isPinned: boolean;
}

/** A room of a tenant. */
interface InRoom {
  readonly tenant: string;
  readonly room: string;
}

/** Jobs by name, each with its result. */
export interface Jobs {
  /** An event for these webhooks, by number. */
  emit: {
    job: { readonly hooks: readonly number[]; readonly json: string; readonly atMs: number };
    result: null;
  };
  /** Events of a webhook that were dropped before they got here. */
  skip: { job: { readonly hook: number; readonly count: number; readonly atMs: number }; result: null };
  opened: { job: OpenSession; result: null };
  closed: { job: { readonly tenant: string; readonly session: string }; result: null };
  /** Sessions that were open when the gateway ended. */
  lost: { job: Readonly<Record<never, never>>; result: readonly OpenSession[] };
  /** All webhooks from now on; their numbers, in order. */
  configure: { job: { readonly hooks: readonly HookSpec[] }; result: readonly number[] };
  /** What is known of webhooks now, by number; null for one that is none. */
  hookStats: { job: { readonly hooks: readonly number[] }; result: readonly (HookStats | null)[] };
  deadLetters: {
    job: {
      readonly hook: number;
      readonly after: number;
      readonly max: { readonly letters: number; readonly bytes: number };
    };
    result: DeadLetters;
  };
  /** `seqs` null for all; how many. */
  retryDead: { job: { readonly hook: number; readonly seqs: readonly number[] | null }; result: number };
  dropDead: { job: { readonly hook: number; readonly seqs: readonly number[] | null }; result: number };
  /** Nothing, for one who wants to know that all before it is committed. */
  committed: { job: Readonly<Record<never, never>>; result: null };
  get: { job: { readonly table: string; readonly key: string }; result: Entry | null };
  list: { job: { readonly table: string; readonly range: Range }; result: readonly Entry[] };
  put: { job: { readonly table: string; readonly entry: Entry; readonly maxBytes: number }; result: boolean };
  increment: {
    job: {
      readonly table: string;
      readonly key: string;
      readonly by: number;
      readonly expiresMs: number | null;
      readonly maxBytes: number;
    };
    result: number | null;
  };
  delete: { job: { readonly table: string; readonly key: string }; result: boolean };
  historyOpen: { job: InRoom & { readonly bounds: HistoryAppend["bounds"] }; result: HistoryMeta };
  /** "full" when the disk has no room for it, "reused" when its key stands for another message. */
  historyAppend: {
    job: InRoom & { readonly message: HistoryAppend };
    result: HistoryStored | "full" | "reused";
  };
  historyRead: {
    job: InRoom & { readonly range: HistoryRange };
    result: HistoryMeta & { readonly rows: readonly (readonly [number, string])[] };
  };
  historyTrim: {
    job: InRoom & { readonly bounds: HistoryAppend["bounds"]; readonly keepAfter: number };
    result: HistoryMeta;
  };
  historyClear: { job: InRoom; result: HistoryMeta };
}

export type JobName = keyof Jobs;
/** A job with its name. */
export type Job = { [N in JobName]: { readonly name: N } & Jobs[N]["job"] }[JobName];

/** To the thread. */
export type ToThread =
  | { readonly kind: "batch"; readonly jobs: readonly Job[] }
  | { readonly kind: "close" };

/** What is known of a webhook, as metrics show it. */
export interface HookStats extends QueueStats, SenderStats {}

/** From the thread. */
export type FromThread =
  /** The database is open, or why it is not; nothing else comes then. */
  | { readonly kind: "ready"; readonly failed: string | null }
  /**
   * A batch is committed: its results, in its order. Or it failed, and nothing of it has happened: then there are results of
   * the jobs that only read, which saw the state as it was before.
   */
  | { readonly kind: "done"; readonly results: readonly unknown[]; readonly failed: null }
  | { readonly kind: "done"; readonly results: ReadonlyMap<number, unknown>; readonly failed: string }
  /** Why the state cannot be written, or not by all; null for all is well. */
  | { readonly kind: "health"; readonly failing: string | null }
  | { readonly kind: "warning"; readonly message: string; readonly fields: LogFields }
  /** By webhook number. */
  | { readonly kind: "stats"; readonly hooks: readonly (readonly [hook: number, stats: HookStats])[] }
  | { readonly kind: "closed" };
