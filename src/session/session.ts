// Somebody's presence in a tenant: who it is and what it may, the rooms it is in, what it waits for, and its end. Admitted
// by the registry when its first connection opens. To rooms it is a subscriber, to services a context; what travels, and
// how, is its connection's business. Where its client asked for it, it outlives a lost connection (resumption.ts), and what
// it is sent meanwhile waits (backlog.ts).

import { looksLikeCborMap } from "../protocol/cbor.ts";
import { CLOSE, type CloseCode, type Refusal } from "../protocol/codes.ts";
import type { Frame } from "../protocol/frame.ts";
import type { Json } from "../protocol/json.ts";
import { type Authed, sysAuthed, sysError, sysExpiring, sysRefused } from "../protocol/sys.ts";
import type { Connection } from "./connection.ts";
import type { Grant, Identity, Rejection } from "./grant.ts";
import { EarlyMessages, greeting, TOO_EARLY, UNRECORDED, welcomed } from "./greeting.ts";
import { heardFrom, InboundState } from "./inbound_state.ts";
import { Arrivals, type Arrived, type Mover, type Parting } from "./handover.ts";
import { moverOf, partingOf } from "./parting.ts";
import type { SlowCause } from "./outbox_owner.ts";
import { Reachable } from "./reachable.ts";
import { Renewals, type Renewing } from "./renewals.ts";
import { Resumption, type ResumptionOwner, TAKEN_OVER } from "./resumption.ts";
import type { SessionHandle } from "./session_handle.ts";
import { lookAt, type Pressure, type SessionLook } from "./session_look.ts";
import type { Tenant } from "./tenant.ts";

export class Session extends Reachable implements ResumptionOwner, SessionHandle, Renewing {
  openedAt = 0;
  readonly #resume: Identity["resume"];
  /**
   * "admitted" from the registry's yes to the greeting; "arriving" while it comes from another node, "moved" once it has
   * gone to one.
   */
  #state: "new" | "admitted" | "open" | "ended" | "arriving" | "moved" = "new";
  /** What comes for it while it is "arriving"; where what is for it alone goes once it has "moved". */
  #on: Arrivals | ((frame: Frame) => void) | null = null;
  /** What came while it was "admitted". */
  #early: EarlyMessages | null = null;
  #inbound: InboundState | null = null;
  /** Made with the first `sys.auth`. */
  #renewals: Renewals | null = null;

