// What goes over the wire, as docs/protocol.md has it. Types only: nothing of this file is loaded.

/** A message to the gateway. */
export interface Outgoing {
  readonly v: 1;
  readonly svc: string;
  readonly type: string;
  /** 4 asks for an ack. */
  readonly flags?: number | undefined;
  readonly seq?: number | undefined;
  readonly room?: string | undefined;
  /** With a key, a message that is sent twice is published once. */
  readonly key?: string | undefined;
  readonly data?: unknown;
}

/** A message of the gateway. */
export interface Incoming {
  readonly svc: string;
  readonly type: string;
  readonly seq?: number;
  readonly room?: string;
  /** Its place in a room with history. */
  readonly offset?: number;
  readonly data?: unknown;
  readonly trace_id?: string;
}

/** `data` of `sys.authed` and `sys.resumed`. */
export interface Greeting {
  readonly tenant: string;
  readonly user: string;
  readonly sid: string;
  readonly session: string;
  /** By what it is connected: `websocket`, `sse`, `webtransport`. */
  readonly transport?: string;
  /** The gateway's name, where it is one of several. */
  readonly node?: string;
  readonly ping_interval_ms: number;
  readonly max_frame_bytes: number;
  /** The gateway's clock, Unix time in milliseconds. */
  readonly time_ms: number;
  /** When the ticket expires, from now; absent for never. */
  readonly expires_in_ms?: number;
  /** There where the tenant lets sessions outlive their connection. */
  readonly resume?: { readonly token: string; readonly window_ms: number };
  /** Why the former session could not be resumed. */
  readonly resumed?: { readonly ok: false; readonly reason: string };
  /** How many messages of the client the gateway has taken (`sys.resumed` only). */
  readonly heard?: number;
}

/** `data` of `sys.joined`. */
export interface Joined {
  readonly member: number;
  readonly count: number;
  /** The rest is there in rooms with history only. */
  readonly epoch?: string;
  readonly offset?: number;
  readonly recovered?: boolean;
  readonly replayed?: number;
  readonly reason?: string;
}

/** `data` of `sys.error`. */
export interface Refused {
  readonly code: string;
  readonly msg: string;
  readonly rule_id?: string;
  readonly retry_after_ms?: number;
}
