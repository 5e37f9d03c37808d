// A log-linear histogram of microseconds: 64 steps per power of two, so a percentile is right to 1.6 %.
// Numbers only, no allocation per sample.

const STEPS = 64;

/** Collects samples and answers percentiles. */
export class Latency {
  readonly #counts = new Float64Array(STEPS * 32);
  #samples = 0;

  get samples(): number {
    return this.#samples;
  }

  add(micros: number): void {
    const value = micros >>> 0;
    const shift = value < STEPS ? 0 : 25 - Math.clz32(value);
    const index = value < STEPS ? value : (shift + 1) * STEPS + ((value >>> shift) & (STEPS - 1));
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#samples++;
  }

  /** The value that the share `part` (0..1) of the samples does not exceed, in microseconds; 0 without samples. */
  percentile(part: number): number {
    const wanted = this.#samples * part;
    let seen = 0;
    for (const [index, count] of this.#counts.entries()) {
      seen += count;
      if (seen >= wanted && seen > 0) {
        return index < STEPS ? index : (STEPS + index % STEPS) * 2 ** (Math.floor(index / STEPS) - 1);
      }
    }
    return 0;
  }

  /** Takes over all samples of `other`. */
  addAll(other: Latency): void {
    for (const [index, count] of other.#counts.entries()) {
      this.#counts[index] = (this.#counts[index] ?? 0) + count;
    }
    this.#samples += other.#samples;
  }

  reset(): void {
    this.#counts.fill(0);
    this.#samples = 0;
  }
}
