// What happens to a message that arrived: read, judged by policy, handed to a service, answered. One intake serves
// all sessions of a tenant; what it keeps per session stands in the session itself.

import { Buffer } from "node:buffer";
import type { Log } from "../log.ts";
import type { TenantMetrics } from "../metrics.ts";
import { CHECK, type Denial } from "../policy/denial.ts";
import { fillExt, fillHot, type Matter, newMatter, Standing, wayOf } from "../policy/matter.ts";
import type { TenantPolicy } from "../policy/policy.ts";
import { decodeCbor, looksLikeCborMap } from "../protocol/cbor.ts";
import { CLOSE, type Refusal, refusal } from "../protocol/codes.ts";
import { decodeJson, type Envelope, EXT_FLAG, type Unreadable } from "../protocol/envelope.ts";
import { extFrame, hotFrame, LANE } from "../protocol/frame.ts";
import { depthOf, type Json } from "../protocol/json.ts";
import { ackOf, checkHot, HOT_AT, HOT_FLAG, hotSeq } from "../protocol/hot.ts";
import { sysAck, sysError, sysPong } from "../protocol/sys.ts";
import { type Answer, type Context, SILENCE, UNKNOWN_SERVICE, UNKNOWN_TYPE } from "../service/service.ts";
import { Denials, type Denied, type DeniedMessage } from "./denials.ts";
import { PendingCalls } from "./pending.ts";
import type { Terms } from "./terms.ts";
import type { SessionWatcher } from "./watcher.ts";

/** A session as its intake sees it. */
export interface Speaker extends Context, Denied {
  /** Ext envelopes arrive as CBOR too. */
  readonly cbor: boolean;
  /** The tenant's, or a narrower one. */
  readonly policy: TenantPolicy;
  /** False from the close on, whoever started it. */
  readonly isOpen: boolean;
  /** Hot messages so far. */
  hotCount: number;
  /** Ext messages that wait for services; null until a service is asynchronous. */
  pending: PendingCalls | null;
  /** The client has sent a new ticket. */
  renew(data: Json | undefined, seq: number | null): void;
}

export interface IntakeOptions {
  /** Whose messages these are; its terms are looked up anew for each of them. */
  readonly tenant: {
    readonly terms: Terms;
    readonly watchers: readonly SessionWatcher[];
    /** Ends all sessions of a user, who is not let in again for so many milliseconds. */
    ban(user: string, ms: number, by: string): void;
  };
  readonly metrics: TenantMetrics;
  readonly log: Log;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Unix time in milliseconds. */
  readonly unixMs: () => number;
}

type Lane = "ext" | "hot";

const INTERNAL = refusal("INTERNAL", "the service failed on this message");
const TOO_MANY_PENDING: Refusal = {
  ...refusal("RATE_LIMITED", "too many messages of this session wait for services"),
  ruleId: CHECK.pending,
};
const CBOR_OR_HOT = refusal(
  "BAD_REQUEST",
  "binary message is neither a hot frame nor a CBOR map",
  CLOSE.badMessage,
);
const REPLY_TOO_DEEP = "the reply is nested deeper than limits.max_json_depth";

/** One hot message in this many is timed. A power of two. */
const HOT_SAMPLE = 1024;

export class Intake {
  readonly #options: IntakeOptions;
  readonly #denials: Denials;
  /** The message that is being judged. */
  #matter: Matter | null = null;

