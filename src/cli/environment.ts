// Variables by which the environment changes what the runtime under the gateway does. The gateway leaves them to whoever
// starts it, as they start any code that they like; what weakens something is said. docs/operations.md lists them.

type Environment = Readonly<Record<string, string | undefined>>;

interface Influence {
  readonly name: string;
  /** What it does; a sentence's end. */
  readonly effect: string;
  /** Values that do nothing. */
  readonly harmless?: RegExp;
  /** Where it counts; everywhere when absent. */
  readonly on?: "bun" | "deno";
}

const CODE = "lets the runtime take options from the environment, code to run before the gateway among them";
const DEBUGGER = "opens the gateway to a debugger, which can read and change everything in it";

const INFLUENCES: readonly Influence[] = [
  {
    name: "NODE_TLS_REJECT_UNAUTHORIZED",
    effect:
      "switches the checks of certificates off: whoever is on the way can answer for backends and key sets",
    harmless: /^(?!0$)/,
  },
  { name: "BUN_OPTIONS", effect: CODE, on: "bun" },
  { name: "NODE_OPTIONS", effect: CODE, on: "deno" },
  { name: "BUN_INSPECT", effect: DEBUGGER, on: "bun" },
  { name: "BUN_INSPECT_CONNECT_TO", effect: DEBUGGER, on: "bun" },
  { name: "BUN_INSPECT_PRELOAD", effect: CODE, on: "bun" },
  {
    name: "BUN_CONFIG_VERBOSE_FETCH",
    effect: "writes every request to backends to stderr, with the secrets in its headers",
    harmless: /^(0|false)$/,
    on: "bun",
  },
  { name: "SSLKEYLOGFILE", effect: "writes the keys of TLS connections to a file" },
];

/** A warning for each variable that weakens the gateway. */
export function environmentWarnings(env: Environment, runtime: "bun" | "deno"): string[] {
  return INFLUENCES.flatMap(({ name, effect, harmless, on }) => {
    if (on !== undefined && on !== runtime) return [];
    const value = read(env, name);
    if (value === undefined || value === "" || harmless?.test(value)) return [];
    return [`${name} is set in the environment: it ${effect}`];
  });
}

function read(env: Environment, name: string): string | undefined {
  try {
    return env[name];
  } catch {
    return undefined; // Deno guards each variable.
  }
}
