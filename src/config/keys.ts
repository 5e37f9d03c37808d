// Words for a key that the schema doesn't have: a misspelt one, or one that belongs elsewhere.

import type { MapShape, Shape } from "./shape.ts";

/** What to tell about the unknown `key` in the map at `place`, written as in `tenants[].policy`. */
export function unknownKeyMessage(root: MapShape, place: string, key: string): string {
  if (key === "<<") {
    return "is a merge key, which YAML 1.2 doesn't have; repeat the keys, or use an alias for all of them";
  }
  const near = nearest(root, place, key);
  return near === undefined ? "is not a known key" : `is not a known key; did you mean "${near}"?`;
}

function nearest(root: MapShape, place: string, key: string): string | undefined {
  if (key.length > 40) return undefined;
  const wanted = fold(key);
  let best: { distance: number; far: number; text: string } | undefined;
  for (const [keyPlace, name] of allKeys(root, "")) {
    const distance = editDistance(wanted, fold(name));
    const [far, text] = relative(place, keyPlace, name);
    // A slip changes a third at most; the right name in another map is worth a hint only when it is (nearly) that name.
    if (
      distance >
        (far === 0 ? Math.ceil(Math.max(name.length, key.length) / 3) : Math.min(2, name.length >> 2))
    ) continue;
    if (best === undefined || distance + far < best.distance + best.far) best = { distance, far, text };
  }
  return best?.text;
}

function fold(key: string): string {
  return key.toLowerCase().replaceAll("-", "_").replace(/(?<=[a-z])(?=[0-9])/g, "");
}

function* allKeys(shape: Shape, place: string): Generator<[place: string, name: string]> {
  if (shape.kind === "list") yield* allKeys(shape.item, `${place}[]`);
  if (shape.kind !== "map") return;
  for (const [name, inner] of shape.keys) {
    yield [place, name];
    yield* allKeys(inner, place === "" ? name : `${place}.${name}`);
  }
}

/** How far away a key's map is (0 the same, 1 below, 2 elsewhere), and the key as seen from `place`. */
function relative(place: string, keyPlace: string, name: string): [far: 0 | 1 | 2, text: string] {
  if (keyPlace === place) return [0, name];
  const full = keyPlace === "" ? name : `${keyPlace}.${name}`;
  if (place === "") return [1, full];
  return keyPlace.startsWith(`${place}.`) ? [1, full.slice(place.length + 1)] : [2, full];
}

/** Insertions, deletions, replacements and swaps of neighbours that turn one text into the other. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, before[j - 2]! + 1);
      }
      row.push(cost);
    }
    before = last;
    last = row;
  }
  return last[b.length]!;
}
