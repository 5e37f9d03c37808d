// Kept connections to one place, for HTTP/1.1 straight on the socket: Bun's fetch has 256 requests under way in the whole
// process, so that four hanging servers would hold up all others; node:http costs 110 to 130 µs of CPU a request on Bun
// and Deno, this 30 to 40. No redirects, no proxies, no compression: what a request says is its caller's.

import type { Buffer } from "node:buffer";
import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectSecure } from "node:tls";
import { type HttpResponse, ResponseReader, UnreadableResponse } from "./http1.ts";

/** Why there is no answer. */
export interface NoAnswer {
  readonly ok: false;
  /** "unreachable": no connection came to be; nothing was sent. */
  readonly reason: "unreachable" | "timeout" | "broken" | "unreadable";
  /** In words, for the log. */
  readonly msg: string;
}

/** Where connections go. */
export interface Place {
  /** A name, or an address without brackets. */
  readonly host: string;
  readonly port: number;
  /** Null for plain HTTP. */
  readonly tls: {
    /** The name that the server must prove to have; null: its address. */
    readonly servername: string | null;
    /** Authorities in PEM instead of the well-known ones. */
    readonly ca?: string;
  } | null;
}

/** One request. */
export interface Request {
  /** Head and body as they go on the wire. */
  readonly bytes: string | Uint8Array;
  /** For the whole answer, the connection's making among it. */
  readonly timeoutMs: number;
  /**
   * Whether it may be sent once more when a kept connection turns out to have ended: the other side may have closed it
   * just then, or, rarely, have read the request and died of it.
   */
  readonly repeatable: boolean;
  /** Its answer has no body, whatever its headers say (HEAD). */
  readonly bodyless?: boolean;
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

export class Wire {
  readonly #place: Place;
  readonly #bodyBytesMax: number;
  /** Connections that wait for a request, the last used one last. */
  readonly #idle: Connection[] = [];
  readonly #all = new Set<Connection>();
  #closed = false;

  /** @param bodyBytesMax largest body of an answer, in bytes; above it the connection is dropped */
  constructor(place: Place, bodyBytesMax: number) {
    this.#place = place;
    this.#bodyBytesMax = bodyBytesMax;
  }

  /** Connections open now. */
  get connections(): number {
    return this.#all.size;
  }

  /** Asks. How many do so at the same time is up to the caller. Never rejects. */
  async ask(request: Request): Promise<HttpResponse | NoAnswer> {
    const deadline = performance.now() + request.timeoutMs;
    const kept = this.#idle.pop();
    if (kept === undefined) return await this.#exchange(this.#connect(), request, request.timeoutMs);
    const answer = await this.#exchange(kept, request, request.timeoutMs);
    const left = deadline - performance.now();
    if (answer.ok || answer.reason !== "broken" || !request.repeatable || left <= 0) return answer;
    return await this.#exchange(this.#connect(), request, left);
  }

  /** Keeps no connection from now on; what is under way is still answered. */
  close(): void {
    this.#closed = true;
    for (const { socket } of [...this.#idle]) socket.destroy();
  }

  /** Ends every connection; what is under way is told that it ended. */
  abort(): void {
    this.#closed = true;
    for (const { socket } of [...this.#all]) socket.destroy();
  }

  #exchange(connection: Connection, request: Request, timeoutMs: number): Promise<HttpResponse | NoAnswer> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        const msg = `no answer within ${Math.round(request.timeoutMs)} ms`;
        exchange.settle({ ok: false, reason: "timeout", msg });
        connection.socket.destroy();
      }, timeoutMs);
      const exchange: Exchange = {
        reader: new ResponseReader(this.#bodyBytesMax, request.bodyless ?? false),
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
      connection.socket.write(request.bytes);
    });
  }

  #connect(): Connection {
    const { host, port, tls } = this.#place;
    const socket = tls === null ? connectPlain({ host, port }) : connectSecure({
      host,
      port,
      ...(tls.servername === null ? {} : { servername: tls.servername }),
      ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    });
    socket.setNoDelay(true);
    const connection: Connection = { socket, exchange: null, idle: null };
    this.#all.add(connection);
    let reason: NoAnswer["reason"] = "unreachable", msg = "the connection ended";
    const isOpen = () => reason = "broken";
    socket.once(tls === null ? "connect" : "secureConnect", isOpen);
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
