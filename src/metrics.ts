// Metrics. What happens often is counted in plain numbers, per tenant, and read when somebody scrapes:
// the exporter walks these objects then, and costs nothing in between. Label values come from the
// configuration and from constants, so their number is bounded.

import process from "node:process";
import { Registry } from "prom-client";

/** Lanes of inbound messages. */
export type InboundLane = "ext" | "hot";

/** Numbers under a few label values, for what is counted off the hot path. */
export class Counts {
  readonly #values = new Map<string, { labels: Readonly<Record<string, string>>; value: number }>();

  add(labels: Readonly<Record<string, string>>, by = 1): void {
    const key = Object.values(labels).join("\n");
    const entry = this.#values.get(key);
    if (entry === undefined) this.#values.set(key, { labels, value: by });
    else entry.value += by;
  }

  *[Symbol.iterator](): Generator<{ labels: Readonly<Record<string, string>>; value: number }> {
    yield* this.#values.values();
  }
}

/** Upper bounds of the duration buckets in seconds. */
const BOUNDS_S = [0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5];

/** Durations, bucketed. */
export class Durations {
  readonly counts: number[] = new Array(BOUNDS_S.length + 1).fill(0);
  sumMs = 0;

  observe(ms: number): void {
    const seconds = ms / 1000;
    let i = 0;
    while (i < BOUNDS_S.length && seconds > BOUNDS_S[i]!) i++;
    this.counts[i]!++;
    this.sumMs += ms;
  }
}

/** Messages and their payload bytes. */
export class Traffic {
  messages = 0;
  bytes = 0;

  add(messages: number, bytes: number): void {
    this.messages += messages;
    this.bytes += bytes;
  }
}

/** Why an outbound message was not delivered. */
export type DropReason = (typeof DROP_REASONS)[number];
const DROP_REASONS = ["full", "age", "shed", "closed"] as const;

/** Outbound messages and payload bytes dropped, by lane and reason: numbers only, for a stalled crowd drops a lot. */
export class Drops {
  readonly #laneNames: readonly string[];
  readonly #traffic: Readonly<Record<DropReason, Traffic>>[];

  constructor(laneNames: readonly string[]) {
    this.#laneNames = laneNames;
    this.#traffic = laneNames.map(() => ({
      full: new Traffic(),
      age: new Traffic(),
      shed: new Traffic(),
      closed: new Traffic(),
    }));
  }

  add(lane: number, reason: DropReason, messages: number, bytes: number): void {
    this.#traffic[lane]![reason].add(messages, bytes);
  }

  /** Messages of all lanes, for whatever reason. */
  get total(): number {
    let all = 0;
    for (const { value } of this.messages()) all += value;
    return all;
  }

  /** By `lane` and `reason`, where there are any. */
  messages(): Iterable<Sample> {
    return this.#samples("messages");
  }

  bytes(): Iterable<Sample> {
    return this.#samples("bytes");
  }

  *#samples(unit: "messages" | "bytes"): Generator<Sample> {
    for (const [i, lane] of this.#laneNames.entries()) {
      for (const reason of DROP_REASONS) {
        const { messages, [unit]: value } = this.#traffic[i]![reason];
        if (messages > 0) yield { labels: { lane, reason }, value };
      }
    }
  }
}

/** Everything that is counted for one tenant. */
export class TenantMetrics {
  /** Sessions open now. */
  sessions = 0;
  /** By `status`: "ok", or the HTTP status of the refusal. */
  readonly upgrades = new Counts();
  /** By `reason`. */
  readonly handshakeRejections = new Counts();
  /** By `way` and `outcome`: tickets verified, or not. */
  readonly tickets = new Counts();
  readonly in = { ext: new Traffic(), hot: new Traffic() };
  /** By the outbox's lanes, in its order. */
  readonly out: readonly Traffic[];
  /** Messages that policy let pass. */
  readonly passed = { ext: 0, hot: 0 };
  /** By `lane`, `decision` and `reason`: messages that policy did not let pass. */
  readonly denied = new Counts();
  /** Outbound messages dropped. */
  readonly drops: Drops;
  /** Sessions ended by the gateway, by the close code's `name`. */
  readonly closes = new Counts();
  readonly serviceErrors = { ext: 0, hot: 0 };
  readonly dispatch = { ext: new Durations(), hot: new Durations() };
  /** Frames replaced by a newer one with the same key before they were written. */
  conflated = 0;
  decodeErrors = 0;
  writerTimeouts = 0;
  unknownServices = 0;

  /** @param laneNames the outbox's lanes, by number */
  constructor(laneNames: readonly string[]) {
    this.out = laneNames.map(() => new Traffic());
    this.drops = new Drops(laneNames);
  }
}

/** What a scrape reads besides the counters: facts that other parts know. */
export interface TenantView {
  readonly id: string;
  readonly metrics: TenantMetrics;
  rooms(): number;
  /** Links that have not sent their ticket yet. */
  pending(): number;
}

