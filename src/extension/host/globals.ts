// The globals of a script that are not the language's own. None is the runtime's object: each is a closure or a class that
// keeps the runtime's object to itself, gives plain values, and makes errors anew, for a runtime's object leads to its
// prototypes, and those to what must stay outside.

import { messageOf } from "./values.ts";

/** The runtime's own, as they were before lockdown. */
const HostURL = URL;
const HostURLSearchParams = URLSearchParams;
const HostTextEncoder = TextEncoder;
const HostTextDecoder = TextDecoder;
const HostDate = Date;
const hostNow = Date.now;
const hostRandom = Math.random;
const hostParse = Date.parse;
const hostUtc = Date.UTC;
const hostClone = structuredClone;
const hostAtob = atob;
const hostBtoa = btoa;
const hostCrypto = crypto;
const hostIntl = Intl;

/** Runs the runtime's code; what it throws is made anew. */
function guarded<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw new TypeError(messageOf(error));
  }
}

class ScriptTextEncoder {
  get encoding(): string {
    return "utf-8";
  }

  encode(text = ""): Uint8Array {
    return new HostTextEncoder().encode(`${text}`);
  }

  encodeInto(text: string, bytes: Uint8Array): { read: number; written: number } {
    const { read, written } = guarded(() => new HostTextEncoder().encodeInto(`${text}`, bytes));
    return { read, written };
  }
}

class ScriptTextDecoder {
  readonly #decoder: TextDecoder;

  constructor(label = "utf-8", options: { fatal?: boolean; ignoreBOM?: boolean } = {}) {
    const { fatal = false, ignoreBOM = false } = options;
    this.#decoder = guarded(() =>
      new HostTextDecoder(`${label}`, { fatal: !!fatal, ignoreBOM: !!ignoreBOM })
    );
  }

  get encoding(): string {
    return this.#decoder.encoding;
  }

  get fatal(): boolean {
    return this.#decoder.fatal;
  }

  get ignoreBOM(): boolean {
    return this.#decoder.ignoreBOM;
  }

  decode(bytes?: Uint8Array | ArrayBuffer, options: { stream?: boolean } = {}): string {
    const stream = !!options.stream;
    return guarded(() => this.#decoder.decode(bytes, { stream }));
  }
}

class ScriptURLSearchParams {
  readonly #params: URLSearchParams;

  constructor(from?: unknown) {
    this.#params = from instanceof LinkedParams ? from.params : guarded(() => searchParams(from));
  }

