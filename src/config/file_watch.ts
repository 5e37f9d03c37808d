// Notices that files have changed, by looking at them again and again: that sees files which are written in place, renamed
// over one another, or reached by links that are turned (Kubernetes), on every file system. A change counts once two
// looks have seen the same, for an editor may be amid writing.

import { stat } from "node:fs/promises";

export interface FileWatchOptions {
  /** What to look at, asked for each time: the first one at every look, the others by turns. */
  readonly files: () => readonly string[];
  /** Runs a task again and again until the returned function is called. */
  readonly every: (ms: number, task: () => void) => () => void;
  /** Called once for all that a look has settled. */
  readonly changed: () => void;
}

/** Time between two looks. */
const LOOK_MS = 500;
/** Files looked at in one look, besides the first: with more, each of them has its turn less often. */
const LOOKED_AT_MAX = 64;

interface Sight {
  /** What was seen last, and what was last told of. */
  seen: string;
  told: string;
}

export class FileWatch {
  readonly #options: FileWatchOptions;
  #sights = new Map<string, Sight>();
  #turn = 0;
  #looking = false;
  #stop: (() => void) | null = null;

  constructor(options: FileWatchOptions) {
    this.#options = options;
  }

  /** From when this resolves, no change is missed. */
  async start(): Promise<void> {
    await this.look();
    this.#stop = this.#options.every(LOOK_MS, () => void this.look());
  }

  stop(): void {
    this.#stop?.();
    this.#stop = null;
  }

  /** One look. Never rejects. */
  async look(): Promise<void> {
    if (this.#looking) return; // a file system that hangs gets one look, not one each time
    this.#looking = true;
    const [first, ...others] = this.#options.files();
    if (others.length > LOOKED_AT_MAX) {
      others.push(...others.splice(0, this.#turn % others.length));
      this.#turn = (this.#turn + LOOKED_AT_MAX) % others.length;
    }
    const files = [first!, ...others.slice(0, LOOKED_AT_MAX)];
    const seen = await Promise.all(files.map(see));
    this.#looking = false;
    const changed = files.filter((file, i) => this.#settles(file, seen[i]!));
    const named = new Set([first, ...others]);
    for (const file of this.#sights.keys()) if (!named.has(file)) this.#sights.delete(file);
    if (changed.length > 0) this.#options.changed();
  }

  /** Takes note of what a file looks like. @returns whether that is a change, and has settled */
  #settles(file: string, seen: string): boolean {
    const sight = this.#sights.get(file);
    if (sight === undefined) {
      this.#sights.set(file, { seen, told: seen });
      return false;
    }
    const settled = sight.seen === seen && sight.told !== seen;
    sight.seen = seen;
    if (settled) sight.told = seen;
    return settled;
  }
}

/** What tells a file's content from another without reading it. */
async function see(file: string): Promise<string> {
  try {
    const { ino, size, mtimeMs, ctimeMs } = await stat(file);
    return `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : "unreadable";
  }
}