  constructor(tenant: Tenant, identity: Identity) {
    super(tenant, identity);
    this.#resume = identity.resume;
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  opened(connection: Connection): void {
    if (this.#state !== "new") return this.cameBack(connection);
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
      this.resumption = new Resumption(this.home, this, resume);
      this.backlogOf(connection);
    }
    connection.attached();
    this.schedule();
    gateway.access.line("session opened", { ...this.who, address: this.address, transport: this.transport });
    const may = welcomed(this, watchers);
    if (may === null) this.#begin(true);
    else void may.then((yes) => this.#begin(yes));
  }

  /** Another node asks for it, whose client has come there. @returns null where it may have it */
  requested(heard: number): "overflow" | "bad" | null {
    const fault = this.mayResume(heard);
    if (fault !== null) return fault;
    const former = this.connection;
    if (former !== null) this.detach(TAKEN_OVER, former.release(null));
    if (this.#state === "open") this.backlog!.note();
    return this.mayResume(heard);
  }

  /** Digests of the tokens by which its client may come back. */
  get digests(): readonly string[] {
    return this.resumption?.digests ?? [];
  }

  /** Who it is, for a node that asks for it. */
  mover(): Mover {
    return moverOf(this, this.home, this.rightEndsAt);
  }

  /** Has it be ready to go. Resolves with whether it still may: its client may have come back here meanwhile. */
  async mayDepart(): Promise<boolean> {
    const backlog = this.backlog;
    if (backlog === null) return false;
    if (!await backlog.gather()) this.overflow();
    return this.#state === "open" && this.connection === null && backlog.names !== null;
  }

  /** Whether it can be handed over: no message has more bytes, and no more names have been noted. */
  isPortable(frameBytesMax: number, namesMax: number): boolean {
    return this.backlog!.isPortable(frameBytesMax, namesMax);
  }

  /**
   * It goes on at another node from now on. Call it right after `mayDepart`.
   * @param forward brings it there what is for it alone
   */
  depart(node: string, forward: (frame: Frame) => void): Parting {
    const { registry, rooms, gateway } = this.home;
    const parting = partingOf(this, this.backlog!, this.home);
    this.#state = "moved";
    this.#on = forward;
    this.resumption!.depart();
    this.backlog!.discard();
    this.unschedule();
    registry.moveOut(this, node);
    gateway.access.line("session moved", { ...this.who, to: node });
    for (const membership of this.leaveAll()) rooms.depart(membership, true);
    return parting;
  }

  /** It is coming from another node. @param maxBytes what it may hear before it is whole */
  expect(maxBytes: number): void {
    this.#state = "arriving";
    this.#on = new Arrivals(maxBytes);
  }

  /** It goes on here as it was on another node, its client away; where not all that waits for it has room, it ends. */
  arrive({ parting, openedAt, digest, memberships, active }: Arrived): void {
    const arrivals = this.#on, { registry, rooms, settings } = this.home;
    if (!(arrivals instanceof Arrivals) || settings.resume === null) return;
    this.#on = null;
    this.openedAt = openedAt;
    this.resumption = new Resumption(this.home, this, settings.resume);
    this.#state = "open";
    registry.moveIn(this);
    for (const membership of memberships) {
      this.enter(membership, membership === active);
      rooms.arrived(membership);
    }
    this.resumption.arrive(parting.taken, parting.detachedMs, digest);
    const fits = this.backlogOf(null).goOn(parting, arrivals.frames);
    if (!fits || arrivals.hasOverflowed) this.overflow();
    else this.schedule();
  }

  /** Nothing that comes from now on has come at its former node as well. */
  settled(): void {
    this.backlog?.settled();
  }

  /** It does not come after all. */
  lose(): void {
    if (!(this.#on instanceof Arrivals)) return;
    this.#on = null;
    this.#state = "ended";
  }

  text(message: string, now: number): void {
    if (this.#state !== "open") return this.#keep(message);
    this.resumption?.count();
    this.home.handler.text(this.#hear(now), message, now);
  }

  binary(message: Uint8Array, now: number): void {
    if (this.#state !== "open") return this.#keep(message);
    if (this.resumption !== null && this.cbor && looksLikeCborMap(message)) this.resumption.count();
    this.home.handler.binary(this.#hear(now), message, now);
  }

  control(bytes: number, now: number): void {
    if (this.#state === "open" || this.#state === "admitted") {
      this.home.handler.control(this.#hear(now), bytes, now);
    }
  }

  letGo(code: CloseCode): void {
    if (this.detachedMs === null && !this.#outlives(code)) this.end(code, null);
  }

  timedOut(): void {
    if (this.#outlives(CLOSE.idleTimeout)) return;
    this.end(CLOSE.idleTimeout, sysError(this.traceId, "TIMEOUT", "idle"));
  }

  expire(): void {
    this.resumption!.failure = "expired";
    this.#leave(1006, "connection_lost");
  }

  overflow(): void {
    if (this.#state === "ended") return;
    if (this.connection !== null) return this.tooSlow("full", this.backlog!.heldBytes);
    if (this.resumption !== null) this.resumption.failure = "overflow";
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
    if (this.resumption !== null) this.resumption.failure = "overflow";
    gateway.log.warn("session too slow", { ...this.who, cause, waiting_bytes: waitingBytes });
    const farewell = sysError(this.traceId, "RESOURCE_EXHAUSTED", CLOSE.slowConsumer.reason);
    this.#end(CLOSE.slowConsumer, farewell, false);
  }

  lost(code: number, _reason: string, unwritten: readonly Frame[] | null): void {
    if (this.#state === "open" && this.resumption?.survives(code)) {
      return this.detach({ code, reason: "connection_lost" }, unwritten);
    }
    this.connection = null;
    this.#leave(code, code === 1006 ? "connection_lost" : "client_closed");
  }

  deliver(frame: Frame): void {
    if (this.#state !== "open") return this.#elsewhere(frame);
    this.home.rooms.delivered.bytes += frame.bytes;
    this.send(frame);
  }

  receive(frame: Frame): void {
    if (this.#state === "open") this.send(frame);
    else if (this.#on instanceof Arrivals) this.#on.add(frame);
  }

  pressure(now: number): Pressure | null {
    return this.connection?.pressure(now) ?? null;
  }

  look(now: number): SessionLook {
    const { user, policy } = this;
    const parts = { user, policy, connection: this.connection, backlog: this.backlog };
    return lookAt({ ...parts, inbound: this.#inbound }, now);
  }

  throttle(until: number): void {
    this.connection?.pauseUntil(until);
  }

  renew(data: Json | undefined, seq: number | null): void {
    (this.#renewals ??= new Renewals()).ask(this, this.home, data, seq);
  }

  renewed(grant: Grant, seq: number | null): void {
    this.home.registry.retag(this, this.hold(grant, this.#inbound));
    this.leaveForbidden();
    this.deliver(sysAuthed(this.traceId, this.greeting(), seq));
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
    if (this.resumption !== null) this.connection!.resumable(this.resumption.offer.token, 0);
    this.deliver(sysAuthed(this.traceId, { ...this.greeting(), ...resumed }, null));
    const early = this.#early;
    this.#early = null;
    early?.replay(this, this.home.gateway.now());
  }

  /** Ends its connection, where it goes on without one. @returns false where it does not */
  #outlives(code: CloseCode): boolean {
    const connection = this.connection;
    if (this.#state !== "open" || this.resumption === null || this.home.settings.resume === null) {
      return false;
    }
    if (connection === null) return false;
    this.detach({ code: code.code, reason: code.name }, connection.release(code));
    return true;
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

  protected readdressed(before: string): void {
    this.home.registry.readdress(this, before);
  }

  protected greeting(): Authed {
    const resume = this.resumption === null ? {} : { resume: this.resumption.offer };
    return greeting(this, this.home.gateway, { expiresAt: this.rightEndsAt, resume });
  }

  /** For one that is not quite here, or not any more. */
  #elsewhere(frame: Frame): void {
    if (this.#on instanceof Arrivals) this.#on.add(frame);
    else if (frame.isExt) this.#on?.(frame);
  }

  #refused(refused: Refusal): void {
    const farewell = sysRefused(this.traceId, refused, { seq: null });
    this.#end(refused.close ?? CLOSE.policyViolation, farewell, true);
  }

  /** Every end of ours. @param reliable whether what waits on the reliable lane goes out before the close */
  #end(code: CloseCode, farewell: Frame | null, reliable: boolean): void {
    if (this.#state === "ended" || this.#state === "moved") return;
    const connection = this.connection;
    // Not behind what waits: that ends with the session.
    if (farewell !== null) connection?.send(farewell);
    // Out of every index now, not when the peer answers: its place is free for the next one.
    this.#leave(code.code, code.name);
    connection?.close(code, reliable);
  }

  /** The end itself: the session is in no room and no index any more, and those who watch are told. */
  #leave(code: number, reason: string): void {
    const wasIn = this.#state === "open" || this.#state === "admitted";
    if (this.#state === "moved") return;
    this.#state = "ended";
    if (!wasIn) return;
    const { registry, rooms, metrics, watchers, gateway, detached } = this.home;
    if (detached.delete(this)) metrics.detached--;
    else metrics.sessions--;
    this.backlog?.discard();
    this.resumption?.end();
    registry.remove(this);
    this.unschedule();
    for (const membership of this.leaveAll()) rooms.leave(membership);
    const durationMs = Math.round(gateway.now() - this.openedAt);
    const { address, transport } = this, how = { code, reason, duration_ms: durationMs };
    const line = { ...this.who, address, transport, ...how, ...heardFrom(this.#inbound) };
    gateway.access.line("session closed", line);
    for (const watcher of watchers) watcher.closed(this, { code, reason, durationMs });
  }
}
