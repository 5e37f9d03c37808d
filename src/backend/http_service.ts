// A service of your backend: each message is a signed POST, and the answer says what the sender is told and what else
// is done. Bounded in number, time and size; a backend that is slow or down delays or fails this service alone.

import { errorText } from "../error_text.ts";
import type { HttpServiceConfig } from "../config/backend_schema.ts";
import type { Log } from "../log.ts";
import type { Breaker } from "../outbound/breaker.ts";
import type { HttpClient } from "../outbound/http_client.ts";
import type { Share } from "../outbound/inflow.ts";
import { Semaphore } from "../collections/semaphore.ts";
import { type Refusal, refusal } from "../protocol/codes.ts";
import { writeObject } from "../protocol/json.ts";
import type { Envelope } from "../protocol/envelope.ts";
import type { Action, Actions, Actor, Performed } from "../service/action.ts";
import { type Answer, type Context, DONE, type ExtService } from "../service/service.ts";
import { type Span, SPAN_KIND, type Tracer } from "../tracing/tracer.ts";
import { signature, SIGNATURE_HEADER, type SigningKey, signingKeys } from "../outbound/signing.ts";
import { type Failure, readAnswer, type Told } from "./http_answer.ts";
import { type Outcome, ServiceMetrics } from "./service_metrics.ts";

export interface HttpServiceOptions {
  readonly tenant: string;
  readonly svc: string;
  readonly config: HttpServiceConfig;
  readonly client: HttpClient;
  /** Of the tenant, for what is answered. */
  readonly share: Share;
  /** Shared by the services of this tenant that ask the same URL. */
  readonly breaker: Breaker;
  readonly actions: Actions;
  readonly log: Log;
  /** Null where nothing is traced. */
  readonly tracer: Tracer | null;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Unix time in milliseconds. */
  readonly unixMs: () => number;
  /** 0 up to, not including, 1. */
  readonly random: () => number;
  /** A new id, unique. */
  readonly newId: () => string;
  /** Resolves so many milliseconds later. */
  readonly wait: (ms: number) => Promise<void>;
}

const NO_ANSWER = refusal("UNAVAILABLE", "service did not answer");
const LEFT_ALONE = refusal("UNAVAILABLE", "service is not available now");
const TOO_BUSY = refusal("UNAVAILABLE", "service has too much to do");

/** Before the first repetition; it doubles, and as much again at most is added by chance. */
const BACK_OFF_MS = 100;
/** Failures are logged this often, in milliseconds; those in between are counted. */
const LOG_MS = 1000;

export class HttpService implements ExtService {
  readonly metrics = new ServiceMetrics();
  readonly #options: HttpServiceOptions;
  readonly #turns: Semaphore;
  readonly #keys: readonly SigningKey[];
  #loggedAt = Number.NEGATIVE_INFINITY;
  #unlogged = 0;

  constructor(options: HttpServiceOptions) {
    this.#options = options;
    const { config } = options;
    this.#turns = new Semaphore(config.max_concurrent);
    this.#keys = signingKeys(config);
  }

  get tenant(): string {
    return this.#options.tenant;
  }

  get svc(): string {
    return this.#options.svc;
  }

  get inFlight(): number {
    return this.#turns.active;
  }

  get queued(): number {
    return this.#turns.waiting;
  }

  get breakerOpen(): boolean {
    return !this.#options.breaker.isClosed;
  }

  handle(context: Context, message: Envelope): Answer | Promise<Answer> {
    const { breaker, config, now } = this.#options;
    if (breaker.waitMs > 0) return this.#refuse("breaker_open", LEFT_ALONE);
    if (this.#turns.isBusy && this.#turns.waiting >= config.max_queued) return this.#refuse("shed", TOO_BUSY);
    const body = this.#body(context, message);
    const deadline = now() + config.timeout_ms;
    const by = { svc: this.svc, session: context.session };
    const span = this.#options.tracer?.active?.child(`POST ${this.svc}`, SPAN_KIND.client) ?? null;
    const trace = span?.traceparent ?? message.trace;
    const answer = this.#turns.run(() => this.#call(body, { by, deadline, trace }));
    if (span !== null) this.#trace(span, answer);
    return answer;
  }

  /** Lets go of its connections; what is under way is still answered. */
  stop(): void {
    this.#options.client.close();
  }

  #body(context: Context, message: Envelope): string {
    const { tenant, user, sid, session, claims, traceId } = context;
    const { svc, type, room, seq, data } = message;
    return writeObject({
      tenant,
      user,
      sid,
      session,
      svc,
      type,
      room: room ?? undefined,
      seq: seq ?? undefined,
      data: data ?? null,
      claims,
      trace_id: traceId,
      time_ms: this.#options.unixMs(),
    });
  }

