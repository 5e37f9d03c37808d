// One connection's life: opened by the transport, admitted by the registry, then a message at a time through
// policy to a service, until somebody ends it. To rooms it is a subscriber, to services a context, to the
// transport a handler; what waits to be written is its outbox's business.

import { cborForm } from "../protocol/cbor.ts";
import { CLOSE, type CloseCode, type Refusal } from "../protocol/codes.ts";
import type { Frame } from "../protocol/frame.ts";
import type { Json } from "../protocol/json.ts";
import type { Narrowing } from "../policy/narrowing.ts";
import { ROOM_NOT_ALLOWED } from "../policy/denial.ts";
import type { Standing } from "../policy/matter.ts";
import type { TenantPolicy } from "../policy/policy.ts";
import { type ErrorDetail, sysError, sysExpiring, sysGap, sysKicked, sysLeft } from "../protocol/sys.ts";
import type { Membership } from "../room/rooms.ts";
import type { Link, LinkHandler } from "../transport/port.ts";
import type { Gap } from "./gaps.ts";
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
import type { Speaker } from "./intake.ts";
import { Outbox } from "./outbox.ts";
import type { OutboxOwner, SlowCause } from "./outbox_owner.ts";
import type { PendingCalls } from "./pending.ts";
import { NO_MEMBERSHIPS, type Resident, SESSION_ENDED } from "./resident.ts";
import type { Tenant } from "./tenant.ts";
import type { Terms } from "./terms.ts";
import type { Timed } from "./timer_wheel.ts";

/** How long a peer may take to answer our close before its socket is dropped; a flooding one is not read any more. */
const CLOSE_TIMEOUT_MS = 5000;
const FLOOD_CLOSE_TIMEOUT_MS = 1000;

