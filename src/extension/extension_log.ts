// What is logged of an extension: its own words and its failures at a rate that it cannot exceed, what becomes of its worker
// always. Every line names tenant and extension.

import type { Log, LogFields } from "../log.ts";
import type { LogLines } from "./extension_metrics.ts";
import type { Call } from "./calls.ts";
import type { LogLevel } from "../program/messages.ts";
import { Allowance } from "./request_broker.ts";

export interface ExtensionLogOptions {
  readonly tenant: string;
  readonly extension: string;
  readonly log: Log;
  /** Lines in a second that it may cause itself. */
  readonly linesPerSecond: number;
  /** Where the last lines are kept. */
  readonly lines: LogLines;
  readonly unixMs: () => number;
  /** A line was dropped. */
  readonly dropped: () => void;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
}

/** Longest text of an extension in a line, in characters. */
const CHARS_MAX = 4000;

export class ExtensionLog {
  readonly #options: ExtensionLogOptions;
  readonly #lines: Allowance;

  constructor(options: ExtensionLogOptions) {
    this.#options = options;
    this.#lines = new Allowance(options.linesPerSecond);
  }

  /** Lines dropped so far. */
  get excess(): number {
    return this.#lines.excess;
  }

  /** It has written a line itself. @param call the call that it belongs to, as far as there is one */
  says(level: LogLevel, text: string, call: Call | undefined): void {
    this.#limited(level, "extension says", { text: cut(text), ...about(call) });
  }

  /** A hook failed. */
  failed(call: Call, error: string): void {
    this.#limited("warn", "extension failed", { hook: call.hook, error: cut(error), ...about(call) });
  }

  /** Something about its worker. */
  tell(level: LogLevel, message: string, fields: LogFields = {}): void {
    const { log, tenant, extension, lines, unixMs } = this.#options;
    log[level](message, { tenant, extension, ...fields });
    const { text, error, ...rest } = fields;
    const more = Object.entries(rest).map(([name, value]) => ` ${name}=${String(value)}`).join("");
    lines.push(Math.round(unixMs()), level, `${String(text ?? error ?? message)}${more}`);
  }

  #limited(level: LogLevel, message: string, fields: LogFields): void {
    if (this.#lines.take(this.#options.now())) this.tell(level, message, fields);
    else this.#options.dropped();
  }
}

/** A foreign text, no longer than a line may be. */
export function cut(text: string): string {
  return text.length > CHARS_MAX ? `${text.slice(0, CHARS_MAX)}…` : text;
}

function about(call: Call | undefined): LogFields {
  const context = call?.context;
  if (context === undefined || context === null) return {};
  return { session: context.session, user: context.user, trace_id: context.traceId };
}
