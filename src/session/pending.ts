// Ext messages that wait for an asynchronous service. Per session and service they are handled one after
// the other and answered in order; another service of the same session does not wait for them.

import type { Envelope } from "../protocol/envelope.ts";

export class PendingCalls {
  /** Per service with a call under way: that call's message and those behind it, oldest first. */
  readonly #queues = new Map<string, Envelope[]>();
  #count = 0;

  /** Calls under way and messages behind them. */
  get count(): number {
    return this.#count;
  }

  /** Adds a message. @returns whether its service is idle, so that it is to be handled now */
  add(message: Envelope): boolean {
    this.#count++;
    const queue = this.#queues.get(message.svc);
    queue?.push(message);
    if (queue === undefined) this.#queues.set(message.svc, [message]);
    return queue === undefined;
  }

  isBusy(svc: string): boolean {
    return this.#queues.has(svc);
  }

  /** The service's oldest message has been answered. @returns the one to handle next */
  next(svc: string): Envelope | undefined {
    const queue = this.#queues.get(svc)!;
    queue.shift();
    this.#count--;
    if (queue.length === 0) this.#queues.delete(svc);
    return queue[0];
  }
}
