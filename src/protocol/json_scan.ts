// Walks a JSON text (RFC 8259) once, without building anything: is it JSON, how deep does it go, where does each value end,
// and may the runtime's own reader be believed with it. What passes through unread goes on as the text that it is.

/** Levels of values within each other that a text may have where nobody says otherwise. The text's own value is the first. */
export const JSON_DEPTH = 64;
/** The most that anybody may allow: reading and writing recurse. */
export const JSON_DEPTH_MAX = 512;
/** Longest number: to compare or convert one takes longer than it is. */
const NUMBER_CHARS_MAX = 1000;
/** Digits that a double always holds. */
const SAFE_DIGITS = 15;

/** What is against a text. */
export type ScanFault = "syntax" | "depth" | "number";

/** Strings are walked over up to so many characters. */
const SHORT_CHARS = 48;

const QUOTE = 0x22, BACKSLASH = 0x5c, COMMA = 0x2c, COLON = 0x3a;

/** One text being walked. Each method that says whether it went well leaves `at` behind what it walked over. */
export class JsonScan {
  readonly text: string;
  at = 0;
  fault: ScanFault | null = null;
  /** Levels seen, keys seen in all objects. */
  depth = 0;
  members = 0;
  /** A number that a double may not hold was seen; a key with an escape was. */
  wide = false;
  escapedKeys = false;
  /** Whether the string walked over last has an escape. */
  escaped = false;
  readonly #depthMax: number;

  constructor(text: string, depthMax: number) {
    this.text = text;
    this.#depthMax = depthMax;
  }

  /** The whole text is one value. */
  whole(): boolean {
    this.space();
    return this.value(1) && this.end();
  }

  /** Nothing but white space is left. */
  end(): boolean {
    this.space();
    return this.at === this.text.length || this.#fail("syntax");
  }

  /** @returns the character behind the white space; NaN at the end */
  space(): number {
    const { text } = this;
    for (;;) {
      const c = text.charCodeAt(this.at);
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return c;
      this.at++;
    }
  }

  /** Any value, which begins at `at`. @param level of the value, from 1 */
  value(level: number): boolean {
    if (level > this.depth) {
      if (level > this.#depthMax) return this.#fail("depth");
      this.depth = level;
    }
    switch (this.text.charCodeAt(this.at)) {
      case QUOTE:
        return this.string();
      case 0x7b:
        return this.#object(level + 1);
      case 0x5b:
        return this.#array(level + 1);
      case 0x74:
        return this.#word("true");
      case 0x66:
        return this.#word("false");
      case 0x6e:
        return this.#word("null");
      default:
        return this.#number();
    }
  }

  /** A string, with its quotes. */
  string(): boolean {
    const { text } = this;
    let at = this.at;
    this.escaped = false;
    if (text.charCodeAt(at) !== QUOTE) return this.#fail("syntax");
    const long = at + SHORT_CHARS;
    for (;;) {
      const c = text.charCodeAt(++at);
      if (at === long) return this.#longString();
      if (c === QUOTE) break;
      if (!(c >= 0x20)) return this.#fail("syntax"); // NaN at the end
      if (c !== BACKSLASH) continue;
      this.escaped = true;
      const escape = text.charCodeAt(++at);
      if (escape === 0x75) {
        for (let i = 0; i < 4; i++) if (!isHex(text.charCodeAt(++at))) return this.#fail("syntax");
      } else if (!isEscape(escape)) return this.#fail("syntax");
    }
    this.at = at + 1;
    return true;
  }

  /** The same by the runtime's own means, which are faster where there is much to walk over. */
  #longString(): boolean {
    const { text, at: from } = this;
    let end = from;
    for (;;) {
      end = text.indexOf('"', end + 1);
      if (end < 0) return this.#fail("syntax");
      let before = end;
      while (text.charCodeAt(before - 1) === BACKSLASH) before--;
      if ((end - before) % 2 === 0) break;
    }
    const string = text.slice(from, end + 1);
    try {
      JSON.parse(string);
    } catch {
      return this.#fail("syntax");
    }
    this.escaped = string.includes("\\");
    this.at = end + 1;
    return true;
  }

  /** A key and the colon behind it; `at` is then at its value. */
  key(): boolean {
    if (!this.string()) return false;
    this.members++;
    if (this.escaped) this.escapedKeys = true;
    if (this.text.charCodeAt(this.at) !== COLON && this.space() !== COLON) return this.#fail("syntax");
    this.at++;
    this.space();
    return true;
  }

  /** Behind an item: another one follows (true), or the list ends with `close` (false); else it is a fault. */
  more(close: number): boolean {
    const c = this.space();
    this.at++;
    if (c === COMMA) {
      this.space();
      return true;
    }
    if (c !== close) this.#fail("syntax");
    return false;
  }

  #object(level: number): boolean {
    this.at++;
    if (this.space() === 0x7d) {
      this.at++;
      return true;
    }
    do {
      if (!this.key() || !this.value(level)) return false;
    } while (this.more(0x7d));
    return this.fault === null;
  }

  #array(level: number): boolean {
    this.at++;
    if (this.space() === 0x5d) {
      this.at++;
      return true;
    }
    do {
      if (!this.value(level)) return false;
    } while (this.more(0x5d));
    return this.fault === null;
  }

  #word(word: string): boolean {
    if (!this.text.startsWith(word, this.at)) return this.#fail("syntax");
    this.at += word.length;
    return true;
  }

  #number(): boolean {
    const { text, at: from } = this;
    if (text.charCodeAt(this.at) === 0x2d) this.at++;
    const first = text.charCodeAt(this.at);
    let digits = this.#digits();
    if (digits === 0 || first === 0x30 && digits > 1) return this.#fail("syntax");
    if (text.charCodeAt(this.at) === 0x2e) {
      this.at++;
      const more = this.#digits();
      if (more === 0) return this.#fail("syntax");
      digits += more;
    }
    const e = text.charCodeAt(this.at);
    if (e === 0x65 || e === 0x45) {
      this.at++;
      const sign = text.charCodeAt(this.at);
      if (sign === 0x2b || sign === 0x2d) this.at++;
      const exponent = this.#digits();
      if (exponent === 0) return this.#fail("syntax");
      this.wide = true;
      if (this.at - from > NUMBER_CHARS_MAX) return this.#fail("number");
    }
    if (digits > SAFE_DIGITS) {
      this.wide = true;
      if (this.at - from > NUMBER_CHARS_MAX) return this.#fail("number");
    }
    return true;
  }

  #digits(): number {
    const from = this.at;
    for (;;) {
      const c = this.text.charCodeAt(this.at);
      if (!(c >= 0x30 && c <= 0x39)) return this.at - from;
      this.at++;
    }
  }

  #fail(fault: ScanFault): false {
    this.fault ??= fault;
    return false;
  }
}

function isHex(c: number): boolean {
  return c >= 0x30 && c <= 0x39 || c >= 0x41 && c <= 0x46 || c >= 0x61 && c <= 0x66;
}

/** Whether a character may stand behind a backslash: one of "\/bfnrt. */
function isEscape(c: number): boolean {
  switch (c) {
    case QUOTE:
    case BACKSLASH:
    case 0x2f:
    case 0x62:
    case 0x66:
    case 0x6e:
    case 0x72:
    case 0x74:
      return true;
    default:
      return false;
  }
}
