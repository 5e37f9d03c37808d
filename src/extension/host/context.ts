// `ctx`, as api_types.ts describes it to authors: what an extension may do, in the name of one call. All of it is closures
// over what the worker keeps, made when they are asked for, as a call needs few of them.

import { Buffer } from "node:buffer";
import { parseJson } from "../../protocol/json.ts";
import type { LogLevel, SessionView } from "../../program/messages.ts";
import type { Requests } from "./requests.ts";
import type { TimerFunctions } from "./timers.ts";
import { cut, TEXT_CHARS_MAX } from "./values.ts";

/** What all calls of a worker have in common. */
export interface Powers {
  readonly requests: Requests;
  readonly timers: TimerFunctions;
  /** These are hardened, as all calls share them. */
  readonly now: () => number;
  readonly random: () => number;
  readonly options: unknown;
  readonly env: Readonly<Record<string, string>>;
  /** A value as it stands in the log. */
  readonly shown: (value: unknown) => string;
}

type Options = Readonly<Record<string, unknown>> | undefined;

export class Context {
  readonly #powers: Powers;
  readonly #call: number | null;
  readonly #session: SessionView | null;

  constructor(powers: Powers, call: number | null, session: SessionView | null) {
    this.#powers = powers;
    this.#call = call;
    this.#session = session;
    Object.freeze(session);
    Object.freeze(this);
  }

  get session() {
    return this.#session;
  }

  get options() {
    return this.#powers.options;
  }

  get env() {
    return this.#powers.env;
  }

  get publish() {
    const { requests } = this.#powers;
    const call = this.#call;
    return (room: string, type: string, data: unknown, options: Options) =>
      requests.ask(
        call,
        () => ({ op: "publish", room, type, data, ...picked(options, ["except", "key", "receipt"]) }),
      );
  }

  get send() {
    const { requests } = this.#powers;
    const call = this.#call;
    return (to: unknown, type: string, data: unknown) =>
      requests.ask(call, () => ({ op: "send", to, type, data }));
  }

  get join() {
    const { requests } = this.#powers;
    const call = this.#call;
    return (room: string) => requests.ask(call, () => ({ op: "join", room }));
  }

  get leave() {
    const { requests } = this.#powers;
    const call = this.#call;
    return (room: string) => requests.ask(call, () => ({ op: "leave", room }));
  }

  get kick() {
    const { requests } = this.#powers;
    const call = this.#call;
    return (reason: string) => requests.ask(call, () => ({ op: "kick", reason }));
  }

  get kv() {
    const { requests } = this.#powers;
    const call = this.#call;
    return Object.freeze({
      get: (key: string) => requests.ask(call, () => ({ op: "kv.get", key })),
      set: (key: string, value: unknown, options: Options) =>
        requests.ask(call, () => {
          if (value === undefined) throw new TypeError("the value is undefined, which JSON cannot carry");
          return { op: "kv.set", key, value, ...picked(options, ["ttl_ms"]) };
        }),
      delete: (key: string) => requests.ask(call, () => ({ op: "kv.delete", key })),
      increment: (key: string, by = 1, options: Options) =>
        requests.ask(call, () => ({ op: "kv.increment", key, by, ...picked(options, ["ttl_ms"]) })),
      list: (prefix: string, options: Options) =>
        requests.ask(call, () => ({ op: "kv.list", prefix, ...picked(options, ["after", "limit"]) })),
    });
  }

  get fetch() {
    const { requests } = this.#powers;
    const call = this.#call;
    return async (url: string, options: Options) => {
      const answer = await requests.ask(call, () => ({ op: "fetch", url, options: sendable(options) }));
      made.add(answer as Answer);
      return new FetchAnswer(answer as Answer);
    };
  }

  get log() {
    const call = this.#call;
    return logOf((level, text) => this.#powers.requests.log(call, level, text), this.#powers.shown);
  }

  get now() {
    return this.#powers.now;
  }

  get random() {
    return this.#powers.random;
  }

  get setTimeout() {
    return this.#powers.timers.setTimeout;
  }

  get clearTimeout() {
    return this.#powers.timers.clear;
  }

  get setInterval() {
    return this.#powers.timers.setInterval;
  }

  get clearInterval() {
    return this.#powers.timers.clear;
  }
}

/** `ctx.log`, and the console. */
export function logOf(
  log: (level: LogLevel, text: string) => void,
  shown: (value: unknown) => string,
): Readonly<Record<LogLevel, (...words: unknown[]) => void>> {
  const at = (level: LogLevel) => (...words: unknown[]) => log(level, line(words, shown));
  return Object.freeze({ debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") });
}

/** Words in one line, of which no more is written than a line may have. */
function line(words: readonly unknown[], shown: (value: unknown) => string): string {
  let text = "";
  for (const [i, word] of words.entries()) {
    text += i === 0 ? shown(word) : ` ${shown(word)}`;
    if (text.length > TEXT_CHARS_MAX) break;
  }
  return cut(text);
}

/** What the gateway says of a fetch (see fetch.ts). */
type Answer =
  & { readonly status: number; readonly headers: Readonly<Record<string, string>> }
  & ({ readonly text: string } | { readonly base64: string });

/** Answers that are being made: scripts find the class by way of one, and make none themselves. */
const made = new WeakSet<object>();

export class FetchAnswer {
  readonly #answer: Answer;
  readonly #text: string;

  constructor(answer: Answer) {
    if (!made.has(answer)) throw new TypeError("answers are made by fetch alone");
    this.#answer = answer;
    this.#text = "text" in answer ? answer.text : new TextDecoder().decode(bytesOf(answer));
    Object.freeze(this);
  }

  get status(): number {
    return this.#answer.status;
  }

  get headers(): Readonly<Record<string, string>> {
    return this.#answer.headers;
  }

  get text(): string {
    return this.#text;
  }

  get bytes(): Uint8Array {
    return bytesOf(this.#answer);
  }

  json(): unknown {
    return parseJson(this.#text);
  }
}

// What stands behind an object's `constructor` would make more of its kind, of whatever it is given: contexts that ask
// nobody, and answers that nobody gave.
for (const { prototype } of [Context, FetchAnswer]) Reflect.deleteProperty(prototype, "constructor");

function bytesOf(answer: Answer): Uint8Array {
  return "text" in answer
    ? new TextEncoder().encode(answer.text)
    : new Uint8Array(Buffer.from(answer.base64, "base64"));
}

/** Options of a fetch with a body of bytes as JSON can carry it. */
function sendable(options: Options): unknown {
  const body = options?.["body"];
  if (!(body instanceof Uint8Array)) return options;
  const base64 = Buffer.from(new Uint8Array(body).buffer).toString("base64");
  return { ...options, body: { base64 } };
}

function picked(options: Options, names: readonly string[]): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const name of names) {
    const value = options?.[name];
    if (value !== undefined) values[name] = value;
  }
  return values;
}
