// One connection to NATS that comes back by itself, for ever. What is published while NATS is away goes nowhere, and its
// publisher is told so at once: nothing waits here that nobody bounds.

import {
  connect,
  type ConnectionOptions,
  credsAuthenticator,
  errors,
  type Msg,
  type NatsConnection,
  type Status,
  type Subscription,
} from "@nats-io/transport-node";
import { errorText } from "../error_text.ts";
import type { Log } from "../log.ts";

/** How NATS is reached; files are read already. */
export interface NatsServers {
  readonly servers: readonly string[];
  readonly user: string | null;
  readonly password: string | null;
  readonly token: string | null;
  /** What `nsc` writes. */
  readonly credentials: Uint8Array | null;
  /** Null for TLS where a server asks for it; PEM. */
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string } | null;
}

export interface NatsLinkOptions extends NatsServers {
  /** What it is for, in logs and metrics. */
  readonly name: string;
  /** What the servers show of it. */
  readonly label: string;
  readonly log: Log;
  readonly wait: (ms: number) => Promise<void>;
  readonly random: () => number;
}

/** What comes on a subject. MUST NOT throw. */
export type Heard = (payload: Uint8Array, message: Msg) => void;

/** A subject that is listened to. */
export interface Listening {
  /** Hears nothing more. */
  stop(): void;
}

/** What most need of a link. */
export type Link = Pick<NatsLink, "isUp" | "publish" | "listen" | "ask" | "settled">;

interface Entry {
  readonly subject: string;
  readonly heard: Heard;
  subscription: Subscription | null;
}

/** How long the word of a server is waited for that it knows of a subscription. */
const SETTLE_MS = 1000;
const CONNECT_MS = 3000;
const RETRY_MS = 500;
/** Between two attempts at the same server: soon, for others take this node for lost before long. */
const RECONNECT_MS = 100;
/** A server that is silent for two of these is gone. */
const PING_MS = 2000;
/** Bytes that may be on their way to the server without its word that they came; then more is refused. */
const UNCONFIRMED_MAX = 33_554_432;
const CONFIRM_EACH = 1_048_576;

export class NatsLink {
  readonly name: string;
  /** Publishes that were refused: NATS was away, or too slow. */
  refused = 0;
  /** Times that the connection was lost. */
  losses = 0;
  readonly #options: NatsLinkOptions;
  readonly #entries = new Set<Entry>();
  readonly #watchers: ((isUp: boolean) => void)[] = [];
  #connection: NatsConnection | null = null;
  #isUp = false;
  #stopped = false;
  #sentBytes = 0;
  #confirmedBytes = 0;
  #confirming = false;
  /** Of the subscriptions made since the last turn. */
  #settling: Promise<void> | null = null;

  /** Has no effects. */
  constructor(options: NatsLinkOptions) {
    this.#options = options;
    this.name = options.name;
  }

  /** Whether NATS is there. */
  get isUp(): boolean {
    return this.#isUp;
  }

  /** What JetStream's client is made from; null before the first connection. Another object only after that was closed. */
  get connection(): NatsConnection | null {
    return this.#connection;
  }

  /** Told when NATS comes and when it goes. */
  watch(watcher: (isUp: boolean) => void): void {
    this.#watchers.push(watcher);
  }

