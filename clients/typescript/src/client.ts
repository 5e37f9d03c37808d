// The client: what an application talks to. Rooms and messages stand on one connection that stays.

import { systemClock } from "./clock.ts";
import type {
  AnyServices,
  ClientOptions,
  DataArgs,
  DataOf,
  JoinOptions,
  Receipt,
  ReplyOf,
  RequestOptions,
  SendOptions,
} from "./client_types.ts";
import { type Connection, connectionOf } from "./connection.ts";
import { WsPrismError } from "./error.ts";
import type { HotLane } from "./hot.ts";
import { type Draft, type Messenger, messengerOf, type PostOptions, type Want } from "./messenger.ts";
import { browserPage } from "./page.ts";
import { type JoinedRoom, roomOf } from "./room.ts";
import type { AnyEvents, Room } from "./room_types.ts";
import type { Status } from "./status.ts";
import { handlersByName, type Readable } from "./store.ts";
import type { Codec } from "./transport.ts";
import { webSocket } from "./websocket.ts";
import type { Greeting, Incoming } from "./wire.ts";

const json: Codec = {
  protocol: "wsprism.v1",
  encode: (message) => JSON.stringify(message),
  decode: (data) => typeof data === "string" ? JSON.parse(data) as unknown : undefined,
};

/**
 * A connection to a tenant of a gateway, that stays.
 *
 * Nothing happens before `connect`, or the first `join`. `Services` types what `send` and `request` take and give.
 */
export class Client<Services extends object = AnyServices> {
  /** How the connection is, to read and to follow. */
  readonly status: Readable<Status>;
  readonly #connection: Connection;
  readonly #messenger: Messenger;
  readonly #handlers = handlersByName();
  readonly #rooms = new Map<string, JoinedRoom>();
  readonly #hot: HotLane | undefined;
  readonly #options: Required<Pick<ClientOptions, "clock" | "random">>;
  readonly #leavePage: (() => void) | undefined;

  /**
   * @param url where the gateway is: "wss://realtime.example", or with a path, or relative to the page
   * @throws TypeError for an address that is none
   */
  constructor(url: string | URL, options: ClientOptions) {
    const { clock = systemClock, random = Math.random, timeoutMs = 10_000, outbox, page = browserPage } =
      options;
    const rooms = this.#rooms;
    const forget = () => {
      for (const room of rooms.values()) room.isIn = false;
      messenger.forget();
    };
    const connection = connectionOf({
      transport: webSocket(),
      codec: json,
      connectTimeoutMs: 10_000,
      ...options,
      url: new URL(url, (globalThis as { location?: { href: string } }).location?.href),
      clock,
      random,
      backoff: { baseMs: 1000, maxMs: 30_000, stableMs: 60_000, ...options.backoff },
    }, {
      up(resumed) {
        if (!resumed) forget();
        // What was left is left before it is entered again.
        messenger.flush();
        // In the order in which they were joined, for the last one is the active one.
        for (const room of [...rooms.values()]) if (!room.isIn) room.enter();
      },
      message: (message) => this.#message(message),
      frame: (bytes) => this.#hot?.receive(bytes),
      // Otherwise the next greeting says what is lost.
      down: () => connection.isResumable || forget(),
      closed() {
        forget();
        const error = closedError(connection.status.get());
        messenger.fail(error);
        for (const room of rooms.values()) room.closed(error);
      },
    });
    const messenger = messengerOf({
      connection,
      clock,
      random,
      timeoutMs,
      outbox: outbox ? { max: 100, ttlMs: 60_000, ...(outbox === true ? {} : outbox) } : null,
      epochOf(name) {
        const joined = rooms.get(name);
        return joined === undefined ? null : joined.isIn && (joined.room.cursor?.epoch ?? null);
      },
    });
    this.#connection = connection;
    this.#messenger = messenger;
    this.#options = { clock, random };
    this.status = connection.status;
    this.#hot = options.hot?.(connection);
    this.#leavePage = page?.(connection);
  }

  /** What the gateway said of this session: its names, and the limits. Null before the first connection. */
  get session(): Greeting | null {
    return this.#connection.greeting;
  }

