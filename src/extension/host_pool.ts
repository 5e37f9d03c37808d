// The extension hosts of one tenant: one for all of its extensions, and one more for each that runs alone because it may
// have been the one that brought the others down.

import { Counts } from "../metrics/metrics.ts";
import type { KillCause } from "./fault.ts";
import type { HostsView } from "./extension_metrics.ts";
import { Host, type HostEnd, type HostOptions, type WorkerOwner } from "./host.ts";

/** How a worker was lost with its host. */
export interface Loss {
  readonly cause: KillCause;
  readonly detail: string;
  /** Whether that was its own fault, perhaps, or not at all; "unstarted": its host never ran anything. */
  readonly guilt: "guilty" | "suspect" | "neighbour" | "unstarted";
}

/** Who has a worker, and is told when its host is gone. */
export interface PooledOwner extends WorkerOwner {
  lost(loss: Loss): void;
  /** The host refuses to run workers on this machine. */
  refused(why: string): void;
}

export interface HostPoolOptions extends Omit<HostOptions, "maxBytes" | "ended" | "unsafe"> {
  /** Most that a host may have, in MiB; asked each time. */
  readonly hostMemoryMb: () => number;
}

/** A worker's place. */
export interface Place {
  readonly host: Host;
  readonly slot: number;
}

/**
 * What a host may have besides its extensions' own, and what may stay of each worker that has ended, in MiB. A host takes
 * 55 MiB before it runs anything, and up to 150 MiB with a script that holds nothing and is called as fast as it can be.
 */
const BASE_MB = 128;
const REMAINS_MB = 16;
/** Looks for which a host without workers is kept. */
const EMPTY_LOOKS = 50;

interface Entry {
  readonly host: Host;
  readonly solo: boolean;
  /** Workers that it has been given in all. */
  taken: number;
  emptyLooks: number;
}

export class HostPool implements HostsView {
  readonly ends = new Counts();
  readonly #options: HostPoolOptions;
  readonly #entries = new Set<Entry>();
  /** Why no host runs workers here. */
  #unsafe: string | null = null;

  constructor(options: HostPoolOptions) {
    this.#options = options;
  }

  get tenant(): string {
    return this.#options.tenant;
  }

  get hosts(): number {
    return this.#entries.size;
  }

  get workers(): number {
    return this.#sum(({ owners }) => owners.size);
  }

  get rssBytes(): number {
    return this.#sum(({ rssBytes }) => rssBytes);
  }

  /**
   * Starts a worker.
   * @param solo whether it needs a host of its own
   * @returns its place; a text where there can be none on this machine
   * @throws in one line, when no host can be started
   */
  take(owner: PooledOwner, solo: boolean): Place | string {
    if (this.#unsafe !== null) return this.#unsafe;
    const entry = (solo ? undefined : [...this.#entries].find((entry) => !entry.solo)) ?? this.#open(solo);
    entry.taken++;
    entry.emptyLooks = 0;
    return { host: entry.host, slot: entry.host.take(owner) };
  }

  /** Call it every `LOOK_MS`. */
  look(): void {
    for (const entry of this.#entries) {
      const { host } = entry;
      host.look();
      if (host.owners.size > 0) entry.emptyLooks = 0;
      else if (++entry.emptyLooks > EMPTY_LOOKS) this.#close(entry);
    }
  }

  /** Ends all of them at once. */
  stop(): void {
    for (const entry of this.#entries) this.#close(entry);
  }

  #open(solo: boolean): Entry {
    const host: Host = new Host({
      ...this.#options,
      maxBytes: () => this.#maxBytes(entry),
      ended: (end) => this.#ended(entry, end),
      unsafe: (why) => this.#refused(entry, why),
    });
    const entry: Entry = { host, solo, taken: 0, emptyLooks: 0 };
    this.#entries.add(entry);
    return entry;
  }

  #close(entry: Entry): void {
    this.#entries.delete(entry);
    entry.host.stop();
  }

  #maxBytes({ host, taken }: Entry): number {
    let megabytes = BASE_MB + REMAINS_MB * (taken - host.owners.size);
    for (const { spec } of host.owners.values()) megabytes += spec.limits.memoryMb;
    return Math.min(this.#options.hostMemoryMb(), megabytes) * 1_048_576;
  }

  #ended(entry: Entry, { cause, detail, greeted, owners, verdict }: HostEnd): void {
    this.#entries.delete(entry);
    this.ends.add({ cause });
    const { log, tenant } = this.#options;
    const { guilty, suspects } = verdict;
    const named = (slots: ReadonlySet<number>) =>
      [...owners].filter(([slot]) => slots.has(slot)).map(([, { spec }]) => spec.extension);
    log.error("extension host ended", {
      tenant,
      pid: entry.host.pid,
      cause,
      detail,
      guilty: greeted ? named(guilty) : [],
      suspects: greeted ? named(suspects) : [],
      extensions: owners.size,
    });
    for (const [slot, owner] of owners) {
      const guilt = !greeted
        ? "unstarted"
        : guilty.has(slot)
        ? "guilty"
        : suspects.has(slot)
        ? "suspect"
        : "neighbour";
      (owner as PooledOwner).lost({ cause, detail, guilt });
    }
  }

  #refused(entry: Entry, why: string): void {
    this.#entries.delete(entry);
    if (this.#unsafe === null) {
      this.#options.log.error("extensions cannot run behind walls here, and do not run", {
        tenant: this.tenant,
        why,
      });
    }
    this.#unsafe = why;
    for (const owner of entry.host.owners.values()) (owner as PooledOwner).refused(why);
  }

  #sum(read: (host: Host) => number): number {
    let sum = 0;
    for (const { host } of this.#entries) sum += read(host);
    return sum;
  }
}
