// Somebody's presence in a tenant: who it is and what it may, the rooms it is in, what it waits for, and its end. Admitted
// by the registry when its first connection opens. To rooms it is a subscriber, to services a context; what travels, and
// how, is its connection's business. Where its client asked for it, it outlives a lost connection (resumption.ts), and what
// it is sent meanwhile waits (backlog.ts).

import { looksLikeCborMap } from "../protocol/cbor.ts";
import { CLOSE, type CloseCode, type Refusal } from "../protocol/codes.ts";
import type { Frame } from "../protocol/frame.ts";
import type { Json } from "../protocol/json.ts";
import { type Authed, sysAuthed, sysError, sysExpiring, sysLeft, sysRefused } from "../protocol/sys.ts";
import type { Missed } from "../room/kept_room.ts";
import type { Membership } from "../room/rooms.ts";
import { Backlog } from "./backlog.ts";
import type { Connection } from "./connection.ts";
import type { Grant, Identity, Rejection } from "./grant.ts";
import { EarlyMessages, greeting, TOO_EARLY, UNRECORDED, welcomed } from "./greeting.ts";
import { heardFrom, InboundState } from "./inbound_state.ts";
import { type Joined, membershipIn, membershipsOf, withMembership, withoutMembership } from "./joined.ts";
import { replayBounds } from "./outbox_limits.ts";
import type { SlowCause } from "./outbox_owner.ts";
import { Renewals, type Renewing } from "./renewals.ts";
import type { Replay } from "./replay.ts";
import { type LostConnection, Resumption, type ResumptionOwner, TAKEN_OVER } from "./resumption.ts";
import { SESSION_ENDED, type SessionHandle } from "./session_handle.ts";
import type { ReturnRequest } from "./resumable_session.ts";
import { lookAt, type Pressure, type SessionLook } from "./session_look.ts";
import type { Tenant } from "./tenant.ts";
import type { TransportName } from "../transport/port.ts";
import { TicketHolder } from "./ticket_holder.ts";

export class Session extends TicketHolder implements ResumptionOwner, SessionHandle, Renewing {
  openedAt = 0;
  /** That of its connection, or of its last one. */
  transport: TransportName = "websocket";
  #connection: Connection | null = null;
  /** Null where it ends with its connection. */
  #resumption: Resumption | null = null;
  /** What waits behind a replay or for a connection; null where nothing ever did. */
  #backlog: Backlog | null = null;
  readonly #resume: Identity["resume"];
  /** "admitted" from the registry's yes to the greeting. */
  #state: "new" | "admitted" | "open" | "ended" = "new";
  #joined: Joined = null;
  #active: Membership | null = null;
  /** What came while it was "admitted". */
  #early: EarlyMessages | null = null;
  #inbound: InboundState | null = null;
  /** Made with the first `sys.auth`. */
  #renewals: Renewals | null = null;

  constructor(tenant: Tenant, identity: Identity) {
    super(tenant, identity);
    this.#resume = identity.resume;
  }