  constructor(options: IntakeOptions) {
    this.#options = options;
    const { metrics, log, tenant } = options;
    this.#denials = new Denials({
      metrics,
      log,
      watchers: tenant.watchers,
      ban: (user, ms, by) => tenant.ban(user, ms, by),
    });
  }

  text(from: Speaker, message: string, now: number): void {
    // A character is one byte at least, so an oversized message is known without counting.
    const tooLong = message.length > from.policy.maxFrameBytes;
    this.#ext(from, message, tooLong ? message.length : Buffer.byteLength(message), now);
  }

  binary(from: Speaker, message: Uint8Array, now: number): void {
    if (from.cbor && looksLikeCborMap(message)) this.#ext(from, message, message.length, now);
    else this.#hot(from, message, now);
  }

  #ext(from: Speaker, message: string | Uint8Array, bytes: number, now: number): void {
    const { metrics } = this.#options;
    const depth = from.policy.maxJsonDepth;
    metrics.in.ext.add(1, bytes);
    if (now < from.deafUntil) return this.#denials.unheard(from, "ext");
    const standing = from.standing ??= new Standing();
    const early = from.policy.size(bytes) ?? from.policy.arrive(standing, bytes, now);
    if (early !== null) {
      // Only a message whose sender is told of it needs to be read, for its seq; a large one is not.
      const seq = () => early.ruleId === CHECK.size ? null : decode(message, depth).seq;
      const service = () => null;
      if (this.#denies(from, early, { lane: "ext", standing, bytes, now, service, seq })) return;
    }
    const decoded = decode(message, depth);
    if (!decoded.ok) return this.#unreadable(from, decoded.refusal, decoded.seq);
    const { svc, type, seq } = decoded;
    const matter = this.#about(from, standing, bytes);
    fillExt(matter, decoded, from.active === null ? null : from.active.room.name);
    const denial = from.policy.judge(matter, wayOf(decoded), now);
    if (denial !== null || matter.noted.length > 0) {
      const service = () => `${svc}:${type}`;
      const found = { lane: "ext", standing, bytes, now, service, seq: () => seq } as const;
      if (this.#denies(from, denial, found)) return;
    }
    metrics.passed.ext++;
    if (svc === "sys") this.#sys(from, decoded);
    else {
      for (const watcher of this.#options.tenant.watchers) watcher.message(from, decoded);
      this.#enqueue(from, decoded);
    }
    from.policy.settle(standing, now);
  }

  #sys(from: Speaker, message: Envelope): void {
    switch (message.type) {
      case "ping":
        from.deliver(sysPong(from.traceId, message.data, this.#options.unixMs(), message.seq));
        return;
      case "ack":
        return;
      case "auth":
        from.renew(message.data, message.seq);
        return;
      default:
        tell(from, UNKNOWN_TYPE, message.seq);
    }
  }

  #enqueue(from: Speaker, message: Envelope): void {
    const { pending } = from;
    if (pending === null || pending.count === 0) return this.#call(from, message);
    // A service that is idle is asked at once: it may not be one of those that answer later.
    if (!pending.isBusy(message.svc)) return this.#call(from, message);
    if (pending.count < this.#options.tenant.terms.maxPending) {
      pending.add(message);
      return;
    }
    this.#options.metrics.denied.add({ lane: "ext", decision: "reject", reason: "pending" });
    tell(from, TOO_MANY_PENDING, message.seq);
  }

  #call(from: Speaker, message: Envelope): void {
    const { tenant, now } = this.#options;
    const { svc } = message;
    let next: Envelope | undefined = message;
    while (next !== undefined && from.isOpen) {
      const current: Envelope = next;
      const startedAt = now();
      let answer: Answer | Promise<Answer>;
      try {
        answer = tenant.terms.dispatcher.ext(from, current);
      } catch (cause) {
        answer = this.#failed(from, svc, cause);
      }
      if (answer instanceof Promise) return this.#await(from, current, answer, startedAt);
      this.#answer(from, current, answer, startedAt);
      next = from.pending?.isBusy(svc) ? from.pending.next(svc) : undefined;
    }
  }

  #await(from: Speaker, message: Envelope, answer: Promise<Answer>, startedAt: number): void {
    const { svc } = message;
    const pending = from.pending ??= new PendingCalls();
    if (!pending.isBusy(svc)) pending.add(message);
    answer.catch((cause: unknown) => this.#failed(from, svc, cause)).then((settled) => {
      if (from.isOpen) this.#answer(from, message, settled, startedAt);
      const next = pending.next(svc);
      if (next !== undefined) this.#call(from, next);
    });
  }

  #failed(from: Speaker, svc: string, cause: unknown): Refusal {
    const error = cause instanceof Error ? cause.stack ?? cause.message : String(cause);
    const { tenant, user, session, traceId } = from;
    this.#options.log.error("service failed", { tenant, user, session, trace_id: traceId, svc, error });
    return INTERNAL;
  }

  #answer(from: Speaker, message: Envelope, answer: Answer, startedAt: number): void {
    const { metrics, now } = this.#options;
    metrics.dispatch.ext.observe(now() - startedAt);
    if (answer === SILENCE) return;
    const { seq, flags } = message;
    const refused = answer.ok ? this.#reply(from, message, answer.reply) : answer;
    if (refused !== null) {
      metrics.serviceErrors.ext++;
      if (refused === UNKNOWN_SERVICE) metrics.unknownServices++;
      tell(from, refused, seq);
    } else if (seq !== null && (flags & EXT_FLAG.ackRequested) !== 0) from.deliver(sysAck(from.traceId, seq));
  }

  #reply(from: Speaker, { svc, seq }: Envelope, data: unknown): Refusal | null {
    if (data === undefined) return null;
    const head = { v: 1, svc, type: "reply" } as const;
    const depth = from.policy.maxJsonDepth - 1;
    if (depthOf(data, depth) > depth) return this.#failed(from, svc, REPLY_TOO_DEEP);
    try {
      from.deliver(extFrame(seq === null ? { ...head, data } : { ...head, seq, data }, LANE.reliable));
      return null;
    } catch (cause) { // A service of somebody else may answer with what no message can carry.
      return this.#failed(from, svc, cause);
    }
  }

  #hot(from: Speaker, frame: Uint8Array, now: number): void {
    const { metrics, tenant } = this.#options;
    const { policy } = from;
    const bytes = frame.length;
    metrics.in.hot.add(1, bytes);
    if (now < from.deafUntil) return this.#denials.unheard(from, "hot");
    const standing = from.standing ??= new Standing();
    const early = policy.size(bytes) ?? policy.arrive(standing, bytes, now);
    if (early !== null) {
      const seq = () => early.ruleId === CHECK.size || checkHot(frame) !== null ? null : hotSeq(frame);
      const service = () => null;
      if (this.#denies(from, early, { lane: "hot", standing, bytes, now, service, seq })) return;
    }
    const unreadable = checkHot(frame);
    if (unreadable !== null) {
      const isNeither = from.cbor && bytes > 0 && frame[0] !== 1;
      return this.#unreadable(from, isNeither ? CBOR_OR_HOT : unreadable, null);
    }
    const matter = this.#about(from, standing, bytes);
    fillHot(matter, frame, from.active === null ? null : from.active.room.name);
    const denial = policy.judge(matter, "hot", now);
    if (denial !== null || matter.noted.length > 0) {
      const service = () => `${frame[HOT_AT.svcId]}:${frame[HOT_AT.opcode]}`;
      const seq = () => hotSeq(frame);
      if (this.#denies(from, denial, { lane: "hot", standing, bytes, now, service, seq })) return;
    }
    metrics.passed.hot++;
    let refused: Refusal | null;
    try {
      refused = tenant.terms.dispatcher.hot(from, frame);
    } catch (cause) {
      refused = this.#failed(from, String(frame[HOT_AT.svcId]), cause);
    }
    policy.settle(standing, now);
    if ((++from.hotCount & (HOT_SAMPLE - 1)) === 0) metrics.dispatch.hot.observe(this.#options.now() - now);
    if (refused !== null) this.#hotRefused(from, refused, hotSeq(frame));
    else if ((frame[HOT_AT.flags]! & HOT_FLAG.ackRequested) !== 0) {
      from.deliver(hotFrame(ackOf(frame), LANE.control));
    }
  }

  #hotRefused(from: Speaker, refused: Refusal, seq: number | null): void {
    const { metrics } = this.#options;
    metrics.serviceErrors.hot++;
    if (refused === UNKNOWN_SERVICE) metrics.unknownServices++;
    if (from.policy.answersHotErrors) tell(from, refused, seq);
  }

  #unreadable(from: Speaker, refused: Refusal, seq: number | null): void {
    this.#options.metrics.decodeErrors++;
    if (refused.close === undefined) return tell(from, { ...refused, ruleId: CHECK.decode }, seq);
    from.endRefused({ ...refused, ruleId: CHECK.decode }, { seq });
  }

  /** The place to write down what there is to know of a message. */
  #about(from: Speaker, standing: Standing, bytes: number): Matter {
    const matter = this.#matter ??= newMatter(from);
    matter.subject = from;
    matter.standing = standing;
    matter.bytes = bytes;
    matter.noted.length = 0;
    return matter;
  }

  /** Does about a message what policy has found. @returns whether that is the end of it */
  #denies(from: Speaker, denial: Denial | null, message: DeniedMessage): boolean {
    const noted = this.#matter?.noted;
    if (noted !== undefined && noted.length > 0) {
      this.#denials.observe(from, noted, message);
      noted.length = 0;
    }
    if (denial === null) return false;
    if (from.policy.dryRun) {
      this.#denials.observe(from, [{ ...denial, dryRun: true }], message);
      return false;
    }
    this.#denials.deny(from, denial, message);
    // What it is told about that is on its own account.
    from.policy.settle(message.standing, message.now);
    return true;
  }
}

function tell(to: Speaker, refused: Refusal, seq: number | null): void {
  to.deliver(sysError(to.traceId, refused.code, refused.msg, { seq, ruleId: refused.ruleId }));
}

function decode(message: string | Uint8Array, depthMax: number): Envelope | Unreadable {
  return typeof message === "string" ? decodeJson(message, depthMax) : decodeCbor(message, depthMax);
}
