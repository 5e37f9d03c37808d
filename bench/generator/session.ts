// One WebSocket of the load generator, without its socket: takes the bytes that were read, counts deliveries
// and says how many of them were answers to its own messages. The walk over frame headers is the generator's
// hot loop: everything else in here happens rarely.

import { Latency } from "./latency.ts";
import type { Load, MessageShape } from "./load_spec.ts";
import { OPCODE, readStamp, type Stamp } from "./frames.ts";

/** What shows that a text is a `sys.gap`, or the answer to a probe. */
const GAP = '"type":"gap"';
const PONG = '"type":"pong"';

/** Totals over all sessions of a generator, and what they share. */
export interface Tally {
  received: number;
  receivedBytes: number;
  strays: number;
  firstStray: string;
  readonly latency: Latency;
  /** Round trips of probes, and the shape of these. */
  readonly probe: Latency;
  readonly probeShape: MessageShape | null;
  /** `sys.gap` messages to slow sessions. */
  gaps: number;
  readonly shape: MessageShape;
  readonly opcode: number;
  readonly sampleEvery: number;
  readonly readyText: string | null;
  readonly epoch: number;
}

/** What a session does besides reading. */
export interface Role {
  /** Publishers in a closed loop: which deliveries are theirs has to be known exactly. */
  readonly watch: boolean;
  /** Every delivery is an answer to its own message: nothing has to be looked up. */
  readonly echo: boolean;
  /** It reads slowly: that it is told of drops is as it should be. */
  readonly slow: boolean;
}

/** Where a session is: waiting for the 101, for the text that makes it ready, or measuring. */
type State = "upgrading" | "greeting" | "ready";

/** Totals that nothing has been added to. */
export function newTally(load: Load): Tally {
  return {
    received: 0,
    receivedBytes: 0,
    strays: 0,
    firstStray: "",
    latency: new Latency(),
    probe: new Latency(),
    probeShape: load.probe?.message ?? null,
    gaps: 0,
    shape: load.message,
    opcode: load.message.kind === "text" ? OPCODE.text : OPCODE.binary,
    sampleEvery: load.sampleEvery,
    readyText: load.readyText,
    epoch: performance.now(),
  };
}

/** Microseconds since the generator's start, as a u32: stamps wrap after 71 minutes. */
export function microsSince(epoch: number): number {
  return ((performance.now() - epoch) * 1000) >>> 0;
}

/** A session's reading half. */
export class Session {
  readonly number: number;
  state: State = "upgrading";
  readonly #role: Role;
  /** From the role, for the hot loop. */
  readonly #watch: boolean;
  readonly #tally: Tally;
  readonly #stamp: Stamp = { micros: 0, sender: 0 };
  /** The start of a frame (or of the HTTP answer) whose rest has not arrived. */
  #partial: Uint8Array | null = null;
  #untilSample: number;
  #own = 0;
  #pings = 0;

  constructor(number: number, tally: Tally, role: Role) {
    this.number = number;
    this.#tally = tally;
    this.#role = role;
    this.#watch = role.watch;
    this.#untilSample = 1 + number % tally.sampleEvery;
  }

