// `wsprism start`: runs the gateway until a signal ends it.

import { errorText } from "../error_text.ts";
import process from "node:process";
import { Command, Option } from "commander";

import { loadCertificate } from "../config/certificate_files.ts";
import { FileSource } from "../config/file_source.ts";
import { FileWatch } from "../config/file_watch.ts";
import { launchHost } from "../extension/launch.ts";
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
  readonly policyDryRun: boolean;
  readonly watch: boolean;
  readonly logLevel: LogLevelName;
  readonly logFormat?: LogFormat;
  readonly transport?: TransportKind;
}

export function startCommand(build: Build, done: Done): Command {
  return new Command("start")
    .description(
      "run the gateway; SIGHUP reloads its configuration, SIGTERM or SIGINT drains it, a second one ends it at once",
    )
    .option("--config <file>", "the configuration (default: ./wsprism.yaml, then ./config/wsprism.yaml)")
    .option("--dev", "accept dev tickets from anyone: for development only", false)
    .option("--policy-dry-run", "decide and count all that policy says, but deny nothing", false)
    .option("--watch", "reload the configuration when it changes, or a file that it names", false)
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
  const { file, config, warnings, schemas, files } = loaded;
  const format = options.logFormat ?? (process.stdout.isTTY ? "pretty" : "json");
  const log = processLog(options.logLevel, format, (line) => process.stdout.write(line));
  for (const { path, message, line } of warnings) log.warn(`${path} ${message}`, { line: line ?? 0 });
  // From now on: whoever reads "listening" may send a signal at once.
  const signal = firstSignal(log);
  const hangups = new Hangups();
  const source = new FileSource({
    file,
    dev: options.dev,
    config,
    files,
    thread: runtimeLabel().startsWith("bun") ? "each" : "kept",
  });
  const watch = new FileWatch({
    files: () => source.files,
    every: SYSTEM_CLOCK.every,
    changed: () => void gateway.reload("watch"),
  });
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
      schemas,
      certificate,
      dev: options.dev,
      policyDryRun: options.policyDryRun,
      transport,
      launchHost,
      env: process.env,
      adminTransport: adminOptions === null ? null : createTransport("auto", adminOptions),
      log,
      source,
      build: { version, commit, runtime: runtimeLabel() },
      clock: SYSTEM_CLOCK,
      services: new Map(),
    });
    // What changes from now on is seen; what was told before is done after the start.
    if (options.watch) await watch.start();
    source.start();
    await gateway.start();
    hangups.listen(() => void gateway.reload("signal"));
  } catch (error) {
    watch.stop();
    source.stop();
    process.stderr.write(`Cannot start: ${errorText(error)}\n`);
    return EXIT.failed;
  }
  await signal;
  watch.stop();
  await gateway.drain();
  await gateway.stop();
  source.stop();
  // A native WebSocket that ended abruptly keeps Deno 2.9 alive for 30 s.
  setTimeout(() => process.exit(EXIT.done), LINGER_MS).unref();
  return EXIT.done;
}

/** SIGHUP, from the moment this is made: by itself it would end the process. */
class Hangups {
  #came = false;
  #listener: (() => void) | null = null;

  constructor() {
    process.on("SIGHUP", () => {
      this.#came = true;
      this.#listener?.();
    });
  }

  /** Calls it at each signal, and at once when one came already. */
  listen(listener: () => void): void {
    this.#listener = listener;
    if (this.#came) listener();
  }
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
