// Who comes up most often, of more names than anybody would remember: the space-saving algorithm (Metwally, Agrawal,
// El Abbadi, 2005). Exact as long as there are no more names than places; above, a name that is counted may have up to
// `over` counts that were others', and whoever has more than a place's share of all counts is never missing.

/** A name that comes up often. */
export interface TopEntry {
  readonly name: string;
  /** How often, at most. */
  readonly count: number;
  /** How much of that may have been others'. */
  readonly over: number;
}

interface Place {
  count: number;
  over: number;
}

/** The names of one stretch of time. */
class Sketch {
  readonly #max: number;
  readonly #places = new Map<string, Place>();
  /** Names that had the least count when that was looked for last, to be replaced first. */
  #least: string[] = [];
  #leastCount = 0;

  constructor(max: number) {
    this.#max = max;
  }

  add(name: string, by: number): void {
    const known = this.#places.get(name);
    if (known !== undefined) known.count += by;
    else if (this.#places.size < this.#max) this.#places.set(name, { count: by, over: 0 });
    else {
      const gone = this.#leastOf();
      const { count } = this.#places.get(gone)!;
      this.#places.delete(gone);
      this.#places.set(name, { count: count + by, over: count });
    }
  }

  *entries(): Generator<TopEntry> {
    for (const [name, { count, over }] of this.#places) yield { name, count, over };
  }

  /** A name with the least count; looked for anew only when none is left of those that had it. */
  #leastOf(): string {
    for (let name = this.#least.pop(); name !== undefined; name = this.#least.pop()) {
      if (this.#places.get(name)?.count === this.#leastCount) return name;
    }
    this.#leastCount = Infinity;
    for (const { count } of this.#places.values()) if (count < this.#leastCount) this.#leastCount = count;
    for (const [name, { count }] of this.#places) if (count === this.#leastCount) this.#least.push(name);
    return this.#least.pop()!;
  }
}

/** The same of the last one to two stretches of time. */
export class TopSketch {
  readonly #max: number;
  readonly #stretchMs: number;
  #now: Sketch;
  #before: Sketch;
  #since: number;
  #beforeSince: number;

  /**
   * @param max names that are remembered of each stretch
   * @param now milliseconds of a monotonic clock
   */
  constructor(max: number, stretchMs: number, now: number) {
    this.#max = max;
    this.#stretchMs = stretchMs;
    this.#now = new Sketch(max);
    this.#before = new Sketch(max);
    this.#since = this.#beforeSince = now;
  }

  add(name: string, by: number): void {
    this.#now.add(name, by);
  }

  /** Time has passed: what is too old is let go of. */
  turn(now: number): void {
    if (now - this.#since < this.#stretchMs) return;
    const isRecent = now - this.#since < 2 * this.#stretchMs;
    this.#before = isRecent ? this.#now : new Sketch(this.#max);
    this.#beforeSince = isRecent ? this.#since : now;
    this.#now = new Sketch(this.#max);
    this.#since = now;
  }

  /** Since when is counted. */
  get since(): number {
    return this.#beforeSince;
  }

  /** Those with the highest counts, highest first. */
  top(limit: number): TopEntry[] {
    const all = new Map<string, Place>();
    for (const sketch of [this.#before, this.#now]) {
      for (const { name, count, over } of sketch.entries()) {
        const known = all.get(name);
        if (known === undefined) all.set(name, { count, over });
        else {
          known.count += count;
          known.over += over;
        }
      }
    }
    return [...all].map(([name, place]) => ({ name, ...place }))
      .sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1)).slice(0, limit);
  }
}
