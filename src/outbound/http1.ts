// Reads HTTP/1.1 responses (RFC 9112) from the bytes of a connection, in whatever pieces they come. Strict, and bounded
// while it reads: a head or a body that is too large is refused before it is held.

import { Buffer } from "node:buffer";

/** A response, read whole. */
export interface HttpResponse {
  readonly ok: true;
  readonly status: number;
  /** By name in lower case; what came several times is joined by ", ". */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** What cannot be read. The connection is of no use any more. */
export class UnreadableResponse extends Error {}

/** Largest head, and largest trailer. */
const HEAD_BYTES_MAX = 16_384;
/** Longest line that tells a chunk's size. */
const SIZE_LINE_BYTES_MAX = 1024;

const STATUS_LINE = /^HTTP\/1\.([01]) (\d{3})(?: [^\r\n]*)?$/;
const HEADER_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/;
const EMPTY = Buffer.alloc(0);
const CRLF = "\r\n";

/** What comes next: "until-end" is a body that only the connection's end bounds. */
type State = "head" | "body" | "size" | "chunk" | "trailer" | "until-end" | "done";

/** Reads one response. */
export class ResponseReader {
  readonly #bodyBytesMax: number;
  readonly #bodyless: boolean;
  #state: State = "head";
  #status = 0;
  #headers: ReadonlyMap<string, string> = new Map();
  #persists = false;
  /** Bytes not understood yet. */
  #held: Buffer = EMPTY;
  /** Bytes of the body, or of the chunk and the line end behind it, still to come. */
  #left = 0;
  readonly #parts: Buffer[] = [];
  #bytes = 0;

  /** @param bodyless no body follows, whatever the headers say: the answer to a HEAD */
  constructor(bodyBytesMax: number, bodyless = false) {
    this.#bodyBytesMax = bodyBytesMax;
    this.#bodyless = bodyless;
  }

  /** Whether the connection can take another request, once the response is complete. */
  get persists(): boolean {
    return this.#persists && this.#held.length === 0;
  }

