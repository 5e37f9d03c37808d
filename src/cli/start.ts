// `wsprism start`: runs the gateway until a signal ends it.

import { errorText } from "../error_text.ts";
import process from "node:process";
import { isatty } from "node:tty";
import { Command, Option } from "commander";

import { loadCertificate } from "../config/certificate_files.ts";
import { withEnvFile } from "../config/env_file.ts";
import { FileSource } from "../config/file_source.ts";
import { STDIN } from "../config/load.ts";
import { FileWatch } from "../config/file_watch.ts";
import { launchHost } from "../extension/launch.ts";
import {
  adminTransportOptions,
  Gateway,
  SYSTEM_CLOCK,
  tcpTransportOptions,
  transportOptions,
  webtransportOptions,
} from "../gateway.ts";
import { type Log, LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevelName, processLog } from "../log.ts";
import type { MetricSource } from "../metrics/metrics.ts";
import { createTransport, type TransportKind } from "../transport/mod.ts";
import { createWebTransport } from "../transport/quic/webtransport.ts";
import { SseTransport } from "../transport/sse/sse.ts";
import { createTcpTransport } from "../transport/stream/tcp.ts";
import { CONFIG_FLAGS, CONFIG_HELP, loadFile } from "./config_file.ts";
import { writeLater, writeNow } from "./descriptor.ts";
import { environmentWarnings } from "./environment.ts";
import { type Done, EXIT } from "./exit.ts";
import { welcome } from "./exposure.ts";
import { watchLaunchers } from "./launcher.ts";
import { LineSink } from "./line_sink.ts";
import type { ProcessSignals } from "./signals.ts";
import { ENV_FILE } from "./variables.ts";
import { openTracing } from "./tracing.ts";
import { type Build, runtimeLabel } from "./version.ts";

/** How long a stopped gateway's process may take to end by itself. */
const LINGER_MS = 100;
/** How long the last lines of the log may take. */
const LAST_LINES_MS = 1000;
/** Warnings of the configuration that are logged one by one. */
const WARNINGS_MAX = 100;

const EXAMPLES = `
Examples:
  wsprism start --config wsprism.yaml --dev                 try it out on this machine: accepts anybody
  WSPRISM_LISTEN=0.0.0.0:8080 wsprism start --watch         serve, and take up what changes in the file
  wsprism start --config wsprism.yaml --log-level debug     tell of every session too

On a terminal SIGHUP, which it sends when it is closed, drains as SIGTERM does. Exit codes: 0 drained, 1 failed,
2 usage, 3 configuration refused.`;

interface StartOptions {
  readonly config?: string;
  readonly envFile?: string;
  readonly dev: boolean;
  readonly policyDryRun: boolean;
  readonly watch: boolean;
  readonly logLevel: LogLevelName;
  readonly logFormat?: LogFormat;
  readonly transport?: TransportKind;
}

/** What a start is given beside its options. */
export interface StartContext {
  readonly build: Build;
  /** Those that were taken over first of all, where the verb was the first word. */
  readonly signals: () => ProcessSignals;
}

export function startCommand(context: StartContext, done: Done): Command {
  return new Command("start")
    .description(
      "run the gateway; SIGHUP reloads its configuration, SIGTERM or SIGINT drains it, a second one ends it at once",
    )
    .option(CONFIG_FLAGS, CONFIG_HELP)
    .option(
      "--dev",
      "accept dev tickets from anybody, and pages of this machine; without an address of its own, listen on 127.0.0.1",
      false,
    )
    .option("--policy-dry-run", "decide and count all that policy says, but deny nothing", false)
    .option("--watch", "reload the configuration when it changes, or a file that it names", false)
    .option(...ENV_FILE)
    .argument("[file]", "the configuration, as --config")
    .addOption(
      new Option("--log-level <level>", "least level that is logged").choices(LOG_LEVELS).default("info"),
    )
    .addOption(
      new Option("--log-format <format>", "default: pretty on a terminal, json otherwise").choices(
        LOG_FORMATS,
      ),
    )
    .addOption(
      new Option("--transport <kind>", "overrides gateway.transport").choices([
        "auto",
        "native",
        "node",
        "raw",
      ]),
    )
    .addHelpText("after", EXAMPLES)
    .action(async (file: string | undefined, options: StartOptions, command: Command) => {
      if (file !== undefined && options.config !== undefined) {
        command.error(`error: ${file} and --config ${options.config} both name the configuration`);
      }
      const config = options.config ?? file;
      if (config === STDIN && options.watch) command.error("error: --watch cannot watch stdin; name a file");
      done(await start({ ...options, ...(config === undefined ? {} : { config }) }, context));
    });
}

