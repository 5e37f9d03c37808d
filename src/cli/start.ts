// `wsprism start`: runs the gateway until a signal ends it.

import process from "node:process";
import { Command, Option } from "commander";

import { loadCertificate } from "../config/certificate_files.ts";
import { adminTransportOptions, Gateway, SYSTEM_CLOCK, transportOptions } from "../gateway.ts";
import { type Log, LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevelName, processLog } from "../log.ts";
import { createTransport, type TransportKind } from "../transport/mod.ts";
import { loadFile } from "./config_file.ts";
import { type Done, EXIT } from "./exit.ts";
import { type Build, runtimeLabel } from "./version.ts";

/** How long a stopped gateway's process may take to end by itself. */
const LINGER_MS = 100;

interface StartOptions {
  readonly config?: string;
  readonly dev: boolean;
  readonly logLevel: LogLevelName;
  readonly logFormat?: LogFormat;
  readonly transport?: TransportKind;
}

export function startCommand(build: Build, done: Done): Command {
  return new Command("start")
    .description("run the gateway; SIGTERM or SIGINT drains it, a second one ends it at once")
    .option("--config <file>", "the configuration (default: ./wsprism.yaml, then ./config/wsprism.yaml)")
    .option("--dev", "accept dev tickets from anyone: for development only", false)
    .addOption(
      new Option("--log-level <level>", "least level that is logged").choices(LOG_LEVELS).default("info"),
    )
    .addOption(
      new Option("--log-format <format>", "default: pretty on a terminal, json otherwise").choices(
        LOG_FORMATS,
      ),
    )
    .addOption(
      new Option("--transport <kind>", "overrides gateway.transport").choices(["auto", "native", "node"]),
    )
    .action(async (options: StartOptions) => done(await start(options, build)));
}

async function start(options: StartOptions, build: Build): Promise<number> {
  const loaded = await loadFile(options.config, options.dev);
  if (loaded === null) return EXIT.config;
  const { config, warnings } = loaded;
  const format = options.logFormat ?? (process.stdout.isTTY ? "pretty" : "json");
  const log = processLog(options.logLevel, format, (line) => process.stdout.write(line));
  for (const { path, message, line } of warnings) log.warn(`${path} ${message}`, { line: line ?? 0 });
  // From now on: whoever reads "listening" may send a signal at once.
  const signal = firstSignal(log);
  let gateway: Gateway;
  try {
    const { tls } = config.gateway;
    const certificate = tls === undefined ? null : loadCertificate(tls, SYSTEM_CLOCK.unixMs());
    const transport = createTransport(
      options.transport ?? config.gateway.transport,
      transportOptions(config, certificate),
    );
    const adminOptions = adminTransportOptions(config);
    const { version, commit } = build;
    gateway = new Gateway({
      config,
      certificate,
      dev: options.dev,
      transport,
      adminTransport: adminOptions === null ? null : createTransport("auto", adminOptions),
      log,
      build: { version, commit, runtime: runtimeLabel() },
      clock: SYSTEM_CLOCK,
      services: new Map(),
    });
    await gateway.start();
  } catch (error) {
    process.stderr.write(`Cannot start: ${error instanceof Error ? error.message : String(error)}\n`);
    return EXIT.failed;
  }
  await signal;
  await gateway.drain();
  await gateway.stop();
  // A native WebSocket that ended abruptly keeps Deno 2.9 alive for 30 s.
  setTimeout(() => process.exit(EXIT.done), LINGER_MS).unref();
  return EXIT.done;
}

/** Resolves at the first SIGTERM or SIGINT; the second ends the process. */
function firstSignal(log: Log): Promise<void> {
  return new Promise((resolve) => {
    let seen = false;
    const onSignal = (signal: string) => {
      if (seen) process.exit(EXIT.failed);
      seen = true;
      log.info("signal received", { signal });
      resolve();
    };
    process.on("SIGTERM", onSignal);
    process.on("SIGINT", onSignal);
  });
}
