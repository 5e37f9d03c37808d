// Brings what happens in a tenant to its webhooks, and to administrators who watch: sessions, rooms, messages, denials,
// each as an event.

import type { EventSubject, SessionEvent } from "../webhook/webhooks.ts";
import type { ForeignMember, LeaveReason } from "../cluster/peers.ts";
import type { EventType } from "../config/backend_schema.ts";
import type { Envelope } from "../protocol/envelope.ts";
import { Json, writeObject } from "../protocol/json.ts";
import type { Membership, Room, RoomWatcher, Subscriber } from "../room/rooms.ts";
import type { Context } from "../service/service.ts";
import type { DenialNote, Ending, SessionWatcher } from "../session/watcher.ts";

/** Whoever wants to be told; of the webhooks of a tenant the whole. */
export interface EventSink {
  /** Whether anything is wanted. */
  readonly any: boolean;
  wants(type: EventType): boolean;
  tell(event: SessionEvent): void;
  /** @returns whether the session may begin, later; null for now */
  connected(subject: EventSubject, data: unknown): Promise<boolean> | null;
  disconnected(subject: EventSubject, data: unknown): void;
}

export class TenantWatch implements SessionWatcher, RoomWatcher {
  readonly #sink: EventSink;
  readonly #owns: (room: string) => boolean;
  /** Who left last: whoever leaves a room empty. */
  #last: Subscriber | null = null;

  /** @param owns whether this node is the one of all to tell of a room itself */
  constructor(sink: EventSink, owns: (room: string) => boolean) {
    this.#sink = sink;
    this.#owns = owns;
  }

  opened(session: Context): Promise<boolean> | null {
    return this.#sink.connected(session, undefined);
  }

  closed(session: Context, { code, reason, durationMs }: Ending): void {
    this.#sink.disconnected(session, { reason, code, duration_ms: durationMs });
  }

  detached(session: Context, { code, reason }: Pick<Ending, "code" | "reason">): void {
    if (!this.#sink.wants("session.detached")) return;
    this.#sink.tell({ type: "session.detached", subject: session, data: { reason, code } });
  }

  resumed(session: Context, detachedMs: number): void {
    if (!this.#sink.wants("session.resumed")) return;
    const data = { detached_ms: Math.round(detachedMs) };
    this.#sink.tell({ type: "session.resumed", subject: session, data });
  }

  message(session: Context, { svc, type, seq, room, data }: Envelope): void {
    if (!this.#sink.wants("message.ext")) return;
    this.#sink.tell({
      type: "message.ext",
      subject: session,
      svc,
      messageType: type,
      ...(room === null ? {} : { room }),
      data: Json.written(writeObject({ svc, type, seq: seq ?? undefined, data: data ?? null })),
    });
  }

  denied(session: Context, { lane, action, ruleId, code, service, untold }: DenialNote): void {
    if (!this.#sink.wants("policy.denied")) return;
    const data = { lane, action, rule_id: ruleId, code, service, untold };
    this.#sink.tell({ type: "policy.denied", subject: session, data });
  }

  joined({ room, subscriber, member }: Membership): void {
    if (!this.#sink.any) return;
    const { count } = room;
    if (count === 1 && this.#owns(room.name)) {
      this.#sink.tell({ type: "room.occupied", subject: subscriber, room: room.name });
    }
    this.#sink.tell({
      type: "room.joined",
      subject: subscriber,
      room: room.name,
      data: { member, count },
    });
  }

  left({ room, subscriber, member }: Membership): void {
    if (!this.#sink.any) return;
    this.#last = subscriber;
    const data = { member, count: room.count };
    this.#sink.tell({ type: "room.left", subject: subscriber, room: room.name, data });
  }

  emptied({ name, count }: Room): void {
    if (this.#last !== null && this.#sink.any && count === 0 && this.#owns(name)) {
      this.#sink.tell({ type: "room.vacated", subject: this.#last, room: name });
    }
    this.#last = null;
  }

  foreignJoined({ session, room }: ForeignMember, count: number): void {
    if (count !== 1 || !this.#sink.any || !this.#owns(room)) return;
    this.#sink.tell({ type: "room.occupied", subject: session, room });
  }

  foreignLeft({ session, room, member }: ForeignMember, count: number, reason: LeaveReason | null): void {
    if (!this.#sink.any || !this.#owns(room)) return;
    // Its own node tells of whoever leaves there, as long as that node lives.
    if (reason !== null) {
      this.#sink.tell({ type: "room.left", subject: session, room, data: { member, count, reason } });
    }
    if (count === 0) this.#sink.tell({ type: "room.vacated", subject: session, room });
  }
}
