// Bun shows no fragment before its message is whole, so that a peer could send empty ones without end and hold the loop
// with them. They are reckoned from what the kernel says that was read from a socket. Whatever is neither a message that
// came nor as much as the largest one that may be under way is the headers of fragments, of 14 bytes at most each.

import process from "node:process";
import ipaddr from "ipaddr.js";

const LOOK_MS = 25;
/** Below this part of a core nobody is hurt, and the sockets need not be looked at: 10,000 of them take some 20 ms. */
const BUSY = 0.3;
/** What looking costs, in times of itself: a fiftieth of the loop. */
const TIMES = 49;
/** Sockets or links after which others have their turn. */
const PIECE = 128;
const HEADER_BYTES = 14;
/** More than anybody is told at once: above it a session is closed. */
const TOLD_MAX = 70_000;

/** A link, as the meter sees it. */
export interface Metered {
  readonly peerAddress: string;
  readonly peerPort: number;
  /** At least as many bytes as its messages and control frames took on the wire. */
  readonly countedBytes: number;
  /** Bytes that were told as fragments, or came before the meter saw the link first; negative until then. */
  toldBytes: number;
  tell(fragments: number): void;
}

/** What the kernel knows of the sockets. */
export interface Sockets {
  /** Bytes that were read from each, by its peer: see `keyOf`. */
  read(): Iterable<readonly [peer: string, bytes: number]>;
}

/** Looks at the sockets of one server now and then. */
export class FragmentMeter {
  readonly #sockets: Sockets;
  readonly #links: Iterable<Metered>;
  readonly #maxMessageBytes: () => number;
  #timer: ReturnType<typeof setInterval> | null = null;
  #cpu = process.cpuUsage();
  #at = performance.now();
  #nextAt = 0;
  #isReading = false;

  constructor(sockets: Sockets, links: Iterable<Metered>, maxMessageBytes: () => number) {
    this.#sockets = sockets;
    this.#links = links;
    this.#maxMessageBytes = maxMessageBytes;
  }

  start(): void {
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  #look(): void {
    const now = performance.now();
    if (this.#isReading || now < this.#nextAt) return;
    const cpu = process.cpuUsage(this.#cpu);
    const busy = (cpu.user + cpu.system) / 1000 / (now - this.#at);
    this.#cpu = process.cpuUsage();
    this.#at = now;
    if (busy < BUSY) return;
    this.#isReading = true;
    void this.read().then((workedMs) => {
      this.#isReading = false;
      this.#nextAt = performance.now() + workedMs * TIMES;
    });
  }

  /** Tells each link how many fragments it has sent since the last time. @returns milliseconds of work */
  async read(): Promise<number> {
    const read = new Map<string, number>();
    let since = performance.now(), workedMs = 0;
    const rest = async () => {
      workedMs += performance.now() - since;
      await new Promise((resolve) => setTimeout(resolve, 0));
      since = performance.now();
    };
    try {
      for (const [peer, bytes] of this.#sockets.read()) {
        read.set(peer, bytes);
        if (read.size % PIECE === 0) await rest();
      }
    } catch { // no descriptor to read the list of descriptors
      return workedMs;
    }
    let seen = 0;
    for (const link of this.#links) {
      this.#tell(link, read.get(keyOf(link)));
      if (++seen % PIECE === 0) await rest();
    }
    return workedMs + performance.now() - since;
  }

  #tell(link: Metered, bytes: number | undefined): void {
    if (bytes === undefined) return;
    // Other requests may have come this way before the handshake.
    if (link.toldBytes < 0) link.toldBytes = Math.max(0, bytes - link.countedBytes);
    const spare = this.#maxMessageBytes() + HEADER_BYTES;
    const fragments = Math.floor((bytes - link.countedBytes - link.toldBytes - spare) / HEADER_BYTES);
    if (fragments <= 0) return;
    link.toldBytes += fragments * HEADER_BYTES;
    link.tell(Math.min(fragments, TOLD_MAX));
  }
}

/** "port address", the address's bytes joined by dots, four of them for IPv4. */
export function keyOf({ peerAddress, peerPort }: Pick<Metered, "peerAddress" | "peerPort">): string {
  try {
    return `${peerPort} ${ipaddr.process(peerAddress).toByteArray().join(".")}`;
  } catch {
    return "";
  }
}
