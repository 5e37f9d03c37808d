// One call of an extension outside of a gateway, in a host behind the same walls: what it answers, what it asks for, what
// it logs, and what it takes. Actions are only written down; kv is empty at first; fetch is real.

import { SILENT } from "../log.ts";
import { Inflow } from "../outbound/inflow.ts";
import { Patterns } from "../protocol/patterns.ts";
import { ExtensionMetrics } from "./extension_metrics.ts";
import { GuardedFetch, resolveName } from "./fetch.ts";
import { Host, LOOK_MS, type WorkerOwner } from "./host.ts";
import type { Confinement, LaunchHost } from "./host_process.ts";
import { KeyValues } from "./key_values.ts";
import { MemoryTable } from "./memory_table.ts";
import type { Hook, LogLevel, SessionView, WorkerCommand, WorkerSpec } from "../program/messages.ts";
import { commandOf, RequestBroker } from "./request_broker.ts";
import type { RawRequest, ReadEvent } from "./host_events.ts";

/** What it may do, as in the configuration. */
export interface TrialPermissions {
  readonly net: readonly string[];
  readonly kv: boolean;
  readonly publish: readonly string[];
  readonly users: boolean;
}

export interface TrialLimits {
  readonly timeoutMs: number;
  readonly hostMemoryMb: number;
  readonly fetchConcurrency: number;
  readonly actionsPerSecond: number;
  readonly kvMaxBytes: number;
}

export interface TrialOptions {
  readonly spec: WorkerSpec;
  readonly permissions: TrialPermissions;
  readonly limits: TrialLimits;
  readonly confinement: Confinement;
  readonly launch: LaunchHost;
  readonly hook: Hook;
  /** The hook's first argument; undefined for none. */
  readonly input: unknown;
  readonly session: SessionView | null;
}

/** How a call ended. */
export type TrialEnd =
  /** @property value what the hook returned; absent for nothing */
  | { readonly kind: "value"; readonly value?: unknown }
  /** An `ExtensionError`, meant for the client. */
  | { readonly kind: "refused"; readonly code: string; readonly msg: string }
  | { readonly kind: "thrown"; readonly error: string }
  | { readonly kind: "timeout" }
  /** It has not got the hook. */
  | { readonly kind: "no_hook"; readonly hooks: readonly Hook[] }
  | { readonly kind: "not_started"; readonly error: string }
  /** @property cause as in the metrics */
  | { readonly kind: "killed"; readonly cause: string; readonly detail: string };

/** What it asked for, and what became of that: "ok", or the refusal's code. */
export interface TrialRequest {
  readonly request: RawRequest;
  outcome: string;
  msg?: string;
}

export interface TrialReport {
  readonly end: TrialEnd;
  readonly requests: readonly TrialRequest[];
  readonly lines: readonly { readonly level: LogLevel; readonly text: string }[];
  /** Milliseconds until it was ready, process and all; null when it never was. */
  readonly startMs: number | null;
  /** Milliseconds from the call to its answer; null where there is none. */
  readonly callMs: number | null;
  /** Most that its process had, in bytes. */
  readonly memoryBytes: number;
}

/** How long its start may take, as in a gateway, and what is done after the call. */
const START_MS = 10_000;
const STOP_MS = 1000;
const CALL_ID = 1;
/** Lines and requests that are kept for the report. */
const NOTES_MAX = 1000;

/** Makes the call. */
export async function tryExtension(options: TrialOptions): Promise<TrialReport> {
  const trial = new Trial(options);
  try {
    return await trial.run();
  } finally {
    trial.stop();
  }
}

class Trial implements WorkerOwner {
  readonly spec: WorkerSpec;
  isStarting = true;
  readonly #options: TrialOptions;
  readonly #host: Host;
  readonly #slot: number;
  readonly #broker: RequestBroker;
  readonly #share = new Inflow(() => performance.now()).share();
  readonly #fetch: GuardedFetch;
  readonly #looking: ReturnType<typeof setInterval>;
  readonly #requests: TrialRequest[] = [];
  readonly #lines: { level: LogLevel; text: string }[] = [];
  readonly #began = performance.now();
  #calledAt = 0;
  #startMs: number | null = null;
  #callMs: number | null = null;
  #memoryBytes = 0;
  #deadline = performance.now() + START_MS;
  #end: TrialEnd | null = null;
  #over: () => void = () => {};

