// `${NAME}` and `${NAME:-default}` in the texts of the configuration file. `$${` stands for a literal `${`.

/** The outcome: the text with its variables filled in, or what is wrong with it. */
export type Interpolated = { readonly ok: true; readonly text: string } | {
  readonly ok: false;
  readonly message: string;
};

const REFERENCE = /\$\$\{|\$\{([^}]*)(\}?)/g;
const INSIDE = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s;

/** Fills in environment variables. As in a shell, a default also stands in for a variable that is set but empty. */
export function interpolate(text: string, env: Readonly<Record<string, string | undefined>>): Interpolated {
  let message: string | undefined;
  const filled = text.replace(REFERENCE, (whole: string, inside: string | undefined, end: string) => {
    if (inside === undefined) return "${";
    const parts = end === "}" ? INSIDE.exec(inside) : null;
    if (parts === null) {
      message ??=
        'has a "${" that is not "${NAME}" or "${NAME:-default}"; write "$${" for the characters themselves';
      return whole;
    }
    const [, name = "", preset] = parts;
    let value: string | undefined;
    try {
      value = Object.hasOwn(env, name) ? env[name] : undefined;
    } catch { // Deno guards each variable.
      message ??=
        `needs the environment variable ${name}, which this process may not read; allow it (--allow-env=${name})`;
      return whole;
    }
    if (preset !== undefined) return value === undefined || value === "" ? preset : value;
    if (value === undefined) {
      message ??=
        `needs the environment variable ${name}, which is not set; set it, or write "\${${name}:-default}"`;
    }
    return value ?? whole;
  });
  return message === undefined ? { ok: true, text: filled } : { ok: false, message };
}
