// What was published under an idempotency key, by tenant: asked again, it is not published twice.

import { createHash } from "node:crypto";
import type { Refusal } from "../../protocol/codes.ts";
import { writeObject } from "../../protocol/json.ts";
import type { Tenant } from "../../session/tenant.ts";
import type { AdminTenant } from "./admin_context.ts";
import { Idempotency } from "./idempotency.ts";
import type { Slice } from "./slices.ts";
import { type Handed, KEY_TAKEN, type Message, publish } from "./publisher.ts";

interface UnderWay {
  readonly digest: string;
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
    if (own === undefined) return await publish(seat, message, { ...as, digest: null });
    let memory = this.#remembered.get(seat.tenant);
    if (memory === undefined) this.#remembered.set(seat.tenant, memory = new Idempotency(this.#now));
    const digest = createHash("sha256").update(writeObject(rest)).digest("base64");
    const name = `${keyId} ${own}`;
    const known = memory.recall(name, digest);
    if (known === "other") return KEY_TAKEN;
    if (known !== null) return known;
    let pending = this.#underWay.get(seat.tenant);
    if (pending === undefined) this.#underWay.set(seat.tenant, pending = new Map());
    const before = pending.get(name);
    if (before !== undefined) return before.digest === digest ? await before.handed : KEY_TAKEN;
    const handed = publish(seat, message, { ...as, digest });
    pending.set(name, { digest, handed });
    try {
      const outcome = await handed;
      // Rooms that were busy may take it when it is asked again; the others know its key, and tell what they know.
      if (outcome.ok && outcome.busy.length === 0) memory.remember(name, digest, outcome);
      return outcome;
    } finally {
      pending.delete(name);
    }
  }
}