export interface GatewayView {
  readonly tenants: Iterable<TenantView>;
  /** Handshakes refused before a tenant was known, by `reason`. */
  readonly strayRejections: Counts;
  readonly laneNames: readonly string[];
  readonly build: Readonly<Record<string, string>>;
  draining(): boolean;
  loopLag(): Durations;
  /** Bytes that wait for full sockets, all sessions together. */
  heldBytes(): number;
  /** Entries in the handshake limiter's memory. */
  limiterEntries(): number;
  /** The certificate in use and what became of new ones; null without TLS. */
  readonly certificate: CertificateMetrics | null;
  /** What other parts count. */
  readonly more: readonly MetricSource[];
}

/** A metric that a part brings; `name` is without `wsprism_`. */
export interface MetricSource {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  /** Read at each scrape. */
  readonly read: () => Iterable<Sample>;
}

export interface CertificateMetrics {
  /** Unix time in milliseconds. */
  expiresMs: number;
  renewed: number;
  refused: number;
}

type Labels = Readonly<Record<string, string>>;
/** One line of a metric. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
  readonly metricName?: string;
}

/** Label value for handshakes whose tenant does not exist: a stranger's word must not become a label. */
export const NO_TENANT = "";

/** The exporter of a gateway in Prometheus' text format. */
export class Exporter {
  readonly #registry = new Registry();
  readonly contentType: string = this.#registry.contentType;

