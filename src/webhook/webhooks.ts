// Webhooks: what happens becomes events, each for those webhooks that want it, and events go to the state's thread,
// which keeps them until your backend has taken them.

import type { EventType, WebhookConfig } from "../config/backend_schema.ts";
import type { Log } from "../log.ts";
import type { MetricSource } from "../metrics/metrics.ts";
import { writeObject } from "../protocol/json.ts";
import { Patterns } from "../protocol/patterns.ts";
import { signingKeys } from "../outbound/signing.ts";
import { SPAN_KIND, type Tracer } from "../tracing/tracer.ts";
import type { DeadLetters } from "../state/hook_queue.ts";
import type { HookSpec } from "../state/state_messages.ts";
import type { StateStore } from "../state/state_store.ts";
import { type HookView, webhookMetrics } from "./webhook_metrics.ts";

/** Whom an event is about. */
export interface EventSubject {
  readonly user: string;
  readonly sid: string;
  readonly session: string;
}

/** Something that happened. */
export interface SessionEvent {
  readonly type: EventType;
  readonly subject: EventSubject;
  readonly room?: string;
  readonly data?: unknown;
  /** Of messages, for matching. */
  readonly svc?: string;
  readonly messageType?: string;
}

/** A tenant with its webhooks. */
export interface Listed {
  readonly id: string;
  readonly webhooks: readonly WebhookConfig[];
}

export interface WebhooksOptions {
  /** Opened when it is first needed. */
  readonly store: () => StateStore;
  /** Whether it survives a restart. */
  readonly durable: boolean;
  readonly log: Log;
  /** Null where nothing is traced. */
  readonly tracer: Tracer | null;
  /** Unix time in milliseconds. */
  readonly unixMs: () => number;
  /** A new id, hard to guess. */
  readonly newId: () => string;
}

/** Which events a webhook wants. */
interface Wish {
  /** Its number in the state. */
  readonly hook: number;
  readonly config: WebhookConfig;
  readonly room: Patterns | null;
  readonly user: Patterns | null;
  readonly svc: Patterns | null;
  readonly type: Patterns | null;
}

/** What one tenant's webhooks want. */
export class TenantWebhooks {
  readonly #tenant: string;
  readonly #webhooks: Webhooks;
  readonly #wishes = new Map<EventType, Wish[]>();

  constructor(tenant: string, webhooks: Webhooks) {
    this.#tenant = tenant;
    this.#webhooks = webhooks;
  }

  /** Whether any of them wants such events. */
  wants(type: EventType): boolean {
    return this.#wishes.has(type);
  }

  /** Whether any of them wants anything. */
  get any(): boolean {
    return this.#wishes.size > 0;
  }

  /** Tells of something. */
  tell(happening: SessionEvent): void {
    const wishes = this.#wishes.get(happening.type);
    if (wishes === undefined) return;
    const hooks = wishes.filter((wish) => concerns(wish, happening)).map(({ hook }) => hook);
    if (hooks.length > 0) this.#webhooks.emit(this.#tenant, hooks, happening);
  }

  /**
   * Tells of a session that is to begin.
   * @returns whether that is on record, later; null where nobody keeps a record
   */
  connected(subject: EventSubject, data: unknown): Promise<boolean> | null {
    const lasting = this.wants("session.disconnected");
    if (!lasting && !this.wants("session.connected")) return null;
    // So that its end can be told of even when the gateway does not live to see it.
    if (lasting) this.#webhooks.opened(this.#tenant, subject);
    this.tell({ type: "session.connected", subject, data });
    return this.#webhooks.recorded();
  }

  disconnected(subject: EventSubject, data: unknown): void {
    this.tell({ type: "session.disconnected", subject, data });
    if (this.wants("session.disconnected")) this.#webhooks.closed(this.#tenant, subject);
  }

  /** Sets what is wanted from now on. */
  set(wishes: readonly Wish[]): void {
    this.#wishes.clear();
    for (const wish of wishes) {
      for (const type of new Set(wish.config.events)) {
        const others = this.#wishes.get(type);
        if (others === undefined) this.#wishes.set(type, [wish]);
        else others.push(wish);
      }
    }
  }
}

