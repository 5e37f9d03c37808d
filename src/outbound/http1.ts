// Reads HTTP/1.1 responses (RFC 9112) from the bytes of a connection, in whatever pieces they come. Strict, and bounded
// while it reads: what is too large is refused before it is held, what is no part of the body may not be more than the
// body, and nothing that is kept refers to the pieces that came.

import { Buffer } from "node:buffer";
import { readHeaders, UnreadableResponse } from "./http_headers.ts";

/** A response, read whole. */
export interface HttpResponse {
  readonly ok: true;
  readonly status: number;
  /** By name in lower case; what came several times is joined by ", ". */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** Memory for bodies. */
export interface Memory {
  /** @returns whether there is so much more, in bytes */
  reserve(bytes: number): boolean;
  release(bytes: number): void;
}

export interface ResponseOptions {
  /** Largest body, in bytes. */
  readonly bodyBytesMax: number;
  readonly memory: Memory;
  /** No body follows, whatever the headers say: the answer to a HEAD. */
  readonly bodyless: boolean;
  /** The body is read and not kept. */
  readonly discards: boolean;
}

/** Largest head, and largest trailer. */
const HEAD_BYTES_MAX = 16_384;
/** Most lines of a head; what servers send has a few dozen. */
const HEAD_LINES_MAX = 256;
/** Most informational answers (1xx) before the answer itself. */
const INFORMATIONAL_MAX = 16;
/** Longest line that tells a chunk's size. */
const SIZE_LINE_BYTES_MAX = 1024;
/** Longest size of a chunk, in digits. */
const SIZE_DIGITS_MAX = 12;
/**
 * What is no part of the body (heads, sizes of chunks and their extensions, trailers) may be as large as the body and this.
 * So chunks of six bytes and more may be as many as they like, and one-byte chunks 16,384.
 */
const FRAMING_BYTES = 65_536;
/** What is taken for a body at first; more is taken as it comes, whatever length was announced. */
const BODY_BYTES_FIRST = 4096;

const STATUS_LINE = /^HTTP\/1\.([01]) (\d{3})(?: [^\r\n]*)?$/;
const EMPTY = Buffer.alloc(0);
const CRLF = "\r\n";
const BLOCK_END = "\r\n\r\n";
const CR = 13, LF = 10, TAB = 9, SPACE = 32, SEMICOLON = 59;

/** What comes next: "until-end" is a body that only the connection's end bounds. */
type State =
  | "head"
  | "body"
  | "size"
  | "size-pad"
  | "extension"
  | "size-lf"
  | "chunk"
  | "chunk-cr"
  | "chunk-lf"
  | "trailer"
  | "until-end"
  | "done";

/** Reads one response. */
export class ResponseReader {
  readonly #options: ResponseOptions;
  #state: State = "head";
  #status = 0;
  #headers: ReadonlyMap<string, string> = new Map();
  #persists = false;
  /** A head that has not come whole yet, copied. */
  #head = EMPTY;
  #headBytes = 0;
  #informational = 0;
  /** Bytes of the body, or of the chunk, still to come; of a size, what has been read of it. */
  #left = 0;
  /** Digits of a size, and all bytes of its line. */
  #digits = 0;
  #lineBytes = 0;
  /** Of the trailer, and of its line. */
  #trailerBytes = 0;
  /** The body so far, with room for more. */
  #body = EMPTY;
  #bytes = 0;
  /** How large the body can become, in bytes. */
  #bytesMax: number;
  #framingBytes = 0;
  /** More came than belongs to it. */
  #hasRest = false;

  constructor(options: ResponseOptions) {
    this.#options = options;
    this.#bytesMax = options.bodyBytesMax;
  }

  /** Whether the connection can take another request, once the response is complete. */
  get persists(): boolean {
    return this.#persists && !this.#hasRest;
  }

  /**
   * Reads on. Call it no more once there is a response. Nothing of `bytes` is kept.
   * @returns the response when it is complete
   * @throws {UnreadableResponse}
   */
  push(bytes: Buffer): HttpResponse | null {
    for (let at = 0; at < bytes.length;) {
      if (this.#state === "done") {
        this.#hasRest = true;
        break;
      }
      at = this.#step(bytes, at);
    }
    return this.#state === "done" ? this.#response() : null;
  }