  /** Connects, and again for ever. Resolves at the first connection, or when it is stopped. */
  async start(): Promise<void> {
    let connection: NatsConnection | null = null, told = "";
    while (connection === null && !this.#stopped) {
      try {
        connection = await connect(connectionOptions(this.#options));
      } catch (error) {
        const why = errorText(error);
        if (why !== told) this.#options.log.warn("NATS cannot be reached", { link: this.name, why });
        told = why;
        await this.#options.wait(RETRY_MS * (1 + this.#options.random()));
      }
    }
    if (connection === null) return;
    if (this.#stopped) return await connection.close();
    this.#connection = connection;
    for (const entry of this.#entries) this.#subscribe(entry);
    this.#options.log.info("NATS is there", { link: this.name, server: connection.getServer() });
    this.#change(true);
    void this.#follow(connection);
  }

  /** Resolves when all is closed. */
  async stop(): Promise<void> {
    // What was said last is still to arrive.
    if (this.#isUp) await this.#settle();
    this.#stopped = true;
    this.#isUp = false;
    await this.#connection?.close();
  }

  /** @returns false when it went nowhere */
  publish(subject: string, payload: Uint8Array, reply?: string): boolean {
    if (!this.#isUp || this.#sentBytes - this.#confirmedBytes > UNCONFIRMED_MAX) {
      this.refused++;
      return false;
    }
    try {
      if (reply === undefined) this.#connection!.publish(subject, payload);
      else this.#connection!.publish(subject, payload, { reply });
    } catch {
      // Larger than the server takes, or closed in this very moment.
      this.refused++;
      return false;
    }
    this.#sentBytes += payload.length;
    if (!this.#confirming && this.#sentBytes - this.#confirmedBytes > CONFIRM_EACH) void this.#confirm();
    return true;
  }

  /** Listens to a subject, over all its connections. */
  listen(subject: string, heard: Heard): Listening {
    const entry: Entry = { subject, heard, subscription: null };
    this.#entries.add(entry);
    if (this.#connection !== null && !this.#connection.isClosed()) this.#subscribe(entry);
    return {
      stop: () => {
        if (this.#entries.delete(entry)) entry.subscription?.unsubscribe();
      },
    };
  }

  /** Resolves when the server knows of all that is listened to now, or NATS is away. Never rejects. */
  settled(): Promise<void> {
    return this.#settling ??= this.#settle();
  }

  /** Whether the server is one of several, which hear of subscriptions a little later than it does. */
  get hasSeveralServers(): boolean {
    return (this.#connection?.info?.connect_urls?.length ?? 0) > 1;
  }

  /** Whether the largest message that the server takes has so many bytes. */
  takes(bytes: number): boolean {
    return bytes <= (this.#connection?.info?.max_payload ?? 1_048_576);
  }

  /** Asks, and waits for one answer. @returns null where none comes in time; "nobody" where nobody listens */
  async ask(subject: string, payload: Uint8Array, timeoutMs: number): Promise<Uint8Array | "nobody" | null> {
    if (!this.#isUp) return null;
    try {
      return (await this.#connection!.request(subject, payload, { timeout: timeoutMs })).data;
    } catch (error) {
      return error instanceof errors.RequestError && error.isNoResponders() ? "nobody" : null;
    }
  }

  async #settle(): Promise<void> {
    // All of one turn share it.
    await Promise.resolve();
    this.#settling = null;
    const { wait } = this.#options;
    if (this.#isUp) await Promise.race([this.#connection!.flush().catch(() => {}), wait(SETTLE_MS)]);
  }

  async #confirm(): Promise<void> {
    const sent = this.#sentBytes;
    this.#confirming = true;
    await this.#connection!.flush().catch(() => {});
    this.#confirming = false;
    // What was on its way when the connection went is gone, and no burden any more.
    this.#confirmedBytes = Math.max(this.#confirmedBytes, sent);
  }

  #subscribe(entry: Entry): void {
    entry.subscription = this.#connection!.subscribe(entry.subject, {
      callback: (error, message) => {
        if (error === null) entry.heard(message.data, message);
        else {this.#options.log.warn("NATS refuses a subject", {
            subject: entry.subject,
            why: errorText(error),
          });}
      },
    });
  }

  async #follow(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) this.#note(status);
    this.#change(false);
    // It comes back by itself, but for what its library holds to be final.
    if (this.#stopped) return;
    this.#options.log.error("NATS has closed the connection", { link: this.name });
    await this.#options.wait(RETRY_MS);
    await this.start();
  }

  #note(status: Status): void {
    const { log } = this.#options, link = this.name;
    switch (status.type) {
      case "disconnect":
        if (!this.#isUp) return;
        this.losses++;
        log.warn("NATS is away", { link });
        return this.#change(false);
      case "reconnect":
        log.warn("NATS is back", { link, server: status.server });
        this.#confirmedBytes = this.#sentBytes;
        return this.#change(true);
      case "error":
        return log.warn("NATS complains", { link, why: errorText(status.error) });
    }
  }

  #change(isUp: boolean): void {
    if (this.#isUp === isUp || this.#stopped) return;
    this.#isUp = isUp;
    for (const watcher of this.#watchers) watcher(isUp);
  }
}

function connectionOptions(options: NatsLinkOptions): ConnectionOptions {
  const { servers, user, password, token, credentials, tls, label } = options;
  return {
    servers: [...servers],
    name: label,
    noEcho: true,
    // A stack trace for each request, kept in case it fails, would cost more than the request.
    noAsyncTraces: true,
    timeout: CONNECT_MS,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RECONNECT_MS,
    reconnectJitter: RETRY_MS,
    reconnectJitterTLS: RETRY_MS,
    ignoreAuthErrorAbort: true,
    pingInterval: PING_MS,
    maxPingOut: 2,
    ...(user === null ? {} : { user }),
    ...(password === null ? {} : { pass: password }),
    ...(token === null ? {} : { token }),
    ...(credentials === null ? {} : { authenticator: credsAuthenticator(credentials) }),
    ...(tls === null ? {} : { tls }),
  };
}
