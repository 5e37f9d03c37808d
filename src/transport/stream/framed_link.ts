// A link on a byte socket, whatever the framing: who ended it, what may still be said then, and what waits for a peer that
// reads nothing. A framing extends it with its reader and its words.

import type { FrameWay, Link, LinkHandler, TransportName, WireFrame } from "../port.ts";
import type { ByteEvents, ByteSocket } from "./byte_socket.ts";

/** Answers to pings that may wait for a peer that reads none of them. */
const PONGS_BYTES_MAX = 16_384;
/** How long a peer may take to read a last word before its socket is dropped. */
const LINGER_MS = 8_000;

export interface FramedLinkOptions {
  readonly handler: LinkHandler;
  /** Brings a flush into one piece. */
  readonly join: (frames: readonly WireFrame[], count: number) => Uint8Array;
  readonly maxMessageBytes: () => number;
  /** It is gone. */
  readonly ended: () => void;
}

/** What a framing says besides messages. */
export interface Words {
  readonly ping: () => Uint8Array;
  readonly pong: (payload: Uint8Array) => Uint8Array;
  readonly close: (code: number, reason: string) => Uint8Array;
  /** The answer to a peer's close; 1005 where it named no code. */
  readonly answer: (code: number) => Uint8Array;
}

export abstract class FramedLink implements Link, ByteEvents {
  abstract readonly transport: TransportName;
  abstract readonly datagrams: FrameWay | null;
  readonly canPing = true;
  readonly remoteAddress: string;
  protected readonly socket: ByteSocket;
  protected readonly handler: LinkHandler;
  /** Why this side ended the link; 0 as long as it did not. */
  protected code = 0;
  protected reason = "";
  readonly #words: Words;
  readonly #options: FramedLinkOptions;
  #isOver = false;
  #pongsWaiting = 0;
  #isGone = false;
  #lingering: ReturnType<typeof setTimeout> | null = null;

  constructor(socket: ByteSocket, options: FramedLinkOptions, words: Words) {
    this.socket = socket;
    this.handler = options.handler;
    this.#options = options;
    this.#words = words;
    this.remoteAddress = socket.remoteAddress;
  }

  /** Whether neither side has ended it. */
  get isOpen(): boolean {
    return this.code === 0 && !this.#isOver;
  }

  write(frames: readonly WireFrame[], count: number): number {
    return count === 0 || !this.isOpen ? 0 : this.socket.write(this.#options.join(frames, count));
  }

  bufferedBytes(): number {
    return this.#isOver ? 0 : this.socket.waitingBytes();
  }

  ping(): void {
    if (this.isOpen) this.socket.write(this.#words.ping());
  }

  pause(): void {
    if (!this.#isOver) this.socket.pause();
  }

  resume(): void {
    if (!this.#isOver) this.socket.resume();
  }

  close(code: number, reason: string): void {
    if (!this.isOpen) return;
    this.code = code;
    this.reason = reason;
    this.socket.resume(); // a paused socket would never read the peer's answer
    this.socket.write(this.#words.close(code, reason));
    this.saidClose();
  }

  terminate(): void {
    if (!this.#isOver) this.#over(1006, "");
    this.socket.destroy();
  }

  // What the socket brings

  data(chunk: Uint8Array): void {
    if (!this.#isOver) this.read(chunk);
  }

  drained(): void {
    if (this.isOpen) this.handler.onDrain();
  }

  ended(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    if (this.#lingering !== null) clearTimeout(this.#lingering);
    this.#lingering = null;
    if (!this.#isOver) this.#over(this.codeOfEnd(), this.reason);
    this.socket.destroy();
  }

  // What the reader finds

  /** The answer; what it costs its sender is told beside. */
  pinged(payload: Uint8Array): void {
    if (!this.isOpen) return;
    const pong = this.#words.pong(payload);
    // A peer that reads none of the answers is dropped.
    if (this.socket.waitingBytes() > 0 && (this.#pongsWaiting += pong.length) > PONGS_BYTES_MAX) {
      return this.terminate();
    }
    if (this.socket.write(pong) === 0) this.#pongsWaiting = 0;
  }

  ponged(): void {
    if (this.isOpen) this.handler.pong();
  }

  /** The peer's close: the answer to ours, or answered here. */
  closed(code: number, reason: string): void {
    this.#lastWord(code, reason, () => this.#words.answer(code));
  }

  violated(code: number, why: string): void {
    this.#lastWord(code, why, () => this.#words.close(code, why));
  }

  /** Reads on. */
  protected abstract read(chunk: Uint8Array): void;

  /** Our close was written, and its answer is awaited. */
  protected saidClose(): void {}

  /** What it means that the socket ends without a close of the peer. */
  protected codeOfEnd(): number {
    return 1006;
  }

  #lastWord(code: number, reason: string, word: () => Uint8Array): void {
    if (this.#isOver) return;
    if (this.code !== 0) return this.#leave(this.code, this.reason);
    this.socket.write(word());
    this.#leave(code, reason);
  }

  /** The last word was said: the socket is given a moment to bring it to the peer. */
  #leave(code: number, reason: string): void {
    this.socket.resume();
    this.socket.end();
    this.#over(code, reason);
    if (!this.#isGone) this.#lingering = setTimeout(() => this.socket.destroy(), LINGER_MS);
  }

  #over(code: number, reason: string): void {
    this.#isOver = true;
    this.#options.ended();
    this.handler.onClose(code, reason);
  }
}
