// Brings what happens in a tenant to its webhooks: sessions, rooms, messages, denials, each as an event.

import type { TenantWebhooks } from "../backend/webhooks.ts";
import type { Envelope } from "../protocol/envelope.ts";
import type { Membership, Room, RoomWatcher, Subscriber } from "../room/rooms.ts";
import type { Context } from "../service/service.ts";
import type { DenialNote, Ending, SessionWatcher } from "../session/watcher.ts";

export class TenantWatch implements SessionWatcher, RoomWatcher {
  readonly #webhooks: TenantWebhooks;
  /** Who left last: whoever leaves a room empty. */
  #last: Subscriber | null = null;

  constructor(webhooks: TenantWebhooks) {
    this.#webhooks = webhooks;
  }

  opened(session: Context): Promise<boolean> | null {
    return this.#webhooks.connected(session, undefined);
  }

  closed(session: Context, { code, reason, durationMs }: Ending): void {
    this.#webhooks.disconnected(session, { reason, code, duration_ms: durationMs });
  }

  message(session: Context, { svc, type, seq, room, data }: Envelope): void {
    if (!this.#webhooks.wants("message.ext")) return;
    this.#webhooks.tell({
      type: "message.ext",
      subject: session,
      svc,
      messageType: type,
      ...(room === null ? {} : { room }),
      data: { svc, type, ...(seq === null ? {} : { seq }), data: data ?? null },
    });
  }

  denied(session: Context, { lane, action, ruleId, code, service, untold }: DenialNote): void {
    if (!this.#webhooks.wants("policy.denied")) return;
    const data = { lane, action, rule_id: ruleId, code, service, untold };
    this.#webhooks.tell({ type: "policy.denied", subject: session, data });
  }

  joined({ room, subscriber, member }: Membership): void {
    if (!this.#webhooks.any) return;
    const count = room.members.length;
    if (count === 1) this.#webhooks.tell({ type: "room.occupied", subject: subscriber, room: room.name });
    this.#webhooks.tell({
      type: "room.joined",
      subject: subscriber,
      room: room.name,
      data: { member, count },
    });
  }

  left({ room, subscriber, member }: Membership): void {
    if (!this.#webhooks.any) return;
    this.#last = subscriber;
    const data = { member, count: room.members.length };
    this.#webhooks.tell({ type: "room.left", subject: subscriber, room: room.name, data });
  }

  emptied({ name }: Room): void {
    if (this.#last !== null && this.#webhooks.any) {
      this.#webhooks.tell({ type: "room.vacated", subject: this.#last, room: name });
    }
    this.#last = null;
  }
}
