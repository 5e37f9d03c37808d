// How a caller types its messages once, and what it may ask for. Types only.

import type { Backoff } from "./connection_types.ts";
import type { Clock } from "./clock.ts";
import type { HotLaneFactory } from "./hot.ts";
import type { Page } from "./page.ts";
import type { Codec, Transport } from "./transport.ts";

/**
 * Services nobody has typed. Type yours as functions from `data` to the reply, once:
 * `interface Services { orders: { place(order: Order): Placed; cancel(id: string): void } }`, `new Client<Services>(…)`.
 */
export interface AnyServices {
  readonly [svc: string]: { readonly [type: string]: (data?: unknown) => unknown };
}

/** What a message of a service carries. */
export type DataOf<F> = F extends (data: infer D) => unknown ? D : never;
/** What a service replies. */
export type ReplyOf<F> = F extends (...data: never) => infer R ? Awaited<R> : never;
/** Data and options; the data may be left out where it may be undefined. */
export type DataArgs<D, O> = undefined extends D ? [data?: D, options?: O] : [data: D, options?: O];

export interface ClientOptions {
  readonly tenant: string;
  /**
   * A ticket, or a function that gets a fresh one: it is called for each new session, and when the ticket expires. None
   * where the tenant takes a cookie. A fixed ticket ends the client when it expires.
   */
  readonly ticket?: string | (() => string | Promise<string>);
  /** A name for this tab or device; the gateway makes one otherwise. */
  readonly sid?: string;
  /** `cbor` of "wsprism-client/cbor"; JSON otherwise. */
  readonly codec?: Codec;
  /** `hotLane` of "wsprism-client/hot", for `client.hot`. */
  readonly hot?: HotLaneFactory;
  /** `webSocket()` otherwise. */
  readonly transport?: Transport;
  /** Taken where `transport` does not come through, such as `sse()` of "wsprism-client/sse" for networks that break WebSockets. */
  readonly fallback?: Transport;
  /** Keeps what is sent while offline: at most `max` messages (100), each for `ttlMs` (60,000). Otherwise it is refused. */
  readonly outbox?: boolean | { readonly max?: number; readonly ttlMs?: number };
  /** How long connecting may take, and how long an answer, milliseconds; 10,000 otherwise. */
  readonly timeoutMs?: number;
  /** Waits between tries: at random up to `baseMs` (1,000), doubled each time up to `maxMs` (30,000), anew after a connection that lasted `stableMs` (60,000). */
  readonly backoff?: Partial<Backoff>;
  readonly clock?: Clock;
  /** 0 ≤ random() < 1. */
  readonly random?: () => number;
  /** News of the page; null for none. */
  readonly page?: Page | null;
}

export interface SendOptions {
  /** Two messages with the same key within five minutes are published once, in rooms with history. Made otherwise. */
  readonly key?: string;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface RequestOptions extends SendOptions {
  /** The room that it is about. */
  readonly room?: string;
}

/** What became of a message. */
export interface Receipt {
  /** Its place in the room's history; null where there is none. */
  readonly offset: number | null;
  readonly epoch: string | null;
  /** It had been published already, under the same key. */
  readonly duplicate: boolean;
}
