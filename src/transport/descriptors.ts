// What is done when file descriptors run out. No runtime tells: Bun tries to accept without end (a core of CPU),
// `node:http` on Deno never accepts again, and Deno's own server ends. So each listener looks four times a second whether a
// file can still be opened, stops listening where none can (whoever connects is refused at once, and not left waiting),
// and listens again as soon as some are free.

import { closeSync, openSync } from "node:fs";

const LOOK_MS = 250;
/** Between attempts to listen again; the last one from then on. */
const RETRY_MS = [250, 500, 1000, 2000] as const;
/** Kept open by each listener, and given up when no other is to be had. */
const SPARES = 4;
/** So many must be free before a listener that yields opens again, or spares are kept again: more than all spares. */
const FREE_WANTED = 16;
/** For one that does not yield, and for how many looks it goes on with none. */
const FREE_NEEDED = 2;
const PATIENCE = 8;

// Any file that may be read. Deno's permissions mostly leave out /dev/null, and hold the program's own source.
const FILE = "Bun" in globalThis ? "/dev/null" : new URL(import.meta.url);

/** What the watch does with a listener. */
export interface Listening {
  /** Stops listening; what is open stays. Not called after `failed`. */
  pause(): void;
  /** Listens again, on the same address. @throws when that fails */
  resume(): void | Promise<void>;
  /** Told at each failure, and when the listener works again. */
  told(works: boolean, why: string): void;
}

/** Opens so many descriptors; null where nothing can be told, as the file may not be read. */
function open(count: number): number[] | null {
  const opened: number[] = [];
  try {
    while (opened.length < count) opened.push(openSync(FILE, "r"));
  } catch (cause) {
    const { code } = cause as { code?: string };
    if (code !== "EMFILE" && code !== "ENFILE") {
      close(opened);
      return null;
    }
  }
  return opened;
}

function close(descriptors: readonly number[]): void {
  for (const descriptor of descriptors) closeSync(descriptor);
}

/** Watches over one listener. */
export class DescriptorWatch {
  readonly #listening: Listening;
  readonly #yields: boolean;
  /** Looks in a row that found nothing free. */
  #empty = 0;
  #spares: number[] = [];
  #paused = false;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | null = null;

  /** @param yields stops listening at once, so that others can go on; else it goes on for as long as it can */
  constructor(listening: Listening, yields: boolean) {
    this.#listening = listening;
    this.#yields = yields;
  }

  get isPaused(): boolean {
    return this.#paused;
  }

  start(): void {
    this.#spares = open(SPARES) ?? [];
    this.#wait(LOOK_MS);
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    close(this.#spares);
    this.#spares = [];
  }

  /** The listener has ended by itself, or cannot be reached any more. */
  failed(why: string): void {
    if (this.#timer === null || this.#paused) return;
    this.#fail(why);
  }

  async #look(): Promise<void> {
    if (this.#paused) await this.#retry();
    else this.#check();
    // Stopped meanwhile?
    if (this.#timer !== null) this.#wait(this.#paused ? this.#retryMs() : LOOK_MS);
  }

  #check(): void {
    const missing = SPARES - this.#spares.length;
    const opened = open(missing > 0 ? FREE_WANTED : 1);
    if (opened === null) return;
    if (missing > 0 && opened.length === FREE_WANTED) this.#spares.push(...opened.splice(0, missing));
    const exhausted = opened.length === 0;
    close(opened);
    this.#empty = exhausted ? this.#empty + 1 : 0;
    if (!exhausted) return;
    close(this.#spares);
    this.#spares = [];
    if (!this.#yields && this.#empty < PATIENCE) return;
    this.#empty = 0;
    this.#listening.pause();
    this.#fail("out of file descriptors");
  }

  async #retry(): Promise<void> {
    const wanted = this.#yields ? FREE_WANTED : FREE_NEEDED;
    const opened = open(wanted);
    const free = opened === null || opened.length === wanted;
    close(opened ?? []);
    if (!free) return this.#fail("out of file descriptors");
    try {
      await this.#listening.resume();
    } catch (cause) {
      return this.#fail(cause instanceof Error ? cause.message : String(cause));
    }
    this.#paused = false;
    this.#failures = 0;
    this.#listening.told(true, "");
  }

  #fail(why: string): void {
    this.#paused = true;
    this.#failures++;
    this.#listening.told(false, why);
  }

  #retryMs(): number {
    return RETRY_MS[Math.min(this.#failures, RETRY_MS.length) - 1]!;
  }

  #wait(ms: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#look(), ms);
  }
}
