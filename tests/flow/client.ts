// A client as an application would write one, on either of two WebSocket implementations: the runtime's own, and
// the npm package `ws`. It remembers everything it was sent, in order, and every wait has a deadline.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { Decoder } from "cbor-x/decode";
import { Encoder } from "cbor-x/encode";
import { WebSocket as WsWebSocket } from "ws";
import { within } from "../raw_client.ts";
import type { GatewayProcess } from "./gateway_process.ts";

/** An ext message as it came. */
export interface Message {
  readonly v: number;
  readonly svc: string;
  readonly type: string;
  readonly seq?: number;
  readonly room?: string;
  // deno-lint-ignore no-explicit-any -- whatever the gateway sends, a test says what it expects
  readonly data?: any;
  readonly trace_id?: string;
}

export interface Close {
  readonly code: number;
  readonly reason: string;
}

/** Who implements the WebSocket: the runtime, or the npm package. */
export type Kind = "own" | "ws";
export const KINDS: readonly Kind[] = ["own", "ws"];

export interface ClientOptions {
  readonly tenant?: string;
  /** The dev user; a new one when absent. */
  readonly user?: string;
  readonly sid?: string;
  /** In the place of the dev ticket; null for none. */
  readonly ticket?: string | null;
  /** Subprotocols to offer. */
  readonly offer?: readonly string[];
  readonly kind?: Kind;
  /** Speaks CBOR on the ext lane. */
  readonly cbor?: boolean;
  /** With kind "ws" only. */
  readonly headers?: Readonly<Record<string, string>>;
}

export const CBOR = "wsprism.v1.cbor";

const cborOptions = { useRecords: false, mapsAsObjects: true, variableMapSize: true, tagUint8Array: false };
export const cborEncoder = new Encoder(cborOptions);
const decoder = new Decoder(cborOptions);

/** Decodes CBOR. To cbor-x whole numbers of eight bytes, such as times, are BigInts; here all are numbers. */
export function cborDecode(bytes: Uint8Array): unknown {
  const plain = (value: unknown): unknown => {
    if (typeof value === "bigint") return Number(value);
    if (Array.isArray(value)) return value.map(plain);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
  };
  return plain(decoder.decode(bytes));
}

let users = 0;
let pings = 0;

/** Where a client connects. */
export function target(options: ClientOptions = {}): string {
  const { tenant = "acme", user = `user-${++users}`, sid, ticket = `dev:${user}` } = options;
  const query = new URLSearchParams({
    tenant,
    ...(ticket === null ? {} : { ticket }),
    ...(sid === undefined ? {} : { sid }),
  });
  return `/v1/ws?${query}`;
}

/** Where clients knock: a gateway, or a proxy in front of one. */
export type Door = Pick<GatewayProcess, "origin" | "ca">;

/** A connected client. */
export class Client {
  /** The content of `sys.authed`, once it has come. */
  authed: Message["data"] = null;
  /** How it ended. */
  readonly closed: Promise<Close>;
  readonly #socket: WebSocket;
  readonly #cbor: boolean;
  readonly #received: (Message | Uint8Array)[] = [];
  #close: Close | null = null;
  #wake: (() => void) | null = null;

  /** Connects and waits for `sys.authed`. */
  static async open(gateway: Door, options: ClientOptions = {}): Promise<Client> {
    const client = await Client.connect(gateway, options);
    client.authed = (await client.next("sys.authed")).data;
    return client;
  }

  /** Connects; what comes first is the caller's to read. */
  static async connect(gateway: Door, options: ClientOptions = {}): Promise<Client> {
    const url = `${gateway.origin.replace("http", "ws")}${target(options)}`;
    const { kind = "ws", cbor = false, headers = {} } = options;
    const protocols = [...(options.offer ?? (cbor ? [CBOR] : []))];
    const trust = gateway.ca === null ? {} : { ca: gateway.ca };
    const socket = kind === "own"
      ? new WebSocket(url, protocols)
      : new WsWebSocket(url, protocols, { headers, ...trust }) as unknown as WebSocket;
    const client = new Client(socket, cbor);
    await within(
      new Promise<void>((resolve, reject) => {
        socket.addEventListener("open", () => resolve());
        socket.addEventListener(
          "error",
          (event) => reject(new Error(`cannot connect: ${(event as ErrorEvent).message}`)),
        );
      }),
      "the connection",
    );
    return client;
  }

  private constructor(socket: WebSocket, cbor: boolean) {
    this.#socket = socket;
    this.#cbor = cbor;
    socket.binaryType = "arraybuffer";
    this.closed = new Promise((resolve) => {
      socket.addEventListener("close", ({ code, reason }) => {
        this.#close = { code, reason };
        this.#wake?.();
        resolve(this.#close);
      });
    });
    socket.addEventListener("message", ({ data }) => {
      this.#received.push(typeof data === "string" ? JSON.parse(data) as Message : this.#read(data));
      this.#wake?.();
    });
  }

  #read(data: ArrayBuffer): Message | Uint8Array {
    const bytes = new Uint8Array(data);
    const isMap = bytes[0]! >= 0xa0 && bytes[0]! <= 0xbf;
    return this.#cbor && isMap ? cborDecode(bytes) as Message : bytes;
  }