  /**
   * The connection has ended.
   * @returns the response, when that is what completes it
   * @throws {UnreadableResponse}
   */
  end(): HttpResponse {
    if (this.#state !== "until-end") throw new UnreadableResponse("the answer ends midway");
    return this.#response();
  }

  /** Gives its memory back. What it has read is its reader's own from then on. */
  release(): void {
    this.#options.memory.release(this.#body.length);
    this.#body = EMPTY;
  }

  /** @returns where to go on */
  #step(bytes: Buffer, at: number): number {
    switch (this.#state) {
      case "head":
        return this.#readHead(bytes, at);
      case "size":
      case "size-pad":
      case "extension":
      case "size-lf":
        return this.#readSize(bytes, at);
      case "chunk":
      case "body":
        return this.#readBody(bytes, at);
      case "until-end":
        return this.#keep(bytes, at, bytes.length - at);
      case "chunk-cr":
      case "chunk-lf":
        return this.#readChunkEnd(bytes, at);
      case "trailer":
        return this.#readTrailer(bytes, at);
      case "done":
        return at;
    }
  }

  #readHead(bytes: Buffer, at: number): number {
    let text: string, next: number;
    const whole = this.#headBytes === 0 ? bytes.indexOf(BLOCK_END, at) : -1;
    if (whole >= 0 && whole - at <= HEAD_BYTES_MAX) {
      text = bytes.toString("latin1", at, whole);
      next = whole + BLOCK_END.length;
    } else {
      const before = this.#headBytes;
      const most = Math.min(bytes.length - at, HEAD_BYTES_MAX + BLOCK_END.length - before);
      this.#hold(bytes, at, most);
      // Its end may have begun in the piece before.
      const from = Math.max(0, before - BLOCK_END.length + 1);
      const end = this.#head.subarray(0, this.#headBytes).indexOf(BLOCK_END, from);
      if (end < 0) {
        if (this.#headBytes < HEAD_BYTES_MAX + BLOCK_END.length) return at + most;
        throw new UnreadableResponse(`the answer's head is larger than ${HEAD_BYTES_MAX} bytes`);
      }
      text = this.#head.toString("latin1", 0, end);
      next = at + end + BLOCK_END.length - before;
      this.#head = EMPTY;
      this.#headBytes = 0;
    }
    this.#frame(text.length + BLOCK_END.length);
    this.#understand(text);
    return next;
  }

  /** Copies a piece of a head. */
  #hold(bytes: Buffer, at: number, count: number): void {
    const wanted = this.#headBytes + count;
    if (wanted > this.#head.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(wanted, Math.min(2 * wanted, HEAD_BYTES_MAX + 4)));
      this.#head.copy(larger, 0, 0, this.#headBytes);
      this.#head = larger;
    }
    bytes.copy(this.#head, this.#headBytes, at, at + count);
    this.#headBytes = wanted;
  }

  #understand(head: string): void {
    const [first = "", ...rest] = head.split(CRLF, HEAD_LINES_MAX + 2);
    if (rest.length > HEAD_LINES_MAX) {
      throw new UnreadableResponse(`the answer's head has more than ${HEAD_LINES_MAX} lines`);
    }
    const line = STATUS_LINE.exec(first);
    if (line === null) throw new UnreadableResponse("the answer is not HTTP/1.1");
    this.#status = Number(line[2]);
    // Informational: the answer itself is still to come. A switch of protocols was not asked for.
    if (this.#status < 200 && this.#status !== 101) {
      if (++this.#informational <= INFORMATIONAL_MAX) return;
      throw new UnreadableResponse(
        `the answer comes after more than ${INFORMATIONAL_MAX} informational ones`,
      );
    }
    const headers = readHeaders(rest);
    this.#headers = headers;
    const tokens = (headers.get("connection") ?? "").toLowerCase().split(",").map((token) => token.trim());
    this.#persists = line[1] === "1" ? !tokens.includes("close") : tokens.includes("keep-alive");
    this.#frameBody(headers);
  }