  /**
   * Reads on. Call it no more once there is a response.
   * @returns the response when it is complete
   * @throws {UnreadableResponse}
   */
  push(bytes: Buffer): HttpResponse | null {
    this.#held = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    while (this.#state !== "done") if (!this.#step()) return null;
    return this.#response();
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

  /** @returns whether it came further */
  #step(): boolean {
    switch (this.#state) {
      case "head":
        return this.#readHead();
      case "size":
        return this.#readSize();
      case "trailer":
        return this.#readTrailer();
      case "until-end":
        this.#take(this.#held.length);
        return false;
      case "body": {
        this.#take(Math.min(this.#left, this.#held.length));
        if (this.#left === 0) this.#state = "done";
        return this.#left === 0;
      }
      case "chunk":
        return this.#readChunk();
      case "done":
        return false;
    }
  }

  #readHead(): boolean {
    const lines = this.#block();
    if (lines === null) return false;
    const [first = "", ...rest] = lines;
    const line = STATUS_LINE.exec(first);
    if (line === null) throw new UnreadableResponse("the answer is not HTTP/1.1");
    this.#status = Number(line[2]);
    // Informational: the answer itself is still to come. A switch of protocols was not asked for.
    if (this.#status < 200 && this.#status !== 101) return true;
    const headers = readHeaders(rest);
    this.#headers = headers;
    const tokens = (headers.get("connection") ?? "").toLowerCase().split(",").map((token) => token.trim());
    this.#persists = line[1] === "1" ? !tokens.includes("close") : tokens.includes("keep-alive");
    this.#frameBody(headers);
    return true;
  }

  /** Finds out where the body ends (RFC 9112, section 6.3). */
  #frameBody(headers: ReadonlyMap<string, string>): void {
    const coding = headers.get("transfer-encoding"), length = headers.get("content-length");
    if (this.#status < 200) throw new UnreadableResponse(`the answer has the status ${this.#status}`);
    if (this.#bodyless || this.#status === 204 || this.#status === 304) this.#state = "done";
    else if (coding !== undefined) {
      if (length !== undefined) throw new UnreadableResponse("the answer has two lengths");
      if (coding.toLowerCase() !== "chunked") throw new UnreadableResponse("the answer's coding is unknown");
      this.#state = "size";
    } else if (length !== undefined) {
      if (!/^\d{1,15}$/.test(length)) throw new UnreadableResponse("the answer's length is no number");
      this.#left = Number(length);
      if (this.#left > this.#bodyBytesMax) throw this.#tooLarge();
      this.#state = "body";
    } else {
      this.#state = "until-end";
      this.#persists = false;
    }
  }

  #readSize(): boolean {
    const at = this.#held.indexOf(CRLF);
    if (at > SIZE_LINE_BYTES_MAX || (at < 0 && this.#held.length > SIZE_LINE_BYTES_MAX)) {
      throw new UnreadableResponse("the size of a chunk is too long");
    }
    if (at < 0) return false;
    const size = /^([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\r\n]*)?$/.exec(this.#held.toString("latin1", 0, at));
    if (size === null) throw new UnreadableResponse("the size of a chunk is no number");
    this.#held = this.#held.subarray(at + CRLF.length);
    const bytes = parseInt(size[1]!, 16);
    if (this.#bytes + bytes > this.#bodyBytesMax) throw this.#tooLarge();
    this.#left = bytes;
    this.#state = bytes === 0 ? "trailer" : "chunk";
    return true;
  }

  #readChunk(): boolean {
    this.#take(Math.min(this.#left, this.#held.length));
    if (this.#left > 0 || this.#held.length < CRLF.length) return false;
    if (this.#held.toString("latin1", 0, CRLF.length) !== CRLF) {
      throw new UnreadableResponse("a chunk ends too late");
    }
    this.#held = this.#held.subarray(CRLF.length);
    this.#state = "size";
    return true;
  }

  /** What may follow the last chunk; nobody asked for it. */
  #readTrailer(): boolean {
    if (this.#held.toString("latin1", 0, CRLF.length) === CRLF) this.#held = this.#held.subarray(CRLF.length);
    else if (this.#block() === null) return false;
    this.#state = "done";
    return true;
  }

  /** The lines up to an empty one, when that is there. */
  #block(): string[] | null {
    const at = this.#held.indexOf("\r\n\r\n");
    if (at > HEAD_BYTES_MAX || (at < 0 && this.#held.length > HEAD_BYTES_MAX)) {
      throw new UnreadableResponse(`the answer's head is larger than ${HEAD_BYTES_MAX} bytes`);
    }
    if (at < 0) return null;
    const lines = this.#held.toString("latin1", 0, at).split(CRLF);
    this.#held = this.#held.subarray(at + 4);
    return lines;
  }

  #take(bytes: number): void {
    if (bytes === 0) return;
    this.#bytes += bytes;
    if (this.#bytes > this.#bodyBytesMax) throw this.#tooLarge();
    this.#parts.push(this.#held.subarray(0, bytes));
    this.#held = this.#held.subarray(bytes);
    this.#left -= bytes;
  }

  #response(): HttpResponse {
    const body = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts);
    return { ok: true, status: this.#status, headers: this.#headers, body };
  }

  #tooLarge(): UnreadableResponse {
    return new UnreadableResponse(`the answer is larger than ${this.#bodyBytesMax} bytes`);
  }
}

function readHeaders(lines: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, name, value = ""] = HEADER_LINE.exec(line) ?? [];
    if (name === undefined) throw new UnreadableResponse("the answer has a header that cannot be read");
    const key = name.toLowerCase(), before = headers.get(key);
    headers.set(key, before === undefined ? value : `${before}, ${value}`);
  }
  return headers;
}
