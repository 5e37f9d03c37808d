// NATS for unit tests: messages arrive in order when the test lets them, and some get lost where it says so.

import type { Link } from "../../src/cluster/nats_link.ts";

interface Listener {
  readonly link: FakeLink;
  readonly pattern: string;
  readonly heard: (payload: Uint8Array, message: never) => void;
}

export class FakeNats {
  readonly listeners = new Set<Listener>();
  /** Whether the next delivery is lost. */
  loses: () => boolean = () => false;
  readonly #waiting: (() => void)[] = [];

  link(): FakeLink {
    return new FakeLink(this);
  }

  send(from: FakeLink, subject: string, payload: Uint8Array): void {
    for (const listener of this.listeners) {
      if (listener.link === from || !matches(listener.pattern, subject)) continue;
      if (this.loses()) continue;
      this.#waiting.push(() => {
        if (this.listeners.has(listener)) listener.heard(payload, { subject } as never);
      });
    }
  }

  /** Delivers all that is on its way, and what that leads to. */
  settle(): void {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) next();
  }
}

export class FakeLink implements Link {
  isUp = true;
  readonly #nats: FakeNats;

  constructor(nats: FakeNats) {
    this.#nats = nats;
  }

  publish(subject: string, payload: Uint8Array): boolean {
    if (this.isUp) this.#nats.send(this, subject, payload);
    return this.isUp;
  }

  listen(pattern: string, heard: Parameters<Link["listen"]>[1]): { stop(): void } {
    const listener = { link: this, pattern, heard: heard as Listener["heard"] };
    this.#nats.listeners.add(listener);
    return { stop: () => void this.#nats.listeners.delete(listener) };
  }

  settled(): Promise<void> {
    return Promise.resolve();
  }

  /** Nobody answers; whether somebody listens is told. */
  ask(subject: string): Promise<Uint8Array | "nobody" | null> {
    const isHeard = [...this.#nats.listeners].some(({ pattern }) => matches(pattern, subject));
    return Promise.resolve(isHeard ? null : "nobody");
  }

  /** Its process is gone. */
  die(): void {
    this.isUp = false;
    for (const listener of this.#nats.listeners) {
      if (listener.link === this) this.#nats.listeners.delete(listener);
    }
  }
}

function matches(pattern: string, subject: string): boolean {
  return pattern === subject || pattern.endsWith("*") && subject.startsWith(pattern.slice(0, -1));
}
