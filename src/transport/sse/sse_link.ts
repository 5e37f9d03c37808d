// A link whose messages go out as events of a stream and come in as requests of their own (sse.ts reads those).
// An ext message is an event without a name, a hot frame an event named "hot" in base64, the close the event "close".

import { Buffer } from "node:buffer";
import type { Link, LinkHandler, WireFrame } from "../port.ts";
import { EventBody } from "./event_body.ts";

/** Brings a flush into one piece; see `RunJoiner`. */
export type Join = (frames: readonly WireFrame[], count: number) => Uint8Array;

export interface SseLinkOptions {
  readonly handler: LinkHandler;
  readonly remoteAddress: string;
  /** The client wants hot frames. */
  readonly hot: boolean;
  /** What it is told first. */
  readonly greeting: string;
  readonly join: Join;
  /** Drops the connection under it, where the runtime has a way that errs to nobody. */
  readonly drop: (() => void) | null;
  /** Somebody reads: it is open, before its handler hears so. */
  readonly opened: () => void;
  /** It is gone. */
  readonly ended: () => void;
}

const HEARTBEAT = Buffer.from(":\n\n");
const NOTHING = new Uint8Array(0);

/** A frame as an event, built at the first call and kept on the frame. */
export function eventOf(frame: WireFrame): Uint8Array {
  return frame.sseWire ??= Buffer.from(eventText(frame.payload));
}

/** The same for a client that wants no hot frames. */
export function extEventOf(frame: WireFrame): Uint8Array {
  return typeof frame.payload === "string" ? eventOf(frame) : NOTHING;
}

// Whoever wrote a message may have broken its lines, between its tokens: each line of an event is a field of its own.
function eventText(payload: string | Uint8Array): string {
  if (typeof payload !== "string") return `event: hot\ndata: ${base64(payload)}\n\n`;
  const lines = /[\r\n]/.test(payload) ? payload.replaceAll(/\r\n|\r|\n/g, "\ndata: ") : payload;
  return `data: ${lines}\n\n`;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
}

export class SseLink implements Link {
  readonly transport = "sse";
  // A comment goes out, and nobody answers it.
  readonly canPing = false;
  readonly datagrams = null;
  readonly remoteAddress: string;
  readonly body: EventBody;
  /** Is told of every ext message that is written; null where nobody asks. */
  wrote: ((text: string) => void) | null = null;
  readonly #options: SseLinkOptions;
  #isOpen = false;
  #isOver = false;
  // Why this side ended the link; 0 as long as it did not.
  #code = 0;
  #reason = "";
  #token: string | null = null;
  /** Of the last event that has a number. */
  #count = 0;
  #isFirst = true;
  #unpaused: Promise<void> | null = null;
  #unpause: () => void = () => {};

  constructor(options: SseLinkOptions) {
    this.#options = options;
    this.remoteAddress = options.remoteAddress;
    this.body = new EventBody({
      started: () => this.#started(),
      drained: () => this.#code === 0 && options.handler.onDrain(),
      ended: () => this.#over(),
    });
  }

  /** Nothing is heard of it any more, or it was told to go. */
  get isClosed(): boolean {
    return this.#isOver || this.#code !== 0;
  }

  /** What it was closed with by this side; 0 for nothing. */
  get closeCode(): number {
    return this.#code;
  }

  get closeReason(): string {
    return this.#reason;
  }

  /** By which its client comes back after a loss; null where it cannot. */
  get token(): string | null {
    return this.#token;
  }

  /** Resolves when it is read again; null for now. */
  get unpaused(): Promise<void> | null {
    return this.#unpaused;
  }

  #started(): void {
    this.#isOpen = true;
    this.#options.opened();
    this.body.write(Buffer.from(this.#options.greeting));
    this.#options.handler.open(this);
  }

  resumable(token: string, count: number): void {
    this.#token = token;
    this.#count = count;
  }

  write(frames: readonly WireFrame[], count: number): number {
    if (count === 0 || this.isClosed) return 0;
    if (this.wrote !== null) {
      for (let i = 0; i < count; i++) {
        const { payload } = frames[i]!;
        if (typeof payload === "string") this.wrote(payload);
      }
    }
    const bytes = this.#token === null ? this.#options.join(frames, count) : this.#numbered(frames, count);
    return this.body.write(bytes);
  }

  /** As both sides count: the first message of a connection is not. */
  #numbered(frames: readonly WireFrame[], count: number): Uint8Array {
    const parts: Uint8Array[] = [];
    for (let i = 0; i < count; i++) {
      const frame = frames[i]!;
      if (typeof frame.payload === "string") {
        if (this.#isFirst) this.#isFirst = false;
        else this.#count++;
        parts.push(Buffer.from(`id: ${this.#token}.${this.#count}\n`, "latin1"), eventOf(frame));
      } else if (this.#options.hot) parts.push(eventOf(frame));
    }
    return Buffer.concat(parts);
  }

  bufferedBytes(): number {
    return this.#isOver ? 0 : this.body.waitingBytes;
  }

  ping(): void {
    if (!this.isClosed && this.body.waitingBytes === 0) this.body.write(HEARTBEAT);
  }

  pause(): void {
    this.#unpaused ??= new Promise((resolve) => this.#unpause = resolve);
  }

  resume(): void {
    this.#unpaused = null;
    this.#unpause();
  }

  close(code: number, reason: string): void {
    if (this.isClosed) return;
    this.#code = code;
    this.#reason = reason;
    this.resume();
    this.body.write(Buffer.from(`event: close\ndata: ${JSON.stringify({ code, reason })}\n\n`));
    this.body.end("send");
  }

  terminate(): void {
    if (this.#isOver) return;
    this.#code = 1006;
    this.#reason = "";
    const { drop } = this.#options;
    drop?.();
    this.body.abort(drop === null);
  }

  /** The client says goodbye. */
  leave(): void {
    if (this.isClosed) return;
    this.#code = 1000;
    this.body.end("lose");
  }

  #over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    // Its client has left before the answer.
    if (!this.#isOpen) return;
    this.resume();
    const code = this.#code === 0 ? 1006 : this.#code;
    this.#options.ended();
    this.#options.handler.onClose(code, this.#reason);
  }
}
