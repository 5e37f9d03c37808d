// Foreign JSON. What nobody reads stays the text that it came as, byte for byte; what somebody reads is refused where
// reading would change it: a number that no double holds, a key that stands twice in one object.

import { isHeld, WideNumber } from "./json_number.ts";
import { JSON_DEPTH_MAX, JsonScan, type ScanFault } from "./json_scan.ts";

/** A value as it was read, or what reading would change of it, in words that follow its name. */
export type JsonRead = { readonly ok: true; readonly value: unknown } | {
  readonly ok: false;
  readonly why: string;
};

/** One value in JSON. */
export class Json {
  #text: string | null;
  #depth: number;
  /** Keys in all its objects; null where `JSON.parse` is not to be believed with the text. */
  readonly #members: number | null;
  #read: JsonRead | null = null;
  #ask: Asked | null = null;

  constructor(text: string | null, scan: Pick<JsonScan, "depth" | "members" | "wide" | "escapedKeys">) {
    this.#text = text;
    this.#depth = scan.depth;
    this.#members = scan.wide || MISREADS_KEYS && scan.escapedKeys ? null : scan.members;
  }

  /**
   * The value of a member `data`, which the engine has read; its text is looked for when somebody asks.
   * @param whole the object that it is of
   * @param walk finds it where it is not the last member, or not as the engine would write it
   */
  static last(whole: string, value: unknown, walk: (whole: string) => Json): Json {
    const json = new Json(null, UNSEEN);
    json.#ask = { whole, value, walk };
    return json;
  }

  /** In an object that `JSON.stringify` writes; `writeObject` keeps the text instead. @throws TypeError rather than change it */
  toJSON(): unknown {
    const read = this.read();
    if (!read.ok) throw new TypeError(`the value ${read.why}`);
    return read.value;
  }

  get text(): string {
    return this.#text ?? this.#look();
  }

  /** Levels of values within each other, this one the first. */
  get depth(): number {
    if (this.#depth === 0) {
      if (this.#text === null) this.#look();
      this.#depth = depthOf(this.read().ok ? (this.#read as { value: unknown }).value : null, JSON_DEPTH_MAX);
    }
    return this.#depth;
  }

  /** If the engine writes it as it stands there, nothing was lost: no digit, no key, no space. */
  #look(): string {
    const { whole, value, walk } = this.#ask!;
    this.#ask = null;
    const text = JSON.stringify(value);
    if (whole.endsWith(`"data":${text}}`)) this.#read = { ok: true, value };
    else {
      const found = walk(whole);
      this.#read = found.read();
      this.#depth = found.depth;
      return this.#text = found.text;
    }
    return this.#text = text;
  }

  /** A foreign text, checked; or what is against it. */
  static from(text: string, depthMax: number): Json | ScanFault {
    const scan = new JsonScan(text, depthMax);
    return scan.whole() ? new Json(text, scan) : scan.fault!;
  }

  /**
   * A value of our own, or one that was read already.
   * @throws RangeError where it is nested deeper than anybody may
   */
  static of(value: unknown): Json {
    const json = Json.from(JSON.stringify(value) ?? "null", JSON_DEPTH_MAX);
    if (typeof json === "string") throw new RangeError("the value is nested too deep");
    return json;
  }

  /** A value that came in another form than JSON; its keys are its own. */
  static decoded(
    value: unknown,
    { depth, negativeZero }: { readonly depth: number; readonly negativeZero: boolean },
  ): Json {
    const text = negativeZero ? JSON.stringify(value, keepNegativeZero) : JSON.stringify(value);
    const json = new Json(text, { depth: depth - 1, members: 0, wide: false, escapedKeys: false });
    json.#read = { ok: true, value };
    return json;
  }

  /** A text that we have put together ourselves, for frames. */
  static written(text: string): Json {
    return new Json(text, { depth: 0, members: 0, wide: true, escapedKeys: true });
  }

  /** The value, for whoever decides by it; read once, and MUST NOT be changed. */
  read(): JsonRead {
    if (this.#text === null) this.#look();
    return this.#read ??= this.#members === null ? readJson(this.text) : this.#parse(this.#members);
  }

  #parse(members: number): JsonRead {
    const value: unknown = JSON.parse(this.text);
    // Of a key that stands twice, one is lost.
    return members > 1 && countKeys(value) !== members ? readJson(this.text) : { ok: true, value };
  }
}

export function countKeys(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) count += countKeys(item);
    return count;
  }
  for (const key of Object.keys(value)) count += 1 + countKeys((value as Record<string, unknown>)[key]);
  return count;
}

interface Asked {
  readonly whole: string;
  readonly value: unknown;
  readonly walk: (whole: string) => Json;
}

