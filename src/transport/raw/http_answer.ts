// An answer on a socket of our own: the last one of its connection, for one request is answered there.

import { Buffer } from "node:buffer";
import { STATUS_CODES } from "node:http";
import type { ByteSocket } from "../stream/byte_socket.ts";

/** Headers that say how a body is framed, or that a connection lives on: that is decided here. */
const OURS = new Set(["connection", "keep-alive", "transfer-encoding", "content-length"]);

const LAST_CHUNK = Buffer.from("0\r\n\r\n");

/** What an answer depends on. */
export interface AnsweredRequest {
  readonly method: string;
  readonly version: string;
  /** Whether the connection may go on behind the answer, asked when its body is known. */
  readonly stays: () => boolean;
}

function chunkOf(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
}

/** An answer's first line and headers. */
export function answerHead(status: number, headers: Iterable<readonly [string, string]>): Buffer {
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n`;
  for (const [name, value] of headers) head += `${name}: ${value}\r\n`;
  return Buffer.from(`${head}\r\n`, "latin1");
}

/** Writes an answer. A stream of events goes out as it comes, and no faster than it is read. */
export class HttpAnswer {
  readonly #socket: ByteSocket;
  #drained: (() => void) | null = null;
  #reader: ReadableStreamDefaultReader<Uint8Array> | null = null;
  #isGone = false;

  constructor(socket: ByteSocket) {
    this.#socket = socket;
  }

  /** @returns whether the connection goes on */
  async write(response: Response, { method, version, stays }: AnsweredRequest): Promise<boolean> {
    const headers = [...response.headers].filter(([name]) => !OURS.has(name));
    headers.push(["date", new Date().toUTCString()]);
    // HTTP/1.0's way of staying is not spoken here; a stream of events is the last word of its connection.
    const { body, status } = response;
    const flows = body !== null &&
      (response.headers.get("content-type") ?? "").startsWith("text/event-stream");
    if (!flows) {
      const bytes = new Uint8Array(await response.arrayBuffer());
      const goesOn = stays() && !this.#isGone;
      if (!goesOn) headers.push(["connection", "close"]);
      if (status !== 204 && status !== 304) headers.push(["content-length", String(bytes.length)]);
      this.#socket.write(answerHead(status, headers));
      if (method !== "HEAD" && bytes.length > 0) this.#socket.write(bytes);
      if (!goesOn) this.#socket.end();
      return goesOn;
    }
    headers.push(["connection", "close"]);
    // By chunks a proxy knows an end from a break; HTTP/1.0 has none.
    const isChunked = version === "1.1";
    if (isChunked) headers.push(["transfer-encoding", "chunked"]);
    this.#socket.write(answerHead(status, headers));
    if (method === "HEAD") void body.cancel();
    else if (await this.#flow(body, isChunked) && isChunked) this.#socket.write(LAST_CHUNK);
    this.#socket.end();
    return false;
  }

  drained(): void {
    this.#drained?.();
    this.#drained = null;
  }

  /** The peer has left; what is still to come is for nobody. */
  gone(): void {
    this.#isGone = true;
    this.drained();
    this.#reader?.cancel().catch(() => {});
  }

  /** @returns whether it came to its end */
  async #flow(body: ReadableStream<Uint8Array>, isChunked: boolean): Promise<boolean> {
    const reader = this.#reader = body.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (this.#isGone) return false;
      if (done) return true;
      if (value.length === 0) continue; // an empty chunk would be the last
      if (this.#socket.write(isChunked ? chunkOf(value) : value) === 0) continue;
      await new Promise<void>((resolve) => this.#drained = resolve);
    }
  }
}
