// A room that was joined: comes back into it after a reconnect, from where it was, and tells the truth about what was
// missed.

import type { Clock } from "./clock.ts";
import type { Receipt, SendOptions } from "./client_types.ts";
import { WsPrismError } from "./error.ts";
import type { Draft, Messenger, Want } from "./messenger.ts";
import type { Cursor, Gap, History, JoinOptions, Member, MessageOf, Presence, Room } from "./room_types.ts";
import { handlersByName, type Run, storeOf } from "./store.ts";
import type { Incoming, Joined } from "./wire.ts";

/** What a room needs of its client. */
export interface RoomHost {
  readonly clock: Clock;
  readonly random: () => number;
  readonly messenger: Messenger;
  ask(
    draft: Draft,
    want: Want,
    options?: SendOptions & { readonly offline?: "keep" | "session" },
  ): Promise<Incoming>;
  send(draft: Draft, options?: SendOptions): Promise<Receipt>;
  /** The room was asked for again, and becomes the active one. */
  activated(): void;
  /** The room is none of ours any more. */
  left(): void;
}

/** A room, and what its client does with it. */
export interface JoinedRoom {
  readonly room: Room;
  /** Resolves when it was entered for the first time. */
  readonly ready: Promise<unknown>;
  /** Whether the gateway counts us in, as far as we know. */
  isIn: boolean;
  /** Goes in, or back in, unless that is under way. */
  enter(): void;
  /** A message of this room. */
  receive(message: Incoming): void;
  /** Nothing happens any more, until the client connects again. */
  closed(error: WsPrismError): void;
  /** This client is in the room no more, and does not come back. */
  out(error?: WsPrismError): void;
}

/** Errors after which asking again can help; after the last four, only on another connection. */
const PASSING = [
  "RATE_LIMITED",
  "UNAVAILABLE",
  "INTERNAL",
  "TIMEOUT",
  "DRAINING",
  "OFFLINE",
  "CONNECTION_LOST",
  "CLOSED",
];
const LATER_FROM = 4;
const AGAIN_MS = 1000;
/** What may wait for a `for await`. */
const WAITING_MAX = 1000;

type AnyMessage = MessageOf<{ readonly [type: string]: unknown }>;

