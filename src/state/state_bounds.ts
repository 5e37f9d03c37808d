// How much of the disk the tenants may fill with what they keep: their extensions' values and their webhooks' events. One
// tenant has a bound of its own, so that its data leaves room for others; and some of the disk stays free for what must
// be written whatever tenants do, such as bans, revocations and open sessions.

import { statfsSync } from "node:fs";

export interface BoundsConfig {
  /** Bytes that all tenants may keep. */
  readonly maxBytes: number;
  /** Bytes that one tenant may keep. */
  readonly tenantMaxBytes: number;
}

/** A disk, in bytes. */
export interface Disk {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** What tenants leave free: so much, or a part of a small disk. */
const RESERVE = { bytes: 67_108_864, part: 0.1 } as const;
/** A tenant that keeps less than this may use half of that as well: it is not the one that has filled the disk. */
const FLOOR_BYTES = 262_144;
/** The disk is looked at this often at most, in milliseconds. */
const LOOK_MS = 1000;
/** What a row takes: its pages and those of the log, which are written first. */
const ROW_BYTES = 8192;

export interface StateBoundsOptions extends BoundsConfig {
  /** The disk; null where nobody says, or there is none. */
  readonly disk: () => Disk | null;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
}

export class StateBounds {
  readonly #options: StateBoundsOptions;
  readonly #used = new Map<string, number>();
  #total = 0;
  #disk: Disk | null = null;
  #lookedAt = Number.NEGATIVE_INFINITY;
  /** Written since then, at most. */
  #written = 0;

  constructor(options: StateBoundsOptions) {
    this.#options = options;
  }

  /** Whether the disk has no room for what tenants keep. */
  get isShort(): boolean {
    return this.#room(0) < 0;
  }

  usedBy(tenant: string): number {
    return this.#used.get(tenant) ?? 0;
  }

  /** A tenant keeps so much more, or less. */
  add(tenant: string, bytes: number): void {
    const used = Math.max(0, this.usedBy(tenant) + bytes);
    this.#total += used - this.usedBy(tenant);
    if (used === 0) this.#used.delete(tenant);
    else this.#used.set(tenant, used);
  }

  /** Whether a tenant may keep so much more. What makes room, or takes none, always may. */
  admits(tenant: string, bytes: number): boolean {
    const { maxBytes, tenantMaxBytes } = this.#options;
    if (bytes <= 0) return true;
    const used = this.usedBy(tenant) + bytes;
    if (used > tenantMaxBytes || this.#total + bytes > maxBytes) return false;
    const wanted = 2 * bytes + ROW_BYTES;
    if (this.#room(used) < wanted) return false;
    this.#written += wanted;
    return true;
  }

  /** Bytes of the disk that a tenant may still use. */
  #room(used: number): number {
    const now = this.#options.now();
    if (now - this.#lookedAt >= LOOK_MS || this.#disk !== null && this.#written > this.#disk.freeBytes / 8) {
      this.#lookedAt = now;
      this.#written = 0;
      this.#disk = this.#options.disk();
    }
    const disk = this.#disk;
    if (disk === null) return Number.POSITIVE_INFINITY;
    const reserve = Math.min(RESERVE.bytes, disk.totalBytes * RESERVE.part);
    return disk.freeBytes - this.#written - (used > 0 && used <= FLOOR_BYTES ? reserve / 2 : reserve);
  }
}

/** The disk on which a folder is; null where that cannot be told. */
export function diskOf(folder: string): Disk | null {
  try {
    const { bavail, blocks, bsize } = statfsSync(folder);
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  } catch {
    return null;
  }
}
