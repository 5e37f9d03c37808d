// One connection's life: opened by the transport, admitted by the registry, then a message at a time through
// policy to a service, until somebody ends it. To rooms it is a subscriber, to services a context, to the
// transport a handler; what waits to be written is its outbox's business.

import { cborForm } from "../protocol/cbor.ts";
import { CLOSE, type CloseCode, type Refusal, refusal } from "../protocol/codes.ts";
import type { Frame } from "../protocol/frame.ts";
import { sysAuthed, sysError, sysGap, sysKicked } from "../protocol/sys.ts";
import type { Membership } from "../room/rooms.ts";
import type { Link, LinkHandler } from "../transport/port.ts";
import type { Gap } from "./gaps.ts";
import type { Speaker } from "./intake.ts";
import { Outbox, type OutboxOwner, type SlowCause } from "./outbox.ts";
import type { PendingCalls } from "./pending.ts";
import type { Registered } from "./registry.ts";
import type { Tenant } from "./tenant.ts";
import type { Timed } from "./timer_wheel.ts";

/** Who a session belongs to, settled before the upgrade. */
export interface Identity {
  readonly user: string;
  readonly sid: string;
  /** Unique in this process. */
  readonly session: string;
  readonly traceId: string;
  /** The client's address, as far as the gateway can tell. */
  readonly address: string;
  /** Ext envelopes travel as CBOR. */
  readonly cbor: boolean;
}

/** How long a peer may take to answer our close before its socket is dropped. */
const CLOSE_TIMEOUT_MS = 5000;

const SESSION_ENDED = refusal("UNAVAILABLE", "session has ended");

export class Session implements LinkHandler, Speaker, Registered, OutboxOwner, Timed {
  readonly user: string;
  readonly sid: string;
  readonly session: string;
  readonly traceId: string;
  readonly address: string;
  readonly cbor: boolean;
  readonly #tenant: Tenant;
  #link: Link | null = null;
  #outbox: Outbox | null = null;
  /** Rooms joined, by name; made at the first join. */
  #memberships: Map<string, Membership> | null = null;
  #active: Membership | null = null;
  /** "opening" until admitted, "ending" from our close on, "ended" once out of all indices and closed. */
  #state: "opening" | "open" | "ending" | "ended" = "opening";
  #openedAt = 0;
  #lastHeardAt = 0;
  #pingedAt = 0;
  // Kept for the intake.
  rateFullAt = 0;
  sessionLimitToldAt = Number.NEGATIVE_INFINITY;
  tenantLimitToldAt = Number.NEGATIVE_INFINITY;
  hotCount = 0;
  pending: PendingCalls | null = null;
  // Kept for the timer wheel.
  timerSlot = -1;
  timerIndex = -1;
  timerDue = 0;

  constructor(tenant: Tenant, identity: Identity) {
    this.#tenant = tenant;
    this.user = identity.user;
    this.sid = identity.sid;
    this.session = identity.session;
    this.traceId = identity.traceId;
    this.address = identity.address;
    this.cbor = identity.cbor;
  }

  get tenant(): string {
    return this.#tenant.id;
  }

  get isOpen(): boolean {
    return this.#state === "open";
  }

  get active(): Membership | null {
    return this.#active;
  }

