// A flush as one piece of bytes. Members of a room are flushed one after another, and a turn has brought them the very
// same frames: they are joined once, and the same bytes are written to all.

import type { WireFrame } from "../port.ts";

/** The wire's form of a frame. */
export type WireOf = (frame: WireFrame) => Uint8Array;

export class RunJoiner {
  readonly #wireOf: WireOf;
  /** What was joined last. */
  readonly #frames: WireFrame[] = [];
  #joined: Uint8Array | null = null;

  constructor(wireOf: WireOf) {
    this.#wireOf = wireOf;
  }

  /** @returns bytes that nobody MUST change */
  join(frames: readonly WireFrame[], count: number): Uint8Array {
    if (count === 1) return this.#wireOf(frames[0]!);
    if (this.#joined !== null && this.#isSame(frames, count)) return this.#joined;
    let length = 0;
    for (let i = 0; i < count; i++) length += this.#wireOf(frames[i]!).length;
    const joined = new Uint8Array(length);
    this.#frames.length = count;
    for (let i = 0, at = 0; i < count; i++) {
      const wire = this.#wireOf(frames[i]!);
      this.#frames[i] = frames[i]!;
      joined.set(wire, at);
      at += wire.length;
    }
    return this.#joined = joined;
  }

  /** Lets go of what it keeps. */
  forget(): void {
    this.#joined = null;
    this.#frames.length = 0;
  }

  #isSame(frames: readonly WireFrame[], count: number): boolean {
    const before = this.#frames;
    if (before.length !== count) return false;
    for (let i = 0; i < count; i++) if (before[i] !== frames[i]) return false;
    return true;
  }
}
