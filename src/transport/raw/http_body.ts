// The body of a request as it comes in, of a known length or in chunks (RFC 9112, section 7.1), as a stream that whoever
// answers the request reads, or does not: the socket is read no faster.

/** A chunk's first line, and one of what may follow the last one. */
const LINE_MAX = 1024;
const SIZE = /^[0-9a-f]{1,8}(?:[ \t]*;[\x20-\x7e\t]*)?$/i;

export interface HttpBodyOptions {
  /** Infinity for chunks. */
  readonly bytes: number;
  readonly pause: () => void;
  readonly resume: () => void;
  /** It cannot be read. */
  readonly broken: () => void;
}

export class HttpBody {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #options: HttpBodyOptions;
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  /** Of the body, or of its chunk. */
  #left: number;
  #isChunked: boolean;
  /** Between chunks: what of a line has come. */
  #line = "";
  #expects: "size" | "data" | "end" | "trailer" = "data";
  isOver = false;
  /** It has come to its end. */
  isWhole = false;

  constructor(options: HttpBodyOptions) {
    this.#options = options;
    this.#isChunked = options.bytes === Infinity;
    this.#left = this.#isChunked ? 0 : options.bytes;
    if (this.#isChunked) this.#expects = "size";
    this.stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      pull: () => options.resume(),
      cancel: () => {
        this.#controller = null;
        options.resume();
      },
    });
    if (this.#left === 0 && !this.#isChunked) this.#finish();
  }

  /** Reads on. The chunk is not kept. @returns where in it the body, or the chunk, ends */
  read(chunk: Uint8Array): number {
    let at = 0;
    while (at < chunk.length && !this.isOver) {
      at = this.#expects === "data" ? this.#data(chunk, at) : this.#readLine(chunk, at);
    }
    if (!this.isOver && this.#controller !== null && (this.#controller.desiredSize ?? 0) <= 0) {
      this.#options.pause();
    }
    return at;
  }

  /** Nothing more comes. */
  end(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#controller?.error(new Error("the connection has ended"));
    this.#controller = null;
  }

  #data(chunk: Uint8Array, at: number): number {
    const count = Math.min(this.#left, chunk.length - at);
    this.#left -= count;
    this.#controller?.enqueue(chunk.slice(at, at + count));
    if (this.#left === 0) {
      if (this.#isChunked) this.#expects = "end";
      else this.#finish();
    }
    return at + count;
  }

  #readLine(chunk: Uint8Array, at: number): number {
    while (at < chunk.length) {
      const byte = chunk[at++]!;
      if (byte !== 0x0a) {
        this.#line += String.fromCharCode(byte);
        if (this.#line.length > LINE_MAX) return this.#break(chunk);
        continue;
      }
      if (!this.#line.endsWith("\r")) return this.#break(chunk);
      const line = this.#line.slice(0, -1);
      this.#line = "";
      if (!this.#lineEnded(line)) return this.#break(chunk);
      return at;
    }
    return at;
  }

  #lineEnded(line: string): boolean {
    switch (this.#expects) {
      case "end":
        this.#expects = "size";
        return line === "";
      case "trailer":
        if (line === "") this.#finish();
        return true;
      default:
        if (!SIZE.test(line)) return false;
        this.#left = parseInt(line, 16);
        this.#expects = this.#left === 0 ? "trailer" : "data";
        return true;
    }
  }

  #finish(): void {
    this.isOver = this.isWhole = true;
    this.#controller?.close();
    this.#controller = null;
  }

  #break(chunk: Uint8Array): number {
    this.end();
    this.#options.broken();
    return chunk.length;
  }
}
