// The reference for fair shares: max-min by water-filling, straight from its definition.

/**
 * What each demand gets of a capacity when nobody can get more without somebody who has less getting less. Demands and
 * shares are rates of the same unit.
 */
export function maxMin(demands: readonly number[], capacity: number): number[] {
  const shares = demands.map(() => 0);
  let left = capacity;
  let unmet = demands.map((_, index) => index);
  while (unmet.length > 0 && left > 1e-9) {
    const level = left / unmet.length;
    const modest = unmet.filter((index) => demands[index]! - shares[index]! <= level);
    for (const index of modest.length > 0 ? modest : unmet) {
      const more = Math.min(level, demands[index]! - shares[index]!);
      shares[index]! += more;
      left -= more;
    }
    if (modest.length === 0) break;
    unmet = unmet.filter((index) => !modest.includes(index));
  }
  return shares;
}