  open(link: Link): void {
    const { house, metrics, registry, policy } = this.#tenant;
    house.totals.links++;
    this.#link = link;
    this.#outbox = new Outbox({
      link,
      flusher: house.flusher,
      limits: this.#tenant.outbox,
      owner: this,
      metrics,
    });
    this.#openedAt = this.#lastHeardAt = this.#pingedAt = house.now();
    const refused = registry.admit(this);
    if (refused !== null) {
      metrics.denied.add({ lane: "session", decision: "reject", reason: refused.code });
      this.endRefused(refused, null);
      return;
    }
    this.#state = "open";
    metrics.sessions++;
    this.deliver(sysAuthed(this.traceId, {
      tenant: this.#tenant.id,
      user: this.user,
      sid: this.sid,
      session: this.session,
      ping_interval_ms: house.pingIntervalMs,
      max_frame_bytes: policy.maxFrameBytes,
      time_ms: house.unixMs(),
    }));
    house.wheel.schedule(this, this.#nextDeadline(this.#openedAt));
    house.log.debug("session opened", { ...this.#who(), address: this.address });
  }

  text(message: string): void {
    if (this.#state === "open") this.#tenant.intake.text(this, message, this.#heard());
  }

  binary(message: Uint8Array): void {
    if (this.#state === "open") this.#tenant.intake.binary(this, message, this.#heard());
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
    this.#leaveHouse();
    const { house } = this.#tenant;
    house.wheel.cancel(this);
    house.totals.links--;
    const seconds = Math.round((house.now() - this.#openedAt) / 100) / 10;
    house.log.debug("session closed", { ...this.#who(), code, reason, seconds });
    this.#state = "ended";
    this.#link = null;
  }

  deliver(frame: Frame): void {
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
    return this.#tenant.policy.allowsExt(svc, type);
  }

  /** Tells the client why and ends the session. */
  kick(reason: string, code: CloseCode): void {
    this.end(code, sysKicked(this.traceId, reason));
  }

  /** Ends the session: what it was sent reliably goes out before the close, `farewell` first of all. */
  end(code: CloseCode, farewell: Frame | null): void {
    if (farewell !== null) this.deliver(farewell);
    this.#close(code, true);
  }

  endRefused(refused: Refusal, seq: number | null): void {
    const frame = sysError(this.traceId, refused.code, refused.msg, { seq });
    // Not open yet when the registry refused it, and then `deliver` does nothing.
    if (this.#state === "opening") this.#outbox!.push(this.cbor ? cborForm(frame) : frame);
    else this.deliver(frame);
    this.#close(refused.close ?? CLOSE.policyViolation, true);
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
    const { idleTimeoutMs, pingIntervalMs } = this.#tenant.house;
    if (idleTimeoutMs > 0 && now - this.#lastHeardAt >= idleTimeoutMs) {
      this.end(CLOSE.idleTimeout, sysError(this.traceId, "TIMEOUT", "idle"));
      return 0; // #close has set the deadline
    }
    if (now - this.#pingedAt >= pingIntervalMs) {
      this.#pingedAt = now;
      this.#link!.ping();
      if (!this.isOpen) return 0; // the ping found the socket dead
    }
    return this.#nextDeadline(now);
  }

  #close(code: CloseCode, reliable: boolean): void {
    if (this.#state === "ending" || this.#state === "ended") return;
    const { metrics, house } = this.#tenant;
    metrics.closes.add({ name: code.name });
    // Out of every index now, not when the peer answers: its place is free for the next one.
    this.#leaveHouse();
    this.#state = "ending";
    house.wheel.schedule(this, CLOSE_TIMEOUT_MS);
    // Either of these may bring the link's close at once, and with it the end of all this.
    this.#outbox!.finish(reliable);
    this.#link?.close(code.code, code.reason);
  }

  #leaveHouse(): void {
    const { registry, rooms, metrics } = this.#tenant;
    if (this.#state !== "open") return;
    this.#state = "ending";
    metrics.sessions--;
    registry.remove(this);
    this.#active = null;
    if (this.#memberships === null) return;
    for (const membership of this.#memberships.values()) rooms.leave(membership);
    this.#memberships = null;
  }

  #heard(): number {
    return this.#lastHeardAt = this.#tenant.house.now();
  }

  #nextDeadline(now: number): number {
    const { idleTimeoutMs, pingIntervalMs } = this.#tenant.house;
    const ping = this.#pingedAt + pingIntervalMs - now;
    const next = idleTimeoutMs === 0 ? ping : Math.min(ping, this.#lastHeardAt + idleTimeoutMs - now);
    // Sums round: a deadline can be past by one comparison and not yet by another, and 0 would be none at all.
    return Math.max(1, next);
  }

  #who(): { tenant: string; user: string; session: string; trace_id: string } {
    return { tenant: this.#tenant.id, user: this.user, session: this.session, trace_id: this.traceId };
  }
}
