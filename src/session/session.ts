// One connection's life: opened by the transport, admitted by the registry, then a message at a time through
// policy to a service, until somebody ends it. To rooms it is a subscriber, to services a context, to the
// transport a handler; what waits to be written is its outbox's business.

import { Buffer } from "node:buffer";
import type { TenantMetrics } from "../metrics.ts";
import {
  type DenyReason,
  NO_ACTIVE_ROOM,
  NOT_ALLOWED_EXT,
  NOT_ALLOWED_HOT,
  RATE_LIMITED,
  TOO_LARGE,
} from "../policy/policy.ts";
import { cborForm, decodeCbor, looksLikeCborMap } from "../protocol/cbor.ts";
import { CLOSE, type CloseCode, type Refusal, refusal } from "../protocol/codes.ts";
import { decodeJson, type Envelope, EXT_FLAG, type Unreadable } from "../protocol/envelope.ts";
import { extFrame, type Frame, hotFrame, LANE, type Lane, LANE_NAMES } from "../protocol/frame.ts";
import { ackOf, checkHot, HOT_AT, HOT_FLAG, hotSeq } from "../protocol/hot.ts";
import { sysAck, sysAuthed, sysError, sysKicked, sysPong } from "../protocol/sys.ts";
import type { Membership } from "../room/rooms.ts";
import { type Answer, type Context, UNKNOWN_SERVICE, UNKNOWN_TYPE } from "../service/service.ts";
import type { Link, LinkHandler } from "../transport/port.ts";
import { type DropReason, Outbox, type OutboxOwner } from "./outbox.ts";
import { PendingCalls } from "./pending.ts";
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

const INTERNAL = refusal("INTERNAL", "the service failed on this message");
const TOO_MANY_PENDING = refusal("RATE_LIMITED", "too many messages of this session wait for services");
const CBOR_OR_HOT = refusal(
  "BAD_REQUEST",
  "binary message is neither a hot frame nor a CBOR map",
  CLOSE.badMessage,
);
const EMPTY = refusal("BAD_REQUEST", "message is empty", CLOSE.badMessage);
const ALREADY_AUTHENTICATED = refusal("BAD_REQUEST", "session is authenticated");
const TOO_DEEP = refusal("BAD_REQUEST", "data is nested too deep");

/** How long a peer may take to answer our close before its socket is dropped. */
const CLOSE_TIMEOUT_MS = 5000;
/** One hot message in this many is timed. A power of two. */
const HOT_SAMPLE = 1024;
/** A client is told of its rate limit this often, in milliseconds; in between, drops are counted only. */
const TELL_LIMIT_MS = 1000;

