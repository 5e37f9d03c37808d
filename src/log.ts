// Logs: one line an event, made of a constant message and fields. Readable on a terminal, JSON lines for
// machines. The gateway sees the `Log` port only, so that two gateways in one process keep apart.

import {
  configureSync,
  getJsonLinesFormatter,
  getLogger,
  type LogLevel,
  type LogRecord,
} from "@logtape/logtape";

/** Values of a log line. Names as in the documentation: `tenant`, `user`, `session`, `trace_id`, … Never a ticket. */
export type LogFields = Readonly<Record<string, string | number | boolean | null | readonly string[]>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export const LOG_LEVELS = ["debug", "info", "warning", "error"] as const;
export type LogLevelName = (typeof LOG_LEVELS)[number];
export const LOG_FORMATS = ["pretty", "json"] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

/** A log that goes nowhere. */
export const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** The process's log, and how it writes a line. */
export interface ProcessLog {
  readonly log: Log;
  /** A line with its line end, for who brings it to the stream by a way of its own. */
  readonly lineOf: (level: LogLevelName, message: string, fields: LogFields) => string;
}

/**
 * The process's log. Configures the logging library, so call it once.
 * @param write takes a line with its line end
 */
export function processLog(
  level: LogLevelName,
  format: LogFormat,
  write: (line: string) => void,
): ProcessLog {
  const formatted = format === "json"
    ? getJsonLinesFormatter({ message: "rendered", properties: "flatten" })
    : prettyLine;
  const toLine = (record: LogRecord) => escaped(formatted(record));
  configureSync({
    reset: true,
    sinks: { lines: (record: LogRecord) => write(toLine(record)) },
    loggers: [
      { category: "wsprism", lowestLevel: level as LogLevel, sinks: ["lines"] },
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: ["lines"] },
    ],
  });
  const logger = getLogger("wsprism");
  const log: Log = {
    debug: (message, fields = {}) => logger.debug(literal(message), fields),
    info: (message, fields = {}) => logger.info(literal(message), fields),
    warn: (message, fields = {}) => logger.warn(literal(message), fields),
    error: (message, fields = {}) => logger.error(literal(message), fields),
  };
  const lineOf: ProcessLog["lineOf"] = (of, message, properties) =>
    toLine({
      category: ["wsprism"],
      level: of,
      message: [message],
      rawMessage: message,
      timestamp: Date.now(),
      properties,
    });
  return { log, lineOf };
}

const LEVEL_WORDS: Record<string, string> = {
  debug: "debug",
  info: "info ",
  warning: "warn ",
  error: "ERROR",
  fatal: "FATAL",
};

function prettyLine(record: LogRecord): string {
  // With its date and its Z: whoever reads it later, or elsewhere, knows when that was.
  const time = new Date(record.timestamp).toISOString();
  const fields = Object.entries(record.properties).map(([name, value]) => `  ${name}=${prettyValue(value)}`);
  return `${time} ${LEVEL_WORDS[record.level] ?? record.level} ${record.message.join("")}${
    fields.join("")
  }\n`;
}

// The library fills in a message's {braces}; ours are constants, or quote what an operator wrote.
function literal(message: string): string {
  return message.replace(/[{}]/g, "$&$&");
}

// A client chooses some values, its user name for one: quoting keeps one event on one line, and a terminal's
// control characters away from it.
function prettyValue(value: unknown): string {
  if (typeof value === "string" && /^[\w.:\/@\-\[\]*]+$/.test(value)) return value;
  return JSON.stringify(value);
}

/**
 * Characters that JSON writes as they are, and that a terminal or a reader of logs obeys: further control characters,
 * line and paragraph separators, marks of direction, which show a line in another order than it has, and the byte order
 * mark. JSON has such characters within texts only, where an escape means the same.
 */
const OBEYED = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

function escaped(line: string): string {
  return line.replace(
    OBEYED,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
