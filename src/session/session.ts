// Somebody's presence in a tenant: who it is and what it may, the rooms it is in, what it waits for, and its end. Admitted
// by the registry when its first connection opens. To rooms it is a subscriber, to services a context; what travels, and
// how, is its connection's business. A connection that is lost is detached, which today ends the session.

import type { Narrowing } from "../policy/narrowing.ts";
import { ROOM_NOT_ALLOWED } from "../policy/denial.ts";
import type { TenantPolicy } from "../policy/policy.ts";
import { CLOSE, type CloseCode, type Refusal } from "../protocol/codes.ts";
import type { Frame } from "../protocol/frame.ts";
import type { Json } from "../protocol/json.ts";
import { sysError, sysExpiring, sysLeft, sysRefused } from "../protocol/sys.ts";
import type { Membership } from "../room/rooms.ts";
import type { Connection, ConnectionUser } from "./connection.ts";
import {
  BAD_AUTH,
  type Claims,
  type Grant,
  type Identity,
  OTHER_SID,
  OTHER_USER,
  type Rejection,
  RENEWAL_LIMITED,
  RENEWAL_MS,
  rightOf,
  ticketIn,
} from "./grant.ts";
import { EarlyMessages, greeting, TOO_EARLY, UNRECORDED, welcomed } from "./greeting.ts";
import { InboundState } from "./inbound_state.ts";
import type { SlowCause } from "./outbox_owner.ts";
import { NO_MEMBERSHIPS, SESSION_ENDED, type SessionHandle } from "./session_handle.ts";
import type { TenantSettings } from "./settings.ts";
import type { Tenant } from "./tenant.ts";
import { Timer } from "./timer_wheel.ts";

export class Session implements ConnectionUser, SessionHandle {
  readonly user: string;
  readonly sid: string;
  readonly session: string;
  readonly traceId: string;
  readonly address: string;
  readonly addressGroup: string;
  readonly cbor: boolean;
  // What the ticket says; `renew` changes them.
  policy: TenantPolicy;
  claims: Claims;
  ticketId: string | null;
  issuedAtMs: number | null;
  openedAt = 0;
  readonly #tenant: Tenant;
  /** What `policy` was made from. */
  #settings: TenantSettings;
  #narrowing: Narrowing;
  #connection: Connection | null = null;
  /** "admitted" from the registry's yes to the greeting. */
  #state: "new" | "admitted" | "open" | "ended" = "new";
  /** Rooms joined; most sessions are in one, and a map of one costs as much as the rest of a session. */
  #joined: Membership | Map<string, Membership> | null = null;
  #active: Membership | null = null;
  /** What came while it was "admitted". */
  #early: EarlyMessages | null = null;
  #inbound: InboundState | null = null;
  /** When its right ends and when the client is told so; infinite for never and for not, or told already. */
  #expiresAt = Number.POSITIVE_INFINITY;
  #warnAt = Number.POSITIVE_INFINITY;
  /** For these two; null without them. */
  #timer: Timer | null = null;
  #renewedAt = Number.NEGATIVE_INFINITY;
  #renewing = false;

  constructor(tenant: Tenant, identity: Identity) {
    this.#tenant = tenant;
    this.user = identity.grant.user;
    this.sid = identity.sid;
    this.session = identity.session;
    this.traceId = identity.traceId;
    this.address = identity.address;
    this.addressGroup = identity.addressGroup;
    this.cbor = identity.cbor;
    const { grant } = identity;
    this.#settings = tenant.settings;
    this.#narrowing = grant.narrowing;
    this.policy = this.#settings.policy.narrowed(grant.narrowing);
    ({ claims: this.claims, ticketId: this.ticketId, issuedAtMs: this.issuedAtMs } = grant);
    this.#limit(grant);
  }

  get tenant(): string {
    return this.#tenant.id;
  }

