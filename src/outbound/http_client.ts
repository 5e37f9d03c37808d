// Asks one URL, again and again, over connections that are kept: HTTP/1.1 straight on the socket. Bun's fetch has 256
// requests under way in the whole process, so that four hanging backends would hold up all others; node:http costs 110 to
// 130 µs of CPU a request on Bun and Deno, this 30 to 40. No redirects, no proxies, no compression: whoever is asked
// answers itself.

import { Buffer } from "node:buffer";
import { connect as connectPlain, isIP, type Socket } from "node:net";
import { connect as connectSecure } from "node:tls";
import { type HttpResponse, ResponseReader, UnreadableResponse } from "./http1.ts";

/** Why there is no answer. */
export interface NoAnswer {
  readonly ok: false;
  readonly reason: "unreachable" | "timeout" | "broken" | "unreadable";
  /** In words, for the log. */
  readonly msg: string;
}

export interface HttpClientOptions {
  /** http: or https:, without a user name or password. */
  readonly url: string;
  /** Sent with every request. */
  readonly headers: Readonly<Record<string, string>>;
  /** Largest body of an answer, in bytes; above it the connection is dropped. */
  readonly bodyBytesMax: number;
}

/** One GET. */
export interface Get {
  /** Besides those of every request. */
  readonly headers: Readonly<Record<string, string>>;
  /** For the whole answer, the connection's making among it. */
  readonly timeoutMs: number;
  /**
   * Whether it may be sent once more when a kept connection turns out to have ended: the other side may have closed it
   * just then, or, rarely, have read the request and died of it.
   */
  readonly repeatable: boolean;
}

/** One POST. */
export interface Post extends Get {
  readonly body: string;
}

/** How long an unused connection is kept, unless the server says less; most servers keep one for 5 s or more. */
const IDLE_MS = 4000;
/** Earlier than the server, by this much. */
const IDLE_MARGIN_MS = 1000;

interface Connection {
  readonly socket: Socket;
  /** Takes the bytes and the end of the answer that is awaited; null while there is none. */
  exchange: Exchange | null;
  /** Ends it when it has waited too long for a request; null while it does not wait. */
  idle: ReturnType<typeof setTimeout> | null;
}

/** A request under way. */
interface Exchange {
  readonly reader: ResponseReader;
  readonly settle: (outcome: HttpResponse | NoAnswer) => void;
  /** Whether anything of the answer has come. */
  begun: boolean;
}

export class HttpClient {
  readonly #options: HttpClientOptions;
  readonly #url: URL;
  readonly #head: string;
  /** Connections that wait for a request, the last used one last. */
  readonly #idle: Connection[] = [];
  readonly #all = new Set<Connection>();
  #closed = false;

  constructor(options: HttpClientOptions) {
    this.#options = options;
    this.#url = new URL(options.url);
    const { pathname, search, host } = this.#url;
    this.#head = `${pathname}${search} HTTP/1.1\r\nhost: ${host}\r\n${lines(options.headers)}`;
  }

  /** Connections open now. */
  get connections(): number {
    return this.#all.size;
  }

  /** Asks. How many do so at the same time is up to the caller. Never rejects. */
  get(get: Get): Promise<HttpResponse | NoAnswer> {
    return this.#ask(get, `GET ${this.#head}${lines(get.headers)}\r\n`);
  }

  /** Asks, as `get` does. */
  post(post: Post): Promise<HttpResponse | NoAnswer> {
    const length = Buffer.byteLength(post.body);
    const head = `POST ${this.#head}${lines(post.headers)}content-length: ${length}\r\n\r\n`;
    return this.#ask(post, head + post.body);
  }

