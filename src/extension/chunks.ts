// Chunks as bytes (see messages.ts), for both ends of a host's pipes: written whole, read from pieces of any size.

import { Buffer } from "node:buffer";
import { CHUNK_HEAD_BYTES } from "../program/messages.ts";

/** A chunk as it came: the slot, and JSON that nobody has looked at. */
export interface Chunk {
  readonly slot: number;
  /** No copy: it shares the memory of what it came in. */
  readonly body: Uint8Array;
}

/** A chunk of messages that are JSON already. */
export function writeChunk(slot: number, messages: readonly string[]): Uint8Array {
  const text = `[${messages.join(",")}]`;
  const bytes = Buffer.byteLength(text);
  const chunk = Buffer.allocUnsafe(CHUNK_HEAD_BYTES + bytes);
  chunk.writeUInt32LE(bytes, 0);
  chunk.writeUInt32LE(slot, 4);
  chunk.write(text, CHUNK_HEAD_BYTES);
  return chunk;
}

/** Puts chunks together from the pieces in which a pipe delivers them. Holds one chunk at most, in one buffer. */
export class ChunkReader {
  readonly #maxBytes: number;
  /** The beginning of a chunk: its head alone, or room for all of it. */
  #part: Buffer | null = null;
  #filled = 0;

  /** @param maxBytes largest body of a chunk */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Takes a piece. @returns the chunks that it completes; null for one that is too large, and then all is over */
  read(piece: Uint8Array): readonly Chunk[] | null {
    const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.length);
    const chunks: Chunk[] = [];
    let at = 0;
    while (at < bytes.length) {
      if (this.#part === null) {
        const size = this.#sizeAt(bytes, at);
        if (size === null) return null;
        if (bytes.length - at >= size && size > CHUNK_HEAD_BYTES) {
          chunks.push(chunkOf(bytes.subarray(at, at + size)));
          at += size;
          continue;
        }
        this.#part = Buffer.allocUnsafe(size);
        this.#filled = 0;
      }
      at += this.#fill(bytes.subarray(at));
      if (this.#filled < this.#part.length) break;
      const size = this.#sizeAt(this.#part, 0);
      if (size === null) return null;
      if (size > this.#filled) {
        // That was the head.
        const whole: Buffer = Buffer.allocUnsafe(size);
        this.#part.copy(whole);
        this.#part = whole;
        continue;
      }
      chunks.push(chunkOf(this.#part));
      this.#part = null;
    }
    return chunks;
  }

  /** Bytes of a chunk that begins here, its head included: of the head where that is not whole. Null: too many. */
  #sizeAt(bytes: Buffer, at: number): number | null {
    if (bytes.length - at < CHUNK_HEAD_BYTES) return CHUNK_HEAD_BYTES;
    const length = bytes.readUInt32LE(at);
    return length > this.#maxBytes ? null : CHUNK_HEAD_BYTES + length;
  }

  #fill(bytes: Buffer): number {
    const copied = bytes.copy(this.#part!, this.#filled);
    this.#filled += copied;
    return copied;
  }
}

function chunkOf(bytes: Buffer): Chunk {
  const { buffer, byteOffset, length } = bytes;
  // No `Buffer`, whose `slice` does not copy as that of other arrays does.
  const body = new Uint8Array(buffer, byteOffset + CHUNK_HEAD_BYTES, length - CHUNK_HEAD_BYTES);
  return { slot: bytes.readUInt32LE(4), body };
}