export class Webhooks {
  readonly #options: WebhooksOptions;
  readonly #tenants = new Map<string, TenantWebhooks>();
  /** All of them, by number in the state. */
  #wishes: ReadonlyMap<number, { readonly tenant: string; readonly config: WebhookConfig }> = new Map();
  /** Part of every event's id, so that ids are unique across restarts. */
  readonly #run: string;
  #lastEvent = 0;

  constructor(options: WebhooksOptions) {
    this.#options = options;
    this.#run = options.newId();
  }

  /** Those of one tenant, none at first. */
  of(tenant: string): TenantWebhooks {
    let webhooks = this.#tenants.get(tenant);
    if (webhooks === undefined) this.#tenants.set(tenant, webhooks = new TenantWebhooks(tenant, this));
    return webhooks;
  }

  /** Tenants that are known. */
  get tenants(): number {
    return this.#tenants.size;
  }

  /** A tenant is no more. */
  forget(tenant: string): void {
    this.#tenants.delete(tenant);
  }

  /** Makes these all the webhooks there are. Resolves when they are told what happens; rejects when they cannot be. */
  async configure(tenants: readonly Listed[]): Promise<void> {
    const { store, durable, log } = this.#options;
    const all = tenants.flatMap(({ id: tenant, webhooks }) => webhooks.map((config) => ({ tenant, config })))
      .filter(({ tenant, config }) => {
        if (durable || !config.durable) return true;
        log.error("webhook waits for a restart with gateway.state_dir", { tenant, webhook: config.id });
        return false;
      });
    if (all.length === 0 && this.#wishes.size === 0) return;
    const hooks = await store().ask({ name: "configure", hooks: all.map(specOf) });
    this.#wishes = new Map(all.map((one, i) => [hooks[i]!, one]));
    for (const id of new Set([...this.#tenants.keys(), ...all.map(({ tenant }) => tenant)])) {
      const wishes = [...this.#wishes].filter(([, { tenant }]) => tenant === id);
      this.of(id).set(wishes.map(([hook, { config }]) => wishOf(hook, config)));
    }
  }

  /** Tells of the end of those sessions that the gateway left open when it ended last. */
  async tellLost(): Promise<void> {
    const store = this.#options.store();
    for (const { tenant, session, info } of await store.ask({ name: "lost" })) {
      const { user, sid } = readInfo(info);
      this.of(tenant).disconnected({ user, sid, session }, { reason: "node_lost" });
      store.tell({ name: "closed", tenant, session });
    }
    await store.committed();
  }

  /** What was known of each webhook a moment ago; null for one that has just come. */
  list(): HookView[] {
    return [...this.#wishes].map(([hook, { tenant, config }]) => ({
      tenant,
      webhook: config.id,
      url: config.url,
      stats: this.#options.store().hookStats.get(hook) ?? null,
    }));
  }

  /** What is known of a tenant's webhooks now. */
  async look(tenant: string): Promise<HookView[]> {
    const own = [...this.#wishes].filter(([, one]) => one.tenant === tenant);
    if (own.length === 0) return [];
    const hooks = own.map(([hook]) => hook);
    const stats = await this.#options.store().ask({ name: "hookStats", hooks });
    return own.map(([, { config }], i) => ({
      tenant,
      webhook: config.id,
      url: config.url,
      stats: stats[i] ?? null,
    }));
  }

  /**
   * Events that a webhook's backend refuses, oldest first; null where there is no such webhook.
   * @param range so many at most, and with one exception no more bytes than that
   */
  async deadLetters(
    tenant: string,
    webhook: string,
    range: { readonly after: number; readonly max: { readonly letters: number; readonly bytes: number } },
  ): Promise<DeadLetters | null> {
    const hook = this.#find(tenant, webhook);
    return hook === null ? null : await this.#options.store().ask({ name: "deadLetters", hook, ...range });
  }

  /** Sends dead letters again. @param seqs null for all @returns how many; null where there is no such webhook */
  async retry(tenant: string, webhook: string, seqs: readonly number[] | null): Promise<number | null> {
    const hook = this.#find(tenant, webhook);
    return hook === null ? null : await this.#options.store().ask({ name: "retryDead", hook, seqs });
  }

  /** Forgets dead letters. @param seqs null for all @returns how many; null where there is no such webhook */
  async drop(tenant: string, webhook: string, seqs: readonly number[] | null): Promise<number | null> {
    const hook = this.#find(tenant, webhook);
    return hook === null ? null : await this.#options.store().ask({ name: "dropDead", hook, seqs });
  }

  get metrics(): MetricSource[] {
    return webhookMetrics(() => this.list());
  }

  /** Hands an event on; for `TenantWebhooks`. */
  emit(tenant: string, hooks: readonly number[], { type, subject, room, data }: SessionEvent): void {
    const { store, unixMs } = this.#options;
    const { user, sid, session } = subject;
    const atMs = unixMs();
    const id = `${this.#run}-${++this.#lastEvent}`;
    const event = {
      id,
      type,
      time_ms: atMs,
      tenant,
      user,
      sid,
      session,
      ...(room === undefined ? {} : { room }),
    };
    const traceparent = this.#traced(event);
    store().tell({ name: "emit", hooks, json: writeObject({ ...event, traceparent, data }), atMs });
  }

  /** An event of something that is traced is a part of its trace, and so is what its backend does with it. */
  #traced({ id, type }: { readonly id: string; readonly type: string }): string | undefined {
    const span = this.#options.tracer?.active?.child(`webhook ${type}`, SPAN_KIND.producer);
    if (span === undefined) return undefined;
    span.attributes["wsprism.event"] = id;
    span.end();
    return span.traceparent;
  }

  /** For `TenantWebhooks`. */
  opened(tenant: string, { user, sid, session }: EventSubject): void {
    this.#options.store().tell({ name: "opened", tenant, session, info: JSON.stringify({ user, sid }) });
  }

  /** For `TenantWebhooks`. */
  closed(tenant: string, { session }: EventSubject): void {
    this.#options.store().tell({ name: "closed", tenant, session });
  }

  /** For `TenantWebhooks`. */
  recorded(): Promise<boolean> | null {
    return this.#options.durable ? this.#options.store().committed() : null;
  }

  #find(tenant: string, webhook: string): number | null {
    for (const [hook, one] of this.#wishes) {
      if (one.tenant === tenant && one.config.id === webhook) return hook;
    }
    return null;
  }
}

/** @throws when it is not what `opened` has written */
function readInfo(info: string): { readonly user: string; readonly sid: string } {
  try {
    const { user, sid } = JSON.parse(info) as Record<string, unknown>;
    if (typeof user === "string" && typeof sid === "string") return { user, sid };
    throw new TypeError("it has no user");
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Cannot read the state: what is kept of an open session is damaged (${why})`, { cause });
  }
}

function specOf({ tenant, config }: { tenant: string; config: WebhookConfig }): HookSpec {
  return {
    tenant,
    id: config.id,
    url: config.url,
    keys: signingKeys(config),
    headers: Object.fromEntries(config.headers.map(({ name, value }) => [name, value])),
    maxEvents: config.batch.max_events,
    maxWaitMs: config.batch.max_wait_ms,
    timeoutMs: config.timeout_ms,
    limits: {
      maxBytes: config.queue.max_bytes,
      maxAgeMs: config.retry.max_age_ms,
      maxDeadLetters: config.queue.max_dead_letters,
    },
  };
}

function wishOf(hook: number, config: WebhookConfig): Wish {
  const { room, user, svc, type } = config.match;
  const patterns = (pattern: string | undefined) => pattern === undefined ? null : new Patterns([pattern]);
  return {
    hook,
    config,
    room: patterns(room),
    user: patterns(user),
    svc: patterns(svc),
    type: patterns(type),
  };
}

/** Whether a webhook wants this event. A pattern is about events that have what it names. */
function concerns(wish: Wish, { subject, room, svc, messageType }: SessionEvent): boolean {
  const { room: rooms, user: users, svc: services, type: types } = wish;
  return (users === null || users.allows(subject.user)) &&
    (rooms === null || room === undefined || rooms.allows(room)) &&
    (services === null || svc === undefined || services.allows(svc)) &&
    (types === null || messageType === undefined || types.allows(messageType));
}
