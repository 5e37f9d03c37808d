// Metrics. What happens often is counted in plain numbers, per tenant, and read when somebody scrapes: the exporter
// (metrics/exporter.ts) walks these objects then, and costs nothing in between. Label values come from the configuration
// and from constants, so their number is bounded.

/** Lanes of inbound messages. */
export type InboundChannel = "ext" | "hot";

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
const DROP_REASONS = ["full", "age", "shed", "closed", "detached"] as const;

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
      detached: new Traffic(),
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
  /** Open now, whether their clients have authenticated or not, by `transport`. */
  readonly connections: Record<"websocket" | "tcp" | "webtransport" | "sse", number> = {
    websocket: 0,
    tcp: 0,
    webtransport: 0,
    sse: 0,
  };
  /** Sessions that wait for their client to come back. */
  detached = 0;
  /** By `outcome`: clients that came back to their session, or could not. */
  readonly resumes = new Counts();
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
  /** Messages of throttled sessions, which sent far more than they may. */
  readonly ignored = { ext: 0, hot: 0 };
  /** By `rule_id`, `action` and `dry_run`: what checks and rules found against messages. */
  readonly rules = new Counts();
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

/** The configuration in use, and what became of attempts to reload it. */
export interface ReloadMetrics {
  /** By `outcome`. */
  readonly outcomes: Counts;
  /** Unix time in milliseconds of the start, or of the last reload that was not refused. */
  lastMs: number;
  /** A short name of the configuration, secrets left out. */
  hash: string;
}

/** What became of certificates. */
export interface CertificateMetrics {
  /** Unix time in milliseconds. */
  expiresMs: number;
  renewed: number;
  refused: number;
}

/** Names and values. */
export type Labels = Readonly<Record<string, string>>;
/** One number of a metric. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
  readonly metricName?: string;
}

/** A metric that a part brings; `name` is without `wsprism_`. */
export interface MetricSource {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  /** Read at each scrape. */
  readonly read: () => Iterable<Sample>;
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