  /** Finds out where the body ends (RFC 9112, section 6.3). */
  #frameBody(headers: ReadonlyMap<string, string>): void {
    const coding = headers.get("transfer-encoding"), length = headers.get("content-length");
    if (this.#status < 200) throw new UnreadableResponse(`the answer has the status ${this.#status}`);
    if (this.#options.bodyless || this.#status === 204 || this.#status === 304) this.#state = "done";
    else if (coding !== undefined) {
      if (length !== undefined) throw new UnreadableResponse("the answer has two lengths");
      if (coding.toLowerCase() !== "chunked") throw new UnreadableResponse("the answer's coding is unknown");
      this.#startSize();
    } else if (length !== undefined) {
      if (!/^\d{1,15}$/.test(length)) throw new UnreadableResponse("the answer's length is no number");
      this.#left = Number(length);
      if (this.#left > this.#options.bodyBytesMax) throw this.#tooLarge();
      this.#bytesMax = this.#left;
      this.#state = this.#left === 0 ? "done" : "body";
    } else {
      this.#state = "until-end";
      this.#persists = false;
    }
  }

  #startSize(): void {
    this.#state = "size";
    this.#left = this.#digits = this.#lineBytes = 0;
  }

  /** Reads the line that tells a chunk's size, byte by byte: nothing of it is held. */
  #readSize(bytes: Buffer, from: number): number {
    let at = from, isOver = false;
    for (; at < bytes.length && !isOver; at++) {
      const byte = bytes[at]!;
      if (this.#state === "size-lf") {
        if (byte !== LF) throw NO_SIZE();
        isOver = true;
      } else if (byte === CR && this.#digits > 0) this.#state = "size-lf";
      else if (this.#state === "extension") {
        if (byte === LF || byte === CR) throw NO_SIZE();
      } else if (byte === SEMICOLON && this.#digits > 0) this.#state = "extension";
      else if ((byte === SPACE || byte === TAB) && this.#digits > 0) this.#state = "size-pad";
      else {
        const digit = this.#state === "size" ? hexDigit(byte) : -1;
        if (digit < 0 || ++this.#digits > SIZE_DIGITS_MAX) throw NO_SIZE();
        this.#left = this.#left * 16 + digit;
      }
    }
    this.#lineBytes += at - from;
    if (this.#lineBytes > SIZE_LINE_BYTES_MAX) {
      throw new UnreadableResponse("the size of a chunk is too long");
    }
    this.#frame(at - from);
    if (isOver) {
      if (this.#bytes + this.#left > this.#options.bodyBytesMax) throw this.#tooLarge();
      this.#state = this.#left === 0 ? "trailer" : "chunk";
      this.#lineBytes = 0;
    }
    return at;
  }

  #readBody(bytes: Buffer, at: number): number {
    const count = Math.min(this.#left, bytes.length - at);
    this.#left -= count;
    if (this.#left === 0) this.#state = this.#state === "body" ? "done" : "chunk-cr";
    return this.#keep(bytes, at, count);
  }

  #readChunkEnd(bytes: Buffer, at: number): number {
    const isCr = this.#state === "chunk-cr";
    if (bytes[at] !== (isCr ? CR : LF)) throw new UnreadableResponse("a chunk ends too late");
    this.#frame(1);
    if (isCr) this.#state = "chunk-lf";
    else this.#startSize();
    return at + 1;
  }

  /** What may follow the last chunk, up to an empty line; nobody asked for it. */
  #readTrailer(bytes: Buffer, from: number): number {
    let at = from;
    for (let before = this.#left; at < bytes.length; before = this.#left) {
      const byte = bytes[at++]!;
      // While there are chunks no more, this remembers the byte before.
      this.#left = byte;
      if (byte !== LF) {
        if (before === CR) throw new UnreadableResponse("the answer has a trailer that cannot be read");
        if (byte !== CR) this.#lineBytes++;
        continue;
      }
      if (before !== CR) throw new UnreadableResponse("the answer has a trailer that cannot be read");
      if (this.#lineBytes === 0) {
        this.#state = "done";
        break;
      }
      this.#lineBytes = 0;
    }
    this.#trailerBytes += at - from;
    if (this.#trailerBytes > HEAD_BYTES_MAX) {
      throw new UnreadableResponse(`the answer's trailer is larger than ${HEAD_BYTES_MAX} bytes`);
    }
    this.#frame(at - from);
    return at;
  }

  /** Takes note of bytes that are no part of the body. */
  #frame(bytes: number): void {
    this.#framingBytes += bytes;
    if (this.#framingBytes > FRAMING_BYTES + this.#bytes) {
      throw new UnreadableResponse("the answer has less in its body than around it");
    }
  }

  /** Copies a piece of the body. @returns where it ends */
  #keep(bytes: Buffer, at: number, count: number): number {
    const before = this.#bytes;
    this.#bytes += count;
    if (this.#bytes > this.#options.bodyBytesMax) throw this.#tooLarge();
    if (this.#options.discards) return at + count;
    if (this.#bytes > this.#body.length) this.#grow(before);
    bytes.copy(this.#body, before, at, at + count);
    return at + count;
  }

  #grow(used: number): void {
    const wish = Math.max(this.#bytes, 2 * this.#body.length, BODY_BYTES_FIRST);
    const length = Math.min(wish, this.#bytesMax);
    if (!this.#options.memory.reserve(length - this.#body.length)) {
      throw new UnreadableResponse("answers under way hold too much memory already");
    }
    const larger = Buffer.allocUnsafeSlow(length);
    this.#body.copy(larger, 0, 0, used);
    this.#body = larger;
  }

  #response(): HttpResponse {
    const body = this.#options.discards ? EMPTY : this.#body.subarray(0, this.#bytes);
    return { ok: true, status: this.#status, headers: this.#headers, body };
  }

  #tooLarge(): UnreadableResponse {
    return new UnreadableResponse(`the answer is larger than ${this.#options.bodyBytesMax} bytes`);
  }
}

const NO_SIZE = () => new UnreadableResponse("the size of a chunk is no number");

/** @returns -1 for none */
function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