  get size(): number {
    return [...this.#params.keys()].length;
  }

  get(name: string): string | null {
    return this.#params.get(`${name}`);
  }

  getAll(name: string): string[] {
    return [...this.#params.getAll(`${name}`)];
  }

  has(name: string): boolean {
    return this.#params.has(`${name}`);
  }

  set(name: string, value: string): void {
    this.#params.set(`${name}`, `${value}`);
  }

  append(name: string, value: string): void {
    this.#params.append(`${name}`, `${value}`);
  }

  delete(name: string): void {
    this.#params.delete(`${name}`);
  }

  sort(): void {
    this.#params.sort();
  }

  forEach(each: (value: string, name: string, params: ScriptURLSearchParams) => void): void {
    for (const [name, value] of this.#entries()) each(value, name, this);
  }

  keys(): IterableIterator<string> {
    return this.#entries().map(([name]) => name)[Symbol.iterator]();
  }

  values(): IterableIterator<string> {
    return this.#entries().map(([, value]) => value)[Symbol.iterator]();
  }

  entries(): IterableIterator<[string, string]> {
    return this.#entries()[Symbol.iterator]();
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries();
  }

  toString(): string {
    return this.#params.toString();
  }

  #entries(): [string, string][] {
    return [...this.#params].map(([name, value]) => [name, value]);
  }
}

/** A URL's own parameters on their way into their wrapping; scripts cannot make one. */
class LinkedParams {
  readonly params: URLSearchParams;

  constructor(params: URLSearchParams) {
    this.params = params;
  }
}

function searchParams(from: unknown): URLSearchParams {
  if (from === undefined || from === null) return new HostURLSearchParams();
  if (typeof from !== "object") return new HostURLSearchParams(String(from));
  const pairs = Symbol.iterator in from
    ? [...from as Iterable<Iterable<unknown>>].map((pair) => [...pair])
    : Object.entries(from);
  return new HostURLSearchParams(pairs.map(([name, value]) => [String(name), String(value)]));
}

/** Parts of a URL that can be set. */
const URL_PARTS = [
  "href",
  "protocol",
  "username",
  "password",
  "host",
  "hostname",
  "port",
  "pathname",
  "search",
  "hash",
] as const;

class ScriptURL {
  readonly #url: URL;
  readonly #params: ScriptURLSearchParams;

  constructor(url: unknown, base?: unknown) {
    this.#url = guarded(() =>
      base === undefined ? new HostURL(String(url)) : new HostURL(String(url), String(base))
    );
    this.#params = new ScriptURLSearchParams(new LinkedParams(this.#url.searchParams));
  }

  static canParse(url: unknown, base?: unknown): boolean {
    try {
      new ScriptURL(url, base);
      return true;
    } catch {
      return false;
    }
  }

  get origin(): string {
    return this.#url.origin;
  }

  get searchParams(): ScriptURLSearchParams {
    return this.#params;
  }

  toString(): string {
    return this.#url.href;
  }

  toJSON(): string {
    return this.#url.href;
  }

  static {
    for (const part of URL_PARTS) {
      Object.defineProperty(ScriptURL.prototype, part, {
        get(this: ScriptURL) {
          return this.#url[part];
        },
        set(this: ScriptURL, value: unknown) {
          guarded(() => {
            this.#url[part] = String(value);
          });
        },
        configurable: true,
      });
    }
  }
}

class ScriptDateTimeFormat {
  readonly #format: Intl.DateTimeFormat;
  readonly format: (date?: unknown) => string;

  constructor(locales?: unknown, options?: unknown) {
    this.#format = guarded(() =>
      new hostIntl.DateTimeFormat(locales as string, options as Intl.DateTimeFormatOptions)
    );
    this.format = (date) => guarded(() => this.#format.format(moment(date)));
  }

  static supportedLocalesOf(locales: unknown): string[] {
    return guarded(() => [...hostIntl.DateTimeFormat.supportedLocalesOf(locales as string)]);
  }

  formatToParts(date?: unknown): Intl.DateTimeFormatPart[] {
    return guarded(() => this.#format.formatToParts(moment(date)).map((part) => ({ ...part })));
  }

  formatRange(from: unknown, to: unknown): string {
    return guarded(() => this.#format.formatRange(Number(from), Number(to)));
  }

  resolvedOptions(): Intl.ResolvedDateTimeFormatOptions {
    return { ...this.#format.resolvedOptions() };
  }
}

/** A moment that is told: the runtime would take the present of a clock of its own. */
function moment(date: unknown): number {
  return date === undefined ? hostNow() : Number(date);
}

/** `Date` with its clock, which lockdown takes from everybody; its prototype is the language's own. */
function dateWithClock(): DateConstructor {
  const ScriptDate = function Date(this: unknown, ...args: readonly unknown[]): unknown {
    if (new.target === undefined) return new HostDate(hostNow()).toString();
    return Reflect.construct(HostDate, args.length === 0 ? [hostNow()] : args, new.target);
  };
  ScriptDate.prototype = HostDate.prototype;
  Object.defineProperty(ScriptDate, "length", { value: 7 });
  return Object.assign(ScriptDate, {
    now: () => hostNow(),
    parse: (text: unknown) => hostParse(String(text)),
    UTC: (...parts: readonly number[]) => Reflect.apply(hostUtc, undefined, parts),
  }) as unknown as DateConstructor;
}

function mathWithRandom(): Math {
  const math: Record<string, unknown> = {};
  for (const name of Object.getOwnPropertyNames(Math)) math[name] = Reflect.get(Math, name);
  math["random"] = () => hostRandom();
  Object.defineProperty(math, Symbol.toStringTag, { value: "Math" });
  return math as unknown as Math;
}

/** The parts of Intl that have no clock as they are; the one that has is a class of ours. */
function intlWithoutClock(): Readonly<Record<string, unknown>> {
  const intl: Record<string, unknown> = {};
  for (const name of Object.getOwnPropertyNames(hostIntl)) {
    if (name !== "DateTimeFormat") intl[name] = Reflect.get(hostIntl, name);
  }
  return { ...intl, DateTimeFormat: ScriptDateTimeFormat };
}

/** Bytes that can be had at once, as the standard has it. */
const RANDOM_BYTES_MAX = 65_536;

function getRandomValues(array: unknown): unknown {
  if (!ArrayBuffer.isView(array) || array instanceof DataView) {
    throw new TypeError("getRandomValues needs an array of integers");
  }
  const { buffer, byteOffset, byteLength } = array;
  if (byteLength > RANDOM_BYTES_MAX) throw new TypeError(`at most ${RANDOM_BYTES_MAX} bytes at once`);
  new Uint8Array(buffer, byteOffset, byteLength).set(hostCrypto.getRandomValues(new Uint8Array(byteLength)));
  return array;
}

/** To be called after lockdown; what it gives is to be hardened. */
export function scriptGlobals(): Readonly<Record<string, unknown>> {
  return {
    TextEncoder: ScriptTextEncoder,
    TextDecoder: ScriptTextDecoder,
    URL: ScriptURL,
    URLSearchParams: ScriptURLSearchParams,
    structuredClone: (value: unknown) => guarded(() => hostClone(value)),
    atob: (text: unknown) => guarded(() => hostAtob(String(text))),
    btoa: (text: unknown) => guarded(() => hostBtoa(String(text))),
    crypto: { getRandomValues, randomUUID: () => hostCrypto.randomUUID() },
    performance: { now: () => hostNow() },
    Date: dateWithClock(),
    Math: mathWithRandom(),
    Intl: intlWithoutClock(),
  };
}
