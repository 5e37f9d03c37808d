// What a webhook's backend has taken, read off the backend process.

import assert from "node:assert/strict";
import { isSigned, type SigningKey } from "../../src/outbound/signing.ts";
import type { Backend } from "./backend_process.ts";
import { until } from "./gateway_process.ts";

/** The key that webhooks of tests sign with. */
export const KEY: SigningKey = { id: "k1", secret: "a-secret-of-the-backend-and-of-nobody-else" };

/** An event as it came. */
export interface Event {
  readonly id: string;
  readonly type: string;
  readonly seq: number;
  readonly time_ms: number;
  readonly tenant: string;
  readonly user: string;
  readonly sid: string;
  readonly session: string;
  readonly room?: string;
  // deno-lint-ignore no-explicit-any -- whatever the gateway sends, a test says what it expects
  readonly data?: any;
}

/** What a webhook's backend has taken, each event as often as it came. */
export class Receiver {
  readonly events: Event[] = [];
  readonly #backend: Backend;
  readonly #path: string;

  constructor(backend: Backend, path: string) {
    this.#backend = backend;
    this.#path = path;
  }

  /** Asks the backend what came since. */
  async look(): Promise<void> {
    for (const { path, headers, body, taken } of await this.#backend.asked()) {
      if (path !== this.#path || !taken) continue;
      const check = { keys: [KEY], unixMs: Date.now(), toleranceMs: 60_000 };
      assert.ok(isSigned(body, headers["wsprism-signature"]!, check), "a request that is not signed");
      this.events.push(...(JSON.parse(body) as { events: Event[] }).events);
    }
  }

  /** Waits for an event. */
  async until(what: string, has: (events: readonly Event[]) => boolean): Promise<Event[]> {
    return await until(what, async () => {
      await this.look();
      return has(this.events) ? this.events : null;
    });
  }
}

/** Each event once, however often it came. */
export function distinct(events: readonly Event[]): Event[] {
  const seen = new Map<number, Event>();
  for (const event of events) {
    const before = seen.get(event.seq);
    if (before === undefined) seen.set(event.seq, event);
    else assert.deepEqual(event, before, "the same number is the same event");
  }
  return [...seen.values()];
}