  /** Takes what was read. Returns the number of its own messages that came back. */
  take(chunk: Uint8Array): number {
    this.#own = 0;
    let at = 0;
    if (this.state === "upgrading") at = this.#upgrade(chunk);
    else if (this.#partial !== null) at = this.#complete(chunk);
    if (at < chunk.length) this.#walk(chunk, at);
    return this.#own;
  }

  /** Pings that came since the last call; each wants a pong. */
  takePings(): number {
    const pings = this.#pings;
    this.#pings = 0;
    return pings;
  }

  #upgrade(chunk: Uint8Array): number {
    const before = this.#partial?.length ?? 0;
    const head = this.#partial === null ? chunk : concat(this.#partial, chunk);
    const text = new TextDecoder("latin1").decode(head);
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) {
      this.#partial = head.slice();
      return chunk.length;
    }
    this.#partial = null;
    if (!text.startsWith("HTTP/1.1 101")) {
      throw new Error(`Cannot open session ${this.number}: got "${text}"`);
    }
    this.state = this.#tally.readyText === null ? "ready" : "greeting";
    return end + 4 - before;
  }

  #walk(bytes: Uint8Array, from: number): void {
    const tally = this.#tally;
    const opcode = 0x80 | tally.opcode;
    const end = bytes.length;
    let at = from;
    let received = 0;
    while (end - at >= 2) {
      let size = bytes[at + 1]!;
      let payloadAt = at + 2;
      if (size === 126) {
        if (end - at < 4) break;
        size = bytes[at + 2]! << 8 | bytes[at + 3]!;
        payloadAt = at + 4;
      } else if (size > 126) {
        throw new Error(`Cannot read session ${this.number}: a frame of 64 KiB or more, or a masked one`);
      }
      const next = payloadAt + size;
      if (next > end) break;
      if (bytes[at] === opcode && this.state === "ready") {
        received++;
        if (this.#watch || --this.#untilSample === 0) this.#look(bytes, payloadAt, next);
      } else {
        this.#other(bytes[at]! & 15, bytes, payloadAt, next);
      }
      at = next;
    }
    tally.received += received;
    tally.receivedBytes += at - from;
    if (this.#role.echo) this.#own += received;
    if (at < end) this.#partial = bytes.slice(at);
  }

  #look(bytes: Uint8Array, at: number, end: number): void {
    const tally = this.#tally;
    const stamp = this.#stamp;
    const sampled = this.#watch ? --this.#untilSample === 0 : true;
    if (sampled) this.#untilSample = tally.sampleEvery;
    if (!readStamp(bytes, at, end, tally.shape, stamp)) {
      this.#stray(bytes, at, end);
      return;
    }
    if (sampled) tally.latency.add(microsSince(tally.epoch) - stamp.micros);
    if (this.#watch && stamp.sender === this.number) this.#own++;
  }

  #other(opcode: number, bytes: Uint8Array, at: number, end: number): void {
    if (opcode === OPCODE.ping) this.#pings++;
    else if (opcode === OPCODE.close) this.#stray(bytes, at + 2, end);
    else if (opcode === OPCODE.text && this.state === "greeting") {
      const text = new TextDecoder().decode(bytes.subarray(at, end));
      if (text.includes('"type":"error"')) this.#stray(bytes, at, end);
      else if (text.includes(this.#tally.readyText ?? "")) this.state = "ready";
    } else if (opcode === OPCODE.text && (this.#role.slow || this.#tally.probeShape !== null)) {
      this.#aside(bytes, at, end);
    } else if (opcode !== OPCODE.pong) this.#stray(bytes, at, end);
  }

  /** A text beside the messages that are measured. */
  #aside(bytes: Uint8Array, at: number, end: number): void {
    const tally = this.#tally;
    const text = new TextDecoder().decode(bytes.subarray(at, end));
    if (text.includes(GAP) && this.#role.slow) tally.gaps++;
    else if (
      tally.probeShape !== null && text.includes(PONG) &&
      readStamp(bytes, at, end, tally.probeShape, this.#stamp)
    ) tally.probe.add(microsSince(tally.epoch) - this.#stamp.micros);
    else this.#stray(bytes, at, end);
  }

  #stray(bytes: Uint8Array, at: number, end: number): void {
    if (this.#tally.strays++ === 0) {
      this.#tally.firstStray = new TextDecoder().decode(bytes.subarray(at, Math.min(end, at + 200)));
    }
  }

  /** Fills up the frame that `#partial` begins, and returns where the walk goes on in `chunk`. */
  #complete(chunk: Uint8Array): number {
    const partial = this.#partial ?? chunk.subarray(0, 0);
    const head = concat(partial, chunk.subarray(0, 4));
    const size = head.length < 2 ? 2 : head[1]! < 126 ? 2 + head[1]! : 4 + (head[2]! << 8 | head[3]!);
    const used = Math.min(chunk.length, size - partial.length);
    this.#partial = null;
    this.#walk(concat(partial, chunk.subarray(0, used)), 0);
    return used;
  }
}

function concat(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
