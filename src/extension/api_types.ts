// The public types of extensions, as `wsprism types` prints them: the one source of truth for what a script sees. A text,
// as it must be in an executable too; the tests compile it, and the examples against it.

/** `wsprism.d.ts`. */
export const API_TYPES = `// Types for wsPrism extensions; "wsprism types" prints them.
// They are types only: at run time there is no module "wsprism".
//
//   mkdir -p node_modules/wsprism && wsprism types > node_modules/wsprism/index.d.ts
//
//   import type { Extension } from "wsprism";
//   export default { onMessage(message) { return { echo: message.data }; } } satisfies Extension;

/** What JSON can carry. Everything that crosses the walls of an extension is of this kind. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json | undefined };

/**
 * A hook's result, or a promise of it. A hook has the extension's \`limits.timeout_ms\` for its answer, waiting included;
 * then its caller is told \`TIMEOUT\`. Between two waits it has \`limits.cpu_ms\`; a hook that takes longer is ended, and
 * with it the extension, which then starts anew.
 */
export type Result<T> = T | Promise<T>;

/** What the file of an extension exports as its default. Those that are absent are never asked. */
export interface Extension {
  /** Before anything else. The extension takes messages once this is done; an error keeps it from starting. */
  onStart?(ctx: Context): Result<void>;
  /**
   * A service: a message to its \`svc\`, which policy has let pass. The messages of one session come one at a time, in
   * order. What it returns goes to the sender as \`type: "reply"\` with the message's \`seq\`; \`undefined\` is no reply.
   * An error is told to the sender as \`INTERNAL\`, its text to the log only, unless it is an \`ExtensionError\`.
   */
  onMessage?(message: Message, ctx: SessionContext): Result<unknown>;
  /** A plugin: a message that matches, after policy and before the service. */
  onIngress?(message: Message, ctx: SessionContext): Result<Ingress | void>;
  /** A session has joined a room. */
  onJoin?(event: RoomEvent, ctx: SessionContext): Result<void>;
  /** A session has left a room, or has ended in it. */
  onLeave?(event: RoomEvent, ctx: SessionContext): Result<void>;
  /** A session has begun. */
  onConnect?(event: ConnectEvent, ctx: SessionContext): Result<void>;
  /** A session has ended; nothing can be sent to it any more. */
  onDisconnect?(event: DisconnectEvent, ctx: SessionContext): Result<void>;
  /** Every \`tick_ms\` of the configuration, never twice at the same time. */
  onTick?(ctx: Context): Result<void>;
  /** The last that it is asked, at a reload or when the gateway ends; not when it was ended by force. */
  onStop?(ctx: Context): Result<void>;
}

/** A message of a client. */
export interface Message {
  readonly svc: string;
  readonly type: string;
  readonly room: string | null;
  /** The client's own number of it. */
  readonly seq: number | null;
  /** Foreign: whatever JSON the client sent, null where it sent none. */
  readonly data: any;
}

/** What a plugin says of a message. Nothing (\`undefined\`) lets it pass as it is. */
export type Ingress =
  /** It goes on with this data. */
  | { readonly data: unknown }
  /** It goes no further, and its sender is told nothing. */
  | { readonly drop: true }
  /** It goes no further, and its sender is told why. */
  | { readonly reject: { readonly code: ErrorCode; readonly msg: string } };

/** A session, in the words of an event. */
export interface ConnectEvent {
  readonly user: string;
  /** The client's own name for it; unique among the user's sessions. */
  readonly sid: string;
  /** The gateway's name for it; unique in the gateway. */
  readonly session: string;
}

export interface DisconnectEvent extends ConnectEvent {
  /** WebSocket close code. */
  readonly code: number;
  readonly reason: string;
  readonly duration_ms: number;
}

export interface RoomEvent extends ConnectEvent {
  readonly room: string;
  /** The session's number in the room. */
  readonly member: number;
  /** Members of the room now. */
  readonly count: number;
}

/** The session that a hook is about, as it was when the hook was asked. */
export interface Session {
  readonly id: string;
  readonly user: string;
  readonly tenant: string;
  readonly rooms: readonly string[];
  /** The room joined last, where its hot frames go. */
  readonly activeRoom: string | null;
  /** What its ticket says beyond what the gateway reads itself. */
  readonly claims: { readonly [name: string]: any };
}

/** Options of \`ctx.publish\`. */
export interface PublishOptions {
  readonly except?: string;
  readonly key?: string;
  readonly receipt?: boolean;
}

/** What became of a message. */
export interface Receipt {
  readonly deliveries: number;
  /** Null in a room that keeps nothing. */
  readonly offset: number | null;
  readonly epoch: string | null;
  /** It was published before under the same key. */
  readonly duplicate: boolean;
}

/**
 * What an extension may do. Each method asks the gateway, which checks it against the extension's \`permissions\` and
 * \`limits\` and the tenant's own, and rejects with a \`Refused\` where it says no: \`NOT_ALLOWED\` without the
 * permission, \`RATE_LIMITED\` above \`limits.max_actions_per_second\`, \`BAD_REQUEST\` for arguments that cannot be used.
 * A refusal that a hook does not catch is an error like any other: the client is told \`INTERNAL\`, the log the rest.
 */
export interface Context {
  /** The session that this is about; null in \`onStart\`, \`onTick\` and \`onStop\`, and in timers set there. */
  readonly session: Session | null;
  /** \`options\` of the configuration; null where there are none. */
  readonly options: any;
  /** The variables that \`permissions.env\` lists. */
  readonly env: { readonly [name: string]: string };
  /** Lines in the gateway's log, with tenant, extension and trace id. */
  readonly log: Log;
  /** Needs \`permissions.kv\`. */
  readonly kv: Kv;

  /**
   * To the members of a room, which \`permissions.publish\` must match; its \`svc\` is the extension's name.
   * @param options \`except\`, the id of a session that is left out; \`key\`, by which the extension's second message within
   * five minutes is not published again
   * @returns to how many sessions it was handed
   */
  publish(room: string, type: string, data?: unknown, options?: PublishOptions): Promise<number>;
  /** The same, and says where the message stands in a room that keeps what is said in it. */
  publish(
    room: string,
    type: string,
    data: unknown,
    options: PublishOptions & { readonly receipt: true },
  ): Promise<Receipt>;
  /**
   * To all sessions of a user, or to one session. To others than the calling session it needs \`permissions.users\`.
   * @returns to how many sessions it was handed; 0 when there is none
   */
  send(to: Recipient, type: string, data?: unknown): Promise<number>;
  /**
   * Only to \`permissions.net\`. Redirects are followed, at most 5, where they lead to a place that is listed.
   * Fails with \`NOT_ALLOWED\`, \`TIMEOUT\`, \`RESOURCE_EXHAUSTED\` (too many wait already) or \`UNAVAILABLE\`. An answer
   * with any status is an answer.
   */
  fetch(url: string, options?: FetchOptions): Promise<FetchResponse>;

  /** Milliseconds since 1970. */
  now(): number;
  /** At random, from 0 up to, not including, 1. */
  random(): number;
  /** @returns a number for \`clearTimeout\`. At most \`limits.max_timers\` run. */
  setTimeout(task: () => void, ms?: number): number;
  clearTimeout(timer: number | undefined): void;
  setInterval(task: () => void, ms: number): number;
  clearInterval(timer: number | undefined): void;
}

/** A context where there is a session. */
export interface SessionContext extends Context {
  readonly session: Session;
  /** Lets the session join a room, as far as the tenant's rules and its own ticket let it. */
  join(room: string): Promise<void>;
  /** Lets the session leave a room. */
  leave(room: string): Promise<void>;
  /** Ends the session. @param reason is told to it, 1 to 128 characters */
  kick(reason: string): Promise<void>;
}

/** What a method of \`ctx\` rejects with. */
export interface Refused extends Error {
  readonly code: ErrorCode;
}

export type Recipient = { readonly user: string } | { readonly session: string };

export interface Log {
  debug(...words: unknown[]): void;
  info(...words: unknown[]): void;
  warn(...words: unknown[]): void;
  error(...words: unknown[]): void;
}

/**
 * What the extension keeps: its own, shared with nobody; at most \`limits.kv_max_bytes\`, of keys and of values as JSON.
 * It outlives reloads and the extension's own end, and with \`gateway.state_dir\` the gateway's as well.
 * A full store rejects with \`RESOURCE_EXHAUSTED\`. Keys are texts of 1 to 256 characters.
 */
export interface Kv {
  /** @returns undefined where there is nothing, or no longer */
  get<T = any>(key: string): Promise<T | undefined>;
  /** Keeps a value that JSON can carry. @param ttl_ms time after which it goes; absent: never */
  set(key: string, value: unknown, options?: { readonly ttl_ms?: number }): Promise<void>;
  /** @returns whether it was there */
  delete(key: string): Promise<boolean>;
  /**
   * Adds to a number at once with reading it; what is not there counts as 0. Rejects where the value is no number.
   * @param by 1 unless said
   * @returns the sum
   */
  increment(key: string, by?: number, options?: { readonly ttl_ms?: number }): Promise<number>;
  /**
   * What is kept under keys that begin with \`prefix\`, in the order of keys.
   * @param after only keys behind this one
   * @param limit at most so many, 100 unless said, 1000 at most; a list of more than 1 MiB ends early
   */
  list<T = any>(
    prefix: string,
    options?: { readonly after?: string; readonly limit?: number },
  ): Promise<readonly { readonly key: string; readonly value: T }[]>;
}

export interface FetchOptions {
  /** GET unless said; HEAD, POST, PUT, PATCH, DELETE or OPTIONS. */
  readonly method?: string;
  readonly headers?: { readonly [name: string]: string };
  /** At most 1 MiB. */
  readonly body?: string | Uint8Array;
  /** For the whole answer, waiting for a turn and redirects included; 5000 unless said, 60000 at most. */
  readonly timeout_ms?: number;
}

export interface FetchResponse {
  readonly status: number;
  /** Names in lower case; what came several times is joined by ", ". */
  readonly headers: { readonly [name: string]: string };
  /** The body as UTF-8. */
  readonly text: string;
  /** The body, at most 1 MiB. */
  readonly bytes: Uint8Array;
  /** The body read as JSON. Throws where it is none. */
  json(): any;
}

/** What clients are told by. */
export type ErrorCode =
  | "BAD_REQUEST"
  | "AUTH_FAILED"
  | "RATE_LIMITED"
  | "PAYLOAD_TOO_LARGE"
  | "NOT_ALLOWED"
  | "RESOURCE_EXHAUSTED"
  | "UNSUPPORTED_VERSION"
  | "INTERNAL"
  | "TOO_MANY_SESSIONS"
  | "TIMEOUT"
  | "NOT_FOUND"
  | "UNAVAILABLE"
  | "DRAINING"
  | "SUSPENDED";

declare global {
  /**
   * An error that is meant for the client: thrown from \`onMessage\`, the sender is told its code and text.
   */
  class ExtensionError extends Error {
    constructor(code: ErrorCode, msg: string);
    readonly code: ErrorCode;
  }
}
`;
