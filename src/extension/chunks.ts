// Chunks as bytes (see messages.ts), for both ends of a host's pipes: written whole, read from pieces of any size.

import { Buffer } from "node:buffer";
import { CHUNK_HEAD_BYTES } from "./messages.ts";

/** A chunk as it came: the slot, and JSON that nobody has looked at. */
export interface Chunk {
  readonly slot: number;
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

/** Puts chunks together from the pieces in which a pipe delivers them. Holds one chunk at most. */
export class ChunkReader {
  readonly #maxBytes: number;
  /** Pieces of a chunk that is not whole yet. */
  #pieces: Uint8Array[] = [];
  #held = 0;
  /** Bytes that have to be there before there is anything to take: a head, or a chunk with its head. */
  #wanted = CHUNK_HEAD_BYTES;

  /** @param maxBytes largest body of a chunk */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Takes a piece. @returns the chunks that it completes; null for one that is too large, and then all is over */
  read(piece: Uint8Array): readonly Chunk[] | null {
    this.#pieces.push(piece);
    this.#held += piece.length;
    if (this.#held < this.#wanted) return [];
    const bytes = this.#pieces.length === 1
      ? Buffer.from(piece.buffer, piece.byteOffset, piece.length)
      : Buffer.concat(this.#pieces);
    const chunks: Chunk[] = [];
    let at = 0;
    for (;;) {
      const left = bytes.length - at;
      this.#wanted = CHUNK_HEAD_BYTES;
      if (left < CHUNK_HEAD_BYTES) break;
      const length = bytes.readUInt32LE(at);
      if (length > this.#maxBytes) return null;
      this.#wanted = CHUNK_HEAD_BYTES + length;
      if (left < this.#wanted) break;
      const from = at + CHUNK_HEAD_BYTES;
      at = from + length;
      chunks.push({ slot: bytes.readUInt32LE(from - 4), body: bytes.subarray(from, at) });
    }
    this.#pieces = at < bytes.length ? [bytes.subarray(at)] : [];
    this.#held = bytes.length - at;
    return chunks;
  }
}
