// A client of streams of events and POSTs, written from docs/protocol.md on bare TCP: it can stop reading, break off in the
// middle of anything, and sees each byte of an answer.

import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { type Peer, within } from "./raw_client.ts";

/** An event as a browser's `EventSource` would dispatch it. */
export interface StreamEvent {
  /** "message" where it has no name. */
  readonly event: string;
  readonly data: string;
  /** The last id that was set. */
  readonly id: string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

function socketTo({ port, host = "127.0.0.1", ca }: Peer): Socket {
  const socket = ca === undefined
    ? connect({ port, host })
    : connectTls({ port, host, ca, servername: "localhost" });
  socket.on("error", () => socket.destroy());
  return socket;
}

/** Reads one answer after another from a connection: heads, bodies with a length or in chunks. */
class AnswerReader {
  #buffer = Buffer.alloc(0);
  #wake: (() => void) | null = null;
  isOver = false;
  /** Waits without a deadline: a stream may be silent for longer than a test waits for anything. */
  isPatient = false;

  constructor(socket: Socket) {
    socket.on("data", (chunk: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      this.#wake?.();
    });
    const end = () => {
      this.isOver = true;
      this.#wake?.();
    };
    socket.on("end", end).on("close", end);
  }

  /** @returns null where the connection ends before */
  async upTo(mark: string): Promise<string | null> {
    for (;;) {
      const at = this.#buffer.indexOf(mark);
      if (at >= 0) return this.#take(at + mark.length).toString().slice(0, -mark.length);
      if (!await this.#more(mark)) return null;
    }
  }

  async bytes(count: number): Promise<Buffer | null> {
    while (this.#buffer.length < count) if (!await this.#more(`${count} bytes`)) return null;
    return this.#take(count);
  }

  async head(): Promise<{ status: number; headers: Map<string, string> } | null> {
    const text = await this.upTo("\r\n\r\n");
    if (text === null) return null;
    const [first = "", ...lines] = text.split("\r\n");
    const headers = new Map(lines.map((line) => {
      const at = line.indexOf(":");
      return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()] as const;
    }));
    return { status: Number(first.split(" ")[1]), headers };
  }

  async body(headers: ReadonlyMap<string, string>): Promise<string> {
    if (!headers.has("transfer-encoding")) {
      return (await this.bytes(Number(headers.get("content-length") ?? 0)))?.toString() ?? "";
    }
    let all = "";
    for (let chunk = await this.chunk(); chunk !== null && chunk.length > 0; chunk = await this.chunk()) {
      all += chunk.toString();
    }
    return all;
  }

  /** Empty for the last one. */
  async chunk(): Promise<Buffer | null> {
    const size = await this.upTo("\r\n");
    if (size === null) return null;
    const bytes = await this.bytes(parseInt(size, 16) + 2);
    return bytes?.subarray(0, -2) ?? null;
  }

  #take(count: number): Buffer {
    const taken = this.#buffer.subarray(0, count);
    this.#buffer = this.#buffer.subarray(count);
    return taken;
  }

  async #more(what: string): Promise<boolean> {
    if (this.isOver) return false;
    const more = new Promise<void>((resolve) => this.#wake = resolve);
    await (this.isPatient ? more : within(more, what));
    this.#wake = null;
    return true;
  }
}

/** Requests one after the other, on one connection while it lives. */
export class Requests {
  readonly #peer: Peer;
  #socket: Socket | null = null;
  #reader!: AnswerReader;
  #last: Promise<unknown> = Promise.resolve();

  constructor(peer: Peer) {
    this.#peer = peer;
  }

