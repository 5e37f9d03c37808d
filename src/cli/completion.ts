// `wsprism completion`: what a shell needs to complete a command line. Written from the verbs and options as they are, so that
// nothing of it can be out of date.

import { Argument, Command, type Option } from "commander";
import { writeNow } from "./descriptor.ts";
import { type Done, EXIT } from "./exit.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = typeof SHELLS[number];

const EXAMPLES = `
Examples:
  source <(wsprism completion bash)                                       in ~/.bashrc
  source <(wsprism completion zsh)                                        in ~/.zshrc, after compinit
  wsprism completion fish > ~/.config/fish/completions/wsprism.fish`;

/** @param program tells of all verbs, once they are there */
export function completionCommand(program: () => Command, done: Done): Command {
  return new Command("completion")
    .description("print what a shell needs to complete verbs, options and their values")
    .addArgument(new Argument("<shell>", "the shell").choices(SHELLS))
    .addHelpText("after", EXAMPLES)
    .action((shell: Shell) => {
      writeNow(1, SCRIPTS[shell](pathsOf(program())));
      done(EXIT.done);
    });
}

interface Flag {
  readonly names: readonly string[];
  readonly about: string;
  /** Null where the option takes no value; empty where the value is anything, such as a file. */
  readonly values: readonly string[] | null;
}

/** A verb, or a verb's own verb. */
interface Spot {
  /** Words behind `wsprism`, such as "webhooks list"; "" for none. */
  readonly path: string;
  readonly verbs: readonly { readonly name: string; readonly about: string }[];
  readonly flags: readonly Flag[];
  /** What an argument may be, where that is known. */
  readonly values: readonly string[];
}

/** Every place of a command line, the program itself first. */
function pathsOf(command: Command, path = ""): Spot[] {
  const own: Spot = {
    path,
    verbs: command.commands.map((verb) => ({ name: verb.name(), about: verb.description() })),
    flags: [
      ...command.options.filter(({ hidden }) => !hidden).map(flagOf),
      { names: ["-h", "--help"], about: "show help", values: null },
    ],
    values: command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
  };
  const below = command.commands.flatMap((verb) => pathsOf(verb, `${path} ${verb.name()}`.trim()));
  return [own, ...below];
}

function flagOf({ short, long, description, required, optional, argChoices }: Option): Flag {
  const names = [short, long].filter((name) => name !== undefined);
  return { names, about: description, values: required || optional ? argChoices ?? [] : null };
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/** Goes through the words before the cursor, which stand in `words[1..n)`: to the verb that they come to. */
function walk(spots: readonly Spot[], take: string): string {
  const steps = spots.filter(({ path }) => path !== "").map(({ path }) => {
    const words = path.split(" "), last = words.pop()!;
    return `      ${quoted(`${words.join(" ")}:${last}`)}) ${take}=${quoted(path)} ;;`;
  });
  return steps.join("\n");
}

function bash(spots: readonly Spot[]): string {
  const values = spots.flatMap(({ path, flags }) =>
    flags.flatMap(({ names, values }) =>
      values === null
        ? []
        : names.map((name) =>
          `    ${quoted(`${path}:${name}`)}) offer=${quoted(values.join(" "))}; taken=1 ;;`
        )
    )
  );
  const words = spots.map(({ path, flags, verbs, values }) => {
    const rest = [...verbs.map(({ name }) => name), ...values].join(" ");
    const options = flags.flatMap(({ names }) => names).join(" ");
    return `    ${quoted(path)}) rest=${quoted(rest)}; options=${quoted(options)} ;;`;
  });
  return `# bash completion for wsprism
_wsprism() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} at='' offer='' taken='' rest='' options='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at:\${COMP_WORDS[i]}" in
${walk(spots, "at")}
    esac
  done
  case "$at:$prev" in
${values.join("\n")}
  esac
  if [ -z "$taken" ]; then
    case "$at" in
${words.join("\n")}
    esac
    case "$cur" in -*) offer=$options ;; *) offer=$rest ;; esac
  fi
  COMPREPLY=($(compgen -W "$offer" -- "$cur"))
}
complete -o default -F _wsprism wsprism
`;
}

function zsh(spots: readonly Spot[]): string {
  const pair = (name: string, about: string) => quoted(`${name}:${about.replaceAll(":", "\\:")}`);
  const values = spots.flatMap(({ path, flags }) =>
    flags.flatMap(({ names, values }) =>
      values === null ? [] : names.map((name) => {
        const does = values.length === 0 ? "_files" : `compadd -- ${values.map(quoted).join(" ")}`;
        return `    ${quoted(`${path}:${name}`)}) ${does}; return ;;`;
      })
    )
  );
  const words = spots.map(({ path, flags, verbs, values }) => {
    const options = flags.flatMap(({ names, about }) => names.map((name) => pair(name, about))).join(" ");
    const rest = [...verbs.map(({ name, about }) => pair(name, about)), ...values.map(quoted)].join(" ");
    return `    ${quoted(path)}) options=(${options}); rest=(${rest}) ;;`;
  });
  return `#compdef wsprism
_wsprism() {
  local at='' i
  local -a options rest
  for ((i = 2; i < CURRENT; i++)); do
    case "$at:\${words[i]}" in
${walk(spots, "at")}
    esac
  done
  case "$at:\${words[CURRENT-1]}" in
${values.join("\n")}
  esac
  case "$at" in
${words.join("\n")}
  esac
  if [[ \${words[CURRENT]} == -* ]]; then
    _describe -o option options
  elif (( \${#rest} )); then
    _describe word rest
  else
    _files
  fi
}
compdef _wsprism wsprism
`;
}

function fish(spots: readonly Spot[]): string {
  // In fish, a single quote is written \' and a backslash \\ between single quotes.
  const text = (value: string) => `'${value.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const lines = spots.flatMap(({ path, verbs, flags, values }) => {
    const here = `complete -c wsprism -n ${text(`test "$(__wsprism_at)" = "${path}"`)}`;
    const noFiles = verbs.length > 0 || values.length > 0 ? [`${here} -f`] : [];
    const arguments_ = [
      ...verbs.map(({ name, about }) => `${here} -a ${text(name)} -d ${text(about)}`),
      ...values.map((value) => `${here} -a ${text(value)}`),
    ];
    const options = flags.map(({ names, about, values }) => {
      const spelled = names.map((name) =>
        name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`
      );
      const takes = values === null
        ? ""
        : values.length === 0
        ? " -r -F"
        : ` -x -a ${text(values.join(" "))}`;
      return `${here} ${spelled.join(" ")}${takes} -d ${text(about)}`;
    });
    return [...noFiles, ...arguments_, ...options];
  });
  const steps = spots.filter(({ path }) => path !== "").map(({ path }) => {
    const words = path.split(" "), last = words.pop()!;
    return `      case ${text(`${words.join(" ")}:${last}`)}\n        set at ${text(path)}`;
  });
  return `# fish completion for wsprism
function __wsprism_at
  set -l at ''
  for word in (commandline -opc)[2..-1]
    switch "$at:$word"
${steps.join("\n")}
    end
  end
  echo $at
end
${lines.join("\n")}
`;
}

const SCRIPTS: Readonly<Record<Shell, (spots: readonly Spot[]) => string>> = { bash, zsh, fish };