  /** Keeps no connection from now on; what is under way is still answered. */
  close(): void {
    this.#closed = true;
    for (const { socket } of [...this.#idle]) socket.destroy();
  }

  async #ask({ timeoutMs, repeatable }: Get, text: string): Promise<HttpResponse | NoAnswer> {
    const deadline = performance.now() + timeoutMs;
    const request = { text, timeoutMs };
    const kept = this.#idle.pop();
    if (kept === undefined) return await this.#exchange(this.#connect(), request, timeoutMs);
    const answer = await this.#exchange(kept, request, timeoutMs);
    const left = deadline - performance.now();
    if (answer.ok || answer.reason !== "broken" || !repeatable || left <= 0) return answer;
    return await this.#exchange(this.#connect(), request, left);
  }

  #exchange(
    connection: Connection,
    request: { readonly text: string; readonly timeoutMs: number },
    leftMs: number,
  ): Promise<HttpResponse | NoAnswer> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        const msg = `no answer within ${Math.round(request.timeoutMs)} ms`;
        exchange.settle({ ok: false, reason: "timeout", msg });
        connection.socket.destroy();
      }, leftMs);
      const exchange: Exchange = {
        reader: new ResponseReader(this.#options.bodyBytesMax),
        begun: false,
        settle: (outcome) => {
          clearTimeout(timer);
          connection.exchange = null;
          resolve(outcome);
        },
      };
      if (connection.idle !== null) clearTimeout(connection.idle);
      connection.idle = null;
      connection.exchange = exchange;
      connection.socket.write(request.text);
    });
  }

  #connect(): Connection {
    const { protocol, hostname, port } = this.#url;
    // Brackets are the URL's.
    const host = hostname.replace(/^\[|\]$/g, "");
    const socket = protocol === "https:"
      ? connectSecure({ host, port: Number(port || 443), ...(isIP(host) === 0 ? { servername: host } : {}) })
      : connectPlain({ host, port: Number(port || 80) });
    socket.setNoDelay(true);
    const connection: Connection = { socket, exchange: null, idle: null };
    this.#all.add(connection);
    let reason: NoAnswer["reason"] = "unreachable", msg = "the connection ended";
    const isOpen = () => reason = "broken";
    socket.once(protocol === "https:" ? "secureConnect" : "connect", isOpen);
    socket.on("data", (bytes: Buffer) => this.#read(connection, bytes));
    socket.on("end", () => this.#ended(connection));
    socket.on("error", (error) => msg = error.message || msg);
    socket.once("close", () => {
      this.#all.delete(connection);
      this.#forget(connection);
      // An answer that broke off midway must not be asked for again.
      const { exchange } = connection;
      exchange?.settle({ ok: false, reason: exchange.begun ? "unreadable" : reason, msg });
    });
    return connection;
  }

  #read(connection: Connection, bytes: Buffer): void {
    const { exchange, socket } = connection;
    // Nobody has asked: whatever this is, it would be taken for the next answer.
    if (exchange === null) return void socket.destroy();
    exchange.begun = true;
    try {
      const response = exchange.reader.push(bytes);
      if (response === null) return;
      exchange.settle(response);
      if (exchange.reader.persists && !this.#closed) this.#keep(connection, response);
      else socket.destroy();
    } catch (cause) {
      this.#failed(connection, exchange, cause);
    }
  }

  #ended(connection: Connection): void {
    const { exchange, socket } = connection;
    if (exchange?.begun) {
      try {
        exchange.settle(exchange.reader.end());
      } catch (cause) {
        this.#failed(connection, exchange, cause);
      }
    }
    socket.destroy();
  }

  #failed({ socket }: Connection, exchange: Exchange, cause: unknown): void {
    if (!(cause instanceof UnreadableResponse)) throw cause;
    exchange.settle({ ok: false, reason: "unreadable", msg: cause.message });
    socket.destroy();
  }

  /** Keeps a connection for the next request. */
  #keep(connection: Connection, response: HttpResponse): void {
    const told = /(?:^|[,;\s])timeout=(\d{1,6})/i.exec(response.headers.get("keep-alive") ?? "");
    const idleMs = told === null ? IDLE_MS : Math.min(IDLE_MS, Number(told[1]) * 1000 - IDLE_MARGIN_MS);
    if (idleMs <= 0) return void connection.socket.destroy();
    connection.idle = setTimeout(() => connection.socket.destroy(), idleMs);
    this.#idle.push(connection);
  }

  /** Takes a connection out of those that wait. */
  #forget(connection: Connection): void {
    if (connection.idle !== null) clearTimeout(connection.idle);
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
  }
}

function lines(headers: Readonly<Record<string, string>>): string {
  let text = "";
  for (const name in headers) text += `${name}: ${headers[name]}\r\n`;
  return text;
}
