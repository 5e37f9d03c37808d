/// <reference path="../bun.d.ts" />
// HTTP/1.1 over raw sockets, as little of it as a load generator needs: one request at a time on each connection, kept
// open. What is too much for the connections waits for its turn.

interface Question {
  readonly bytes: Uint8Array;
  readonly answered: (body: string) => void;
}

interface Line {
  write: (bytes: Uint8Array) => void;
  /** What the kernel has not taken yet. */
  unsent: Uint8Array | null;
  asked: Question | null;
  text: string;
}

/** Connections to one server. */
export class HttpCaller {
  readonly #host: string;
  readonly #free: Line[] = [];
  readonly #waiting: Question[] = [];
  readonly #decoder = new TextDecoder();

  private constructor(port: number) {
    this.#host = `127.0.0.1:${port}`;
  }

  /** @throws when they cannot be opened */
  static async open(port: number, connections: number): Promise<HttpCaller> {
    const caller = new HttpCaller(port);
    await Promise.all(Array.from({ length: connections }, () => caller.#connect(port)));
    return caller;
  }

  /** A request, ready to be asked as often as wanted. */
  request(path: string, body: string, headers: Readonly<Record<string, string>> = {}): Uint8Array {
    const lines = [
      `POST ${path} HTTP/1.1`,
      `host: ${this.#host}`,
      "content-type: application/json",
      `content-length: ${new TextEncoder().encode(body).length}`,
      ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
      "",
      body,
    ];
    return new TextEncoder().encode(lines.join("\r\n"));
  }

  /** Asks; `answered` is told the body of the answer. */
  ask(bytes: Uint8Array, answered: (body: string) => void): void {
    const question = { bytes, answered };
    const line = this.#free.pop();
    if (line === undefined) this.#waiting.push(question);
    else this.#send(line, question);
  }

  #send(line: Line, question: Question): void {
    line.asked = question;
    line.write(question.bytes);
  }

  async #connect(port: number): Promise<void> {
    const line: Line = { write: () => {}, unsent: null, asked: null, text: "" };
    const socket = await Bun.connect<Line>({
      hostname: "127.0.0.1",
      port,
      data: line,
      socket: {
        data: (_socket, bytes) => this.#take(line, bytes),
        drain: () => {
          if (line.unsent !== null) line.write(line.unsent);
        },
        close: () => {
          if (line.asked !== null) {
            throw new Error("Cannot go on: the server closed a connection that was asked");
          }
        },
      },
    });
    line.write = (bytes) => {
      const taken = socket.write(bytes);
      line.unsent = taken < bytes.length ? bytes.subarray(taken) : null;
    };
    this.#free.push(line);
  }

  #take(line: Line, bytes: Uint8Array): void {
    line.text += this.#decoder.decode(bytes);
    const end = line.text.indexOf("\r\n\r\n");
    if (end < 0) return;
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(line.text.slice(0, end + 2))?.[1] ?? 0);
    if (line.text.length < end + 4 + length) return;
    const { asked, text } = line;
    if (!/^HTTP\/1\.1 2/.test(text)) throw new Error(`Cannot go on: ${text.slice(0, 300)}`);
    line.text = "";
    line.asked = null;
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(line);
    else this.#send(line, next);
    asked?.answered(text.slice(end + 4));
  }
}
