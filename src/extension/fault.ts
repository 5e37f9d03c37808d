// Why a host was ended, and whose fault that was: who was busy, who is the largest. Where it cannot be told, all who
// may have been it are suspects, and run alone from then on, so that the next time shows.

import type { WorkerReport } from "../program/messages.ts";

/** Why a host has ended. */
export type KillCause =
  /** A worker did not yield. */
  | "cpu"
  /** The host was larger than it may be. */
  | "memory"
  /** It did not report any more. */
  | "silent"
  /** It did not read what it was sent. */
  | "stalled"
  /** What it said cannot be read. */
  | "garbage"
  /** It said too much. */
  | "flood"
  /** It ended by itself. */
  | "crashed";

/** A worker of a host that has ended. */
export interface Seated {
  readonly slot: number;
  readonly limits: { readonly cpuMs: number; readonly memoryMb: number };
}

export interface Verdict {
  /** Slots of those whose fault it was. */
  readonly guilty: ReadonlySet<number>;
  /** Slots of those who may have been it; empty where somebody is guilty. */
  readonly suspects: ReadonlySet<number>;
}

/** @param slot the worker by which it was noticed; null where it was none */
export function attributeFault(
  cause: KillCause,
  slot: number | null,
  owners: readonly Seated[],
  reports: readonly WorkerReport[],
): Verdict {
  if (owners.length === 1) return guilty(owners[0]!.slot);
  if (slot !== null && owners.some((owner) => owner.slot === slot)) return guilty(slot);
  const known = reports.filter((report) => owners.some((owner) => owner.slot === report.slot));
  if (cause === "cpu") {
    const over = known.filter(({ slot, busyMs }) =>
      busyMs > owners.find((owner) => owner.slot === slot)!.limits.cpuMs
    );
    return one(over) ?? suspects(over.length > 0 ? over : owners);
  }
  if (cause === "memory" || cause === "crashed") {
    const large = known.filter(({ slot, heapBytes }) =>
      heapBytes > owners.find((owner) => owner.slot === slot)!.limits.memoryMb * 1_048_576
    );
    const found = one(large);
    if (found !== null) return found;
  }
  const busy = known.filter(({ busyMs }) => busyMs > 0);
  return one(busy) ?? suspects(busy.length > 0 ? busy : owners);
}

function one(found: readonly { readonly slot: number }[]): Verdict | null {
  return found.length === 1 ? guilty(found[0]!.slot) : null;
}

function guilty(slot: number): Verdict {
  return { guilty: new Set([slot]), suspects: new Set() };
}

function suspects(found: readonly { readonly slot: number }[]): Verdict {
  return { guilty: new Set(), suspects: new Set(found.map(({ slot }) => slot)) };
}
