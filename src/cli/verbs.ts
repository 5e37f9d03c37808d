// The verbs of the command line, each in a file of its own. A verb returns its exit code.

import { errorTrace } from "../error_text.ts";
import { Command, CommanderError, Help, type Option } from "commander";
import { checkCommand } from "./check.ts";
import { checkTokenCommand } from "./check_token.ts";
import { completionCommand } from "./completion.ts";
import { connectCommand } from "./connect.ts";
import { writeNow } from "./descriptor.ts";
import { doctorCommand } from "./doctor.ts";
import { EXIT } from "./exit.ts";
import { explainCommand } from "./explain.ts";
import { typesCommand } from "./extension_types.ts";
import { initCommand } from "./init.ts";
import { runExtensionCommand } from "./run_extension.ts";
import { schemaCommand } from "./schema.ts";
import { ProcessSignals } from "./signals.ts";
import { startCommand } from "./start.ts";
import { tokenCommand } from "./token.ts";
import { topCommand } from "./top.ts";
import { type Build, versionCommand, versionLine } from "./version.ts";
import { webhooksCommand } from "./webhooks.ts";
import { webtransportCertCommand } from "./webtransport_cert.ts";

/** What is there before a verb is known. */
export interface VerbContext {
  readonly build: Build;
  /** Null for verbs that leave them to the runtime. */
  readonly signals: ProcessSignals | null;
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
  program.addCommand(initCommand(done));
  program.addCommand(startCommand({ build, signals: () => signals ?? new ProcessSignals() }, done));
  program.addCommand(checkCommand(done));
  program.addCommand(tokenCommand(done));
  program.addCommand(checkTokenCommand(done));
  program.addCommand(explainCommand(done));
  program.addCommand(connectCommand(done));
  program.addCommand(topCommand(done));
  program.addCommand(webhooksCommand(done));
  program.addCommand(webtransportCertCommand(done));
  program.addCommand(schemaCommand(done));
  program.addCommand(doctorCommand(done));
  program.addCommand(typesCommand(done));
  program.addCommand(runExtensionCommand(done));
  program.addCommand(completionCommand(() => program, done));
  program.addCommand(versionCommand(build, done));
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