  constructor(view: GatewayView) {
    const each = function* (read: (t: TenantMetrics, tenant: string) => Iterable<Sample>): Generator<Sample> {
      for (const { id, metrics } of view.tenants) yield* read(metrics, id);
    };
    const one = (read: (t: TenantMetrics) => number) => () =>
      each((t, tenant) => [{ labels: { tenant }, value: read(t) }]);
    const counts = (read: (t: TenantMetrics) => Iterable<Sample>) => () =>
      each(function* (t, tenant) {
        for (const { labels, value } of read(t)) yield { labels: { tenant, ...labels }, value };
      });
    const total = (read: (t: TenantMetrics) => number) => () => {
      let value = 0;
      for (const { metrics } of view.tenants) value += read(metrics);
      return [{ labels: {}, value }];
    };
    const traffic = (unit: "messages" | "bytes", direction: "in" | "out") => () =>
      each(function* (t, tenant) {
        if (direction === "in") {
          yield { labels: { tenant, lane: "ext" }, value: t.in.ext[unit] };
          yield { labels: { tenant, lane: "hot" }, value: t.in.hot[unit] };
        } else {
          for (const [i, lane] of t.out.entries()) {
            yield { labels: { tenant, lane: view.laneNames[i]! }, value: lane[unit] };
          }
        }
      });

    this.#counter("ws_upgrades_total", "Handshakes answered, by outcome.", counts((t) => t.upgrades));
    this.#gauge("ws_sessions_active", "Sessions open now.", one((t) => t.sessions));
    this.#counter(
      "policy_decisions_total",
      "Inbound messages, by what policy decided.",
      () =>
        each(function* (t, tenant) {
          for (const lane of ["ext", "hot"] as const) {
            yield { labels: { tenant, lane, decision: "pass", reason: "ok" }, value: t.passed[lane] };
          }
          for (const { labels, value } of t.denied) yield { labels: { tenant, ...labels }, value };
        }),
    );
    this.#counter("handshake_rejections_total", "Handshakes refused, by reason.", function* () {
      for (const { labels, value } of view.strayRejections) {
        yield { labels: { tenant: NO_TENANT, ...labels }, value };
      }
      yield* counts((t) => t.handshakeRejections)();
    });
    this.#counter(
      "tickets_total",
      "Tickets looked at, by the way they came and the outcome.",
      counts((t) => t.tickets),
    );
    this.#counter(
      "decode_errors_total",
      "Inbound messages that could not be read.",
      one((t) => t.decodeErrors),
    );
    this.#counter(
      "service_errors_total",
      "Messages that a service refused or failed on.",
      () =>
        each((t, tenant) => [
          { labels: { tenant, lane: "ext" }, value: t.serviceErrors.ext },
          { labels: { tenant, lane: "hot" }, value: t.serviceErrors.hot },
        ]),
    );
    this.#counter(
      "writer_timeouts_total",
      "Sessions closed because their socket stalled.",
      one((t) => t.writerTimeouts),
    );
    this.#counter(
      "unknown_service_total",
      "Messages to services that do not exist.",
      total((t) => t.unknownServices),
    );
    this.#counter(
      "egress_drop_total",
      "Outbound messages dropped, all tenants.",
      total((t) => t.drops.total),
    );
    this.#counter(
      "drops_total",
      "Outbound messages dropped, by lane and reason.",
      counts((t) => t.drops.messages()),
    );
    this.#counter(
      "dropped_bytes_total",
      "Payload bytes of dropped messages.",
      counts((t) => t.drops.bytes()),
    );
    this.#counter(
      "conflated_total",
      "Frames replaced by a newer state before they were written.",
      one((t) => t.conflated),
    );
    this.#counter(
      "session_closes_total",
      "Sessions that the gateway ended, by close code.",
      counts((t) => t.closes),
    );
    this.#counter("messages_in_total", "Messages received, by lane.", traffic("messages", "in"));
    this.#counter("bytes_in_total", "Payload bytes received, by lane.", traffic("bytes", "in"));
    this.#counter("messages_out_total", "Messages written, by lane.", traffic("messages", "out"));
    this.#counter("bytes_out_total", "Payload bytes written, by lane.", traffic("bytes", "out"));
    this.#gauge("rooms_active", "Rooms with at least one member.", function* () {
      for (const tenant of view.tenants) yield { labels: { tenant: tenant.id }, value: tenant.rooms() };
    });
    this.#gauge("pending_links", "Links that have not sent their ticket yet.", function* () {
      for (const tenant of view.tenants) yield { labels: { tenant: tenant.id }, value: tenant.pending() };
    });
    this.#histogram(
      "dispatch_duration_seconds",
      "Time in services; hot lane: 1 in 1,024 messages.",
      () =>
        each((t, tenant) => [
          ...histogram("wsprism_dispatch_duration_seconds", { tenant, lane: "ext" }, t.dispatch.ext),
          ...histogram("wsprism_dispatch_duration_seconds", { tenant, lane: "hot" }, t.dispatch.hot),
        ]),
    );
    this.#histogram(
      "event_loop_lag_seconds",
      "How late a timer fires.",
      () => histogram("wsprism_event_loop_lag_seconds", {}, view.loopLag()),
    );
    const gauge = (name: string, help: string, read: () => number) =>
      this.#gauge(name, help, () => [{ labels: {}, value: read() }]);
    gauge("draining", "1 while the gateway drains.", () => view.draining() ? 1 : 0);
    gauge("outbox_bytes", "Payload bytes that wait for full sockets, all sessions.", view.heldBytes);
    gauge("handshake_limiter_entries", "Addresses the handshake limiter remembers.", view.limiterEntries);
    this.#gauge(
      "tls_certificate_expiry_timestamp_seconds",
      "Unix time at which the certificate expires.",
      () => {
        const { certificate } = view;
        return certificate === null ? [] : [{ labels: {}, value: certificate.expiresMs / 1000 }];
      },
    );
    this.#counter("tls_renewals_total", "Changes of the certificate's files, by result.", () => {
      const { certificate } = view;
      return certificate === null ? [] : [
        { labels: { result: "renewed" }, value: certificate.renewed },
        { labels: { result: "refused" }, value: certificate.refused },
      ];
    });
    gauge(
      "process_resident_memory_bytes",
      "Resident memory of the process.",
      () => process.memoryUsage.rss(),
    );
    gauge("process_heap_bytes", "Heap in use.", () => process.memoryUsage().heapUsed);
    this.#gauge(
      "build_info",
      "Always 1; what runs is in the labels.",
      () => [{ labels: view.build, value: 1 }],
    );
    for (const { name, help, type, read } of view.more) this.#add(name, help, type, read);
  }

  render(): Promise<string> {
    return this.#registry.metrics();
  }

  #counter(name: string, help: string, read: () => Iterable<Sample>): void {
    this.#add(name, help, "counter", read);
  }
  #gauge(name: string, help: string, read: () => Iterable<Sample>): void {
    this.#add(name, help, "gauge", read);
  }
  #histogram(name: string, help: string, read: () => Iterable<Sample>): void {
    this.#add(name, help, "histogram", read);
  }

  // prom-client asks a metric for its values at scrape time through `get`; that is all it needs of one.
  #add(name: string, help: string, type: string, read: () => Iterable<Sample>): void {
    const full = `wsprism_${name}`;
    const metric = {
      name: full,
      help,
      type,
      aggregator: "sum",
      get: () => ({ name: full, help, type, aggregator: "sum", values: [...read()] }),
    };
    // deno-lint-ignore no-explicit-any -- the library's types name only its own metric classes
    this.#registry.registerMetric(metric as any);
  }
}

/** The lines of a histogram. @param name the metric's whole name */
export function* histogram(name: string, labels: Labels, of: Durations): Generator<Sample> {
  let count = 0;
  for (const [i, bucket] of of.counts.entries()) {
    count += bucket;
    const le = i < BOUNDS_S.length ? String(BOUNDS_S[i]) : "+Inf";
    yield { metricName: `${name}_bucket`, labels: { le, ...labels }, value: count };
  }
  yield { metricName: `${name}_sum`, labels, value: of.sumMs / 1000 };
  yield { metricName: `${name}_count`, labels, value: count };
}
