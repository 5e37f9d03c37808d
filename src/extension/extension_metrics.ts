// What is counted of extensions, and how it is exposed. The counters of one live as long as it is configured, through
// restarts and reloads.

import type { Outcome } from "./calls.ts";
import type { Hook } from "../program/messages.ts";
import { Counts, Durations, histogram, type MetricSource, type Sample } from "../metrics/metrics.ts";

/** A line of the log. */
export interface LogLine {
  /** Unix time in milliseconds. */
  readonly timeMs: number;
  readonly level: string;
  readonly text: string;
}

/** Lines that are kept of one extension, and how much of each, in characters. */
const LINES_MAX = 100;
const LINE_CHARS_MAX = 1000;

/** The last lines that were logged of an extension. */
export class LogLines {
  readonly #lines: LogLine[] = [];

  push(timeMs: number, level: string, text: string): void {
    if (this.#lines.length === LINES_MAX) this.#lines.shift();
    this.#lines.push({ timeMs, level, text: text.slice(0, LINE_CHARS_MAX) });
  }

  /** Oldest first. */
  all(): readonly LogLine[] {
    return this.#lines;
  }
}

/** The counters of one extension. */
export class ExtensionMetrics {
  /** Calls by `hook` and `outcome`. */
  readonly calls = new Counts();
  /** What was logged of it last. */
  readonly lines = new LogLines();
  /** Of calls that were answered. */
  readonly durations = new Durations();
  /** By `cause`: its worker was ended, or ended by itself. */
  readonly kills = new Counts();
  /** Starts after the first one. */
  restarts = 0;
  /** Starts that failed. */
  failedStarts = 0;
  /** What it asked for, by `op` and `outcome`: "ok" or the refusal's code. */
  readonly actions = new Counts();
  droppedLogLines = 0;
  droppedEvents = 0;
  /** Answers that came after their call was given up. */
  lateAnswers = 0;

  /** Counts a call. @returns its outcome */
  count(hook: Hook, outcome: Outcome): Outcome {
    const { kind } = outcome;
    const isError = kind === "thrown" && outcome.code === undefined;
    this.calls.add({ hook, outcome: kind === "value" ? "ok" : isError ? "error" : OUTCOMES[kind] ?? kind });
    return outcome;
  }
}

/** What metrics call an outcome, where that is another word. */
const OUTCOMES: Readonly<Record<string, string>> = { thrown: "refused" };

/** How an extension is. */
export type Condition = "starting" | "up" | "down" | "stopped";

/** An extension as a scrape reads it. */
export interface ExtensionView {
  readonly spec: { readonly tenant: string; readonly extension: string; readonly role: "service" | "plugin" };
  readonly condition: Condition;
  readonly pending: number;
  readonly metrics: ExtensionMetrics;
}

/** The hosts of a tenant as a scrape reads them. */
export interface HostsView {
  readonly tenant: string;
  /** Processes, workers, and resident memory as they tell it. */
  readonly hosts: number;
  readonly workers: number;
  readonly rssBytes: number;
  /** Hosts that were ended, or ended by themselves, by `cause`. */
  readonly ends: Counts;
}

/** What is exposed of these. */
export function extensionMetrics(
  extensions: () => Iterable<ExtensionView>,
  hosts: () => Iterable<HostsView>,
): MetricSource[] {
  const each = (read: (view: ExtensionView) => Iterable<Sample>) =>
    function* (): Generator<Sample> {
      for (const view of extensions()) {
        const { tenant, extension, role } = view.spec;
        for (const one of read(view)) yield { ...one, labels: { tenant, extension, role, ...one.labels } };
      }
    };
  const one = (read: (view: ExtensionView) => number) => each((view) => [{ labels: {}, value: read(view) }]);
  const host = (read: (view: HostsView) => Iterable<Sample>) =>
    function* (): Generator<Sample> {
      for (const view of hosts()) {
        for (const one of read(view)) yield { ...one, labels: { tenant: view.tenant, ...one.labels } };
      }
    };
  const ofHosts = (read: (view: HostsView) => number) => host((view) => [{ labels: {}, value: read(view) }]);
  return [
    {
      name: "extension_calls_total",
      help: "Calls of extensions, by hook and outcome.",
      type: "counter",
      read: each(({ metrics }) => metrics.calls),
    },
    {
      name: "extension_call_duration_seconds",
      help: "Time until extensions answered.",
      type: "histogram",
      read: each(({ metrics }) =>
        histogram("wsprism_extension_call_duration_seconds", {}, metrics.durations)
      ),
    },
    {
      name: "extension_kills_total",
      help:
        "Workers that were ended or ended by themselves, through their own fault or that of nobody known, by cause.",
      type: "counter",
      read: each(({ metrics }) => metrics.kills),
    },
    {
      name: "extension_restarts_total",
      help: "Workers that were started again.",
      type: "counter",
      read: one(({ metrics }) => metrics.restarts),
    },
    {
      name: "extension_failed_starts_total",
      help: "Workers that could not be started.",
      type: "counter",
      read: one(({ metrics }) => metrics.failedStarts),
    },
    {
      name: "extension_actions_total",
      help: "What extensions asked for, by what became of it.",
      type: "counter",
      read: each(({ metrics }) => metrics.actions),
    },
    {
      name: "extension_dropped_log_lines_total",
      help: "Log lines of extensions above their rate.",
      type: "counter",
      read: one(({ metrics }) => metrics.droppedLogLines),
    },
    {
      name: "extension_dropped_events_total",
      help: "Events that extensions were too busy for.",
      type: "counter",
      read: one(({ metrics }) => metrics.droppedEvents),
    },
    {
      name: "extension_late_answers_total",
      help: "Answers that came after their time.",
      type: "counter",
      read: one(({ metrics }) => metrics.lateAnswers),
    },
    {
      name: "extension_pending",
      help: "Calls of extensions under way.",
      type: "gauge",
      read: one(({ pending }) => pending),
    },
    {
      name: "extension_up",
      help: "1 while an extension takes calls.",
      type: "gauge",
      read: one(({ condition }) => condition === "up" ? 1 : 0),
    },
    {
      name: "extension_hosts",
      help: "Processes that run extensions.",
      type: "gauge",
      read: ofHosts(({ hosts }) => hosts),
    },
    {
      name: "extension_workers",
      help: "Workers in these processes.",
      type: "gauge",
      read: ofHosts(({ workers }) => workers),
    },
    {
      name: "extension_hosts_resident_memory_bytes",
      help: "Resident memory of these processes.",
      type: "gauge",
      read: ofHosts(({ rssBytes }) => rssBytes),
    },
    {
      name: "extension_host_ends_total",
      help: "Processes that were ended or ended by themselves, by cause.",
      type: "counter",
      read: host(({ ends }) => ends),
    },
  ];
}
