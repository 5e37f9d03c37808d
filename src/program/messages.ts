// What the gateway and an extension host say to each other, over the host's stdin and stdout. Each chunk is a header of
// eight bytes, its length and a slot, and a JSON array of messages, which one turn of the sender has collected. Slot 0 is
// the host itself; every other slot is one of its workers, whose chunks the host passes on unread. The gateway believes
// nothing that comes from there: whatever got out of a worker could write it.

/** Largest chunk from a host, its head apart; a larger one ends the host. */
export const CHUNK_BYTES_MAX = 4_194_304;

/**
 * Characters of JSON after which a worker closes a chunk and begins another, so that with the largest message in it a
 * chunk stays below `CHUNK_BYTES_MAX`.
 */
export const BATCH_CHARS = 131_072;

/** Bytes before a chunk's JSON: its length in bytes (u32, little-endian) without these, and its slot (u32). */
export const CHUNK_HEAD_BYTES = 8;

/** The slot of the host itself; workers have numbers from 1. */
export const HOST_SLOT = 0;

/** What an extension may be asked. Those that it does not have are never asked. */
export const HOOKS = [
  "onMessage",
  "onIngress",
  "onJoin",
  "onLeave",
  "onConnect",
  "onDisconnect",
  "onTick",
] as const;
export type Hook = (typeof HOOKS)[number];

/** A module of a script, ready to run: TypeScript is gone, imports are calls (see source.ts). */
export interface ScriptModule {
  /** Path below the configuration file's folder, with slashes: what errors name. */
  readonly path: string;
  readonly code: string;
  /** Paths of the modules that it imports, by the specifier that it names them with. */
  readonly imports: Readonly<Record<string, string>>;
}

/** What a worker runs. */
export type Program =
  | { readonly kind: "script"; readonly entry: string; readonly modules: readonly ScriptModule[] }
  /** @property module base64 */
  | { readonly kind: "wasm"; readonly path: string; readonly module: string };

export interface WorkerSpec {
  readonly tenant: string;
  /** The service's `svc`, or the plugin's `id`. */
  readonly extension: string;
  readonly role: "service" | "plugin";
  readonly program: Program;
  readonly options: unknown;
  readonly env: Readonly<Record<string, string>>;
  readonly limits: WorkerLimits;
}

export interface WorkerLimits {
  /** Time without yielding, after which the worker counts as stuck. */
  readonly cpuMs: number;
  readonly memoryMb: number;
  /** Largest text of one message out of the worker. */
  readonly maxReplyBytes: number;
  /** Requests that may wait for the gateway's answer. */
  readonly maxRequests: number;
  /** Timers that may run. */
  readonly maxTimers: number;
}

/** To the host. */
export type HostCommand =
  | { readonly kind: "spawn"; readonly slot: number; readonly spec: WorkerSpec }
  /** Ends a worker without asking it; it may not end while it spins, and then the gateway ends the host. */
  | { readonly kind: "end"; readonly slot: number };

/** From the host. */
export type HostEvent =
  /** Its first word: it has locked itself, and is ready for workers. */
  | { readonly kind: "hello"; readonly walls: Walls }
  /** It could not lock itself as it was told to, and ends. */
  | { readonly kind: "unsafe"; readonly why: string }
  /** Every `REPORT_MS`; silence is a reason to end it. */
  | { readonly kind: "report"; readonly rssBytes: number; readonly workers: readonly WorkerReport[] }
  /** A worker is gone, or never came to be. */
  | { readonly kind: "gone"; readonly slot: number; readonly why: string };

/** How often a host reports, in milliseconds. */
export const REPORT_MS = 20;

export interface WorkerReport {
  readonly slot: number;
  /** For how long its present turn has been going on while the host ran (see run_clock.ts); 0 while it idles. */
  readonly busyMs: number;
  /** Bytes of its heap, as far as the runtime tells them; 0 where it does not. */
  readonly heapBytes: number;
}

/** Which walls stand around the workers of a host, each "up" or why it is not. */
export interface Walls {
  /** The runtime's own permissions (Deno). */
  readonly permissions: "up" | string;
  /** Files (Linux with Bun). */
  readonly landlock: "up" | string;
  /** System calls (Linux with Bun). */
  readonly seccomp: "up" | string;
}

