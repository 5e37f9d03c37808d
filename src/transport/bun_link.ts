// A link on a socket of `Bun.serve`. A message, open or drain callback is corked by Bun, and a corked socket reads as 0
// buffered; so the gateway writes after the turn, where `getBufferedAmount` is exact.

import type { BunSocket } from "./bun_types.ts";
import type { Metered } from "./fragment_meter.ts";
import { plainAddress } from "./handshake.ts";
import type { Link, LinkHandler, WireFrame } from "./port.ts";

/** Bun answers every ping by itself, without a bound; a peer that reads none of the answers is dropped (as `ws` does). */
const PONGS_WAITING_MAX = 60;

const NO_FRAMES: readonly WireFrame[] = [];

export class BunLink implements Link, Metered {
  readonly transport = "websocket";
  readonly canPing = true;
  readonly datagrams = null;
  readonly remoteAddress: string;
  readonly handler: LinkHandler;
  #socket: BunSocket<BunLink> | null = null;
  // What the cork callback sends; set only within `write`.
  #frames = NO_FRAMES;
  #count = 0;
  #pongsWaiting = 0;
  /** Bytes waited when it was last written to or looked at, and no drain was told since. */
  #full = false;
  /** It was closed by us, and may be open still. */
  #closes = false;
  readonly peerAddress: string;
  readonly peerPort: number;
  countedBytes = 0;
  toldBytes = -1;

  constructor(handler: LinkHandler, peer: { readonly address: string; readonly port: number }) {
    this.peerAddress = peer.address;
    this.peerPort = peer.port;
    this.remoteAddress = plainAddress(peer.address);
    this.handler = handler;
  }

  tell(fragments: number): void {
    for (let i = 0; i < fragments && this.#socket !== null && !this.#closes; i++) this.handler.control(0);
  }

  opened(socket: BunSocket<BunLink>): void {
    this.#socket = socket;
    this.handler.open(this);
  }

  closed(code: number, reason: string): void {
    this.#socket = null;
    this.handler.onClose(code, reason);
  }

  pinged(socket: BunSocket<BunLink>, bytes: number): void {
    this.handler.control(bytes);
    if (socket.getBufferedAmount() > 0 && ++this.#pongsWaiting > PONGS_WAITING_MAX) socket.terminate();
  }

  drained(socket: BunSocket<BunLink>): void {
    if (socket.getBufferedAmount() > 0) return;
    this.#pongsWaiting = 0;
    this.#full = false;
    this.handler.onDrain();
  }

  write(frames: readonly WireFrame[], count: number): number {
    const socket = this.#socket;
    if (socket === null || count === 0) return 0;
    if (count === 1) {
      // A positive result says that nothing waits, for less than asking.
      if (socket.send(frames[0]!.payload) > 0) return 0;
    } else {
      this.#frames = frames;
      this.#count = count;
      socket.cork(sendCorked);
      this.#frames = NO_FRAMES;
    }
    return this.bufferedBytes();
  }

  sendAll(socket: BunSocket<BunLink>): void {
    const frames = this.#frames;
    const count = this.#count;
    for (let i = 0; i < count; i++) socket.send(frames[i]!.payload);
  }

  bufferedBytes(): number {
    const bytes = this.#socket?.getBufferedAmount() ?? 0;
    if (bytes > 0) this.#full = true;
    return bytes;
  }

  /** Whether its drain is due. */
  get isFull(): boolean {
    return this.#full;
  }

  /** See `BunTransport.#heard`. */
  settle(): void {
    if (this.#full && this.#socket !== null) this.drained(this.#socket);
  }

  ping(): void {
    this.#socket?.ping();
  }

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  close(code: number, reason: string): void {
    this.#closes = true;
    this.#socket?.close(code, reason);
  }

  terminate(): void {
    this.#socket?.terminate();
  }
}

function sendCorked(socket: BunSocket<BunLink>): void {
  socket.data.sendAll(socket);
}
