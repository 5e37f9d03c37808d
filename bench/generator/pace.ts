// How a generator waits, and how it does something so many times a second.

/** Done at once, at most. */
const POURED = 512;

/**
 * Each millisecond, what has fallen due since the last one, for ever. At most `POURED` at once, so that a generator that
 * falls behind goes on reading; what was done in all then tells that it did.
 */
export function pour(perSecond: number, one: (number: number) => void): void {
  const start = performance.now();
  let poured = 0;
  const step = () => {
    const due = Math.min(Math.floor((performance.now() - start) * perSecond / 1000), poured + POURED);
    while (poured < due) one(poured++);
    setTimeout(step, 1);
  };
  if (perSecond > 0) step();
}

export function pause(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