export class Session implements LinkHandler, Context, Registered, OutboxOwner, Timed {
  readonly user: string;
  readonly sid: string;
  readonly session: string;
  readonly traceId: string;
  readonly address: string;
  readonly #cbor: boolean;
  readonly #tenant: Tenant;
  #link: Link | null = null;
  #outbox: Outbox | null = null;
  /** Rooms joined, by name; made at the first join. */
  #memberships: Map<string, Membership> | null = null;
  #active: Membership | null = null;
  #pending: PendingCalls | null = null;
  /** "opening" until admitted, "ending" from our close on, "ended" once out of all indices and closed. */
  #state: "opening" | "open" | "ending" | "ended" = "opening";
  #openedAt = 0;
  #lastHeardAt = 0;
  #pingedAt = 0;
  #sessionLimitToldAt = Number.NEGATIVE_INFINITY;
  #tenantLimitToldAt = Number.NEGATIVE_INFINITY;
  #hotCount = 0;
  /** State of the session's own bucket, kept for policy. */
  rateFullAt = 0;
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
    this.#cbor = identity.cbor;
  }

  get tenant(): string {
    return this.#tenant.id;
  }

  get active(): Membership | null {
    return this.#active;
  }

  // ── The transport's side ──────────────────────────────────────────────────────────────────────

  open(link: Link): void {
    const { house, metrics, registry, policy } = this.#tenant;
    house.totals.links++;
    this.#link = link;
    this.#outbox = new Outbox({
      link,
      flusher: house.flusher,
      limits: this.#tenant.outbox,
      owner: this,
      written: metrics.out,
    });
    this.#openedAt = this.#lastHeardAt = this.#pingedAt = house.now();
    const refused = registry.admit(this);
    if (refused !== null) {
      metrics.denied.add({ lane: "session", decision: "reject", reason: refused.code });
      this.#endRefused(refused, null);
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
    if (this.#state !== "open") return;
    const now = this.#heard();
    // A character is one byte at least, so an oversized message is known without counting.
    const tooLong = message.length > this.#tenant.policy.maxFrameBytes;
    const bytes = tooLong ? message.length : Buffer.byteLength(message);
    this.#ext(message, bytes, now);
  }

  binary(message: Uint8Array): void {
    if (this.#state !== "open") return;
    const now = this.#heard();
    if (this.#cbor && message.length > 0 && looksLikeCborMap(message)) {
      this.#ext(message, message.length, now);
    } else this.#hot(message, now);
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

  // ── What services and rooms may do ────────────────────────────────────────────────────────────

  deliver(frame: Frame): void {
    if (this.#state === "open") this.#outbox!.push(this.#cbor ? cborForm(frame) : frame);
  }

  membership(room: string): Membership | undefined {
    return this.#memberships?.get(room);
  }

  join(room: string): Membership | Refusal {
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
    if (!this.#memberships?.delete(membership.room.name)) return;
    if (this.#active === membership) this.#active = null;
    this.#tenant.rooms.leave(membership);
  }

  mayExt(svc: string, type: string): boolean {
    return this.#tenant.policy.allowsExt(svc, type);
  }

  // ── What the gateway may do ───────────────────────────────────────────────────────────────────

  /** Tells the client why and ends the session. */
  kick(reason: string, code: CloseCode): void {
    this.end(code, sysKicked(this.traceId, reason));
  }

  /** Ends the session: what it was sent reliably goes out before the close, `farewell` first of all. */
  end(code: CloseCode, farewell: Frame | null): void {
    if (farewell !== null) this.deliver(farewell);
    this.#close(code, true);
  }

  tooSlow(cause: "full" | "stalled"): void {
    const { metrics, house } = this.#tenant;
    if (cause === "stalled") metrics.writerTimeouts++;
    house.log.warn("session too slow", { ...this.#who(), cause, waiting_bytes: this.#outbox!.bytes });
    this.deliver(sysError(this.traceId, "RESOURCE_EXHAUSTED", CLOSE.slowConsumer.reason));
    this.#close(CLOSE.slowConsumer, false);
  }

  dropped(lane: Lane, reason: DropReason, messages: number, bytes: number): void {
    const labels = { lane: LANE_NAMES[lane], reason };
    this.#tenant.metrics.drops.add(labels, messages);
    this.#tenant.metrics.droppedBytes.add(labels, bytes);
  }

  onTimer(now: number): number {
    if (this.#state !== "open") {
      this.#link?.terminate();
      return CLOSE_TIMEOUT_MS;
    }
    const { idleTimeoutMs, pingIntervalMs } = this.#tenant.house;
    if (idleTimeoutMs > 0 && now - this.#lastHeardAt >= idleTimeoutMs) {
      this.end(CLOSE.idleTimeout, sysError(this.traceId, "TIMEOUT", "idle"));
      return 0; // #close has set the deadline
    }
    if (now - this.#pingedAt >= pingIntervalMs) {
      this.#pingedAt = now;
      this.#link!.ping();
    }
    return this.#nextDeadline(now);
  }

  // ── Ext lane ──────────────────────────────────────────────────────────────────────────────────

  #ext(message: string | Uint8Array, bytes: number, now: number): void {
    const { policy, metrics } = this.#tenant;
    metrics.in.ext.add(1, bytes);
    if (bytes > policy.maxFrameBytes) return this.#tooLarge("ext");
    const wait = policy.takeSession(this, now);
    if (wait > 0) {
      // Only the one that is told of needs to be read, for its seq.
      const seq = now - this.#sessionLimitToldAt < TELL_LIMIT_MS ? null : decode(message).seq;
      return this.#limited("ext", "session_rate", wait, seq);
    }
    const decoded = decode(message);
    if (!decoded.ok) return this.#unreadable(decoded.refusal, decoded.seq);
    const { svc, type, seq } = decoded;
    const isProtocol = svc === "sys" && (type === "ping" || type === "auth" || type === "ack");
    if (!isProtocol && !policy.allowsExt(svc, type)) {
      return this.#deny("ext", "allowlist", NOT_ALLOWED_EXT, seq, now);
    }
    const tenantWait = policy.takeTenant(now);
    if (tenantWait > 0) return this.#limited("ext", "tenant_rate", tenantWait, seq);
    metrics.passed.ext++;
    if (svc === "sys") this.#sys(decoded);
    else this.#enqueue(decoded);
  }

  #sys(message: Envelope): void {
    switch (message.type) {
      case "ping":
        try {
          this.deliver(sysPong(this.traceId, message.data, this.#tenant.house.unixMs(), message.seq));
        } catch { // RangeError, see sysPong
          this.#tell(TOO_DEEP, message.seq);
        }
        return;
      case "ack":
        return;
      case "auth":
        this.#tell(ALREADY_AUTHENTICATED, message.seq);
        return;
      default:
        this.#tell(UNKNOWN_TYPE, message.seq);
    }
  }

  #enqueue(message: Envelope): void {
    const pending = this.#pending;
    if (pending === null || pending.count === 0) return this.#call(message);
    if (pending.count >= this.#tenant.maxPending) {
      this.#tenant.metrics.denied.add({ lane: "ext", decision: "reject", reason: "pending" });
      this.#tell(TOO_MANY_PENDING, message.seq);
    } else if (pending.isBusy(message.svc)) pending.add(message);
    else this.#call(message);
  }

  #call(message: Envelope): void {
    const { dispatcher, house } = this.#tenant;
    const { svc } = message;
    let next: Envelope | undefined = message;
    while (next !== undefined && this.#state === "open") {
      const current: Envelope = next;
      const startedAt = house.now();
      let answer: Answer | Promise<Answer>;
      try {
        answer = dispatcher.ext(this, current);
      } catch (cause) {
        answer = this.#failed(svc, cause);
      }
      if (answer instanceof Promise) return this.#await(current, answer, startedAt);
      this.#answer(current, answer, startedAt);
      next = this.#pending?.isBusy(svc) ? this.#pending.next(svc) : undefined;
    }
  }

  #await(message: Envelope, answer: Promise<Answer>, startedAt: number): void {
    const { svc } = message;
    const pending = this.#pending ??= new PendingCalls();
    if (!pending.isBusy(svc)) pending.add(message);
    answer.catch((cause: unknown) => this.#failed(svc, cause)).then((settled) => {
      if (this.#state === "open") this.#answer(message, settled, startedAt);
      const next = pending.next(svc);
      if (next !== undefined) this.#call(next);
    });
  }

  #failed(svc: string, cause: unknown): Refusal {
    const error = cause instanceof Error ? cause.stack ?? cause.message : String(cause);
    this.#tenant.house.log.error("service failed", { ...this.#who(), svc, error });
    return INTERNAL;
  }

  #answer(message: Envelope, answer: Answer, startedAt: number): void {
    const { metrics, house } = this.#tenant;
    metrics.dispatch.ext.observe(house.now() - startedAt);
    const { svc, seq, flags } = message;
    if (!answer.ok) {
      metrics.serviceErrors.ext++;
      if (answer === UNKNOWN_SERVICE) metrics.unknownServices++;
      this.#tell(answer, seq);
      return;
    }
    if (answer.reply !== undefined) {
      const head = { v: 1, svc, type: "reply" } as const;
      const data = answer.reply;
      this.deliver(extFrame(seq === null ? { ...head, data } : { ...head, seq, data }, LANE.reliable));
    }
    if (seq !== null && (flags & EXT_FLAG.ackRequested) !== 0) this.deliver(sysAck(this.traceId, seq));
  }

  // ── Hot lane ──────────────────────────────────────────────────────────────────────────────────

  #hot(frame: Uint8Array, now: number): void {
    const { policy, metrics, dispatcher } = this.#tenant;
    metrics.in.hot.add(1, frame.length);
    if (frame.length > policy.maxFrameBytes) return this.#tooLarge("hot");
    const wait = policy.takeSession(this, now);
    if (wait > 0) return this.#limited("hot", "session_rate", wait, seqOf(frame));
    const unreadable = checkHot(frame);
    if (unreadable !== null) {
      const other = frame.length === 0 ? EMPTY : this.#cbor && frame[0] !== 1 ? CBOR_OR_HOT : unreadable;
      return this.#unreadable(other, null);
    }
    if (!policy.allowsHot(frame[HOT_AT.svcId]!, frame[HOT_AT.opcode]!)) {
      return this.#deny("hot", "allowlist", NOT_ALLOWED_HOT, hotSeq(frame), now);
    }
    if (this.#active === null && policy.hotRequiresActiveRoom) {
      return this.#deny("hot", "no_active_room", NO_ACTIVE_ROOM, hotSeq(frame), now);
    }
    const tenantWait = policy.takeTenant(now);
    if (tenantWait > 0) return this.#limited("hot", "tenant_rate", tenantWait, hotSeq(frame));
    metrics.passed.hot++;
    let refused: Refusal | null;
    try {
      refused = dispatcher.hot(this, frame);
    } catch (cause) {
      refused = this.#failed(String(frame[HOT_AT.svcId]), cause);
    }
    if ((++this.#hotCount & (HOT_SAMPLE - 1)) === 0) {
      metrics.dispatch.hot.observe(this.#tenant.house.now() - now);
    }
    if (refused !== null) this.#hotRefused(metrics, refused, hotSeq(frame));
    else if ((frame[HOT_AT.flags]! & HOT_FLAG.ackRequested) !== 0) {
      this.deliver(hotFrame(ackOf(frame), LANE.control));
    }
  }

  #hotRefused(metrics: TenantMetrics, refused: Refusal, seq: number | null): void {
    metrics.serviceErrors.hot++;
    if (refused === UNKNOWN_SERVICE) metrics.unknownServices++;
    if (this.#tenant.policy.answersHotErrors) this.#tell(refused, seq);
  }

  // ── Refusals ──────────────────────────────────────────────────────────────────────────────────

  #tooLarge(lane: "ext" | "hot"): void {
    this.#tenant.metrics.denied.add({ lane, decision: "close", reason: "size" satisfies DenyReason });
    this.#endRefused(TOO_LARGE, null);
  }

  #unreadable(refused: Refusal, seq: number | null): void {
    this.#tenant.metrics.decodeErrors++;
    this.#endRefused(refused, seq);
  }

  #deny(lane: "ext" | "hot", reason: DenyReason, refused: Refusal, seq: number | null, now: number): void {
    const { metrics, policy } = this.#tenant;
    metrics.denied.add({ lane, decision: "reject", reason });
    if (lane === "hot" && !policy.answersHotErrors) return;
    if (policy.mayTellRefusal(this, now)) this.#tell(refused, seq);
  }

  /** A limiter dropped a message: the first in a second is answered, all are counted. */
  #limited(
    lane: "ext" | "hot",
    reason: "session_rate" | "tenant_rate",
    waitMs: number,
    seq: number | null,
  ): void {
    const { metrics, policy } = this.#tenant;
    metrics.denied.add({ lane, decision: "drop", reason });
    if (lane === "hot" && !policy.answersHotErrors) return;
    const now = this.#lastHeardAt;
    const toldAt = reason === "session_rate" ? this.#sessionLimitToldAt : this.#tenantLimitToldAt;
    if (now - toldAt < TELL_LIMIT_MS) return;
    if (reason === "session_rate") this.#sessionLimitToldAt = now;
    else this.#tenantLimitToldAt = now;
    const { code, msg } = RATE_LIMITED;
    this.deliver(sysError(this.traceId, code, msg, { seq, retryAfterMs: Math.ceil(waitMs) }));
  }

  #tell(refused: Refusal, seq: number | null): void {
    this.deliver(sysError(this.traceId, refused.code, refused.msg, { seq }));
  }

  #endRefused(refused: Refusal, seq: number | null): void {
    const frame = sysError(this.traceId, refused.code, refused.msg, { seq });
    // Not open yet when the registry refused it, and then `deliver` does nothing.
    if (this.#state === "opening") this.#outbox!.push(this.#cbor ? cborForm(frame) : frame);
    else this.deliver(frame);
    this.#close(refused.close ?? CLOSE.policyViolation, true);
  }

  // ── The end ───────────────────────────────────────────────────────────────────────────────────

  #close(code: CloseCode, reliable: boolean): void {
    if (this.#state === "ending" || this.#state === "ended") return;
    const { metrics, house } = this.#tenant;
    metrics.closes.add({ name: code.name });
    this.#outbox!.finish(reliable);
    // Out of every index now, not when the peer answers: its place is free for the next one.
    this.#leaveHouse();
    this.#state = "ending";
    this.#link!.close(code.code, code.reason);
    house.wheel.schedule(this, CLOSE_TIMEOUT_MS);
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
    return idleTimeoutMs === 0 ? ping : Math.min(ping, this.#lastHeardAt + idleTimeoutMs - now);
  }

  #who(): { tenant: string; user: string; session: string; trace_id: string } {
    return { tenant: this.#tenant.id, user: this.user, session: this.session, trace_id: this.traceId };
  }
}

function decode(message: string | Uint8Array): Envelope | Unreadable {
  return typeof message === "string" ? decodeJson(message) : decodeCbor(message);
}

function seqOf(frame: Uint8Array): number | null {
  return checkHot(frame) === null ? hotSeq(frame) : null;
}