  /** Its connection; a new one where the last has ended. */
  get socket(): Socket {
    if (this.#socket !== null && !this.#reader.isOver) return this.#socket;
    this.#socket = socketTo(this.#peer);
    this.#reader = new AnswerReader(this.#socket);
    return this.#socket;
  }

  send(
    method: string,
    path: string,
    { headers = {}, body }: { headers?: Readonly<Record<string, string>>; body?: string | Uint8Array } = {},
  ): Promise<HttpAnswer> {
    const bytes = Buffer.from(body as string ?? "");
    const all = {
      host: `127.0.0.1:${this.#peer.port}`,
      ...(body === undefined ? {} : { "content-length": String(bytes.length) }),
      ...headers,
    };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join("");
    this.socket.write(Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${lines}\r\n`), bytes]));
    const reader = this.#reader;
    const answer = this.#last.then(async () => {
      const head = await reader.head();
      if (head === null) throw new Error(`the connection ended before ${method} ${path} was answered`);
      const isBare = method === "HEAD" || head.status === 204;
      const body = isBare ? "" : await reader.body(head.headers);
      // As a client has to: what is asked next goes over another connection.
      if (head.headers.get("connection")?.toLowerCase() === "close") reader.isOver = true;
      return { ...head, body };
    });
    this.#last = answer.catch(() => {});
    return answer;
  }

  end(): void {
    this.#socket?.destroy();
  }
}

export interface StreamAsked {
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
}

export class SseClient {
  readonly socket: Socket;
  readonly requests: Requests;
  readonly headers: ReadonlyMap<string, string>;
  /** Where it speaks, and by which key. */
  post = "";
  key = "";
  lastEventId = "";
  /** Heartbeats that came. */
  comments = 0;
  /** Resolves when the stream has ended. */
  readonly ended: Promise<void>;
  readonly #reader: AnswerReader;
  readonly #events: StreamEvent[] = [];
  #over = false;
  #wake: (() => void) | null = null;

  private constructor(
    parts: { socket: Socket; reader: AnswerReader; peer: Peer; headers: Map<string, string> },
  ) {
    this.socket = parts.socket;
    this.#reader = parts.reader;
    this.headers = parts.headers;
    this.requests = new Requests(parts.peer);
    this.#reader.isPatient = true;
    this.ended = this.#read();
  }

  /** Asks for a stream. @returns the answer where it is a refusal */
  static async ask(
    peer: Peer,
    { query = {}, headers = {} }: StreamAsked = {},
  ): Promise<SseClient | HttpAnswer> {
    const socket = socketTo(peer);
    const reader = new AnswerReader(socket);
    const all = { host: `127.0.0.1:${peer.port}`, accept: "text/event-stream", ...headers };
    const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join("");
    socket.write(`GET /v1/sse?${new URLSearchParams(query)} HTTP/1.1\r\n${lines}\r\n`);
    const head = await reader.head();
    if (head === null) throw new Error("the connection ended before the stream was answered");
    if (head.status === 200) return new SseClient({ socket, reader, peer, headers: head.headers });
    const body = await reader.body(head.headers);
    socket.destroy();
    return { ...head, body };
  }

  /** Opens a stream; its first event, "open", has been read. */
  static async open(peer: Peer, asked: StreamAsked = {}): Promise<SseClient> {
    const client = await SseClient.ask(peer, asked);
    if (!(client instanceof SseClient)) throw new Error(`${client.status}: ${client.body}`);
    const first = await client.next("open");
    ({ post: client.post, key: client.key } = JSON.parse(first.data) as { post: string; key: string });
    return client;
  }

  /** The next event, which must have this name. */
  async next(event: string): Promise<StreamEvent> {
    const next = await this.take();
    if (next?.event !== event) throw new Error(`expected ${event}, got ${JSON.stringify(next)}`);
    return next;
  }

  /** The next event, whatever it is; null where the stream has ended. */
  async take(): Promise<StreamEvent | null> {
    while (this.#events.length === 0 && !this.#over) {
      await within(new Promise<void>((resolve) => this.#wake = resolve), "an event");
    }
    return this.#events.shift() ?? null;
  }

  /** The next ext message: "svc.type". */
  // deno-lint-ignore no-explicit-any -- what it holds is asserted by each test
  async message(name: string): Promise<any> {
    const { data } = await this.next("message");
    const message = JSON.parse(data);
    if (`${message.svc}.${message.type}` !== name) throw new Error(`expected ${name}, got ${data}`);
    return message;
  }

  /** Says something. */
  async say(
    body: object | string | Uint8Array,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<HttpAnswer> {
    const text = typeof body === "string" || body instanceof Uint8Array
      ? body
      : JSON.stringify({ v: 1, ...body });
    return await this.requests.send("POST", this.post, {
      headers: { authorization: `Bearer ${this.key}`, ...headers },
      body: text,
    });
  }

  async goodbye(): Promise<HttpAnswer> {
    const headers = { authorization: `Bearer ${this.key}` };
    return await this.requests.send("DELETE", this.post, { headers });
  }

  /** Drops its connections without a word. */
  drop(): void {
    this.socket.destroy();
    this.requests.end();
  }

  async #read(): Promise<void> {
    let text = "", fields: { event: string; data: string[] } = { event: "message", data: [] };
    const decoder = new TextDecoder();
    for (;;) {
      const chunk = await this.#reader.chunk();
      if (chunk === null || chunk.length === 0) break;
      text += decoder.decode(chunk, { stream: true });
      const lines = text.split("\n");
      text = lines.pop()!;
      for (const line of lines) {
        const colon = line.indexOf(":");
        const [name, value] = colon < 0
          ? [line, ""]
          : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
        if (line === "") {
          if (fields.data.length > 0) {
            this.#events.push({ event: fields.event, data: fields.data.join("\n"), id: this.lastEventId });
          }
          fields = { event: "message", data: [] };
        } else if (name === "event") fields.event = value!;
        else if (name === "data") fields.data.push(value!);
        else if (name === "id") this.lastEventId = value!;
        else if (name === "") this.comments++;
      }
      this.#wake?.();
    }
    this.#over = true;
    this.#wake?.();
  }
}