  #trace(span: Span, answer: Promise<Answer>): void {
    span.attributes["url.full"] = this.#options.config.url;
    void answer.then(
      (settled) => settled.ok || span.fail(settled.msg),
      // Whoever asked handles it.
      (cause) => span.fail(errorText(cause)),
    ).finally(() => span.end());
  }

  async #call(
    body: string,
    { by, deadline, trace }: { by: Actor; deadline: number; trace: string | null },
  ): Promise<Answer> {
    const { now, breaker } = this.#options;
    // Whoever waited too long gives way to those who still have time.
    if (now() >= deadline) return this.#refuse("shed", TOO_BUSY);
    if (breaker.enter() > 0) return this.#refuse("breaker_open", LEFT_ALONE);
    const answer = await this.#ask(body, trace);
    return answer.ok ? this.#done(answer, by) : answer;
  }

  /** Asks, and again as often as is wanted while the breaker lets it. */
  async #ask(body: string, trace: string | null): Promise<Told | Refusal> {
    const { config, newId, random, wait, breaker } = this.#options;
    const headers: Record<string, string> = { "idempotency-key": newId() };
    if (trace !== null) headers["traceparent"] = trace;
    for (let attempt = 0;; attempt++) {
      const answer = await this.#attempt(body, headers);
      if (!("failed" in answer)) {
        // A backend that refuses a client is well.
        breaker.succeeded();
        this.#count(answer.ok ? "ok" : "client_error");
        return answer;
      }
      this.#failed(answer);
      if (attempt >= config.retry.attempts) return this.#refuse(answer.failed, NO_ANSWER);
      await wait(BACK_OFF_MS * 2 ** attempt * (1 + random()));
      if (breaker.enter() > 0) return this.#refuse("breaker_open", LEFT_ALONE);
      this.metrics.retries++;
    }
  }

  async #attempt(body: string, headers: Record<string, string>): Promise<Told | Refusal | Failure> {
    const { config, client, share, now, unixMs } = this.#options;
    if (this.#keys.length > 0) headers[SIGNATURE_HEADER] = signature(body, this.#keys, unixMs());
    const startedAt = now();
    const response = await client.post({ body, headers, timeoutMs: config.timeout_ms, repeatable: true });
    this.metrics.durations.observe(now() - startedAt);
    // What an answer takes to be understood is its backend's doing as well.
    return share.work(() => readAnswer(response));
  }

  #failed({ failed, msg }: Failure): void {
    const { breaker, log, now, config } = this.#options;
    const about = { tenant: this.tenant, svc: this.svc, url: config.url };
    if (now() - this.#loggedAt >= LOG_MS) {
      log.warn("service backend failed", { ...about, outcome: failed, error: msg, unlogged: this.#unlogged });
      this.#loggedAt = now();
      this.#unlogged = 0;
    } else this.#unlogged++;
    if (breaker.failed()) log.error("service backend is left alone for a while", about);
  }

  #done({ reply, actions }: Told, by: Actor): Answer {
    for (const action of actions) this.#perform(action, by);
    return reply === undefined ? DONE : { ok: true, reply };
  }

  #perform(action: Action, by: Actor): void {
    const performed = this.#options.actions.perform(action, by);
    if (performed instanceof Promise) void performed.then((settled) => this.#performed(action, settled));
    else this.#performed(action, performed);
  }

  #performed(action: Action, performed: Performed): void {
    const outcome = performed.ok ? "ok" : performed.code;
    this.metrics.actions.add({ action: action.action, outcome });
    if (performed.ok) return;
    const { tenant, svc } = this;
    this.#options.log.debug("action refused", { tenant, svc, action: action.action, reason: performed.msg });
  }

  #refuse(outcome: Outcome, refused: Refusal): Refusal {
    this.#count(outcome);
    return refused;
  }

  #count(outcome: Outcome): void {
    this.metrics.outcomes.add({ outcome });
  }
}
