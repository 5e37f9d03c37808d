// A connection as its client sees it, and what it is made of. Types only.

import type { Clock } from "./clock.ts";
import type { Status } from "./status.ts";
import type { Readable } from "./store.ts";
import type { Codec, Transport } from "./transport.ts";
import type { Greeting, Incoming, Outgoing } from "./wire.ts";

/** Whose connection it is. */
export interface ConnectionHandler {
  /** Messages go both ways. Not `resumed`: a new session, in no room, of which nothing sent before is known. */
  up(resumed: boolean): void;
  message(message: Incoming): void;
  /** A message of the hot lane. */
  frame(bytes: Uint8Array): void;
  /** The link is lost; another will be tried. */
  down(): void;
  /** It is over, see `status`. */
  closed(): void;
}

export interface Backoff {
  /** The first wait is at most this. */
  readonly baseMs: number;
  /** No wait is longer. */
  readonly maxMs: number;
  /** Waits begin anew after a connection has lasted this long. */
  readonly stableMs: number;
}

export interface ConnectionOptions {
  readonly url: URL;
  readonly tenant: string;
  readonly ticket?: string | (() => string | Promise<string>);
  readonly sid?: string;
  readonly transport: Transport;
  /** In the place of a transport that seems to be blocked. */
  readonly fallback?: Transport | undefined;
  readonly codec: Codec;
  readonly clock: Clock;
  readonly random: () => number;
  readonly backoff: Backoff;
  /** For the handshake and `sys.authed`. */
  readonly timeoutMs: number;
}

/** A connection, made by `connectionOf`. */
export interface Connection {
  readonly status: Readable<Status>;
  readonly isUp: boolean;
  /** What the gateway said of this session; undefined before it did. */
  readonly greeting: Greeting | undefined;
  /** Whether a lost link may be followed by one on which the session goes on. */
  readonly isResumable: boolean;
  /** Bytes that wait in the link. */
  readonly buffered: number;
  /** Connects, unless it is about to. */
  start(): void;
  /** A message as it goes over the wire. */
  encode(message: Outgoing): string | Uint8Array;
  /** Sends an ext message. MUST be called while `isUp`. */
  send(encoded: string | Uint8Array): void;
  /** Sends a frame of the hot lane. MUST be called while `isUp`. */
  sendFrame(frame: Uint8Array): void;
  /** Ends the session. Resolves when its link is gone, or a second has passed. */
  stop(): Promise<void>;
  /** The network is back, and may be another, or somebody looks: finds out whether the link lives, or tries again now. */
  wake(isOnline?: boolean): void;
  /** The page goes away: for good, or to come back with `wake`. */
  hide(cached: boolean): void;
}
