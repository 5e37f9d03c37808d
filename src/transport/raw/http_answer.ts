// An answer on a socket of our own: the last one of its connection, for one request is answered there.

import { Buffer } from "node:buffer";
import { STATUS_CODES } from "node:http";
import type { ByteSocket } from "../stream/byte_socket.ts";

/** Headers that say how a body is framed, or that a connection lives on: that is decided here. */
const OURS = new Set(["connection", "keep-alive", "transfer-encoding", "content-length", "upgrade"]);

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

  /** @param method of the request */
  async write(response: Response, method: string): Promise<void> {
    const headers = [...response.headers].filter(([name]) => !OURS.has(name));
    headers.push(["date", new Date().toUTCString()], ["connection", "close"]);
    const { body, status } = response;
    const flows = body !== null &&
      (response.headers.get("content-type") ?? "").startsWith("text/event-stream");
    if (!flows) {
      const bytes = new Uint8Array(await response.arrayBuffer());
      if (status !== 204 && status !== 304) headers.push(["content-length", String(bytes.length)]);
      this.#socket.write(answerHead(status, headers));
      if (method !== "HEAD" && bytes.length > 0) this.#socket.write(bytes);
      return this.#socket.end();
    }
    this.#socket.write(answerHead(status, headers));
    if (method !== "HEAD") await this.#flow(body);
    else void body.cancel();
    this.#socket.end();
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

  async #flow(body: ReadableStream<Uint8Array>): Promise<void> {
    const reader = this.#reader = body.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done || this.#isGone) return;
      if (this.#socket.write(value) === 0) continue;
      await new Promise<void>((resolve) => this.#drained = resolve);
    }
  }
}
