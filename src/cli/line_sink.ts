// Lines on their way to a stream that may stall, be full, or have nobody at its other end. Nobody waits for them and
// nothing ends because of them: what finds no room is dropped and counted, and told of once lines can be written again.

import { Buffer } from "node:buffer";

export interface LineSinkOptions {
  /** Writes bytes without holding up the loop. @returns how many were taken; rejects with the system's error */
  readonly write: (bytes: Uint8Array) => Promise<number>;
  /** The line, with its line end, that tells of so many lines that were dropped. */
  readonly notice: (lines: number) => string;
  /** Calls later; nothing waits for it. */
  readonly later: (ms: number, task: () => void) => void;
}

/** Bytes that may wait; about a thousand lines. */
const WAITING_BYTES_MAX = 262_144;
/** Bytes of one write: what a pipe holds by itself. */
const WRITE_BYTES_MAX = 65_536;
/** After an error, a write is tried again this much later. */
const RETRY_MS = 1000;
/** The same where the stream says that it is full for now. */
const FULL_MS = 20;

interface Batch {
  readonly bytes: Uint8Array;
  /** What becomes of its lines when they cannot be written. */
  readonly failed: () => void;
}

export class LineSink {
  /** Lines that were dropped so far. */
  dropped = 0;
  readonly #options: LineSinkOptions;
  #waiting: string[] = [];
  #waitingBytes = 0;
  /** Dropped, and not told of yet. */
  #untold = 0;
  /** A write or a pause before the next one is under way. */
  #busy = false;
  /** What was written last ended within a line. */
  #midLine = false;
  #closed = false;
  #idle: (() => void)[] = [];

  constructor(options: LineSinkOptions) {
    this.#options = options;
  }

  /** Takes a line with its line end. Returns at once. */
  write(line: string): void {
    const bytes = Buffer.byteLength(line);
    // Once a line is missing, those after it are too until that is told, so that the notice stands where they would.
    if (this.#untold > 0 || this.#closed || this.#waitingBytes + bytes > WAITING_BYTES_MAX) {
      this.#drop(1);
    } else {
      this.#waiting.push(line);
      this.#waitingBytes += bytes;
    }
    if (!this.#busy) void this.#run();
  }

  /** Resolves once nothing waits, or nothing can be written now, after so long at most: for who has much to say at once. */
  async written(ms: number): Promise<void> {
    if (!this.#busy) return;
    await new Promise<void>((resolve) => {
      this.#idle.push(resolve);
      this.#options.later(ms, resolve);
    });
  }

  /** Writes what waits, for so long at most; from then on lines are dropped. */
  async close(ms: number): Promise<void> {
    await this.written(ms);
    this.#closed = true;
  }

  /** One write after the other until nothing waits. */
  async #run(): Promise<void> {
    this.#busy = true;
    for (let batch = this.#next(); batch !== null && !this.#closed; batch = this.#next()) {
      await this.#put(batch);
    }
    this.#busy = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #next(): Batch | null {
    if (this.#waiting.length > 0) return this.#take();
    if (this.#untold === 0) return null;
    // From here on lines are taken again: they stand behind the notice.
    const lines = this.#untold;
    this.#untold = 0;
    return { bytes: this.#encode(this.#options.notice(lines)), failed: () => this.#untold += lines };
  }

  #take(): Batch {
    let bytes = 0, lines = 0;
    while (lines < this.#waiting.length && (lines === 0 || bytes < WRITE_BYTES_MAX)) {
      bytes += Buffer.byteLength(this.#waiting[lines++]!);
    }
    this.#waitingBytes -= bytes;
    const text = this.#waiting.splice(0, lines).join("");
    return { bytes: this.#encode(text), failed: () => this.#drop(lines) };
  }

  /** A line that an error cut off is ended first. */
  #encode(text: string): Uint8Array {
    return new TextEncoder().encode(this.#midLine ? `\n${text}` : text);
  }

  async #put({ bytes, failed }: Batch): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      try {
        at += await this.#options.write(at === 0 ? bytes : bytes.subarray(at));
        this.#midLine = at < bytes.length;
      } catch (error) {
        const code = error instanceof Error && "code" in error ? error.code : null;
        if (code === "EINTR") continue;
        if (code === "EAGAIN") {
          await this.#pause(FULL_MS);
          if (this.#closed) return;
          continue;
        }
        failed();
        // Whoever stops does not wait for the next attempt.
        for (const resolve of this.#idle.splice(0)) resolve();
        return await this.#pause(RETRY_MS);
      }
    }
  }

  #drop(lines: number): void {
    this.dropped += lines;
    this.#untold += lines;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#options.later(ms, resolve));
  }
}
