// Somebody's presence in a tenant: who it is and what it may, the rooms it is in, what it waits for, and its end. Admitted
// by the registry when its first connection opens. To rooms it is a subscriber, to services a context; what travels, and
// how, is its connection's business. Where its client asked for it, it outlives a lost connection (resumption.ts), and what
// it is sent meanwhile waits (backlog.ts).

import type { Narrowing } from "../policy/narrowing.ts";
import { ROOM_NOT_ALLOWED } from "../policy/denial.ts";
import type { TenantPolicy } from "../policy/policy.ts";
import { CLOSE, type CloseCode, type Refusal } from "../protocol/codes.ts";
import type { Frame } from "../protocol/frame.ts";
import type { Json } from "../protocol/json.ts";
import { looksLikeCborMap } from "../protocol/cbor.ts";
import {
  type Authed,
  sysAuthed,
  sysError,
  sysExpiring,
  sysLeft,
  sysRefused,
  sysResumed,
} from "../protocol/sys.ts";
import type { Membership } from "../room/rooms.ts";
import { Backlog } from "./backlog.ts";
import type { Connection } from "./connection.ts";
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
import type { OutboxLimits } from "./outbox_limits.ts";
import type { Replay, ReplayBounds } from "./replay.ts";
import { type ResumableSession, Resumption } from "./resumption.ts";
import { NO_MEMBERSHIPS, SESSION_ENDED, type SessionHandle } from "./session_handle.ts";
import type { ResumeSettings, TenantSettings } from "./settings.ts";
import type { Tenant } from "./tenant.ts";
import { Timer } from "./timer_wheel.ts";

/** What holds for a session that could be resumed when a reload took that away from its tenant. */
const NO_RESUME: ResumeSettings = { windowMs: 0, maxBytes: 0, maxMessages: 0, maxDetached: 0 };

function reliableBounds({ reliableBytes, reliableMessages }: OutboxLimits): ReplayBounds {
  return { maxBytes: reliableBytes, maxMessages: reliableMessages };
}

/** Close codes by which a client, or what lies between, tells of a lost connection rather than of a wish to go. */
const LOSSES: ReadonlySet<number> = new Set([1001, 1006, 1011, 1012, 1013, 1014]);

function isLoss(code: number): boolean {
  return LOSSES.has(code);
}

export class Session implements ResumableSession, SessionHandle {
  readonly user: string;
  readonly sid: string;
  readonly session: string;
  readonly traceId: string;
  address: string;
  addressGroup: string;
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
  /** Null where it ends with its connection. */
  #resumption: Resumption | null = null;
  /** What waits behind a replay or for a connection; null where nothing ever did. */
  #backlog: Backlog | null = null;
  readonly #resume: Identity["resume"];
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
  /** More waits than may wait. */
  #overflowed = false;

