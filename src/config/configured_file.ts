// Files that the configuration names: read within a bound, or why that cannot be, in the words of a failure.

/** Reads a file, as `readFileSync` does. */
export type ReadFile = (name: string) => Uint8Array;

/** What a file was found to hold: a text, or why there is none ("must name a file …"). */
export type FileContent = string | { readonly fault: string };

/** The content of a file, from its bytes or from the error of reading it. */
export function fileContent(found: Uint8Array | { readonly error: unknown }, maxBytes: number): FileContent {
  if (!(found instanceof Uint8Array)) {
    return { fault: `must name a file that can be read: ${whyUnreadable(found.error)}` };
  }
  return found.length > maxBytes
    ? { fault: `must name a file of at most ${maxBytes} bytes` }
    : new TextDecoder().decode(found);
}

/** Reads a file that a key names. */
export function configuredFile(read: ReadFile, name: string, maxBytes: number): FileContent {
  let found: Uint8Array | { readonly error: unknown };
  try {
    found = read(name);
  } catch (error) {
    found = { error };
  }
  return fileContent(found, maxBytes);
}

/** Why a file that the configuration names cannot be read, in words. */
function whyUnreadable(error: unknown): string {
  const { code, name, message } = error as { code?: unknown; name?: unknown; message?: unknown };
  if (code === "ENOENT") return "there is no such file";
  if (code === "EISDIR") return "it is a directory";
  if (code === "EACCES" || code === "EPERM" || name === "NotCapable") return "this process may not read it";
  return String(message ?? error).split("\n", 1)[0]!;
}