export class Session implements LinkHandler, Speaker, Resident, OutboxOwner, Timed {
  readonly user: string;
  readonly sid: string;
  readonly session: string;
  readonly traceId: string;
  readonly address: string;
  readonly addressGroup: string;
  readonly cbor: boolean;
  // What the ticket says; `renew` changes them.
  /** The tenant's, narrowed. */
  policy: TenantPolicy;
  claims: Claims;
  ticketId: string | null;
  issuedAtMs: number | null;
  openedAt = 0;
  readonly #tenant: Tenant;
  /** What `policy` was made from. */
  #terms: Terms;
  #narrowing: Narrowing;
  #link: Link | null = null;
  #outbox: Outbox | null = null;
  /** Rooms joined, by name; made at the first join. */
  #memberships: Map<string, Membership> | null = null;
  #active: Membership | null = null;
  /** "admitted" from the registry's yes to the greeting, "ending" from our close on, "ended" once closed and forgotten. */
  #state: "opening" | "admitted" | "open" | "ending" | "ended" = "opening";
  /** What came while it was "admitted". */
  #early: EarlyMessages | null = null;
  #lastHeardAt = 0;
  #pingedAt = 0;
  /** When its right ends and when the client is told so; infinite for never and for not, or told already. */
  #expiresAt = Number.POSITIVE_INFINITY;
  #warnAt = Number.POSITIVE_INFINITY;
  #renewedAt = Number.NEGATIVE_INFINITY;
  #renewing = false;
  // Kept for the intake.
  standing: Standing | null = null;
  deafUntil = 0;
  hotCount = 0;
  pending: PendingCalls | null = null;
  // Kept for the timer wheel.
  timerSlot = -1;
  timerIndex = -1;
  timerDue = 0;

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
    this.#terms = tenant.terms;
    this.#narrowing = grant.narrowing;
    this.policy = this.#terms.policy.narrowed(grant.narrowing);
    ({ claims: this.claims, ticketId: this.ticketId, issuedAtMs: this.issuedAtMs } = grant);
    this.#limit(grant);
  }

  get tenant(): string {
    return this.#tenant.id;
  }

  get memberships(): ReadonlyMap<string, Membership> {
    return this.#memberships ?? NO_MEMBERSHIPS;
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  get active(): Membership | null {
    return this.#active;
  }

  open(link: Link): void {
    const { house, metrics, registry } = this.#tenant;
    house.totals.links++;
    this.#link = link;
    this.#outbox = new Outbox({
      link,
      flusher: house.flusher,
      limits: this.#tenant.outbox,
      owner: this,
      metrics,
    });
    this.openedAt = this.#lastHeardAt = this.#pingedAt = house.now();
    const refused = registry.admit(this);
    if (refused !== null) {
      metrics.denied.add({ lane: "session", decision: "reject", reason: refused.code });
      this.endRefused(refused, { seq: null });
      return;
    }
    this.#state = "admitted";
    metrics.sessions++;
    house.wheel.schedule(this, this.#nextDeadline(this.openedAt));
    house.log.debug("session opened", { ...this.#who(), address: this.address });
    const may = welcomed(this, this.#tenant.watchers);
    if (may === null) this.#begin(true);
    else void may.then((yes) => this.#begin(yes));
  }

  text(message: string): void {
    if (this.#state !== "open") return this.#keep(message);
    this.#tenant.intake.text(this, message, this.#heard());
    this.#outbox!.flushSpeaker();
  }

  binary(message: Uint8Array): void {
    if (this.#state !== "open") return this.#keep(message);
    this.#tenant.intake.binary(this, message, this.#heard());
    this.#outbox!.flushSpeaker();
  }

  pong(): void {
    this.#heard();
  }

  drain(): void {
    this.#outbox?.drained();
  }

  close(code: number, reason: string): void {
    if (this.#state === "ended") return;
    this.#outbox?.discard();
    this.#leaveHouse(code, code === 1006 ? "connection_lost" : "client_closed");
    const { house } = this.#tenant;
    house.wheel.cancel(this);
    house.totals.links--;
    const seconds = Math.round((house.now() - this.openedAt) / 100) / 10;
    house.log.debug("session closed", { ...this.#who(), code, reason, seconds });
    this.#state = "ended";
    this.#link = null;
  }

  deliver(frame: Frame): void {
    if (this.#state !== "open") return;
    this.#tenant.rooms.delivered.bytes += frame.bytes;
    this.receive(frame);
  }

  receive(frame: Frame): void {
    if (this.#state === "open") this.#outbox!.push(this.cbor ? cborForm(frame) : frame);
  }

  membership(room: string): Membership | undefined {
    return this.#memberships?.get(room);
  }

  join(room: string): Membership | Refusal {
    // A service that answers later may still hold its context.
    if (this.#state !== "open") return SESSION_ENDED;
    let membership = this.#memberships?.get(room);
    if (membership === undefined) {
      if (this.#narrowing.rooms?.allows(room) === false) return ROOM_NOT_ALLOWED;
      const joined = this.#tenant.rooms.join(room, this);
      if ("ok" in joined) return joined;
      membership = joined;
      (this.#memberships ??= new Map()).set(room, membership);
    }
    this.#active = membership;
    return membership;
  }

  leave(membership: Membership): void {
    // It may be an older one: the session can have left and joined the room again since.
    if (this.#memberships?.get(membership.room.name) !== membership) return;
    this.#memberships.delete(membership.room.name);
    if (this.#active === membership) this.#active = null;
    this.#tenant.rooms.leave(membership);
  }

  mayExt(svc: string, type: string): boolean {
    return this.policy.allowsExt(svc, type);
  }

  /** Takes a new ticket of the same user. The session lives on until its old right ends, whatever comes of it. */
  renew(data: Json | undefined, seq: number | null): void {
    const { house, terms } = this.#tenant;
    const ticket = ticketIn(data);
    if (ticket === null) return this.#refuse(BAD_AUTH, seq);
    const wait = this.#renewing ? RENEWAL_MS : this.#renewedAt + RENEWAL_MS - house.now();
    if (wait > 0) return this.#refuse({ ...RENEWAL_LIMITED, retryAfterMs: Math.ceil(wait) }, seq);
    this.#renewedAt = house.now();
    const { user, address, addressGroup } = this;
    const answer = terms.authenticator.renew({ ticket, user, address, addressGroup });
    if (!(answer instanceof Promise)) return this.#renewed(answer, seq);
    this.#renewing = true;
    void answer.then((settled) => {
      this.#renewing = false;
      if (this.#state === "open") this.#renewed(settled, seq);
    });
  }

  /** Tells the client why and ends the session. */
  kick(reason: string, code: CloseCode): void {
    this.end(code, sysKicked(this.traceId, reason));
  }

  end(code: CloseCode, farewell: Frame | null): void {
    if (farewell !== null) this.deliver(farewell);
    this.#close(code, true);
  }

  endRefused(refused: Refusal, detail: ErrorDetail): void {
    const { code, msg, ruleId } = refused;
    const frame = sysError(this.traceId, code, msg, { ...detail, ruleId });
    // Not open yet when the registry refused it, and then `deliver` does nothing.
    if (this.#state === "opening" || this.#state === "admitted") {
      this.#outbox!.push(this.cbor ? cborForm(frame) : frame);
    } else this.deliver(frame);
    this.#close(refused.close ?? CLOSE.policyViolation, true);
  }

  rest(): void {
    this.#link?.pause();
    this.#tenant.house.wheel.schedule(this, this.#nextDeadline(this.#tenant.house.now()));
  }

  tooSlow(cause: SlowCause): void {
    const { metrics, house } = this.#tenant;
    if (cause === "stalled") metrics.writerTimeouts++;
    house.log.warn("session too slow", { ...this.#who(), cause, waiting_bytes: this.#outbox!.bytes });
    this.deliver(sysError(this.traceId, "RESOURCE_EXHAUSTED", CLOSE.slowConsumer.reason));
    this.#close(CLOSE.slowConsumer, false);
    // What its socket holds is memory that others need now; a close would wait for it to be read.
    if (cause === "shed") this.#link?.terminate();
  }

  tellGap(gap: Gap): void {
    this.deliver(sysGap(this.traceId, gap));
  }

  onTimer(now: number): number {
    if (this.#state !== "open") {
      this.#link?.terminate();
      // Where it does not help at once (native Deno), it is tried again.
      return this.#link === null ? 0 : CLOSE_TIMEOUT_MS;
    }
    if (this.deafUntil > 0 && now >= this.deafUntil) {
      this.deafUntil = 0;
      this.#link!.resume();
    }
    if (now >= this.#expiresAt) {
      this.end(CLOSE.ticketExpired, sysError(this.traceId, "AUTH_FAILED", "ticket expired"));
      return 0; // #close has set the deadline
    }
    if (now >= this.#warnAt) {
      this.#warnAt = Number.POSITIVE_INFINITY;
      this.deliver(sysExpiring(this.traceId, Math.ceil(this.#expiresAt - now)));
    }
    const { idleTimeoutMs, pingIntervalMs } = this.#tenant.house;
    if (idleTimeoutMs > 0 && now - this.#lastHeardAt >= idleTimeoutMs) {
      this.end(CLOSE.idleTimeout, sysError(this.traceId, "TIMEOUT", "idle"));
      return 0; // as above
    }
    if (now - this.#pingedAt >= pingIntervalMs) {
      this.#pingedAt = now;
      this.#link!.ping();
      if (!this.isOpen) return 0; // the ping found the socket dead
    }
    return this.#nextDeadline(now);
  }

  #begin(may: boolean): void {
    if (this.#state !== "admitted") return;
    if (!may) return this.endRefused(UNRECORDED, { seq: null });
    this.#state = "open";
    this.#greet(null);
    this.#early?.replay(this);
    this.#early = null;
  }

  #keep(message: string | Uint8Array): void {
    if (this.#state !== "admitted") return;
    const early = this.#early ??= new EarlyMessages();
    if (!early.add(message)) this.endRefused(TOO_EARLY, { seq: null });
  }

  #greet(seq: number | null): void {
    this.deliver(greeting(this, this.#tenant.house, { expiresAt: this.#expiresAt, seq }));
  }

  #renewed(answer: Grant | Rejection, seq: number | null): void {
    if (!answer.ok) return this.#refuse(answer, seq);
    const { narrowing } = answer;
    if (answer.user !== this.user) return this.#refuse(OTHER_USER, seq);
    if (narrowing.sid !== null && narrowing.sid !== this.sid) return this.#refuse(OTHER_SID, seq);
    const { house, registry } = this.#tenant;
    this.#narrowing = narrowing;
    this.#comeToTerms();
    this.claims = answer.claims;
    this.issuedAtMs = answer.issuedAtMs;
    registry.retag(this, answer.ticketId);
    this.#limit(answer);
    for (const membership of [...this.#memberships?.values() ?? []]) {
      const { name } = membership.room;
      if (narrowing.rooms?.allows(name) !== false) continue;
      this.leave(membership);
      this.deliver(sysLeft(this.traceId, name, null));
    }
    this.#greet(seq);
    house.wheel.schedule(this, this.#nextDeadline(house.now()));
  }

  /** Takes over what holds now: at a new ticket, and with the first message after a reload. */
  #comeToTerms(): void {
    this.#terms = this.#tenant.terms;
    this.policy = this.#terms.policy.narrowed(this.#narrowing);
    if (this.standing !== null) this.policy.takeOver(this.standing, this.#tenant.house.now());
  }

  /** Sets until when. */
  #limit(grant: Grant): void {
    const { house, terms } = this.#tenant;
    const { endsAt, warnAt } = rightOf(grant, house, terms.authenticator.expiryWarningMs);
    this.#expiresAt = endsAt;
    this.#warnAt = warnAt;
  }

  #refuse({ code, msg, retryAfterMs }: Rejection, seq: number | null): void {
    this.deliver(sysError(this.traceId, code, msg, { seq, retryAfterMs }));
  }

  #close(code: CloseCode, reliable: boolean): void {
    if (this.#state === "ending" || this.#state === "ended") return;
    const { metrics, house } = this.#tenant;
    metrics.closes.add({ name: code.name });
    // Out of every index now, not when the peer answers: its place is free for the next one.
    this.#leaveHouse(code.code, code.name);
    this.#state = "ending";
    const floods = code === CLOSE.rateLimited;
    house.wheel.schedule(this, floods ? FLOOD_CLOSE_TIMEOUT_MS : CLOSE_TIMEOUT_MS);
    // Either of these may bring the link's close at once, and with it the end of all this.
    this.#outbox!.finish(reliable);
    if (this.deafUntil > 0 && !floods) this.#link?.resume();
    this.#link?.close(code.code, code.reason);
    if (floods) this.#link?.pause();
  }

  #leaveHouse(code: number, reason: string): void {
    const { registry, rooms, metrics, watchers, house } = this.#tenant;
    if (this.#state !== "open" && this.#state !== "admitted") return;
    this.#state = "ending";
    metrics.sessions--;
    registry.remove(this);
    this.#active = null;
    const memberships = this.#memberships;
    this.#memberships = null;
    for (const membership of memberships?.values() ?? []) rooms.leave(membership);
    const durationMs = Math.round(house.now() - this.openedAt);
    for (const watcher of watchers) watcher.closed(this, { code, reason, durationMs });
  }

  #heard(): number {
    if (this.#terms !== this.#tenant.terms) this.#comeToTerms();
    return this.#lastHeardAt = this.#tenant.house.now();
  }

  #nextDeadline(now: number): number {
    const { idleTimeoutMs, pingIntervalMs } = this.#tenant.house;
    const idleAt = idleTimeoutMs === 0 ? Number.POSITIVE_INFINITY : this.#lastHeardAt + idleTimeoutMs;
    const resumeAt = this.deafUntil > 0 ? this.deafUntil : Number.POSITIVE_INFINITY;
    // Sums round: a deadline can be past by one comparison and not yet by another, and 0 would be none at all.
    return Math.max(
      1,
      Math.min(this.#pingedAt + pingIntervalMs, idleAt, this.#warnAt, this.#expiresAt, resumeAt) - now,
    );
  }

  #who(): { tenant: string; user: string; session: string; trace_id: string } {
    return { tenant: this.#tenant.id, user: this.user, session: this.session, trace_id: this.traceId };
  }
}
