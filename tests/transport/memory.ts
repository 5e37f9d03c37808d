// The smallest transport that keeps the contract, without a socket: what docs/architecture.md says under "Add a transport"
// is all there is to it. Its wire are two arrays.

import type { Link, LinkHandler, StreamHandler, Transport, WireFrame } from "../../src/transport/port.ts";
import type { FarEnd } from "./link_contract.ts";

/** What the far end has not read yet, at the most; above it a write is told what waits. */
const WIRE_BYTES = 65_536;

class MemoryLink implements Link {
  readonly transport = "tcp"; // a name of its own needs a line in `TransportName`
  readonly canPing = false;
  readonly datagrams = null;
  readonly remoteAddress = "192.0.2.1";
  readonly heard: (string | Uint8Array)[] = [];
  readonly #handler: LinkHandler;
  readonly #wire: WireFrame[] = [];
  #unread: (string | Uint8Array)[] = [];
  #wake: () => void = () => {};
  #bytes = 0;
  #state: "open" | "paused" | "over" = "open";
  #stalls = false;
  #end!: (code: number | null) => void;
  readonly closed = new Promise<number | null>((resolve) => this.#end = resolve);

  constructor(handler: LinkHandler) {
    this.#handler = handler;
    handler.open(this);
  }

  write(frames: readonly WireFrame[], count: number): number {
    if (this.#state === "over") return 0;
    for (const frame of frames.slice(0, count)) this.#bytes += this.#wire.push(frame) && frame.bytes;
    if (!this.#stalls) this.read();
    return this.bufferedBytes();
  }

  bufferedBytes = (): number => this.#state === "over" ? 0 : Math.max(0, this.#bytes - WIRE_BYTES);
  ping(): void {}
  pause = (): void => void (this.#state = this.#state === "over" ? "over" : "paused");
  terminate = (): void => this.#over(1006, null, "");
  close = (code: number, reason: string): void => this.#over(code, code, reason);

  resume(): void {
    if (this.#state !== "paused") return;
    this.#state = "open";
    for (const message of this.heard.splice(0)) this.say(message);
  }

  say(message: string | Uint8Array): void {
    if (this.#state === "paused") this.heard.push(message);
    else if (this.#state === "open" && typeof message === "string") this.#handler.text(message);
    else if (this.#state === "open") this.#handler.binary(message as Uint8Array);
  }

  /** The far end reads all there is, and what comes. */
  read(): void {
    const waited = this.bufferedBytes() > 0;
    this.#stalls = false;
    this.#unread.push(...this.#wire.splice(0).map(({ payload }) => payload));
    this.#bytes = 0;
    this.#wake();
    if (waited) this.#handler.onDrain();
  }

  stall = (): void => void (this.#stalls = true);
  leave = (): void => this.#over(1006, null, "");

  async next(): Promise<string | Uint8Array> {
    while (this.#unread.length === 0) await new Promise<void>((resolve) => this.#wake = resolve);
    return this.#unread.shift()!;
  }

  #over(code: number, told: number | null, reason: string): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#end(told);
    this.#handler.onClose(code, reason);
  }
}

export class MemoryTransport implements Transport<StreamHandler> {
  readonly name = "tcp";
  readonly limits = {
    pings: false,
    terminates: true,
    pauses: true,
    showsControl: true,
    showsFragments: true,
    boundsFragments: true,
    deflates: false,
    renewsTls: true,
    fixed: {},
  };
  readonly #links: MemoryLink[] = [];
  #door!: StreamHandler;

  start(door: StreamHandler) {
    this.#door = door;
    return Promise.resolve({ hostname: "memory", port: 0 });
  }

  connect(): FarEnd {
    const link = new MemoryLink(this.#door.connect());
    this.#links.push(link);
    return link;
  }

  renewTls(): void {}
  boundMessages(): void {}
  afterTurn = (task: () => void): void => void setImmediate(task);

  stop(): Promise<void> {
    for (const link of this.#links) link.terminate();
    return Promise.resolve();
  }
}