const UNSEEN = { depth: 0, members: 0, wide: true, escapedKeys: true };

function keepNegativeZero(_key: string, value: unknown): unknown {
  return Object.is(value, -0) ? new WideNumber("-0").toJSON() : value;
}

/** How a text is read where `JSON.parse` would not do. */
export interface JsonReading {
  /** Which values stay texts, by the key that they stand under and the level of their object, from 1. */
  readonly raw?: (key: string, level: number) => boolean;
  /** Numbers that no double holds become a `WideNumber`, instead of being refused. */
  readonly wide?: boolean;
  /** What becomes of numbers, in a tree of maps and well-formed texts; of a key twice the last counts. */
  readonly tree?: (number: string) => unknown;
}

/** Reads a text of any origin: refused where it is no JSON, too deep, or would be changed by reading it. */
export function readForeign(text: string, depthMax: number, how: JsonReading = {}): JsonRead {
  const isPlain = how.raw === undefined && how.tree === undefined;
  // Each level is two characters.
  const short = isPlain && text.length < Math.min(SHORT_CHARS, 2 * depthMax) ? readShort(text) : null;
  if (short !== null) return short;
  const scan = new JsonScan(text, depthMax);
  if (!scan.whole()) return { ok: false, why: faultText(scan.fault!, depthMax) };
  return scan.wide || !isPlain ? readJson(text, how) : new Json(text, scan).read();
}

/** The engine reads short texts several times as fast. */
const SHORT_CHARS = 1024;
/** What it may change: a number, or a key with an escape. */
const CHANGEABLE = /[\d.]{15}|\d[eE]|\\/;

/** Reads a text that the engine reads right; null where that is not sure. */
function readShort(text: string): JsonRead | null {
  if (CHANGEABLE.test(text)) return null;
  try {
    const value: unknown = JSON.parse(text);
    // No fewer keys than stand there: none stands twice.
    return countKeys(value) === text.split('":').length - 1 ? { ok: true, value } : null;
  } catch {
    return null;
  }
}

/** What is wrong with a text, in words that follow a name. */
export function faultText(fault: ScanFault, depthMax: number): string {
  switch (fault) {
    case "syntax":
      return "is not valid JSON";
    case "depth":
      return `is nested deeper than ${depthMax}`;
    case "number":
      return "has a number that is too long";
  }
}

/** Reads a text that has been walked over: JSON, and not too deep. */
function readJson(text: string, how: JsonReading = {}): JsonRead {
  try {
    return { ok: true, value: new Reader(text, how).value(1) };
  } catch (error) {
    if (error instanceof Changed) return { ok: false, why: error.message };
    throw error;
  }
}

/**
 * A text of ours, as a tree: objects are Maps, texts are well-formed.
 * @param number makes something of a number's text
 */
export function readTree(text: string, number: (text: string) => unknown): unknown {
  return new Reader(text, { tree: number }).value(1);
}

/** Reading would change something. */
class Changed extends Error {}

class Reader {
  readonly #scan: JsonScan;
  readonly #how: JsonReading;

  constructor(text: string, how: JsonReading) {
    this.#scan = new JsonScan(text, Number.POSITIVE_INFINITY);
    this.#how = how;
    this.#scan.space();
  }

  value(level: number): unknown {
    const { text, at } = this.#scan;
    switch (text.charCodeAt(at)) {
      case 0x7b:
        return this.#object(level);
      case 0x5b:
        return this.#array(level);
      case 0x22:
        return this.#string();
      default:
        this.#scan.value(1);
        return this.#word(text.slice(at, this.#scan.at));
    }
  }

  #word(word: string): unknown {
    if (word === "true" || word === "false") return word === "true";
    if (word === "null") return null;
    if (this.#how.tree) return this.#how.tree(word);
    if (isHeld(word)) return Number(word);
    if (this.#how.wide) return new WideNumber(word);
    throw new Changed(`has a number that no double holds: ${cut(word)}`);
  }

  #string(): string {
    const scan = this.#scan, from = scan.at;
    scan.string();
    const { text, at } = scan;
    const read = scan.escaped ? JSON.parse(text.slice(from, at)) as string : text.slice(from + 1, at - 1);
    return this.#how.tree ? read.toWellFormed() : read;
  }

