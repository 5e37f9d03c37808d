// The client: what an application talks to. Rooms and messages stand on one connection that stays.

import { systemClock } from "./clock.ts";
import type {
  AnyServices,
  ClientOptions,
  DataArgs,
  DataOf,
  Receipt,
  ReplyOf,
  RequestOptions,
  SendOptions,
} from "./client_types.ts";
import { connectionOf } from "./connection.ts";
import { WsPrismError } from "./error.ts";
import type { HotLane } from "./hot.ts";
import { type Draft, messengerOf, type PostOptions, type Want } from "./messenger.ts";
import { browserPage } from "./page.ts";
import { type JoinedRoom, roomOf } from "./room.ts";
import type { AnyEvents, JoinOptions, Room } from "./room_types.ts";
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
 * Nothing happens before `connect`, or the first `join`. `Services` types what `send` and `request` take and give. All
 * methods are bound: they can be passed on as they are.
 */
export class Client<Services extends object = AnyServices> {
  /** How the connection is, to read and to follow. */
  readonly status: Readable<Status>;
  /**
   * Connects, if it is not connected already.
   * @throws WsPrismError CLOSED when the gateway does not want this client back; `status` knows why
   */
  readonly connect: () => Promise<void>;
  /** Ends the session. `connect` begins another, in the same rooms. */
  readonly close: () => Promise<void>;
  /** Ends the session for good: no timer, handler or socket is left. */
  readonly dispose: () => Promise<void>;
  /**
   * Joins a room, and connects first where that was not done. Joining again gives the same room, as it was joined.
   * @throws WsPrismError when the gateway refuses
   */
  readonly join: <Events extends object = AnyEvents, Sends extends object = AnyEvents>(
    name: string,
    options?: JoinOptions,
  ) => Promise<Room<Events, Sends>>;
  /**
   * Sends a message to a service and waits until it is accepted.
   * @throws WsPrismError
   */
  readonly send: <S extends keyof Services & string, T extends keyof Services[S] & string>(
    svc: S,
    type: T,
    ...rest: DataArgs<DataOf<Services[S][T]>, RequestOptions>
  ) => Promise<Receipt>;
  /**
   * Sends a message to a service and waits for its reply.
   * @throws WsPrismError; what `signal` was aborted with
   */
  readonly request: <S extends keyof Services & string, T extends keyof Services[S] & string>(
    svc: S,
    type: T,
    ...rest: DataArgs<DataOf<Services[S][T]>, RequestOptions>
  ) => Promise<ReplyOf<Services[S][T]>>;
  /** Calls `run` with each message of a service that is not of a joined room, until the returned function is called. */
  readonly on: <D = unknown>(
    svc: string,
    type: string,
    run: (data: D, message: Incoming) => void,
  ) => () => void;
  readonly #session: () => Greeting | undefined;
  readonly #hot: HotLane | undefined;

  /**
   * @param url where the gateway is: "wss://realtime.example", or with a path, or relative to the page
   * @throws TypeError for an address that is none
   */
  constructor(url: string | URL, options: ClientOptions) {
    const {
      transport = webSocket(),
      codec = json,
      clock = systemClock,
      random = Math.random,
      timeoutMs = 10_000,
      outbox,
      page = browserPage,
    } = options;
    const handlers = handlersByName();
    const rooms = new Map<string, JoinedRoom>();

    const forget = () => {
      for (const room of rooms.values()) room.isIn = false;
      messenger.forget();
    };
    const connection = connectionOf({
      ...options,
      transport,
      codec,
      url: new URL(url, (globalThis as { location?: { href: string } }).location?.href),
      clock,
      random,
      timeoutMs,
      backoff: { baseMs: 1000, maxMs: 30_000, stableMs: 60_000, ...options.backoff },
    }, {
      up(resumed) {
        if (!resumed) forget();
        // What was left is left before it is entered again.
        messenger.flush();
        // In the order in which they were joined, for the last one is the active one.
        for (const room of [...rooms.values()]) if (!room.isIn) room.enter();
      },
      message(message) {
        if (messenger.answer(message)) return;
        const { svc, type, seq, room } = message;
        const joined = rooms.get(room!);
        if (joined) {
          if (svc !== "sys" || type === "presence" || type === "joined") return joined.receive(message);
          if (type === "left" && seq === undefined) {
            joined.out(new WsPrismError("NOT_ALLOWED", "taken out"));
          }
        }
        handlers.emit(`${svc} ${type}`, message.data, message);
      },
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
      outbox: outbox ? { max: 100, ttlMs: 60_000, ...(outbox === true ? {} : outbox) } : undefined,
      epochOf(name) {
        const joined = rooms.get(name);
        return joined && (joined.isIn && joined.room.cursor?.epoch);
      },
    });
    const ask = (draft: Draft, want: Want, more?: Partial<PostOptions>) =>
      new Promise<Incoming>((settle, fail) => messenger.post(draft, want, { ...more, settle, fail }));
    const send = async (draft: Draft, more?: SendOptions): Promise<Receipt> => {
      const { data } = await ask(draft, "ack", { ...more, offline: "keep" });
      return { offset: null, epoch: null, duplicate: false, ...data as object };
    };

    this.#hot = options.hot?.(connection);
    this.#session = () => connection.greeting;
    this.status = connection.status;
    this.connect = () => {
      connection.start();
      return new Promise((resolve, reject) => {
        const off = connection.status.subscribe((status) => {
          if (status.state === "connected") resolve();
          else if (status.state === "closed") reject(closedError(status));
          else return;
          queueMicrotask(() => off());
        });
      });
    };
    this.close = () => connection.stop();
    const leavePage = page?.(connection);
    this.dispose = () => {
      leavePage?.();
      const gone = connection.stop();
      for (const { out } of rooms.values()) out();
      handlers.clear();
      return gone;
    };
    this.join = async (name, wish = {}) => {
      let joined = rooms.get(name);
      if (!joined) {
        const mine: JoinedRoom = joined = roomOf(name, wish, {
          clock,
          random,
          messenger,
          ask,
          send,
          activated: () => rooms.delete(name) && rooms.set(name, mine),
          left: () => rooms.get(name) === mine && rooms.delete(name),
        });
        rooms.set(name, joined);
        if (connection.isUp) joined.enter();
        else connection.start();
      }
      await joined.ready;
      return joined.room as never;
    };
    this.send = (svc, type, ...[data, more]) => send({ svc, type, data }, more);
    this.request = async (svc, type, ...[data, more]) =>
      (await ask({ svc, type, data }, "reply", { ...more, offline: "keep" })).data as never;
    this.on = (svc, type, run) => handlers.on(`${svc} ${type}`, run);
  }

  /** What the gateway said of this session: its names, and the limits. Undefined before the first connection. */
  get session(): Greeting | undefined {
    return this.#session();
  }

  /** The hot lane. @throws TypeError where the client was made without */
  get hot(): HotLane {
    if (!this.#hot) throw new TypeError("no hot lane: pass { hot: hotLane }");
    return this.#hot;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

function closedError(status: Status): WsPrismError {
  const why = status.state === "closed" ? `: ${status.reason} (${status.code})` : "";
  return new WsPrismError("CLOSED", `client closed${why}`);
}
