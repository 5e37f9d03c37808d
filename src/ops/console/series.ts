// Numbers over the last while, one point every so many milliseconds: what the console draws as lines. Memory is taken once
// and never grows.

export class Series<N extends string> {
  readonly names: readonly N[];
  readonly stepMs: number;
  readonly #length: number;
  readonly #values: Float64Array;
  /** Points ever added. */
  #count = 0;
  #endMs = 0;

  /** @param length points that are kept */
  constructor(names: readonly N[], { length, stepMs }: { readonly length: number; readonly stepMs: number }) {
    this.names = names;
    this.stepMs = stepMs;
    this.#length = length;
    this.#values = new Float64Array(names.length * length);
  }

  /** @param atMs Unix time in milliseconds */
  add(values: Readonly<Record<N, number>>, atMs: number): void {
    const at = (this.#count++ % this.#length) * this.names.length;
    for (const [i, name] of this.names.entries()) this.#values[at + i] = values[name];
    this.#endMs = atMs;
  }

  /** Points ever added: the number of the next one. */
  get count(): number {
    return this.#count;
  }

  /** When the last point was added, Unix time in milliseconds. */
  get endMs(): number {
    return this.#endMs;
  }

  /** The points from this number on, as far as they are kept, oldest first, by name. */
  since(from: number): Record<N, number[]> {
    const first = Math.max(from, this.#count - this.#length, 0), width = this.names.length;
    const found = {} as Record<N, number[]>;
    for (const [i, name] of this.names.entries()) {
      const points: number[] = [];
      for (let n = first; n < this.#count; n++) points.push(this.#values[(n % this.#length) * width + i]!);
      found[name] = points;
    }
    return found;
  }
}
