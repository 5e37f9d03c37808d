// Kept connections to one place, for HTTP/1.1 straight on the socket. No redirects, no proxies, no compression: what a
// request says is its caller's.

import type { Buffer } from "node:buffer";
import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectSecure } from "node:tls";
import { type HttpResponse, ResponseReader } from "./http1.ts";
import { UnreadableResponse } from "./http_headers.ts";
import type { Share } from "./inflow.ts";

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

/** Bytes that are read in one go; then others may have their turn. */
const SLICE_BYTES = 16_384;
/** What a piece of an answer costs beside the reading, in milliseconds: a server can send each byte by itself. */
const PIECE_MS = 0.005;

/** What the answers of a place may cost. */
export interface AnswerBounds {
  /** Largest body of an answer, in bytes; above it the connection is dropped. */
  readonly bodyBytesMax: number;
  /** Of whom the answers are read. */
  readonly share: Share;
  /** Whether bodies are read and not kept: the status is all that is of interest. */
  readonly discards?: boolean;
}

interface Connection {
  readonly socket: Socket;
  /** What has come and waits until the tenant's share lets it be read; the socket is paused as long as there is any. */
  readonly unread: Buffer[];
  /** What has happened to the socket while something of it was unread. */
  over: (() => void) | null;
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

/**
 * Kept connections to one place.
 *
 * Why no ready-made client: none holds against a server that is hostile, on both runtimes. Measured on Bun 1.4.5 and Deno
 * 2.9.6, two cores, 32 POSTs under way to a server in a process of its own, and then 8 answers of each attack, as requests
 * a second, µs of CPU a request, and memory at its most in MB:
 *
 *                            plain            1 MiB in one-byte chunks   1,000-byte extensions   100 Continue without end
 *   this, Bun / Deno         102 k,  9 / 54 k, 14    56 / 59              56 / 55                 44 / 49, all refused
 *   node:http, Bun / Deno    50 k, 21 / 31 k, 35     574 / 1,615          485 / 626               168 / 442, 3 s at 100 %
 *   undici 7.16, Bun only    51 k, 20                876                  2,067                   61, refused
 *
 * Neither of them pauses for others or counts chunks, and Bun puts a stub in the place of undici unless it is named by its
 * file. Bun's fetch has 256 requests under way in the whole process, so that four hanging servers would hold up all others.
 */
export class Wire {
  readonly #place: Place;
  readonly #bounds: AnswerBounds;
  /** Connections that wait for a request, the last used one last. */
  readonly #idle: Connection[] = [];
  readonly #all = new Set<Connection>();
  #closed = false;

  constructor(place: Place, bounds: AnswerBounds) {
    this.#place = place;
    this.#bounds = bounds;
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
        reader: new ResponseReader({
          bodyBytesMax: this.#bounds.bodyBytesMax,
          memory: this.#bounds.share,
          bodyless: request.bodyless ?? false,
          discards: this.#bounds.discards ?? false,
        }),
        begun: false,
        settle: (outcome) => {
          clearTimeout(timer);
          exchange.reader.release();
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
    const connection: Connection = { socket, exchange: null, idle: null, unread: [], over: null };
    this.#all.add(connection);
    let reason: NoAnswer["reason"] = "unreachable", msg = "the connection ended";
    const isOpen = () => reason = "broken";
    socket.once(tls === null ? "connect" : "secureConnect", isOpen);
    socket.on("data", (bytes: Buffer) => this.#come(connection, bytes));
    socket.on("end", () => this.#inOrder(connection, () => this.#ended(connection)));
    socket.on("error", (error) => msg = error.message || msg);
    socket.once("close", () => {
      this.#all.delete(connection);
      this.#forget(connection);
      this.#inOrder(connection, () => {
        // An answer that broke off midway must not be asked for again.
        const { exchange } = connection;
        exchange?.settle({ ok: false, reason: exchange.begun ? "unreadable" : reason, msg });
      });
    });
    return connection;
  }

  /** Bytes have come: they are read now, or when the tenant's share lets them. */
  #come(connection: Connection, bytes: Buffer): void {
    const { exchange, socket, unread } = connection;
    // Nobody has asked: whatever this is, it would be taken for the next answer.
    if (exchange === null) return void socket.destroy();
    exchange.begun = true;
    unread.push(bytes);
    if (unread.length === 1) this.#read(connection);
  }

  #read(connection: Connection): void {
    const { socket, unread } = connection;
    const { share } = this.#bounds;
    for (let now = share.now; unread.length > 0;) {
      if (share.isSpent(now)) {
        socket.pause();
        return share.later(() => {
          this.#read(connection);
          if (unread.length === 0) socket.resume();
        });
      }
      const bytes = unread[0]!;
      if (bytes.length > SLICE_BYTES) unread[0] = bytes.subarray(SLICE_BYTES);
      else unread.shift();
      this.#readSlice(connection, bytes.length > SLICE_BYTES ? bytes.subarray(0, SLICE_BYTES) : bytes);
      const then = now, isWhole = connection.exchange === null;
      now = share.now;
      share.spent(now - then + (isWhole ? 0 : PIECE_MS), now);
    }
    const { over } = connection;
    connection.over = null;
    over?.();
  }

  /** Does what the socket's end asks for, after all that came before is read. */
  #inOrder(connection: Connection, task: () => void): void {
    if (connection.unread.length === 0) return task();
    const { over } = connection;
    connection.over = () => {
      over?.();
      task();
    };
  }

  #readSlice(connection: Connection, bytes: Buffer): void {
    const { exchange, socket, unread } = connection;
    // Timed out, or answered and not kept: what still comes is of no use.
    if (exchange === null) return void (unread.length = 0);
    try {
      const response = exchange.reader.push(bytes);
      if (response === null) return;
      const persists = exchange.reader.persists && unread.length === 0;
      exchange.settle(response);
      if (persists && !this.#closed) this.#keep(connection, response);
      else socket.destroy();
    } catch (cause) {
      unread.length = 0;
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
