// What was published under an idempotency key, by tenant: asked again, it is not published twice.

import { type Refusal, refusal } from "../../protocol/codes.ts";
import { writeObject } from "../../protocol/json.ts";
import type { Tenant } from "../../session/tenant.ts";
import type { AdminTenant } from "./house.ts";
import { Idempotency } from "./idempotency.ts";
import { type Handed, type Message, publish } from "./publisher.ts";

const KEY_REUSED = refusal("RESOURCE_EXHAUSTED", "idempotency_key was used for another message already");

export class Published {
  readonly #now: () => number;
  /** As long as a tenant lives. */
  readonly #remembered = new WeakMap<Tenant, Idempotency<Handed>>();

  /** @param now milliseconds of a monotonic clock */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Publishes, unless the same has been published under its idempotency key.
   * @param keyId whose: two keys of the API may well choose the same words
   */
  once(seat: AdminTenant, message: Message, keyId: string): Handed | Refusal {
    const { idempotency_key: own, ...rest } = message;
    if (own === undefined) return publish(seat, message);
    let memory = this.#remembered.get(seat.tenant);
    if (memory === undefined) this.#remembered.set(seat.tenant, memory = new Idempotency(this.#now));
    const request = writeObject(rest);
    const name = `${keyId} ${own}`;
    const known = memory.recall(name, request);
    if (known === "other") return KEY_REUSED;
    if (known !== null) return known;
    const handed = publish(seat, message);
    if (handed.ok) memory.remember(name, request, handed);
    return handed;
  }
}
