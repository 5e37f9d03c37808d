// The verbs of the command line, each in a file of its own. A verb returns its exit code.

import { errorTrace } from "../error_text.ts";
import { Command, CommanderError, Help, type Option } from "commander";
import { writeNow } from "./descriptor.ts";
import { EXIT } from "./exit.ts";
import { ProcessSignals } from "./signals.ts";
import { type Build, versionLine } from "./version.ts";

/** What is there before a verb is known. */
export interface VerbContext {
  readonly build: Build;
  /** Null for verbs that leave them to the runtime. */
  readonly signals: ProcessSignals | null;
}

interface VerbParts extends VerbContext {
  readonly program: Command;
  /** Takes the exit code. */
  readonly done: (code: number) => void;
}

/** In the order of the help. Each brings what it needs, so that one that needs little is there at once. */
const VERBS: Readonly<Record<string, (parts: VerbParts) => Promise<Command>>> = {
  "init": async ({ done }) => (await import("./init.ts")).initCommand(done),
  "start": async ({ build, signals, done }) => {
    const { startCommand } = await import("./start.ts");
    return startCommand({ build, signals: () => signals ?? new ProcessSignals() }, done);
  },
  "check": async ({ done }) => (await import("./check.ts")).checkCommand(done),
  "token": async ({ done }) => (await import("./token.ts")).tokenCommand(done),
  "check-token": async ({ done }) => (await import("./check_token.ts")).checkTokenCommand(done),
  "explain": async ({ done }) => (await import("./explain.ts")).explainCommand(done),
  "connect": async ({ done }) => (await import("./connect.ts")).connectCommand(done),
  "top": async ({ done }) => (await import("./top.ts")).topCommand(done),
  "webhooks": async ({ done }) => (await import("./webhooks.ts")).webhooksCommand(done),
  "webtransport-cert": async ({ done }) =>
    (await import("./webtransport_cert.ts")).webtransportCertCommand(done),
  "schema": async ({ done }) => (await import("./schema.ts")).schemaCommand(done),
  "doctor": async ({ done }) => (await import("./doctor.ts")).doctorCommand(done),
  "types": async ({ done }) => (await import("./extension_types.ts")).typesCommand(done),
  "run-extension": async ({ done }) => (await import("./run_extension.ts")).runExtensionCommand(done),
  "completion": async ({ program, done }) =>
    (await import("./completion.ts")).completionCommand(() => program, done),
  "version": async ({ build, done }) => (await import("./version.ts")).versionCommand(build, done),
};
/** It knows of all the others. */
const COMPLETION = "completion";

/** The verbs of which a command line may be: one, or all where it is of none, or asks for help. */
function verbsOf(argv: readonly string[]): readonly string[] {
  const names = Object.keys(VERBS), first = argv[0] ?? "";
  return names.includes(first) && first !== COMPLETION ? [first] : names;
}

const OUTPUT = {
  writeOut: (text: string) => writeNow(1, text),
  writeErr: (text: string) => writeNow(2, text),
};

/** What is off unless it is given needs no word on that. */
const HELP = {
  optionDescription: (option: Option) =>
    new Help().optionDescription(option).replace(/ \(default: false\)$/, ""),
};

/** Runs a verb. @returns the exit code, see `EXIT` */
export async function runVerb(argv: readonly string[], { build, signals }: VerbContext): Promise<number> {
  let code: number = EXIT.done;
  const done = (result: number) => {
    code = result;
  };
  const program = new Command("wsprism")
    .description("A realtime gateway: WebSockets on one side, your rules and services on the other.")
    .addHelpText(
      "after",
      "\nExit codes: 0 done, 1 failed at run time, 2 usage, 3 configuration refused, 4 denied.",
    )
    .version(versionLine(build), "-v, --version", "print version, commit and runtime")
    .helpOption("-h, --help", "show this, or a verb's own help")
    .configureOutput(OUTPUT)
    .exitOverride();
  const parts = { build, signals, program, done };
  for (const verb of await Promise.all(verbsOf(argv).map((name) => VERBS[name]!(parts)))) {
    program.addCommand(verb);
  }
  for (const command of program.commands.flatMap((verb) => [verb, ...verb.commands])) {
    const { parent } = command;
    const name = parent === program ? command.name() : `${parent!.name()} ${command.name()}`;
    command.exitOverride().configureOutput(OUTPUT).configureHelp(HELP);
    command.showHelpAfterError(`(wsprism ${name} --help shows how)`);
  }
  program.showHelpAfterError("(wsprism --help shows how)");
  try {
    await program.parseAsync([...argv], { from: "user" });
    return code;
  } catch (error) {
    // Commander has printed what is wrong. Help that was asked for is no failure.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    writeNow(2, `wsprism: ${errorTrace(error)}\n`);
    return EXIT.failed;
  }
}
