// `ExtensionError`, the one error whose code and text are meant for the client.

const CODE = /^[A-Z][A-Z_]{0,63}$/;
/** Characters of its text. */
const MSG_CHARS_MAX = 1024;

export class ExtensionError extends Error {
  readonly #code: string;
  readonly #msg: string;

  constructor(code: unknown, msg: unknown) {
    const text = String(msg).slice(0, MSG_CHARS_MAX);
    super(text);
    if (typeof code !== "string" || !CODE.test(code)) {
      throw new TypeError("an ExtensionError's code is one of those that clients know, in capitals");
    }
    this.#code = code;
    this.#msg = text;
  }

  override get name(): string {
    return "ExtensionError";
  }

  get code(): string {
    return this.#code;
  }

  /** What it tells the client, where it is one: a look-alike, a proxy and a changed one tell nothing. */
  static told(error: unknown): { readonly code: string; readonly msg: string } | null {
    if (typeof error !== "object" || error === null || !(#code in error)) return null;
    return { code: error.#code, msg: error.#msg };
  }
}