  #array(level: number): unknown[] {
    const scan = this.#scan;
    const items: unknown[] = [];
    scan.at++;
    if (scan.space() === 0x5d) scan.at++;
    else do items.push(this.value(level + 1)); while (scan.more(0x5d));
    return items;
  }

  #object(level: number): unknown {
    if (this.#how.tree) return this.#map(level);
    const scan = this.#scan, { raw } = this.#how;
    const fields: Record<string, unknown> = {};
    scan.at++;
    if (scan.space() === 0x7d) {
      scan.at++;
      return fields;
    }
    do {
      const key = this.#string();
      scan.space();
      scan.at++;
      scan.space();
      if (Object.hasOwn(fields, key)) throw new Changed(`has the key ${JSON.stringify(cut(key))} twice`);
      const value = raw?.(key, level) ? this.#slice() : this.value(level + 1);
      // An assignment to "__proto__" would not make a key of it.
      if (key === "__proto__") Object.defineProperty(fields, key, { value, ...OWN });
      else fields[key] = value;
    } while (scan.more(0x7d));
    return fields;
  }

  #map(level: number): unknown {
    const scan = this.#scan;
    const map = new Map<string, unknown>();
    scan.at++;
    if (scan.space() === 0x7d) scan.at++;
    else {
      do {
        const key = this.#string();
        scan.space();
        scan.at++;
        scan.space();
        map.set(key, this.value(level + 1));
      } while (scan.more(0x7d));
    }
    return map;
  }

  #slice(): Json {
    const { text, at } = this.#scan;
    const part = new JsonScan(text, Number.POSITIVE_INFINITY);
    part.at = at;
    part.value(1);
    this.#scan.at = part.at;
    return new Json(text.slice(at, part.at), part);
  }
}

const OWN = { enumerable: true, configurable: true, writable: true };

/**
 * `JSON.parse`, but for texts that the engine would misread.
 * @throws SyntaxError for what is no JSON, RangeError for what is nested deeper than anybody may
 */
export function parseJson(text: string): unknown {
  if (!MISREADS_KEYS || !text.includes("\\")) return JSON.parse(text);
  const scan = new JsonScan(text, JSON_DEPTH_MAX);
  if (!scan.whole() || !scan.escapedKeys) {
    if (scan.fault === "depth") throw new RangeError("JSON is nested too deep");
    return JSON.parse(text);
  }
  const read = readJson(text, { wide: true });
  if (!read.ok) throw new SyntaxError(`JSON ${read.why}`);
  return plain(read.value);
}

/** Numbers as `JSON.parse` reads them. */
function plain(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof WideNumber) return Number(value.text);
  const items = value as Record<string, unknown>;
  for (const key of Object.keys(items)) {
    if (key !== "__proto__") items[key] = plain(items[key]);
  }
  return items;
}

/**
 * Whether a key with an escape is taken for another one that was read before, as V8 does (nodejs/node#63785): one
 * tenant's text would change another's. Found out once, by texts that show it.
 */
export const MISREADS_KEYS: boolean = misreadsKeys();

function misreadsKeys(): boolean {
  JSON.parse('{"wsprism":1,"caf\\\\":1}');
  const [, key] = Object.keys(JSON.parse('{"wsprism":1,"caf\\u00e9":1}') as object);
  return key !== "café";
}

/** An object in JSON. A field that is `Json` is written as the text that it is; one that is undefined, not at all. */
export function writeObject(fields: Readonly<Record<string, unknown>>): string {
  let text = "";
  for (const key of Object.keys(fields)) {
    const value = fields[key];
    const written = value instanceof Json ? value.text : JSON.stringify(value);
    if (written !== undefined) text += `${text === "" ? "{" : ","}${JSON.stringify(key)}:${written}`;
  }
  return text === "" ? "{}" : `${text}}`;
}

/** Levels of a value that is `Json`, or came from JSON; at most one more than `max` are looked at. */
export function depthOf(value: unknown, max: number): number {
  if (value instanceof Json) return value.depth;
  if (typeof value !== "object" || value === null) return 1;
  if (max < 1) return 2;
  let deepest = 0;
  for (const inner of Object.values(value)) {
    deepest = Math.max(deepest, depthOf(inner, max - 1));
    if (deepest > max) break;
  }
  return deepest + 1;
}

/** The members of an object's text, unread; null for any other value. */
export function membersOf(json: Json): readonly { readonly key: string; readonly text: string }[] | null {
  const scan = new JsonScan(json.text, Number.POSITIVE_INFINITY);
  if (scan.space() !== 0x7b) return null;
  const members: { key: string; text: string }[] = [];
  scan.at++;
  if (scan.space() === 0x7d) return members;
  do {
    const from = scan.at;
    scan.string();
    const key = JSON.parse(json.text.slice(from, scan.at)) as string;
    scan.at = from;
    scan.key();
    scan.value(1);
    members.push({ key, text: json.text.slice(from, scan.at) });
  } while (scan.more(0x7d));
  return members;
}

function cut(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