  constructor(options: TrialOptions) {
    this.#options = options;
    const { spec, permissions, limits, launch, confinement } = options;
    this.spec = spec;
    this.#fetch = new GuardedFetch({
      allow: permissions.net,
      concurrency: limits.fetchConcurrency,
      resolve: resolveName,
      share: this.#share,
    });
    this.#broker = this.#makeBroker();
    this.#host = new Host({
      tenant: spec.tenant,
      launch,
      confinement,
      maxBytes: () => limits.hostMemoryMb * 1_048_576,
      afterTurn: (task) => void setTimeout(task, 0),
      log: SILENT,
      ended: ({ cause, detail }) => this.#finish({ kind: "killed", cause, detail }),
      unsafe: (why) => this.#finish({ kind: "not_started", error: why }),
    });
    this.#slot = this.#host.take(this);
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
  }

  async run(): Promise<TrialReport> {
    await new Promise<void>((resolve) => {
      this.#over = resolve;
      if (this.#end !== null) resolve();
    });
    return {
      end: this.#end!,
      requests: this.#requests,
      lines: this.#lines,
      startMs: this.#startMs,
      callMs: this.#callMs,
      memoryBytes: this.#memoryBytes,
    };
  }

  stop(): void {
    clearInterval(this.#looking);
    this.#host.stop();
    this.#fetch.stop();
  }

  events(events: readonly ReadEvent[]): void {
    for (const event of events) this.#event(event);
  }

  gone(why: string): void {
    this.#finish({ kind: "killed", cause: "crashed", detail: why });
  }

  #event(event: ReadEvent): void {
    switch (event.kind) {
      case "ready":
        return this.#ready(event.hooks);
      case "failed":
        return this.#finish({ kind: "not_started", error: event.error });
      case "result":
        return this.#answered("value" in event ? { kind: "value", value: event.value } : { kind: "value" });
      case "thrown": {
        const { code, msg = "", error } = event;
        return this.#answered(
          code === undefined ? { kind: "thrown", error } : { kind: "refused", code, msg },
        );
      }
      case "request":
        return this.#request(event);
      case "log":
        if (this.#lines.length < NOTES_MAX) this.#lines.push({ level: event.level, text: event.text });
        return;
      case "stopped":
        return this.#over();
    }
  }

  #ready(hooks: readonly Hook[]): void {
    const { hook, input, session, limits } = this.#options;
    this.isStarting = false;
    this.#calledAt = performance.now();
    this.#startMs = this.#calledAt - this.#began;
    if (!hooks.includes(hook)) return this.#finish({ kind: "no_hook", hooks });
    this.#deadline = this.#calledAt + limits.timeoutMs;
    this.#send({ kind: "call", id: CALL_ID, hook, input, session, traceId: null });
  }

  /** The call is over; what it began yet may still ask, until it has stopped. */
  #answered(end: TrialEnd): void {
    if (this.#end !== null) return;
    this.#callMs = performance.now() - this.#calledAt;
    this.#end = end;
    this.#deadline = performance.now() + STOP_MS;
    this.#send({ kind: "stop" });
  }

  #request({ id, call, request }: Extract<ReadEvent, { readonly kind: "request" }>): void {
    const note: TrialRequest = { request, outcome: "unanswered" };
    if (this.#requests.length < NOTES_MAX) this.#requests.push(note);
    const { session } = this.#options;
    const caller = call === null || session === null ? null : { session: session.id, user: session.user };
    this.#broker.take(request, caller, (granted) => {
      note.outcome = granted.ok ? "ok" : granted.code;
      if (!granted.ok) note.msg = granted.msg;
      const command = commandOf(id, granted);
      this.#host.send(this.#slot, command);
      return command.length;
    });
  }

  #look(): void {
    this.#host.look();
    this.#memoryBytes = Math.max(this.#memoryBytes, this.#host.rssBytes);
    if (performance.now() < this.#deadline) return;
    if (this.#end !== null) return this.#over();
    this.#finish(
      this.isStarting
        ? { kind: "not_started", error: `it was not ready within ${START_MS} ms` }
        : { kind: "timeout" },
    );
  }

  #finish(end: TrialEnd): void {
    this.#end ??= end;
    this.#over();
  }

  #send(command: WorkerCommand): void {
    this.#host.send(this.#slot, JSON.stringify(command));
  }

  #makeBroker(): RequestBroker {
    const { spec, permissions: { net, kv, publish, users }, limits } = this.#options;
    const table = new MemoryTable(limits.kvMaxBytes, Date.now);
    const share = this.#share;
    return new RequestBroker({
      svc: spec.extension,
      publish: publish.length === 0 ? null : new Patterns(publish),
      users,
      kv: kv ? new KeyValues(() => table, Date.now, share) : null,
      fetch: net.length === 0 ? null : (url, options) => this.#fetch.fetch(url, options),
      // Nobody is there: what would be done is in the report.
      actions: { perform: () => ({ ok: true, deliveries: 1 }) },
      share,
      actionsPerSecond: limits.actionsPerSecond,
      maxWaiting: spec.limits.maxRequests,
      metrics: new ExtensionMetrics(),
      now: () => performance.now(),
    });
  }
}