  /** The subprotocol that the server selected. */
  get protocol(): string {
    return this.#socket.protocol;
  }

  /** Sends an envelope; `v` is 1 unless it says otherwise. A string goes as it is. */
  send(envelope: object | string): void {
    const whole = typeof envelope === "string" ? envelope : { v: 1, ...envelope };
    if (typeof whole === "string") this.#socket.send(whole);
    else if (this.#cbor) this.binary(cborEncoder.encode(whole));
    else this.#socket.send(JSON.stringify(whole));
  }

  binary(bytes: Uint8Array | readonly number[]): void {
    this.#socket.send(new Uint8Array(bytes));
  }

  /** The next thing received, of whatever kind; fails when the connection ends first. */
  async take(what: string, deadlineMs?: number): Promise<Message | Uint8Array> {
    while (this.#received.length === 0) {
      if (this.#close !== null) throw new Error(`closed ${JSON.stringify(this.#close)} before ${what}`);
      await within(new Promise<void>((resolve) => this.#wake = resolve), what, deadlineMs);
      this.#wake = null;
    }
    return this.#received.shift()!;
  }

  /** The next thing received, which must be this ext message: "svc.type". */
  async next(name: string, deadlineMs?: number): Promise<Message> {
    const message = await this.take(name, deadlineMs);
    if (message instanceof Uint8Array) assert.fail(`expected ${name}, got bytes ${brief(hex(message))}`);
    assert.equal(`${message.svc}.${message.type}`, name, brief(JSON.stringify(message)));
    assert.equal(message.v, 1);
    if (message.svc === "sys") assert.match(message.trace_id!, /^[0-9a-f]{16}$/);
    return message;
  }

  /** The next thing received, which must be bytes. */
  async nextBytes(): Promise<Uint8Array> {
    const bytes = await this.take("a binary message");
    if (!(bytes instanceof Uint8Array)) assert.fail(`expected bytes, got ${brief(JSON.stringify(bytes))}`);
    return bytes;
  }

  /** The next thing received, which must be a `sys.error` with this code. */
  async nextError(code: string): Promise<Message> {
    const message = await this.next("sys.error");
    assert.equal(message.data.code, code, JSON.stringify(message));
    assert.equal(typeof message.data.msg, "string");
    return message;
  }

  /** Joins a room. @returns the content of `sys.joined` */
  async join(room: string, data?: object): Promise<{ member: number; count: number }> {
    this.send({ svc: "room", type: "join", room, ...(data === undefined ? {} : { data }) });
    const joined = await this.next("sys.joined");
    assert.equal(joined.room, room);
    return joined.data;
  }

  async leave(room: string): Promise<void> {
    this.send({ svc: "room", type: "leave", room });
    assert.equal((await this.next("sys.left")).room, room);
  }

  /**
   * Waits until everything is here that was on its way, and returns what has come. The first pong can overtake other
   * lanes, but is in the same write with them (as long as less than 64 KiB are on their way); after the second,
   * nothing older can follow.
   */
  async settled(): Promise<(Message | Uint8Array)[]> {
    const before: (Message | Uint8Array)[] = [];
    for (let round = 0; round < 2; round++) {
      const id = ++pings;
      this.send({ svc: "sys", type: "ping", data: { id } });
      for (;;) {
        const message = await this.take("sys.pong");
        if (!(message instanceof Uint8Array) && message.type === "pong" && message.data.id === id) break;
        before.push(message);
      }
    }
    return before;
  }

  /** Fails unless nothing was on its way. */
  async hearsNothing(): Promise<void> {
    assert.deepEqual(await this.settled(), []);
  }

  /** Waits for the end, and fails unless it has this code. */
  async ended(code: number, reason?: string): Promise<Close> {
    const close = await within(this.closed, `the close ${code}`);
    assert.equal(close.code, code, JSON.stringify(close));
    if (reason !== undefined) assert.equal(close.reason, reason);
    return close;
  }

  /** Things received and not yet taken. */
  get waiting(): readonly (Message | Uint8Array)[] {
    return this.#received;
  }

  async close(): Promise<void> {
    if (this.#close === null) this.#socket.close(1000);
    await within(this.closed, "the close");
  }

  /** Drops the connection without a word; kind "ws" only. */
  terminate(): void {
    (this.#socket as unknown as WsWebSocket).terminate();
  }
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** A text short enough for an error's message. */
function brief(text: string): string {
  return text.length <= 300 ? text : `${text.slice(0, 300)}… (${text.length})`;
}

/** A hot frame. */
export function hot(
  svcId: number,
  opcode: number,
  { payload = [], seq, flags = 0, v = 1 }: {
    payload?: readonly number[] | Uint8Array;
    seq?: number;
    /** Besides SEQ_PRESENT, which `seq` brings. */
    flags?: number;
    v?: number;
  } = {},
): Uint8Array {
  const head = [v, svcId, opcode, flags | (seq === undefined ? 0 : 1)];
  return Uint8Array.from([...head, ...(seq === undefined ? [] : u32(seq)), ...payload]);
}

/** A u32, little-endian. */
export function u32(value: number): number[] {
  return [value & 255, value >>> 8 & 255, value >>> 16 & 255, value >>> 24];
}
