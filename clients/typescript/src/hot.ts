// The hot lane: small binary frames that may be lost (docs/protocol.md). A part of its own, for who needs it.

/** What the lane needs of its connection. */
export interface HotPort {
  readonly isUp: boolean;
  /** Bytes that wait in the link. */
  readonly buffered: number;
  /** MUST take a copy. */
  sendFrame(frame: Uint8Array): void;
}

/** Called with each frame of a service. The payload is a view of the frame: copy what is to be kept and changed. */
export type HotHandler = (opcode: number, sender: number, payload: Uint8Array) => void;

export interface HotLane {
  /**
   * Sends a frame to the room that was joined last, or drops it: without a connection, or when more than 64 KiB wait.
   * @returns whether it was sent
   */
  send(svcId: number, opcode: number, payload?: Uint8Array): boolean;
  on(svcId: number, run: HotHandler): () => void;
  /** Calls `run` with each binary message without a header that anybody listens to: what `echo` services send. */
  onBare(run: (bytes: Uint8Array) => void): () => void;
  /** A binary message came. */
  receive(frame: Uint8Array): void;
}

export type HotLaneFactory = (port: HotPort) => HotLane;

const VERSION = 1;
const SEQ = 1, SENDER = 4;
const BUFFERED_MAX = 65_536;

/** Gives a client its hot lane: `new Client(url, { …, hot: hotLane })`. */
export const hotLane: HotLaneFactory = (port) => new Lane(port);

class Lane implements HotLane {
  readonly #port: HotPort;
  readonly #handlers = new Map<number, readonly HotHandler[]>();
  #bare: readonly ((bytes: Uint8Array) => void)[] = [];
  /** One frame at a time is written here. */
  #scratch = new Uint8Array(256);

  constructor(port: HotPort) {
    this.#port = port;
  }

  send(svcId: number, opcode: number, payload?: Uint8Array): boolean {
    const length = 4 + (payload === undefined ? 0 : payload.length);
    if (!this.#port.isUp || this.#port.buffered > BUFFERED_MAX) return false;
    if (length > this.#scratch.length) this.#scratch = new Uint8Array(length * 2);
    const out = this.#scratch;
    out[0] = VERSION;
    out[1] = svcId;
    out[2] = opcode;
    out[3] = 0;
    if (payload !== undefined) out.set(payload, 4);
    this.#port.sendFrame(out.subarray(0, length));
    return true;
  }

  on(svcId: number, run: HotHandler): () => void {
    this.#handlers.set(svcId, [...this.#handlers.get(svcId) ?? [], run]);
    return () => {
      const rest = (this.#handlers.get(svcId) ?? []).filter((other) => other !== run);
      if (rest.length > 0) this.#handlers.set(svcId, rest);
      else this.#handlers.delete(svcId);
    };
  }

  onBare(run: (bytes: Uint8Array) => void): () => void {
    this.#bare = [...this.#bare, run];
    return () => {
      this.#bare = this.#bare.filter((other) => other !== run);
    };
  }

  receive(frame: Uint8Array): void {
    const handlers = frame[0] === VERSION && frame.length >= 4 ? this.#handlers.get(frame[1]!) : undefined;
    if (handlers === undefined) {
      for (const run of this.#bare) run(frame);
      return;
    }
    const flags = frame[3]!;
    let at = 4 + (flags & SEQ) * 4;
    let sender = 0;
    if ((flags & SENDER) !== 0) {
      sender = (frame[at]! | frame[at + 1]! << 8 | frame[at + 2]! << 16 | frame[at + 3]! << 24) >>> 0;
      at += 4;
    }
    const payload = frame.subarray(at);
    for (const run of handlers) run(frame[2]!, sender, payload);
  }
}