  /** The hot lane. @throws TypeError where the client was made without */
  get hot(): HotLane {
    if (this.#hot === undefined) throw new TypeError('pass { hot: hotLane } of "wsprism-client/hot"');
    return this.#hot;
  }

  /**
   * Connects, if it is not connected already.
   * @throws WsPrismError CLOSED when the gateway does not want this client back; `status` knows why
   */
  connect(): Promise<void> {
    this.#connection.start();
    return new Promise((resolve, reject) => {
      const off = this.status.subscribe((status) => {
        if (status.state === "connected") resolve();
        else if (status.state === "closed") reject(closedError(status));
        else return;
        queueMicrotask(() => off());
      });
    });
  }

  /** Ends the session. `connect` begins another, in the same rooms. */
  close(): Promise<void> {
    return this.#connection.stop();
  }

  /** Ends the session for good: no timer, handler or socket is left. */
  dispose(): Promise<void> {
    this.#leavePage?.();
    const gone = this.#connection.stop();
    for (const { out } of this.#rooms.values()) out();
    this.#handlers.clear();
    return gone;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  /**
   * Joins a room, and connects first where that was not done. Joining again gives the same room, as it was joined.
   * @throws WsPrismError when the gateway refuses
   */
  async join<Events extends object = AnyEvents, Sends extends object = AnyEvents>(
    name: string,
    options: JoinOptions = {},
  ): Promise<Room<Events, Sends>> {
    const rooms = this.#rooms;
    let joined = rooms.get(name);
    if (joined === undefined) {
      const mine: JoinedRoom = joined = roomOf(name, options, {
        ...this.#options,
        messenger: this.#messenger,
        ask: (draft, want, more) => this.#ask(draft, want, more),
        send: (draft, more) => this.#send(draft, more),
        activated: () => rooms.delete(name) && rooms.set(name, mine),
        left: () => rooms.get(name) === mine && rooms.delete(name),
      });
      rooms.set(name, joined);
      if (this.#connection.isUp) joined.enter();
      else this.#connection.start();
    }
    await joined.ready;
    return joined.room as unknown as Room<Events, Sends>;
  }

  /**
   * Sends a message to a service and waits until it is accepted.
   * @throws WsPrismError
   */
  send<S extends keyof Services & string, T extends keyof Services[S] & string>(
    svc: S,
    type: T,
    ...[data, options]: DataArgs<DataOf<Services[S][T]>, RequestOptions>
  ): Promise<Receipt> {
    return this.#send({ svc, type, data, room: options?.room }, options);
  }

  /**
   * Sends a message to a service and waits for its reply.
   * @throws WsPrismError; what `signal` was aborted with
   */
  async request<S extends keyof Services & string, T extends keyof Services[S] & string>(
    svc: S,
    type: T,
    ...[data, options]: DataArgs<DataOf<Services[S][T]>, RequestOptions>
  ): Promise<ReplyOf<Services[S][T]>> {
    const draft = { svc, type, data, room: options?.room };
    return (await this.#ask(draft, "reply", { ...options, offline: "keep" })).data as ReplyOf<Services[S][T]>;
  }

  /** Calls `run` with each message of a service that is not of a joined room, until the returned function is called. */
  on<D = unknown>(svc: string, type: string, run: (data: D, message: Incoming) => void): () => void {
    return this.#handlers.on(`${svc} ${type}`, run);
  }

  async #send(draft: Draft, options?: SendOptions): Promise<Receipt> {
    const { data } = await this.#ask(draft, "ack", { ...options, offline: "keep" });
    return { offset: null, epoch: null, duplicate: false, ...data as object };
  }

  #ask(draft: Draft, want: Want, options?: Partial<PostOptions>): Promise<Incoming> {
    return new Promise((settle, fail) => this.#messenger.post(draft, want, { ...options, settle, fail }));
  }

  #message(message: Incoming): void {
    if (this.#messenger.answer(message)) return;
    const { svc, type, seq, room } = message;
    const joined = this.#rooms.get(room!);
    if (joined !== undefined) {
      if (svc !== "sys" || type === "presence") return joined.receive(message);
      if (type === "left" && seq === undefined) {
        joined.out(new WsPrismError("NOT_ALLOWED", "the gateway has taken this client out of the room"));
      }
    }
    this.#handlers.emit(`${svc} ${type}`, message.data, message);
  }
}

function closedError(status: Status): WsPrismError {
  const why = status.state === "closed" ? `: ${status.reason} (${status.code})` : "";
  return new WsPrismError("CLOSED", `the client is closed${why}`);
}
