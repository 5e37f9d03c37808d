// The verbs of the command line, each in a file of its own. A verb returns its exit code.

import { errorTrace } from "../error_text.ts";
import process from "node:process";
import { Command, CommanderError } from "commander";
import { checkCommand } from "./check.ts";
import { checkTokenCommand } from "./check_token.ts";
import { doctorCommand } from "./doctor.ts";
import { EXIT } from "./exit.ts";
import { explainCommand } from "./explain.ts";
import { typesCommand } from "./extension_types.ts";
import { runExtensionCommand } from "./run_extension.ts";
import { schemaCommand } from "./schema.ts";
import { startCommand } from "./start.ts";
import { tokenCommand } from "./token.ts";
import { type Build, versionCommand } from "./version.ts";
import { webhooksCommand } from "./webhooks.ts";

/** Runs a verb. @returns the exit code, see `EXIT` */
export async function runVerb(argv: readonly string[], build: Build): Promise<number> {
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
    .exitOverride();
  program.addCommand(startCommand(build, done));
  program.addCommand(checkCommand(done));
  program.addCommand(tokenCommand(done));
  program.addCommand(checkTokenCommand(done));
  program.addCommand(explainCommand(done));
  program.addCommand(webhooksCommand(done));
  program.addCommand(schemaCommand(done));
  program.addCommand(doctorCommand(done));
  program.addCommand(typesCommand(done));
  program.addCommand(runExtensionCommand(done));
  program.addCommand(versionCommand(build, done));
  for (const command of program.commands.flatMap((verb) => [verb, ...verb.commands])) {
    const { parent } = command;
    const name = parent === program ? command.name() : `${parent!.name()} ${command.name()}`;
    command.exitOverride().showHelpAfterError(`(wsprism ${name} --help shows how)`);
  }
  program.showHelpAfterError("(wsprism --help shows how)");
  try {
    await program.parseAsync([...argv], { from: "user" });
    return code;
  } catch (error) {
    // Commander has printed what is wrong. Help that was asked for is no failure.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    process.stderr.write(
      `wsprism: ${errorTrace(error)}\n`,
    );
    return EXIT.failed;
  }
}