/** The first argument of `onMessage` and `onIngress`. */
export interface MessageInput {
  readonly svc: string;
  readonly type: string;
  readonly room: string | null;
  readonly seq: number | null;
  /** Null where the message has none. */
  readonly data: unknown;
}

/** The first argument of `onConnect`. */
export interface ConnectInput {
  readonly user: string;
  readonly sid: string;
  readonly session: string;
}

/** The first argument of `onDisconnect`. */
export interface DisconnectInput extends ConnectInput {
  readonly code: number;
  readonly reason: string;
  readonly duration_ms: number;
}

/** The first argument of `onJoin` and `onLeave`. `count`: members that the room has then. */
export interface RoomInput extends ConnectInput {
  readonly room: string;
  readonly member: number;
  readonly count: number;
}

/** The session that a call is about. */
export interface SessionView {
  readonly id: string;
  readonly user: string;
  readonly tenant: string;
  readonly rooms: readonly string[];
  readonly activeRoom: string | null;
  readonly claims: Readonly<Record<string, unknown>>;
}

/** To a worker. */
export type WorkerCommand =
  | {
    readonly kind: "call";
    readonly id: number;
    readonly hook: Hook;
    /** The hook's first argument: a message, or an event; absent for `onTick`. */
    readonly input?: unknown;
    readonly session: SessionView | null;
    readonly traceId: string | null;
  }
  /** Answers a request. */
  | { readonly kind: "granted"; readonly id: number; readonly value?: unknown }
  | { readonly kind: "refused"; readonly id: number; readonly code: string; readonly msg: string }
  /** Runs `onStop`; the last order. */
  | { readonly kind: "stop" };

/** From a worker. */
export type WorkerEvent =
  /** It has run `onStart`, and takes calls of these hooks. */
  | { readonly kind: "ready"; readonly hooks: readonly Hook[] }
  /** It could not be loaded, or `onStart` failed. */
  | { readonly kind: "failed"; readonly error: string }
  /** @property value what the hook returned; absent for `undefined` */
  | { readonly kind: "result"; readonly id: number; readonly value?: unknown }
  /** A hook threw. With `code` it was an `ExtensionError`, whose `msg` is meant for the client. */
  | {
    readonly kind: "thrown";
    readonly id: number;
    readonly code?: string;
    readonly msg?: string;
    /** For the log: message and stack, positions in the source as written. */
    readonly error: string;
  }
  /** Asks the gateway to do something. @property call the call that it is part of; null for timers and `onStart` */
  | { readonly kind: "request"; readonly id: number; readonly call: number | null; readonly request: Request }
  | { readonly kind: "log"; readonly level: LogLevel; readonly text: string; readonly call: number | null }
  /** It has run `onStop`. */
  | { readonly kind: "stopped" };

export type LogLevel = "debug" | "info" | "warn" | "error";

/**
 * What an extension asks the gateway to do, as its `ctx` method was called; nothing in it has been checked. What is
 * granted has this value: for `publish` and `send` to how many sessions it was handed; for `kv.get` what was set, absent
 * where there is nothing; for `kv.delete` whether it was there; for `kv.increment` the sum; for `kv.list` a list of
 * `{ key, value }` in the order of keys; for `fetch` a `Fetched` (see fetch.ts); for others none.
 */
export type Request =
  | {
    readonly op: "publish";
    readonly room: string;
    readonly type: string;
    readonly data?: unknown;
    readonly except?: string;
    readonly key?: string;
    /** What is granted is `{ deliveries, offset, epoch, duplicate }`. */
    readonly receipt?: boolean;
  }
  | { readonly op: "send"; readonly to: unknown; readonly type: string; readonly data?: unknown }
  | { readonly op: "join" | "leave"; readonly room: string }
  | { readonly op: "kick"; readonly reason: string }
  | { readonly op: "kv.get" | "kv.delete"; readonly key: string }
  | { readonly op: "kv.set"; readonly key: string; readonly value: unknown; readonly ttl_ms?: number }
  | { readonly op: "kv.increment"; readonly key: string; readonly by: number; readonly ttl_ms?: number }
  | { readonly op: "kv.list"; readonly prefix: string; readonly after?: string; readonly limit?: number }
  /** @property options `{ method, headers, body, timeout_ms }`, a body of bytes as `{ base64 }` */
  | { readonly op: "fetch"; readonly url: string; readonly options?: unknown };
