// What a worker says: events collected until the next macrotask and handed over as chunks, in the form in which they stand in
// the pipe.

import { setImmediate } from "node:timers";
import { BATCH_CHARS, CHUNK_HEAD_BYTES } from "../../program/messages.ts";

const encoder = new TextEncoder();

export class MessageWriter {
  readonly #slot: number;
  readonly #hand: (chunk: Uint8Array<ArrayBuffer>) => void;
  #events: string[] = [];
  #chars = 0;

  /** @param hand takes a chunk, whose memory is its own */
  constructor(slot: number, hand: (chunk: Uint8Array<ArrayBuffer>) => void) {
    this.#slot = slot;
    this.#hand = hand;
  }

  /** @param event JSON of a `WorkerEvent` */
  say(event: string): void {
    if (this.#events.length === 0) setImmediate(() => this.flush());
    this.#events.push(event);
    this.#chars += event.length;
    if (this.#chars > BATCH_CHARS) this.flush();
  }

  flush(): void {
    if (this.#events.length === 0) return;
    const text = `[${this.#events.join(",")}]`;
    this.#events = [];
    this.#chars = 0;
    this.#hand(chunkOf(this.#slot, text));
  }
}

/** In memory of its own, as it is given away: a `Buffer` may be a part of a pool. */
function chunkOf(slot: number, text: string): Uint8Array<ArrayBuffer> {
  // Latin text, which is most of it, needs one byte a character.
  let chunk = new Uint8Array(CHUNK_HEAD_BYTES + text.length);
  const { read, written } = encoder.encodeInto(text, chunk.subarray(CHUNK_HEAD_BYTES));
  let length = written;
  if (read < text.length) {
    const body = encoder.encode(text);
    length = body.length;
    chunk = new Uint8Array(CHUNK_HEAD_BYTES + length);
    chunk.set(body, CHUNK_HEAD_BYTES);
  } else if (written < text.length) chunk = chunk.slice(0, CHUNK_HEAD_BYTES + written);
  const head = new DataView(chunk.buffer);
  head.setUint32(0, length, true);
  head.setUint32(4, slot, true);
  return chunk;
}
