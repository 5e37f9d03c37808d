// Fragments on Bun, which shows none before a message is whole: a peer could send empty ones without end and hold the loop
// with them. They are reckoned from what the kernel says that a socket has received. Whatever is neither a message that
// came nor as much as the largest one that may be under way is the headers of fragments, of 14 bytes at most each.

import process from "node:process";
import ipaddr from "ipaddr.js";
import type { SocketCalls } from "./unsent_bytes.ts";

const LOOK_MS = 250;
/** Below this part of a core nobody is hurt, and the sockets need not be looked at: 10,000 of them take some 20 ms. */
const BUSY = 0.3;
/** And then no more often than this. */
const READ_MS = 1000;
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

/** Looks at the sockets of one server now and then. */
export class FragmentMeter {
  readonly #calls: SocketCalls;
  readonly #links: Iterable<Metered>;
  readonly #maxMessageBytes: () => number;
  #timer: ReturnType<typeof setInterval> | null = null;
  #cpu = process.cpuUsage();
  #at = performance.now();
  #readAt = 0;

  constructor(calls: SocketCalls, links: Iterable<Metered>, maxMessageBytes: () => number) {
    this.#calls = calls;
    this.#links = links;
    this.#maxMessageBytes = maxMessageBytes;
  }

  start(): void {
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  #look(): void {
    const now = performance.now();
    const cpu = process.cpuUsage(this.#cpu);
    const busy = (cpu.user + cpu.system) / 1000 / (now - this.#at);
    this.#cpu = process.cpuUsage();
    this.#at = now;
    if (busy < BUSY || now - this.#readAt < READ_MS) return;
    this.#readAt = now;
    this.read();
  }

  /** Tells each link how many fragments it has sent since the last time. */
  read(): void {
    let received: Map<string, number>;
    try {
      received = this.#calls.received();
    } catch { // no descriptor to read the list of descriptors
      return;
    }
    const spare = this.#maxMessageBytes() + HEADER_BYTES;
    for (const link of this.#links) {
      const bytes = received.get(keyOf(link));
      if (bytes === undefined) continue;
      // Other requests may have come this way before the handshake.
      if (link.toldBytes < 0) link.toldBytes = Math.max(0, bytes - link.countedBytes);
      const fragments = Math.floor((bytes - link.countedBytes - link.toldBytes - spare) / HEADER_BYTES);
      if (fragments <= 0) continue;
      link.toldBytes += fragments * HEADER_BYTES;
      link.tell(Math.min(fragments, TOLD_MAX));
    }
  }
}

function keyOf({ peerAddress, peerPort }: Metered): string {
  try {
    return `${peerPort} ${ipaddr.process(peerAddress).toByteArray().join(".")}`;
  } catch {
    return "";
  }
}
