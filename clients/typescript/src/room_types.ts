// A room as its members see it. Types only.

import type { DataArgs, Receipt, SendOptions } from "./client_types.ts";
import type { WsPrismError } from "./error.ts";
import type { Readable } from "./store.ts";

/** Messages nobody has typed: `data` by type. */
export interface AnyEvents {
  readonly [type: string]: unknown;
}

/** A place in a room's history. */
export interface Cursor {
  readonly epoch: string;
  readonly offset: number;
}

/** How a room is joined. */
export interface JoinOptions {
  /** Go on after this message, in rooms with history. */
  readonly since?: Cursor;
  /** Begin with so many of the newest messages, in rooms with history. */
  readonly last?: number;
  /** Keep `room.presence`; needs the right to `room:members`. */
  readonly presence?: boolean;
  /** The service that `room.send` speaks to; "chat" otherwise. */
  readonly svc?: string;
}

/** A message of a room. */
export interface RoomMessage<T extends string = string, D = unknown> {
  readonly svc: string;
  readonly type: T;
  readonly room?: string;
  readonly data: D;
  /** In rooms with history: its place there. */
  readonly offset?: number;
}

/** Any of a room's messages. */
export type MessageOf<Events extends object> = {
  [T in keyof Events & string]: RoomMessage<T, Events[T]>;
}[keyof Events & string];

export interface Member {
  readonly user: string;
  readonly member: number;
}

/** Messages may have been missed. */
export interface Gap {
  /** `no_history`: the room keeps none. Otherwise the gateway's: `epoch`, `trimmed`, `ahead`, `too_many`. */
  readonly reason: string;
  /** After what they may have been missed; undefined where there was no cursor. */
  readonly since: Cursor | undefined;
}

/** Who came or went. */
export interface Presence extends Member {
  readonly event: "join" | "leave";
  readonly count: number;
}

/** A page of a room's history. */
export interface History<Events extends object = AnyEvents> {
  readonly epoch: string;
  /** Of what is kept. */
  readonly first: number;
  readonly last: number;
  readonly messages: readonly MessageOf<Events>[];
  readonly more: boolean;
}

/**
 * A room that this client is in, and comes back into after each reconnect, until it leaves.
 *
 * `Events` are the messages of the room, data by type; `Sends` those that may be sent, data by type.
 */
export interface Room<Events extends object = AnyEvents, Sends extends object = AnyEvents> {
  readonly name: string;
  /** This client's number in the room. */
  readonly member: number;
  /** Where this client is in the room's history; undefined where there is none. Keep it to go on from there (`since`). */
  readonly cursor: Cursor | undefined;
  /** Whether nothing was missed since the cursor, or the last connection: `gap` says when that is not so. */
  readonly recovered: boolean;
  /** Who is here, by number; empty unless joined with `presence`. */
  readonly presence: Readable<ReadonlyMap<number, Member>>;
  /**
   * Calls `run` with each message of a type, or of a service's type as "svc.type", until the returned function is called.
   * Messages that came with the join wait for the handlers that are set before anything else is awaited.
   */
  on(type: "gap", run: (gap: Gap) => void): () => void;
  on(type: "presence", run: (change: Presence) => void): () => void;
  /** The gateway has taken this client out of the room, or did not let it back in. */
  on(type: "left", run: (reason: WsPrismError) => void): () => void;
  on<T extends keyof Events & string>(
    type: T,
    run: (data: Events[T], message: RoomMessage<T, Events[T]>) => void,
  ): () => void;
  /** Messages from now on, in order. Ends when the room is left; fails when more than a thousand wait to be read. */
  [Symbol.asyncIterator](): AsyncIterableIterator<MessageOf<Events>>;
  /**
   * Sends a message to the room and waits until it is accepted.
   * @throws WsPrismError
   */
  send<T extends keyof Sends & string>(type: T, ...args: DataArgs<Sends[T], SendOptions>): Promise<Receipt>;
  /** Who is here. */
  members(): Promise<readonly Member[]>;
  /** A page of what was said, oldest first. At most 100 messages. */
  history(
    page?: { readonly after?: number; readonly before?: number; readonly limit?: number },
  ): Promise<History<Events>>;
  /** Makes this the room that hot frames go to, as joining did. */
  activate(): Promise<void>;
  leave(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