  get memberships(): ReadonlyMap<string, Membership> {
    return membershipsOf(this.#joined);
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  get active(): Membership | null {
    return this.#active;
  }

  get detachedMs(): number | null {
    return this.#resumption?.detachedMs ?? null;
  }

  get awayUntil(): number {
    return this.#resumption?.awayUntil ?? Number.POSITIVE_INFINITY;
  }

  get taken(): number | null {
    return this.#resumption?.taken ?? null;
  }

  get replay(): Replay | null {
    return this.#resumption === null ? null : this.#backlog!.replay;
  }

  opened(connection: Connection): void {
    if (this.#state !== "new") return this.#resumed(connection);
    this.attach(connection);
    const { gateway, metrics, registry, watchers } = this.home;
    this.openedAt = gateway.now();
    const refused = registry.admit(this);
    if (refused !== null) {
      metrics.denied.add({ lane: "session", decision: "reject", reason: refused.code });
      return this.#refused(refused);
    }
    this.#state = "admitted";
    metrics.sessions++;
    const { resume } = this.home.settings;
    if (this.#resume !== "no" && resume !== null) {
      this.#resumption = new Resumption(this.home, this, resume);
      this.#backlogOf(connection);
    }
    connection.attached();
    this.schedule();
    gateway.access.line("session opened", { ...this.who, address: this.address, transport: this.transport });
    const may = welcomed(this, watchers);
    if (may === null) this.#begin(true);
    else void may.then((yes) => this.#begin(yes));
  }

  /** What it is sent goes over this connection from now on. */
  attach(connection: Connection): void {
    this.#connection = connection;
    this.transport = connection.transport;
  }

  recover(missed: Missed): void {
    if (this.#state === "open") this.#backlogOf(this.#connection).recover(missed);
    else missed.stop();
  }

  mayResume(heard: number): "overflow" | "bad" | null {
    const { replay } = this;
    if (replay === null || heard > replay.sentCount) return "bad";
    if (replay.reachesBackTo(heard) && !this.#backlog!.hasOverflowed) return null;
    this.overflow();
    return "overflow";
  }

  comeBack({ token, heard, address, addressGroup }: ReturnRequest): boolean {
    if (this.#state !== "open" || this.mayResume(heard) !== null) return false;
    if (!this.#resumption!.accept(token)) return false;
    const former = this.#connection;
    if (former !== null) this.#detach(TAKEN_OVER, former.release(null));
    // What the former connection had not written is kept as well now, and may have taken the place of what was missed.
    if (this.#state !== "open" || this.mayResume(heard) !== null) return false;
    this.replay!.rewind(heard);
    const { addressGroup: before } = this;
    this.address = address;
    this.addressGroup = addressGroup;
    this.home.registry.readdress(this, before);
    return true;
  }

  text(message: string, now: number): void {
    if (this.#state !== "open") return this.#keep(message);
    this.#resumption?.count();
    this.home.handler.text(this.#hear(now), message, now);
  }

  binary(message: Uint8Array, now: number): void {
    if (this.#state !== "open") return this.#keep(message);
    if (this.#resumption !== null && this.cbor && looksLikeCborMap(message)) this.#resumption.count();
    this.home.handler.binary(this.#hear(now), message, now);
  }

  ponged(): void {
    this.#resumption?.confirm();
  }

  drained(): void {
    this.#backlog?.drained();
  }

  hasHeard(count: number): boolean {
    return this.replay === null || this.replay.heard(count);
  }

  control(bytes: number, now: number): void {
    if (this.#state === "open" || this.#state === "admitted") {
      this.home.handler.control(this.#hear(now), bytes, now);
    }
  }

  timedOut(): void {
    const { code, name } = CLOSE.idleTimeout;
    if (this.#state === "open" && this.#resumption !== null && this.home.settings.resume !== null) {
      return this.#detach({ code, reason: name }, this.#connection!.release(CLOSE.idleTimeout));
    }
    this.end(CLOSE.idleTimeout, sysError(this.traceId, "TIMEOUT", "idle"));
  }

  expire(): void {
    this.#resumption!.failure = "expired";
    this.#leave(1006, "connection_lost");
  }

  overflow(): void {
    if (this.#state === "ended") return;
    if (this.#connection !== null) return this.tooSlow("full", this.#backlog!.heldBytes);
    if (this.#resumption !== null) this.#resumption.failure = "overflow";
    this.#leave(CLOSE.slowConsumer.code, "resume_overflow");
  }

  rightEndsSoon(leftMs: number): void {
    this.deliver(sysExpiring(this.traceId, leftMs));
  }

  rightEnded(): void {
    this.end(CLOSE.ticketExpired, sysError(this.traceId, "AUTH_FAILED", "ticket expired"));
  }

  tooSlow(cause: SlowCause, waitingBytes: number): void {
    const { metrics, gateway } = this.home;
    if (cause === "stalled") metrics.writerTimeouts++;
    if (this.#resumption !== null) this.#resumption.failure = "overflow";
    gateway.log.warn("session too slow", { ...this.who, cause, waiting_bytes: waitingBytes });
    const farewell = sysError(this.traceId, "RESOURCE_EXHAUSTED", CLOSE.slowConsumer.reason);
    this.#end(CLOSE.slowConsumer, farewell, false);
  }

  lost(code: number, _reason: string, unwritten: readonly Frame[] | null): void {
    if (this.#state === "open" && this.#resumption?.survives(code)) {
      return this.#detach({ code, reason: "connection_lost" }, unwritten);
    }
    this.#connection = null;
    this.#leave(code, code === 1006 ? "connection_lost" : "client_closed");
  }

  deliver(frame: Frame): void {
    if (this.#state !== "open") return;
    this.home.rooms.delivered.bytes += frame.bytes;
    this.#send(frame);
  }

  receive(frame: Frame): void {
    if (this.#state === "open") this.#send(frame);
  }

  membership(room: string): Membership | undefined {
    return membershipIn(this.#joined, room);
  }

  join(room: string): Membership | Refusal {
    // A service that answers later may still hold its context.
    if (this.#state !== "open") return SESSION_ENDED;
    let membership = this.membership(room);
    if (membership === undefined) {
      const refused = this.roomRefusal(room);
      if (refused !== null) return refused;
      const joined = this.home.rooms.join(room, this);
      if ("ok" in joined) return joined;
      membership = joined;
      this.#joined = withMembership(this.#joined, membership);
    }
    this.#active = membership;
    return membership;
  }

  leave(membership: Membership): void {
    // The membership may be an older one: the session can have left the room and joined it again since.
    if (this.membership(membership.room.name) !== membership) return;
    this.#joined = withoutMembership(this.#joined, membership);
    if (this.#active === membership) this.#active = null;
    this.home.rooms.leave(membership);
  }

  pressure(now: number): Pressure | null {
    return this.#connection?.pressure(now) ?? null;
  }

  look(now: number): SessionLook {
    const { user, policy } = this;
    const parts = { user, policy, connection: this.#connection, backlog: this.#backlog };
    return lookAt({ ...parts, inbound: this.#inbound }, now);
  }

  throttle(until: number): void {
    this.#connection?.pauseUntil(until);
  }

  renew(data: Json | undefined, seq: number | null): void {
    (this.#renewals ??= new Renewals()).ask(this, this.home, data, seq);
  }

  renewed(grant: Grant, seq: number | null): void {
    this.home.registry.retag(this, this.hold(grant, this.#inbound));
    for (const membership of [...this.memberships.values()]) {
      const { name } = membership.room;
      if (this.roomRefusal(name) === null) continue;
      this.leave(membership);
      this.deliver(sysLeft(this.traceId, name, null));
    }
    this.deliver(sysAuthed(this.traceId, this.#greeting(), seq));
    this.schedule();
  }

  refuse({ code, msg, retryAfterMs }: Rejection, seq: number | null): void {
    this.deliver(sysError(this.traceId, code, msg, { seq, retryAfterMs }));
  }

  end(code: CloseCode, farewell: Frame | null): void {
    // Before its greeting it is told nothing.
    this.#end(code, this.#state === "open" ? farewell : null, true);
  }

  #begin(may: boolean): void {
    if (this.#state !== "admitted") return;
    if (!may) return this.#refused(UNRECORDED);
    this.#state = "open";
    const resumed = this.#resume === "no" || this.#resume === "asked"
      ? {}
      : { resumed: { ok: false, reason: this.#resume } as const };
    if (this.#resumption !== null) this.#connection!.resumable(this.#resumption.offer.token, 0);
    this.deliver(sysAuthed(this.traceId, { ...this.#greeting(), ...resumed }, null));
    const early = this.#early;
    this.#early = null;
    early?.replay(this, this.home.gateway.now());
  }

  #keep(message: string | Uint8Array): void {
    if (this.#state !== "admitted") return;
    const early = this.#early ??= new EarlyMessages();
    if (!early.add(message)) this.#refused(TOO_EARLY);
  }

  /** What is kept of its messages, once it goes by what holds now. */
  #hear(now: number): InboundState {
    if (!this.isCurrent) this.apply(this.#inbound, now);
    return this.#inbound ??= new InboundState(this);
  }

  #greeting(): Authed {
    const resume = this.#resumption === null ? {} : { resume: this.#resumption.offer };
    return greeting(this, this.home.gateway, { expiresAt: this.rightEndsAt, resume });
  }

  #detach(lost: LostConnection, unwritten: readonly Frame[] | null): void {
    this.#connection = null;
    this.#resumption!.detach(this.#backlog!, unwritten, lost);
  }

  /** Its client is back. */
  #resumed(connection: Connection): void {
    this.attach(connection);
    this.#resumption!.resumed(this.#backlog!, connection, () => this.#greeting());
  }

  #send(frame: Frame): void {
    if (this.#backlog === null) this.#connection?.send(frame);
    else this.#backlog.send(frame);
  }

  /** @param connection what it goes to when it is made now */
  #backlogOf(connection: Connection | null): Backlog {
    if (this.#backlog !== null) return this.#backlog;
    const { gateway, metrics } = this.home;
    this.#backlog = new Backlog({
      cbor: this.cbor,
      flusher: gateway.flusher,
      pump: gateway.replayPump,
      metrics,
      bounds: () => this.#resumption?.settings ?? replayBounds(this.home.settings.outbox),
      overflowed: () => this.scheduleOverflow(),
      evicted: () => this.overflow(),
    });
    if (connection !== null) this.#backlog.attach(connection);
    return this.#backlog;
  }

  #refused(refused: Refusal): void {
    const farewell = sysRefused(this.traceId, refused, { seq: null });
    this.#end(refused.close ?? CLOSE.policyViolation, farewell, true);
  }

  /** Every end of ours. @param reliable whether what waits on the reliable lane goes out before the close */
  #end(code: CloseCode, farewell: Frame | null, reliable: boolean): void {
    if (this.#state === "ended") return;
    const connection = this.#connection;
    // Not behind what waits: that ends with the session.
    if (farewell !== null) connection?.send(farewell);
    // Out of every index now, not when the peer answers: its place is free for the next one.
    this.#leave(code.code, code.name);
    connection?.close(code, reliable);
  }

  /** The end itself: the session is in no room and no index any more, and those who watch are told. */
  #leave(code: number, reason: string): void {
    const wasIn = this.#state === "open" || this.#state === "admitted";
    this.#state = "ended";
    if (!wasIn) return;
    const { registry, rooms, metrics, watchers, gateway, detached } = this.home;
    if (detached.delete(this)) metrics.detached--;
    else metrics.sessions--;
    this.#backlog?.discard();
    this.#resumption?.end();
    registry.remove(this);
    this.unschedule();
    this.#active = null;
    const { memberships } = this;
    this.#joined = null;
    for (const membership of memberships.values()) rooms.leave(membership);
    const durationMs = Math.round(gateway.now() - this.openedAt);
    const { address, transport } = this, how = { code, reason, duration_ms: durationMs };
    const line = { ...this.who, address, transport, ...how, ...heardFrom(this.#inbound) };
    gateway.access.line("session closed", line);
    for (const watcher of watchers) watcher.closed(this, { code, reason, durationMs });
  }
}