export function roomOf(name: string, options: JoinOptions, host: RoomHost): JoinedRoom {
  const { clock, messenger } = host;
  const handlers = handlersByName();
  const presence = storeOf<ReadonlyMap<number, Member>>(new Map());
  const readers = new Set<(message?: AnyMessage) => void>();
  let member = 0;
  let recovered = true;
  let cursor: Cursor | undefined;
  let wasIn = false;
  let isEntering = false;
  let isOver = false;
  let overBy: WsPrismError | undefined;
  let timer: unknown;
  /** What came before anybody could listen; undefined once that was possible. */
  let held: (() => void)[] | undefined = [];
  let resolve!: (value?: unknown) => void;
  let reject!: (error: Error) => void;
  const ready = new Promise<unknown>((...both) => [resolve, reject] = both);
  ready.catch(() => {});

  const draft = (type: string, data?: unknown): Draft => ({ svc: "room", type, room: name, data });
  const closedError = () => new WsPrismError("CLOSED", "room left");
  const soon = (what: () => void) => held ? held.push(what) : what();

  function enter(): void {
    if (isEntering) return;
    isEntering = true;
    clock.clearTimeout(timer);
    const since = cursor ?? (wasIn ? undefined : options.since);
    const last = since || wasIn ? undefined : options.last;
    messenger.post(draft("join", { presence: options.presence, since, last }), "joined", {
      settle: ({ data }) => {
        isEntering = false;
        if (!isOver) entered(data as Joined, since);
      },
      fail: (error) => {
        isEntering = false;
        const { code, retryAfterMs = AGAIN_MS } = error as WsPrismError;
        const passing = PASSING.indexOf(code);
        if (passing < 0) self.out(error as WsPrismError);
        else if (!isOver && passing < LATER_FROM) {
          timer = clock.setTimeout(enter, retryAfterMs * (1 + host.random()));
        }
      },
    });
  }

  function entered(joined: Joined, since: Cursor | undefined): void {
    const { epoch, offset = 0, replayed = 0 } = joined;
    const isBack = wasIn || since;
    member = joined.member;
    self.isIn = wasIn = true;
    recovered = !isBack || !!(epoch && since && joined.recovered);
    if (!epoch) cursor = undefined;
    // What is replayed moves the cursor as it comes: should the link be lost before, the rest comes the next time. Nothing
    // may be left to replay because it is on its way, as the answer to an earlier question that this one has overtaken.
    else if (since?.epoch === epoch && since.offset <= offset && (replayed || joined.recovered)) {
      cursor = since;
    } else cursor = { epoch, offset: replayed ? 0 : offset };
    if (!recovered) {
      const gap: Gap = { reason: joined.reason ?? "no_history", since };
      soon(() => handlers.emit("gap", gap));
    }
    resolve();
    if (held) {
      timer = clock.setTimeout(() => {
        const waiting = held ?? [];
        held = undefined;
        for (const what of waiting) what();
      }, 0);
    }
    // Who left before the list was made may be told of after it, which changes nothing.
    if (options.presence) {
      room.members().then((all) => presence.set(new Map(all.map((one) => [one.member, one]))), () => {});
    }
    messenger.flush();
  }

  function give(message: Incoming): void {
    const { svc, type, data } = message;
    if (svc === "sys") {
      // Not asked for: the gateway itself has missed something. What comes from now on is behind this place.
      if (type === "joined") return entered({ member, ...data as object } as Joined, cursor);
      const { event, user, member: number } = data as Presence;
      const members = new Map(presence.get());
      if (event === "leave") members.delete(number);
      else members.set(number, { user, member: number });
      presence.set(members);
      return handlers.emit(type, data);
    }
    handlers.emit(type, data, message);
    handlers.emit(`${svc}.${type}`, data, message);
    for (const read of readers) read(message as AnyMessage);
  }

  async function* messages(): AsyncGenerator<AnyMessage, undefined, undefined> {
    const waiting: AnyMessage[] = [];
    let wake = () => {};
    const read = (message?: AnyMessage) => {
      if (message) waiting.push(message);
      wake();
    };
    readers.add(read);
    try {
      while (true) {
        if (waiting.length > WAITING_MAX) throw new WsPrismError("OVERFLOW", "reads slowly");
        if (waiting.length) yield waiting.shift()!;
        else if (!isOver) await new Promise<void>((next) => wake = next);
        else if (overBy) throw overBy;
        else return;
      }
    } finally {
      readers.delete(read);
    }
  }

  const room: Room = {
    name,
    get member() {
      return member;
    },
    get cursor() {
      return cursor;
    },
    get recovered() {
      return recovered;
    },
    presence,
    on: (type: string, run: Run) => handlers.on(type, run),
    [Symbol.asyncIterator]: messages,
    send(type, ...[data, more]) {
      if (isOver) return Promise.reject(closedError());
      return host.send({ svc: options.svc ?? "chat", type, room: name, data }, more);
    },
    members: async () => ((await host.ask(draft("members"), "reply")).data as { members: Member[] }).members,
    history: async (page = {}) => (await host.ask(draft("history", page), "reply")).data as History,
    async activate() {
      host.activated();
      // Without a cursor: nothing is to be replayed.
      await host.ask(draft("join"), "joined");
    },
    async leave() {
      if (isOver) return;
      self.out();
      // Without a session there is nothing to leave.
      await host.ask(draft("leave"), "left", { offline: "session" }).catch((error: WsPrismError) => {
        if (PASSING.indexOf(error.code) < LATER_FROM) throw error;
      });
    },
    [Symbol.asyncDispose]: () => room.leave(),
  };

  const self: JoinedRoom = {
    room,
    ready,
    isIn: false,
    enter,
    receive(message) {
      const { offset } = message;
      if (offset !== undefined && cursor) {
        if (offset <= cursor.offset) return;
        cursor = { epoch: cursor.epoch, offset };
      }
      if (held) held.push(() => give(message));
      else give(message);
    },
    closed(error) {
      if (!wasIn) self.out(error);
    },
    out(error) {
      if (isOver) return;
      isOver = true;
      overBy = error;
      self.isIn = false;
      clock.clearTimeout(timer);
      host.left();
      reject(error ?? closedError());
      if (error) handlers.emit("left", error);
      handlers.clear();
      for (const read of readers) read();
    },
  };
  return self;
}
