// Brings one webhook's events to your backend: batch after batch, one at a time, so that they arrive in their order. A
// batch that fails is sent again, later and later; one that is refused is halved until the event is found that the
// backend does not take. Runs in the state's thread.

import type { LogFields } from "../log.ts";
import type { HttpResponse } from "../outbound/http1.ts";
import { HttpClient } from "../outbound/http_client.ts";
import type { Share } from "../outbound/inflow.ts";
import type { NoAnswer } from "../outbound/wire.ts";
import { signature, SIGNATURE_HEADER, type SigningKey } from "../outbound/signing.ts";
import { type HookQueue, type Queued, withSeq } from "./hook_queue.ts";

/** A webhook, as far as sending goes. */
export interface SenderSpec {
  readonly tenant: string;
  readonly id: string;
  readonly url: string;
  readonly keys: readonly SigningKey[];
  readonly headers: Readonly<Record<string, string>>;
  readonly maxEvents: number;
  readonly maxWaitMs: number;
  readonly timeoutMs: number;
}

export interface SenderOptions {
  readonly spec: SenderSpec;
  readonly queue: HookQueue;
  /** Of the tenant, for what is answered. */
  readonly share: Share;
  /** Unix time in milliseconds. */
  readonly unixMs: () => number;
  /** 0 up to, not including, 1. */
  readonly random: () => number;
  /** Runs a task so many milliseconds later, unless the returned function is called before. */
  readonly after: After;
  /** The queue has been changed. */
  readonly changed: () => void;
  /** The queue could not be read or changed. */
  readonly broken: (cause: unknown) => void;
  readonly warn: (message: string, fields: LogFields) => void;
}

/** A timer. */
export type After = (ms: number, task: () => void) => () => void;

/** What became of batches, counted. */
export interface SenderStats {
  /** Events that the backend has taken. */
  readonly delivered: number;
  readonly batches: { readonly ok: number; readonly refused: number; readonly failed: number };
}

/** Largest body of a batch, in bytes; a single event may be larger. */
const BATCH_BYTES_MAX = 1_048_576;
/** An answer is only looked at for its status. */
const ANSWER_BYTES_MAX = 65_536;
/** Between two tries: at first, and at most, doubling in between; half as much again at most is added by chance. */
const BACK_OFF_MS = { least: 500, most: 60_000 } as const;
/** Longest wait that a `Retry-After` may ask for. */
const RETRY_AFTER_MAX_MS = 3_600_000;
/** Statuses that say that this very body will never be taken. */
const REFUSALS: readonly number[] = [400, 413, 422];
/** Tries of a batch that the backend fails on with 500, after which the batch itself is suspected. */
const CRASHES_MAX = 3;

type Outcome = { readonly kind: "ok" } | Failure;
interface Failure {
  readonly kind: "refused" | "crashed" | "failed";
  readonly why: string;
  readonly retryAfterMs: number;
}

export class HookSender {
  readonly #options: SenderOptions;
  readonly #client: HttpClient;
  #stopped = false;
  /** Failures since the last batch that was taken. */
  #failures = 0;
  /** Tries of the batch at the front that ended with 500. */
  #crashes = 0;
  /** Events at the front among which one is refused; 0 for none known. */
  #suspects = 0;
  #delivered = 0;
  readonly #batches = { ok: 0, refused: 0, failed: 0 };
  /** Ends the wait that is on; null while there is none. */
  #wake: (() => void) | null = null;
  /** Whether that wait is for a time. */
  #timed = false;
  /** Whether it waits for a batch to fill, or for anything at all, so that new events concern it. */
  #listens = false;

