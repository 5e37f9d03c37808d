// What a scrape shows, in Prometheus' text format: every metric with its name, its help, and where its numbers are read.

import process from "node:process";
import { Registry } from "prom-client";
import {
  type CertificateMetrics,
  type Counts,
  type Durations,
  histogram,
  type MetricSource,
  type ReloadMetrics,
  type Sample,
  type TenantMetrics,
} from "./metrics.ts";

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
  readonly reload: ReloadMetrics;
  /** What other parts count. */
  readonly more: readonly MetricSource[];
}

/** Samples that are written in one go: some tenths of a millisecond. */
const PIECE = 200;

/** Lets others have their turn, where it is time. */
export type Rest = () => Promise<void> | null;

/** Label value for handshakes whose tenant does not exist: a stranger's word must not become a label. */
export const NO_TENANT = "";

/** The exporter of a gateway in Prometheus' text format. */
export class Exporter {
  readonly #metrics: Metric[] = [];
  readonly contentType: string = new Registry().contentType;

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
    this.#gauge(
      "connections",
      "Connections open now, by transport, whether their clients have authenticated or not.",
      () =>
        each(function* (t, tenant) {
          for (const [transport, value] of Object.entries(t.connections)) {
            yield { labels: { tenant, transport }, value };
          }
        }),
    );
    this.#gauge("ws_sessions_active", "Sessions open now.", one((t) => t.sessions));
    this.#gauge(
      "sessions_detached",
      "Sessions whose client is away and may come back.",
      one((t) => t.detached),
    );
    this.#counter(
      "resumes_total",
      "Clients that came back to their session, or why they could not.",
      counts((t) => t.resumes),
    );
    this.#counter(
      "policy_decisions_total",
      "Inbound messages, by what policy decided.",
      () =>
        each(function* (t, tenant) {
          for (const lane of ["ext", "hot"] as const) {
            yield { labels: { tenant, lane, decision: "pass", reason: "ok" }, value: t.passed[lane] };
            if (t.ignored[lane] > 0) {
              yield { labels: { tenant, lane, decision: "drop", reason: "flood" }, value: t.ignored[lane] };
            }
          }
          for (const { labels, value } of t.denied) yield { labels: { tenant, ...labels }, value };
        }),
    );
    this.#counter(
      "policy_rule_decisions_total",
      "What checks and rules found against inbound messages; dry_run: and let them pass.",
      counts((t) => t.rules),
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
    this.#counter(
      "config_reloads_total",
      "Reloads of the configuration, by outcome.",
      () => view.reload.outcomes,
    );
    gauge(
      "config_last_load_timestamp_seconds",
      "Unix time at which the configuration in use was loaded.",
      () => view.reload.lastMs / 1000,
    );
    this.#gauge(
      "config_info",
      "Always 1; the hash of the configuration in use, secrets left out, is in the label.",
      () => [{ labels: { hash: view.reload.hash }, value: 1 }],
    );
    this.#gauge(
      "build_info",
      "Always 1; what runs is in the labels.",
      () => [{ labels: view.build, value: 1 }],
    );
    for (const { name, help, type, read } of view.more) this.#add(name, help, type, read);
  }

  /** @param rest called between two pieces of the work */
  render(rest: Rest = () => null): Promise<string> {
    return this.#write(null, rest);
  }

  /** Of one tenant alone. */
  renderTenant(tenant: string, rest: Rest = () => null): Promise<string> {
    return this.#write(tenant, rest);
  }

  /** @param tenant whose samples alone are written, and no metric that has none of them; null: everything */
  async #write(tenant: string | null, rest: Rest): Promise<string> {
    const texts: string[] = [];
    for (const metric of this.#metrics) {
      const text = await written(metric, tenant, rest);
      if (text !== "") texts.push(text);
    }
    return `${texts.join("\n\n")}\n`;
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

  #add(name: string, help: string, type: string, read: () => Iterable<Sample>): void {
    this.#metrics.push({ name: `wsprism_${name}`, help, type, read });
  }
}

interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly read: () => Iterable<Sample>;
}

/** A metric as text, written piece by piece: with many tenants one metric alone has tens of thousands of samples. */
async function written(metric: Metric, tenant: string | null, rest: Rest): Promise<string> {
  const { name, help, type, read } = metric;
  const described = { name, help, type, aggregator: "sum" };
  const registry = new Registry();
  let piece: Sample[] = [], text = "";
  // prom-client asks a metric for its values through `get`; that is all it needs of one.
  // deno-lint-ignore no-explicit-any -- the library's types name only its own metric classes
  registry.registerMetric({ ...described, get: () => ({ ...described, values: piece }) } as any);
  const flush = async () => {
    const lines = await registry.getSingleMetricAsString(name);
    // Its help and its type stand before the first piece alone.
    text += text === "" ? lines : lines.slice(lines.indexOf("\n", lines.indexOf("\n") + 1));
    piece = [];
    await rest();
  };
  let seen = 0;
  for (const sample of read()) {
    if (tenant === null || sample.labels["tenant"] === tenant) piece.push(sample);
    if (piece.length >= PIECE) await flush();
    else if (++seen % PIECE === 0) await rest();
  }
  if (piece.length > 0 || text === "" && tenant === null) await flush();
  return text;
}