async function start(options: StartOptions, context: StartContext): Promise<number> {
  const { build } = context, signals = context.signals();
  const { log, sink, isPretty } = openLog(options);
  void signals.ended.then((signal) => log.info("signal received", { signal }));
  // A file may be long in coming: from a pipe, or a disk that does not answer.
  const loaded = await Promise.race([loadFile(options.config, options.dev, options), signals.ended]);
  if (loaded === null) return EXIT.config;
  if (typeof loaded === "string") return await leave(sink);
  const { file, text, config, warnings, schemas, files } = loaded;
  // Reading the file took its time; a signal that came meanwhile is handed over between two turns only.
  await new Promise((resolve) => setTimeout(resolve, 0));
  if (signals.isOver) return await leave(sink);
  const runtime = runtimeLabel();
  for (const { path, message, line } of warnings.slice(0, WARNINGS_MAX)) {
    log.warn(`${path} ${message}`, { line: line ?? 0 });
  }
  if (warnings.length > WARNINGS_MAX) {
    log.warn("the configuration has more warnings; wsprism check shows all", {
      more: warnings.length - WARNINGS_MAX,
    });
  }
  const on = runtime.startsWith("bun") ? "bun" : "deno";
  for (const warning of environmentWarnings(process.env, on)) log.warn(warning);
  // That it listens is not to be the line for which there is no room.
  await sink.written(LAST_LINES_MS);
  const source = new FileSource({
    file: options.config === STDIN ? STDIN : file,
    dev: options.dev,
    envFile: options.envFile ?? null,
    config,
    files,
    thread: on === "bun" ? "each" : "kept",
    log,
  });
  const watch = new FileWatch({
    files: () => source.files,
    every: SYSTEM_CLOCK.every,
    changed: () => void gateway.reload("watch"),
  });
  const tracing = openTracing(config, { log, clock: SYSTEM_CLOCK, version: build.version });
  let gateway: Gateway;
  try {
    const { tls, tcp, webtransport } = config.gateway;
    const tcpCertificate = tcp?.tls === undefined
      ? null
      : loadCertificate(tcp.tls, SYSTEM_CLOCK.unixMs(), "gateway.tcp.tls");
    const tcpOptions = tcpTransportOptions(config, tcpCertificate);
    const quicCertificate = webtransport === undefined
      ? null
      : loadCertificate(webtransport.tls, SYSTEM_CLOCK.unixMs(), "gateway.webtransport.tls");
    const quicOptions = webtransportOptions(config, quicCertificate);
    const certificate = tls === undefined ? null : loadCertificate(tls, SYSTEM_CLOCK.unixMs());
    const publicOptions = transportOptions(config, certificate);
    const transport = createTransport(options.transport ?? config.gateway.transport, publicOptions, {
      deflatesFor: config.tenants.find(({ compression }) => compression !== undefined)?.id ?? null,
    });
    const sse = new SseTransport({
      maxMessageBytes: publicOptions.maxMessageBytes,
      bodyTimeoutMs: publicOptions.headerTimeoutMs,
      afterTurn: (task) => transport.afterTurn(task),
      now: SYSTEM_CLOCK.now,
      random: SYSTEM_CLOCK.random,
    });
    const adminOptions = adminTransportOptions(config);
    const { version, commit } = build;
    gateway = new Gateway({
      config,
      text,
      schemas,
      certificate,
      tcp: tcpOptions === null
        ? null
        : { transport: createTcpTransport(tcpOptions), certificate: tcpCertificate },
      webtransport: quicOptions === null || quicCertificate === null
        ? null
        : { transport: createWebTransport(quicOptions), certificate: quicCertificate },
      sse,
      dev: options.dev,
      policyDryRun: options.policyDryRun,
      transport,
      launchHost,
      env: withEnvFile(process.env, options.envFile ?? null),
      adminTransport: adminOptions === null ? null : createTransport("auto", adminOptions),
      log,
      tracer: tracing.tracer,
      source,
      build: { version, commit, runtime },
      clock: SYSTEM_CLOCK,
      services: new Map(),
      metrics: [logMetric(sink), source.metric, ...tracing.metrics],
    });
    // What changes from now on is seen; what was told before is done after the start.
    if (options.watch) await watch.start();
    source.start();
    const address = await gateway.start();
    if (isPretty && isatty(1)) {
      const admin = gateway.adminAddress;
      const lines = welcome(config, { dev: options.dev, address, admin }).map((line) => `  ${line}\n`);
      sink.write(`\n${lines.join("")}\n`);
    }
    signals.onReload(() => void gateway.reload("signal"));
  } catch (error) {
    watch.stop();
    source.stop();
    await tracing.stop();
    await sink.close(LAST_LINES_MS);
    writeNow(2, `Cannot start: ${errorText(error)}\n`);
    return EXIT.failed;
  }
  const unwatch = watchLaunchers({
    every: SYSTEM_CLOCK.every,
    gone: () => signals.end("none: what started this process has ended"),
  });
  await signals.ended;
  unwatch();
  watch.stop();
  await gateway.drain();
  await gateway.stop();
  await tracing.stop();
  source.stop();
  return await leave(sink);
}

/** The process's log, on stdout. */
function openLog(
  { logLevel, logFormat }: StartOptions,
): { readonly log: Log; readonly sink: LineSink; readonly isPretty: boolean } {
  const format = logFormat ?? (isatty(1) ? "pretty" : "json");
  const sink: LineSink = new LineSink({
    write: (bytes) => writeLater(1, bytes),
    notice: (lines) =>
      lineOf("warning", "lines of this log were dropped: they could not be written", { lines }),
    later: (ms, task) => void setTimeout(task, ms).unref(),
  });
  const { log, lineOf } = processLog(logLevel, format, (line) => sink.write(line));
  return { log, sink, isPretty: format === "pretty" };
}

function logMetric(sink: LineSink): MetricSource {
  return {
    name: "log_lines_dropped_total",
    help: "Lines of the log that could not be written, and were dropped.",
    type: "counter",
    read: () => [{ labels: {}, value: sink.dropped }],
  };
}

/** The end of a process that has done what it was to do. */
async function leave(sink: LineSink): Promise<number> {
  await sink.close(LAST_LINES_MS);
  // A native WebSocket that ended abruptly keeps Deno 2.9 alive for 30 s, and a write that waits for a reader for ever.
  setTimeout(() => process.exit(EXIT.done), LINGER_MS).unref();
  return EXIT.done;
}