  get memberships(): ReadonlyMap<string, Membership> {
    const joined = this.#joined;
    if (joined === null) return NO_MEMBERSHIPS;
    return joined instanceof Map ? joined : new Map([[joined.room.name, joined]]);
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  get active(): Membership | null {
    return this.#active;
  }

  opened(connection: Connection): void {
    this.attach(connection);
    const { gateway, metrics, registry, watchers } = this.#tenant;
    this.openedAt = gateway.now();
    const refused = registry.admit(this);
    if (refused !== null) {
      metrics.denied.add({ lane: "session", decision: "reject", reason: refused.code });
      return this.#refused(refused);
    }
    this.#state = "admitted";
    metrics.sessions++;
    connection.attached();
    this.#schedule();
    gateway.log.debug("session opened", { ...this.#who(), address: this.address });
    const may = welcomed(this, watchers);
    if (may === null) this.#begin(true);
    else void may.then((yes) => this.#begin(yes));
  }

  /** What it is sent goes over this connection from now on. */
  attach(connection: Connection): void {
    this.#connection = connection;
  }

  /** Its connection is gone, and with it, today, the session. */
  detach(code: number, reason: string): void {
    this.#connection = null;
    this.#leave(code, reason);
  }

  text(message: string, now: number): void {
    if (this.#state === "open") this.#tenant.handler.text(this.#hear(now), message, now);
    else this.#keep(message);
  }

  binary(message: Uint8Array, now: number): void {
    if (this.#state === "open") this.#tenant.handler.binary(this.#hear(now), message, now);
    else this.#keep(message);
  }

  control(bytes: number, now: number): void {
    if (this.#state === "open" || this.#state === "admitted") {
      this.#tenant.handler.control(this.#hear(now), bytes, now);
    }
  }

  timedOut(): void {
    this.end(CLOSE.idleTimeout, sysError(this.traceId, "TIMEOUT", "idle"));
  }

  tooSlow(cause: SlowCause, waitingBytes: number): void {
    const { metrics, gateway } = this.#tenant;
    if (cause === "stalled") metrics.writerTimeouts++;
    gateway.log.warn("session too slow", { ...this.#who(), cause, waiting_bytes: waitingBytes });
    const farewell = sysError(this.traceId, "RESOURCE_EXHAUSTED", CLOSE.slowConsumer.reason);
    this.#end(CLOSE.slowConsumer, farewell, false);
  }

  lost(code: number, reason: string): void {
    this.detach(code, code === 1006 ? "connection_lost" : "client_closed");
    const { gateway } = this.#tenant;
    const seconds = Math.round((gateway.now() - this.openedAt) / 100) / 10;
    gateway.log.debug("session closed", { ...this.#who(), code, reason, seconds });
  }

  deliver(frame: Frame): void {
    if (this.#state !== "open") return;
    this.#tenant.rooms.delivered.bytes += frame.bytes;
    this.#connection?.send(frame);
  }

  receive(frame: Frame): void {
    if (this.#state === "open") this.#connection?.send(frame);
  }

  membership(room: string): Membership | undefined {
    const joined = this.#joined;
    if (joined === null) return undefined;
    return joined instanceof Map ? joined.get(room) : joined.room.name === room ? joined : undefined;
  }

  join(room: string): Membership | Refusal {
    // A service that answers later may still hold its context.
    if (this.#state !== "open") return SESSION_ENDED;
    let membership = this.membership(room);
    if (membership === undefined) {
      if (this.#narrowing.rooms?.allows(room) === false) return ROOM_NOT_ALLOWED;
      const joined = this.#tenant.rooms.join(room, this);
      if ("ok" in joined) return joined;
      membership = joined;
      if (this.#joined === null) this.#joined = membership;
      else {
        if (!(this.#joined instanceof Map)) this.#joined = new Map([[this.#joined.room.name, this.#joined]]);
        this.#joined.set(room, membership);
      }
    }
    this.#active = membership;
    return membership;
  }

  leave(membership: Membership): void {
    // The membership may be an older one: the session can have left the room and joined it again since.
    if (this.membership(membership.room.name) !== membership) return;
    if (this.#joined instanceof Map) this.#joined.delete(membership.room.name);
    else this.#joined = null;
    if (this.#active === membership) this.#active = null;
    this.#tenant.rooms.leave(membership);
  }

  mayExt(svc: string, type: string): boolean {
    return this.policy.allowsExt(svc, type);
  }

  throttle(until: number): void {
    this.#connection?.pauseUntil(until);
  }

  /** Takes a new ticket of the same user. The session lives on until its old right ends, whatever comes of the ticket. */
  renew(data: Json | undefined, seq: number | null): void {
    const { gateway, settings: { authenticator } } = this.#tenant;
    const ticket = ticketIn(data);
    if (ticket === null) return this.#refuse(BAD_AUTH, seq);
    const wait = this.#renewing ? RENEWAL_MS : this.#renewedAt + RENEWAL_MS - gateway.now();
    if (wait > 0) return this.#refuse({ ...RENEWAL_LIMITED, retryAfterMs: Math.ceil(wait) }, seq);
    this.#renewedAt = gateway.now();
    const { user, address, addressGroup } = this;
    const answer = authenticator.renew({ ticket, user, address, addressGroup });
    if (!(answer instanceof Promise)) return this.#renewed(answer, seq);
    this.#renewing = true;
    void answer.then((settled) => {
      this.#renewing = false;
      if (this.#state === "open") this.#renewed(settled, seq);
    });
  }

  end(code: CloseCode, farewell: Frame | null): void {
    // Before its greeting it is told nothing.
    this.#end(code, this.#state === "open" ? farewell : null, true);
  }

  /** The ticket's time. @returns see `Timer.onTimer` */
  ticketTimer(now: number): number {
    if (now >= this.#expiresAt) {
      this.end(CLOSE.ticketExpired, sysError(this.traceId, "AUTH_FAILED", "ticket expired"));
      return 0;
    }
    if (now >= this.#warnAt) {
      this.#warnAt = Number.POSITIVE_INFINITY;
      this.deliver(sysExpiring(this.traceId, Math.ceil(this.#expiresAt - now)));
    }
    return this.#nextDeadline(now);
  }

  #begin(may: boolean): void {
    if (this.#state !== "admitted") return;
    if (!may) return this.#refused(UNRECORDED);
    this.#state = "open";
    this.#greet(null);
    const early = this.#early;
    this.#early = null;
    early?.replay(this, this.#tenant.gateway.now());
  }

  #keep(message: string | Uint8Array): void {
    if (this.#state !== "admitted") return;
    const early = this.#early ??= new EarlyMessages();
    if (!early.add(message)) this.#refused(TOO_EARLY);
  }

  /** What is kept of its messages, once it goes by what holds now. */
  #hear(now: number): InboundState {
    if (this.#settings !== this.#tenant.settings) this.#apply(now);
    return this.#inbound ??= new InboundState(this);
  }

  #greet(seq: number | null): void {
    this.deliver(greeting(this, this.#tenant.gateway, { expiresAt: this.#expiresAt, seq }));
  }

  #renewed(answer: Grant | Rejection, seq: number | null): void {
    if (!answer.ok) return this.#refuse(answer, seq);
    const { narrowing } = answer;
    if (answer.user !== this.user) return this.#refuse(OTHER_USER, seq);
    if (narrowing.sid !== null && narrowing.sid !== this.sid) return this.#refuse(OTHER_SID, seq);
    const { gateway, registry } = this.#tenant;
    this.#narrowing = narrowing;
    this.#apply(gateway.now());
    this.claims = answer.claims;
    this.issuedAtMs = answer.issuedAtMs;
    const { ticketId: former } = this;
    this.ticketId = answer.ticketId;
    registry.retag(this, former);
    this.#limit(answer);
    for (const membership of [...this.memberships.values()]) {
      const { name } = membership.room;
      if (narrowing.rooms?.allows(name) !== false) continue;
      this.leave(membership);
      this.deliver(sysLeft(this.traceId, name, null));
    }
    this.#greet(seq);
    this.#schedule();
  }

  /** Takes over what holds now: at a new ticket, and with the first message after a reload. */
  #apply(now: number): void {
    this.#settings = this.#tenant.settings;
    const policy = this.#settings.policy.narrowed(this.#narrowing);
    if (policy === this.policy) return;
    this.policy = policy;
    if (this.#inbound !== null) this.policy.applyTo(this.#inbound, now);
  }

  /** Notes until when its right lasts. */
  #limit(grant: Grant): void {
    const { gateway, settings } = this.#tenant;
    const { endsAt, warnAt } = rightOf(grant, gateway, settings.authenticator.expiryWarningMs);
    this.#expiresAt = endsAt;
    this.#warnAt = warnAt;
  }

  #schedule(): void {
    const { wheel, now } = this.#tenant.gateway;
    if (this.#expiresAt === Number.POSITIVE_INFINITY) {
      if (this.#timer !== null) wheel.cancel(this.#timer);
    } else wheel.schedule(this.#timer ??= new TicketTimer(this), this.#nextDeadline(now()));
  }

  #nextDeadline(now: number): number {
    return Math.max(1, Math.min(this.#warnAt, this.#expiresAt) - now);
  }

  #refuse({ code, msg, retryAfterMs }: Rejection, seq: number | null): void {
    this.deliver(sysError(this.traceId, code, msg, { seq, retryAfterMs }));
  }

  #refused(refused: Refusal): void {
    const farewell = sysRefused(this.traceId, refused, { seq: null });
    this.#end(refused.close ?? CLOSE.policyViolation, farewell, true);
  }

  /** Every end of ours. @param reliable whether what waits on the reliable lane goes out before the close */
  #end(code: CloseCode, farewell: Frame | null, reliable: boolean): void {
    if (this.#state === "ended") return;
    const connection = this.#connection;
    if (this.#state !== "open" && farewell !== null) connection?.send(farewell);
    else if (farewell !== null) this.deliver(farewell);
    // Out of every index now, not when the peer answers: its place is free for the next one.
    this.#leave(code.code, code.name);
    connection?.close(code, reliable);
  }

  /** The end itself: the session is in no room and no index any more, and those who watch are told. */
  #leave(code: number, reason: string): void {
    const wasIn = this.#state === "open" || this.#state === "admitted";
    this.#state = "ended";
    if (!wasIn) return;
    const { registry, rooms, metrics, watchers, gateway } = this.#tenant;
    metrics.sessions--;
    registry.remove(this);
    if (this.#timer !== null) gateway.wheel.cancel(this.#timer);
    this.#active = null;
    const { memberships } = this;
    this.#joined = null;
    for (const membership of memberships.values()) rooms.leave(membership);
    const durationMs = Math.round(gateway.now() - this.openedAt);
    for (const watcher of watchers) watcher.closed(this, { code, reason, durationMs });
  }

  #who(): { tenant: string; user: string; session: string; trace_id: string } {
    return { tenant: this.#tenant.id, user: this.user, session: this.session, trace_id: this.traceId };
  }
}

/** When a session's ticket is to be looked at. */
class TicketTimer extends Timer {
  readonly #session: Session;

  constructor(session: Session) {
    super();
    this.#session = session;
  }

  override onTimer(now: number): number {
    return this.#session.ticketTimer(now);
  }
}
