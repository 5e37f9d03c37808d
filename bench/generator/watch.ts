// What is read beside a load while it runs: the server's memory, what the kernel holds, and the gateway's own metrics.
// All of it costs a little on either side, so it is read seldom, and for both sides of a comparison alike.

import { kernelTcpBytes, residentBytes } from "../proc.ts";
import { pause } from "./pace.ts";

export interface WatchOptions {
  readonly serverPid: number;
  /** The gateway's metrics; null: not read. */
  readonly metricsUrl: string | null;
  /** Bytes that the kernel holds for the sessions in question. */
  readonly kernelBytes: () => number;
}

/** Between two readings of the memory, and of everything else, in milliseconds. */
const MEMORY_MS = 50;
const REST_MS = 1000;

/** Watches from its construction on. */
export class Watch {
  /** When it began. */
  readonly residentBytes: number;
  residentBytesMax: number;
  readonly kernelTcpBytes: number = kernelTcpBytes();
  kernelTcpBytesMax = 0;
  outboxBytesMax = 0;
  dropped = 0;
  slowConsumers = 0;
  readonly #options: WatchOptions;
  readonly #held: number[] = [];

  constructor(options: WatchOptions) {
    this.#options = options;
    this.residentBytes = this.residentBytesMax = residentBytes(options.serverPid);
    setInterval(() => this.#look(), MEMORY_MS);
    setInterval(() => this.#lookFurther(), REST_MS);
  }

  /** The median of what the kernel held. */
  get kernelBytes(): number {
    return this.#held.toSorted((a, b) => a - b)[this.#held.length >> 1] ?? 0;
  }

  /** A last look at everything. */
  async look(): Promise<void> {
    this.#look();
    await this.#lookFurther();
  }

  #look(): void {
    this.residentBytesMax = Math.max(this.residentBytesMax, residentBytes(this.#options.serverPid));
    this.kernelTcpBytesMax = Math.max(this.kernelTcpBytesMax, kernelTcpBytes());
  }

  async #lookFurther(): Promise<void> {
    const { metricsUrl } = this.#options;
    this.#held.push(this.#options.kernelBytes());
    if (metricsUrl === null) return;
    const text = await (await fetch(metricsUrl)).text();
    this.outboxBytesMax = Math.max(this.outboxBytesMax, total(text, "wsprism_outbox_bytes", ""));
    this.dropped = total(text, "wsprism_drops_total", "");
    this.slowConsumers = total(text, "wsprism_session_closes_total", 'name="slow_consumer"');
  }
}

/** Adds up a metric's values, of those whose labels have `part` in them. */
function total(text: string, metric: string, part: string): number {
  let sum = 0;
  for (const line of text.split("\n")) {
    const rest = line.startsWith(metric) ? line.slice(metric.length) : "";
    if ((rest.startsWith(" ") || rest.startsWith("{")) && rest.includes(part)) {
      sum += Number(rest.slice(rest.lastIndexOf(" ") + 1));
    }
  }
  return sum;
}

/** A server's memory, once it has not moved by 0.2 % for a second; after 10 s, whatever it is. */
export async function settledBytes(pid: number): Promise<number> {
  let before = residentBytes(pid);
  for (let second = 0; second < 10; second++) {
    await pause(1);
    const now = residentBytes(pid);
    if (second > 0 && Math.abs(now - before) < before * 0.002) return now;
    before = now;
  }
  return before;
}
