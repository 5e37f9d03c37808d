// What was published under an idempotency key, by tenant: asked again, it is not published twice.

import { type Refusal, refusal } from "../../protocol/codes.ts";
import { writeObject } from "../../protocol/json.ts";
import type { Tenant } from "../../session/tenant.ts";
import type { AdminTenant } from "./admin_context.ts";
import { Idempotency } from "./idempotency.ts";
import type { Slice } from "./slices.ts";
import { type Handed, type Message, publish } from "./publisher.ts";

const KEY_REUSED = refusal("RESOURCE_EXHAUSTED", "idempotency_key was used for another message already");

interface UnderWay {
  readonly request: string;
  readonly handed: Promise<Handed | Refusal>;
}

export class Published {
  readonly #now: () => number;
  /** As long as a tenant lives. */
  readonly #remembered = new WeakMap<Tenant, Idempotency<Handed>>();
  /** What is being published under a key; the same by its name. */
  readonly #underWay = new WeakMap<Tenant, Map<string, UnderWay>>();

  /** @param now milliseconds of a monotonic clock */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Publishes, unless the same has been published under its idempotency key.
   * @param keyId whose: two keys of the API may well choose the same words
   */
  async once(seat: AdminTenant, message: Message, keyId: string, slice: Slice): Promise<Handed | Refusal> {
    const { idempotency_key: own, ...rest } = message;
    const as = { sender: `admin ${keyId}`, slice };
    if (own === undefined) return await publish(seat, message, as);
    let memory = this.#remembered.get(seat.tenant);
    if (memory === undefined) this.#remembered.set(seat.tenant, memory = new Idempotency(this.#now));
    const request = writeObject(rest);
    const name = `${keyId} ${own}`;
    const known = memory.recall(name, request);
    if (known === "other") return KEY_REUSED;
    if (known !== null) return known;
    let pending = this.#underWay.get(seat.tenant);
    if (pending === undefined) this.#underWay.set(seat.tenant, pending = new Map());
    const before = pending.get(name);
    if (before !== undefined) return before.request === request ? await before.handed : KEY_REUSED;
    const handed = publish(seat, message, as);
    pending.set(name, { request, handed });
    try {
      const outcome = await handed;
      if (outcome.ok) memory.remember(name, request, outcome);
      return outcome;
    } finally {
      pending.delete(name);
    }
  }
}
