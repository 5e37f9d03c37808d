// Spans on their way to a collector: OTLP over HTTP in JSON, a batch a second, from a queue that is bounded. A collector
// that is slow or down costs spans, which are counted, and nothing else.
// Shapes: https://opentelemetry.io/docs/specs/otlp/#otlphttp and opentelemetry-proto, trace/v1/trace.proto.

import { errorText } from "../error_text.ts";
import type { Log } from "../log.ts";
import { Counts, type MetricSource } from "../metrics/metrics.ts";
import { HttpClient } from "../outbound/http_client.ts";
import type { Share } from "../outbound/inflow.ts";
import type { Attributes, EndedSpan } from "./tracer.ts";

export interface OtlpOptions {
  /** `tracing.otlp_endpoint`: a collector's base, or all of the address up to `/v1/traces`. */
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  /** What all spans are from, such as `service.version`. */
  readonly resource: Readonly<Attributes>;
  readonly share: Share;
  readonly log: Log;
  /** Calls again and again until the returned function is called. */
  readonly every: (ms: number, task: () => void) => () => void;
}

/** Spans that may wait; about a megabyte. */
const QUEUE_MAX = 4096;
/** Spans of one request. */
const BATCH_MAX = 512;
const PERIOD_MS = 1000;
const TIMEOUT_MS = 5000;
/** Failures are logged once in so many periods. */
const LOG_PERIODS = 60;
/** Longest text of an attribute, in characters. */
const TEXT_CHARS_MAX = 256;

export class OtlpExporter {
  readonly #options: OtlpOptions;
  readonly #client: HttpClient;
  readonly #queue: EndedSpan[] = [];
  readonly #dropped = new Counts();
  #exported = 0;
  #sending: Promise<void> | null = null;
  #quiet = 0;
  readonly #stopTicking: () => void;

  constructor(options: OtlpOptions) {
    this.#options = options;
    const { endpoint, headers, share } = options;
    this.#client = new HttpClient({
      url: tracesUrl(endpoint),
      headers: { "content-type": "application/json", ...headers },
      bodyBytesMax: 65_536,
      share,
    });
    this.#stopTicking = options.every(PERIOD_MS, () => {
      if (this.#quiet > 0) this.#quiet--;
      void this.#flush();
    });
  }

  /** Takes a span, or counts it as dropped where too many wait. */
  readonly take = (span: EndedSpan): void => {
    if (this.#queue.length < QUEUE_MAX) this.#queue.push(span);
    else this.#dropped.add({ reason: "queue" });
  };

  get metrics(): MetricSource[] {
    return [
      {
        name: "spans_exported_total",
        help: "Spans that the collector has taken.",
        type: "counter",
        read: () => [{ labels: {}, value: this.#exported }],
      },
      {
        name: "spans_dropped_total",
        help:
          "Spans that were dropped: too many waited (queue), or the collector did not take them (failed).",
        type: "counter",
        read: () => [...this.#dropped],
      },
    ];
  }

  /** Sends what waits, once, and lets go of the connection. */
  async stop(): Promise<void> {
    this.#stopTicking();
    await this.#flush();
    this.#client.close();
  }

  #flush(): Promise<void> {
    return this.#sending ??= this.#sendAll().finally(() => this.#sending = null);
  }

  async #sendAll(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, BATCH_MAX);
      const fault = await this.#send(batch);
      if (fault === null) {
        this.#exported += batch.length;
        continue;
      }
      this.#dropped.add({ reason: "failed" }, batch.length);
      if (this.#quiet > 0) return;
      this.#quiet = LOG_PERIODS;
      this.#options.log.warn("traces cannot be exported", {
        otlp_endpoint: this.#options.endpoint,
        error: fault,
        dropped: batch.length,
      });
      return;
    }
  }

  /** @returns what is wrong, null where nothing is */
  async #send(batch: readonly EndedSpan[]): Promise<string | null> {
    try {
      const body = otlpText(batch, this.#options.resource);
      const answer = await this.#client.post({ body, headers: {}, timeoutMs: TIMEOUT_MS, repeatable: true });
      if (!("status" in answer)) return answer.msg;
      return answer.status >= 200 && answer.status < 300 ? null : `it answered ${answer.status}`;
    } catch (error) {
      return errorText(error);
    }
  }
}

function tracesUrl(endpoint: string): string {
  const url = new URL(endpoint);
  if (!url.pathname.endsWith("/v1/traces")) url.pathname = `${url.pathname.replace(/\/$/, "")}/v1/traces`;
  return url.href;
}

/** A request of spans, as JSON. */
export function otlpText(spans: readonly EndedSpan[], resource: Readonly<Attributes>): string {
  return JSON.stringify({
    resourceSpans: [{
      resource: { attributes: attributesOf(resource) },
      scopeSpans: [{ scope: { name: "wsprism" }, spans: spans.map(spanOf) }],
    }],
  });
}

function spanOf({ trace, id, parent, name, kind, startMs, endMs, attributes, error }: EndedSpan): object {
  return {
    traceId: trace,
    spanId: id,
    ...(parent === null ? {} : { parentSpanId: parent }),
    name,
    kind,
    startTimeUnixNano: nanos(startMs),
    endTimeUnixNano: nanos(Math.max(startMs, endMs)),
    attributes: attributesOf(attributes),
    status: error === null ? {} : { code: 2, message: error.slice(0, TEXT_CHARS_MAX) },
  };
}

/** Through whole microseconds, which doubles hold until the year 2255. */
function nanos(ms: number): string {
  return `${Math.round(ms * 1000)}000`;
}

function attributesOf(attributes: Readonly<Attributes>): object[] {
  return Object.entries(attributes).map(([key, value]) => ({
    key,
    value: typeof value === "string"
      ? { stringValue: value.slice(0, TEXT_CHARS_MAX).toWellFormed() }
      : typeof value === "boolean"
      ? { boolValue: value }
      : Number.isSafeInteger(value)
      ? { intValue: String(value) }
      : { doubleValue: value },
  }));
}