  constructor(options: SenderOptions) {
    this.#options = options;
    const { spec: { url, headers }, share } = options;
    const all = { ...headers, "content-type": "application/json", accept: "*/*" };
    this.#client = new HttpClient({
      url,
      headers: all,
      bodyBytesMax: ANSWER_BYTES_MAX,
      share,
      discards: true,
    });
  }

  get stats(): SenderStats {
    return { delivered: this.#delivered, batches: { ...this.#batches } };
  }

  /** Runs until it is stopped. Never rejects. */
  async run(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#step();
      } catch (cause) {
        this.#options.broken(cause);
        await this.#pause(BACK_OFF_MS.least, false);
      }
    }
  }

  /** There may be new events. */
  notice(): void {
    const { queue, spec } = this.#options;
    if (!this.#listens) return;
    // While a batch fills, only a full one is of interest.
    if (!this.#timed || queue.stats.events >= spec.maxEvents) this.#wake?.();
  }

  /** Sends nothing more; `run` ends once the answer that is awaited has come. */
  stop(): void {
    this.#stopped = true;
    this.#client.close();
    this.#wake?.();
  }

  async #step(): Promise<void> {
    const { queue, spec, unixMs, changed } = this.#options;
    if (queue.shedOld(unixMs())) changed();
    const events = queue.read(0, { events: this.#size(), bytes: BATCH_BYTES_MAX });
    const [first] = events;
    if (first === undefined) return await this.#pause(null);
    const isFull = this.#failures > 0 || this.#suspects > 0 || queue.stats.events >= spec.maxEvents;
    const left = isFull ? 0 : spec.maxWaitMs - queue.waitedMs(first);
    if (left > 0) await this.#pause(left);
    else await this.#send(events);
  }

  /** Events of the next batch. */
  #size(): number {
    return this.#suspects > 0 ? Math.ceil(this.#suspects / 2) : this.#options.spec.maxEvents;
  }

  async #send(events: readonly Queued[]): Promise<void> {
    const { queue, changed } = this.#options;
    queue.hold(events.at(-1)!.seq);
    const outcome = await this.#post(
      `{"events":[${events.map(({ json, seq }) => withSeq(json, seq)).join(",")}]}`,
    );
    queue.hold(0);
    if (outcome.kind === "ok") this.#taken(events);
    else if (this.#isPoison(outcome, events)) await this.#refused(events, outcome);
    else await this.#failed(outcome);
    changed();
  }

  #taken(events: readonly Queued[]): void {
    this.#options.queue.remove(events);
    this.#delivered += events.length;
    this.#batches.ok++;
    this.#suspects = Math.max(0, this.#suspects - events.length);
    this.#failures = this.#crashes = 0;
  }

  #isPoison({ kind }: Failure, events: readonly Queued[]): boolean {
    if (kind !== "crashed") return kind === "refused";
    // Whoever fails on everything fails on this too; so each event is given its time.
    return ++this.#crashes >= (events.length > 1 ? CRASHES_MAX : 2 * CRASHES_MAX);
  }

  /** The backend refuses something among these. */
  async #refused(events: readonly Queued[], { why }: Failure): Promise<void> {
    const { queue, spec, unixMs, warn } = this.#options;
    this.#batches.refused++;
    this.#crashes = 0;
    this.#suspects = events.length > 1 ? events.length : 0;
    if (events.length > 1) return;
    const [event] = events;
    queue.setAside(event!, why, unixMs());
    const { tenant, id: webhook } = spec;
    warn("webhook event is set aside", { tenant, webhook, seq: event!.seq, reason: why });
    // One after the other without a good one in between: then it is not the events.
    if (++this.#failures > 1) await this.#pause(this.#backOff(), false);
  }

  async #failed({ why, retryAfterMs }: Failure): Promise<void> {
    const { spec: { tenant, id: webhook, url }, warn, changed } = this.#options;
    this.#batches.failed++;
    this.#failures++;
    const waitMs = Math.max(retryAfterMs, this.#backOff());
    warn("webhook failed", { tenant, webhook, url, error: why, failures: this.#failures, retry_ms: waitMs });
    changed();
    await this.#pause(waitMs, false);
  }

  #backOff(): number {
    const { least, most } = BACK_OFF_MS;
    const wait = Math.min(most, least * 2 ** Math.min(30, this.#failures - 1));
    return Math.round(wait * (1 + this.#options.random() / 2));
  }

  async #post(body: string): Promise<Outcome> {
    const { spec: { keys, timeoutMs }, unixMs } = this.#options;
    const headers = keys.length === 0 ? {} : { [SIGNATURE_HEADER]: signature(body, keys, unixMs()) };
    // Repeating is what a webhook does anyway.
    return judge(await this.#client.post({ body, headers, timeoutMs, repeatable: true }), unixMs());
  }

  /** Waits, for new events too unless they do not matter. @param ms null for as long as there are none */
  #pause(ms: number | null, listens = true): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      this.#listens = listens;
      this.#timed = ms !== null;
      let cancel = () => {};
      const wake = () => {
        cancel();
        this.#wake = null;
        this.#listens = false;
        resolve();
      };
      this.#wake = wake;
      if (ms !== null) cancel = this.#options.after(ms, wake);
    });
  }
}

function judge(answer: HttpResponse | NoAnswer, nowMs: number): Outcome {
  if (!answer.ok) return { kind: "failed", why: answer.msg, retryAfterMs: 0 };
  const { status, headers } = answer;
  if (status >= 200 && status < 300) return { kind: "ok" };
  const why = `status ${status}`;
  if (REFUSALS.includes(status)) return { kind: "refused", why, retryAfterMs: 0 };
  return {
    kind: status === 500 ? "crashed" : "failed",
    why,
    retryAfterMs: retryAfter(headers.get("retry-after"), nowMs),
  };
}

/** What a `Retry-After` asks for, in milliseconds: seconds, or a date (RFC 9110, section 10.2.3). */
function retryAfter(header: string | undefined, nowMs: number): number {
  if (header === undefined) return 0;
  const isDate = /^[A-Z][a-z]{2,8}, /.test(header);
  const ms = /^\d{1,9}$/.test(header)
    ? Number(header) * 1000
    : isDate
    ? Date.parse(header) - nowMs
    : Number.NaN;
  return Number.isNaN(ms) ? 0 : Math.min(RETRY_AFTER_MAX_MS, Math.max(0, ms));
}
