// Whether connections are accepted, on each listener. The transports mend what fails; here it is logged once, counted, and
// known to those who ask whether the gateway is ready.

import type { Log } from "../log.ts";
import type { MetricSource, Sample } from "../metrics/metrics.ts";

export type ListenerName = "public" | "tcp" | "webtransport" | "admin";

export class Acceptance {
  readonly #log: Log;
  readonly #listeners = new Map<ListenerName, { works: boolean; failures: number }>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** False while one of the listeners takes nobody. */
  get works(): boolean {
    for (const { works } of this.#listeners.values()) if (!works) return false;
    return true;
  }

  /** From now on it is known, and has a metric. */
  add(listener: ListenerName): void {
    this.#listeners.set(listener, { works: true, failures: 0 });
  }

  /** What a transport tells of its listener. */
  tell(listener: ListenerName, works: boolean, why: string): void {
    const known = this.#listeners.get(listener);
    if (known === undefined) return;
    if (!works) known.failures++;
    if (works === known.works) return;
    known.works = works;
    if (works) this.#log.warn("connections are accepted again", { listener, failures: known.failures });
    else this.#log.error("connections are not accepted", { listener, why });
  }

  readonly metrics: readonly MetricSource[] = [
    {
      name: "accepting",
      help: "1 while a listener accepts connections.",
      type: "gauge",
      read: () => this.#each(({ works }) => works ? 1 : 0),
    },
    {
      name: "accept_failures_total",
      help: "Times that a listener could not accept connections, or not yet again.",
      type: "counter",
      read: () => this.#each(({ failures }) => failures),
    },
  ];

  *#each(read: (of: { works: boolean; failures: number }) => number): Generator<Sample> {
    for (const [listener, of] of this.#listeners) yield { labels: { listener }, value: read(of) };
  }
}