  constructor(tenant: Tenant, identity: Identity) {
    this.#tenant = tenant;
    this.user = identity.grant.user;
    this.sid = identity.sid;
    this.session = identity.session;
    this.traceId = identity.traceId;
    this.address = identity.address;
    this.addressGroup = identity.addressGroup;
    this.cbor = identity.cbor;
    this.#resume = identity.resume;
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

  get detachedMs(): number | null {
    const since = this.#resumption?.detachedAt ?? null;
    return since === null ? null : this.#tenant.gateway.now() - since;
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
    const { gateway, metrics, registry, watchers } = this.#tenant;
    this.openedAt = gateway.now();
    const refused = registry.admit(this);
    if (refused !== null) {
      metrics.denied.add({ lane: "session", decision: "reject", reason: refused.code });
      return this.#refused(refused);
    }
    this.#state = "admitted";
    metrics.sessions++;
    if (this.#resume !== "no" && this.#settings.resume !== null) {
      this.#resumption = new Resumption(this.#tenant.resumeTokens, this);
      this.#backlogOf().attach(connection);
    }
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

  /**
   * Its connection is gone, and it waits for its client.
   * @param unwritten ext frames that the connection never wrote
   */
  detach(code: number, reason: string, unwritten: readonly Frame[]): void {
    const { gateway, metrics, watchers, detached } = this.#tenant;
    const resumption = this.#resumption!;
    this.#connection = null;
    resumption.detachedAt = gateway.now();
    metrics.sessions--;
    metrics.detached++;
    detached.add(this);
    if (!this.#backlog!.detach(unwritten)) return this.#overflow();
    this.#schedule();
    gateway.log.debug("session detached", { ...this.#who(), code, reason });
    for (const watcher of watchers) watcher.detached(this, { code, reason });
    const { maxDetached } = this.#resumeSettings;
    if (detached.size > maxDetached) [...detached][0]!.expire();
  }

  mayResume(heard: number): "overflow" | "bad" | null {
    const { replay } = this;
    if (replay === null || heard > replay.sentCount) return "bad";
    if (replay.reachesBackTo(heard)) return null;
    this.#overflow();
    return "overflow";
  }

  comeBack(heard: number, from: Pick<Identity, "address" | "addressGroup">): boolean {
    if (this.#state !== "open" || this.mayResume(heard) !== null) return false;
    const former = this.#connection;
    if (former !== null) this.detach(1006, "connection_replaced", former.release(null));
    if (this.#state !== "open") return false;
    this.replay!.rewind(heard);
    const { addressGroup: before } = this;
    this.address = from.address;
    this.addressGroup = from.addressGroup;
    this.#tenant.registry.readdress(this, before);
    return true;
  }

  text(message: string, now: number): void {
    if (this.#state !== "open") return this.#keep(message);
    if (this.#resumption !== null) this.#count(this.#resumption);
    this.#tenant.handler.text(this.#hear(now), message, now);
  }

  binary(message: Uint8Array, now: number): void {
    if (this.#state !== "open") return this.#keep(message);
    if (this.#resumption !== null && this.cbor && looksLikeCborMap(message)) this.#count(this.#resumption);
    this.#tenant.handler.binary(this.#hear(now), message, now);
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
      this.#tenant.handler.control(this.#hear(now), bytes, now);
    }
  }

  timedOut(): void {
    if (this.#resumption === null || this.#state !== "open") {
      return this.end(CLOSE.idleTimeout, sysError(this.traceId, "TIMEOUT", "idle"));
    }
    const connection = this.#connection!;
    this.detach(CLOSE.idleTimeout.code, CLOSE.idleTimeout.name, connection.release(CLOSE.idleTimeout));
  }

  expire(): void {
    this.#resumption!.failure = "expired";
    this.#leave(1006, "connection_lost");
  }

  tooSlow(cause: SlowCause, waitingBytes: number): void {
    const { metrics, gateway } = this.#tenant;
    if (cause === "stalled") metrics.writerTimeouts++;
    gateway.log.warn("session too slow", { ...this.#who(), cause, waiting_bytes: waitingBytes });
    const farewell = sysError(this.traceId, "RESOURCE_EXHAUSTED", CLOSE.slowConsumer.reason);
    this.#end(CLOSE.slowConsumer, farewell, false);
  }

  lost(code: number, reason: string, unwritten: readonly Frame[]): void {
    if (this.#state === "open" && this.#resumption !== null && isLoss(code)) {
      return this.detach(code, "connection_lost", unwritten);
    }
    this.#connection = null;
    this.#leave(code, code === 1006 ? "connection_lost" : "client_closed");
    const { gateway } = this.#tenant;
    const seconds = Math.round((gateway.now() - this.openedAt) / 100) / 10;
    gateway.log.debug("session closed", { ...this.#who(), code, reason, seconds });
  }

  deliver(frame: Frame): void {
    if (this.#state !== "open") return;
    this.#tenant.rooms.delivered.bytes += frame.bytes;
    this.#send(frame);
  }

  receive(frame: Frame): void {
    if (this.#state === "open") this.#send(frame);
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

  /** The ticket's time, and that for which its client may be away. @returns see `Timer.onTimer` */
  ticketTimer(now: number): number {
    if (this.#overflowed) {
      this.#overflow();
      return 0;
    }
    if (now >= this.#windowEnd()) {
      this.expire();
      return 0;
    }
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
    this.deliver(sysAuthed(this.traceId, this.#greeting(), seq));
  }

  #greeting(): Authed {
    const { gateway } = this.#tenant;
    const { windowMs } = this.#resumeSettings;
    const resumption = this.#resumption;
    const resume = {
      ...(resumption === null ? {} : { resume: { token: resumption.token, window_ms: windowMs } }),
      ...(this.#resume === "no" || this.#resume === "asked"
        ? {}
        : { resumed: { ok: false, reason: this.#resume } as const }),
    };
    return greeting(this, gateway, { expiresAt: this.#expiresAt, resume });
  }

  /** Its client is back, and hears first how far both sides are. */
  #resumed(connection: Connection): void {
    const { gateway, metrics, watchers, detached, settings: { dispatcher } } = this.#tenant;
    const resumption = this.#resumption!;
    const backlog = this.#backlog!;
    const detachedMs = this.detachedMs!;
    resumption.detachedAt = null;
    resumption.renew();
    detached.delete(this);
    metrics.detached--;
    metrics.sessions++;
    metrics.resumes.add({ outcome: "ok" });
    this.#connection = connection;
    connection.attached();
    const told = { ...this.#greeting(), heard: resumption.taken, replay: backlog.replay.waiting };
    connection.send(sysResumed(this.traceId, told));
    connection.ping();
    backlog.attach(connection);
    this.#schedule();
    gateway.log.debug("session resumed", {
      ...this.#who(),
      address: this.address,
      detached_ms: Math.round(detachedMs),
    });
    for (const watcher of watchers) watcher.resumed(this, detachedMs);
    for (const membership of this.memberships.values()) dispatcher.resumed(membership);
  }

  #count(resumption: Resumption): void {
    resumption.taken++;
    resumption.confirm();
  }

  #send(frame: Frame): void {
    if (this.#backlog === null) this.#connection?.send(frame);
    else this.#backlog.send(frame);
  }

  #backlogOf(): Backlog {
    if (this.#backlog !== null) return this.#backlog;
    const { gateway, metrics } = this.#tenant;
    return this.#backlog = new Backlog({
      cbor: this.cbor,
      flusher: gateway.flusher,
      pump: gateway.replayPump,
      metrics,
      bounds: () =>
        this.#resumption === null ? reliableBounds(this.#tenant.settings.outbox) : this.#resumeSettings,
      overflowed: () => {
        this.#overflowed = true;
        this.#schedule();
      },
      evicted: () => this.#overflow(),
    });
  }

  /** More waits for its client than may be kept: what it missed cannot be told any more. */
  #overflow(): void {
    if (this.#state === "ended") return;
    if (this.#resumption !== null) this.#resumption.failure = "overflow";
    if (this.#connection !== null) this.tooSlow("full", this.#backlog!.heldBytes);
    else this.#leave(CLOSE.slowConsumer.code, "resume_overflow");
  }

  get #resumeSettings(): ResumeSettings {
    return this.#tenant.settings.resume ?? NO_RESUME;
  }

  #windowEnd(): number {
    const since = this.#resumption?.detachedAt ?? null;
    return since === null ? Number.POSITIVE_INFINITY : since + this.#resumeSettings.windowMs;
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
    const next = this.#nextDeadline(now());
    if (next > 0) wheel.schedule(this.#timer ??= new TicketTimer(this), next);
    else if (this.#timer !== null) wheel.cancel(this.#timer);
  }

  /** @returns milliseconds, 0 for none */
  #nextDeadline(now: number): number {
    if (this.#overflowed) return 1;
    const next = Math.min(this.#warnAt, this.#expiresAt, this.#windowEnd());
    return next === Number.POSITIVE_INFINITY ? 0 : Math.max(1, next - now);
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
    const { registry, rooms, metrics, watchers, gateway, detached } = this.#tenant;
    if (detached.delete(this)) metrics.detached--;
    else metrics.sessions--;
    this.#backlog?.discard();
    this.#resumption?.end(this.#resumeSettings.windowMs);
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
