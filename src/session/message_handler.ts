// What happens to a message that arrived: read, judged by policy, handed to a service, answered. One handler
// serves all sessions of a tenant; what it keeps of each is an `InboundState`.

import { errorTrace } from "../error_text.ts";
import { Buffer } from "node:buffer";
import type { Log } from "../log.ts";
import type { TenantMetrics } from "../metrics/metrics.ts";
import { CHECK, type Denial } from "../policy/denial.ts";
import {
  fillExt,
  fillHot,
  newPolicyInput,
  type PolicyInput,
  type SessionPolicyState,
  wayOf,
} from "../policy/input.ts";
import { decodeCbor, looksLikeCborMap } from "../protocol/cbor.ts";
import { CLOSE, type Refusal, refusal } from "../protocol/codes.ts";
import { decodeJson, type Envelope, EXT_FLAG, type Unreadable } from "../protocol/envelope.ts";
import { extFrame, hotFrame, LANE } from "../protocol/frame.ts";
import { depthOf } from "../protocol/json.ts";
import { ackOf, checkHot, HOT_AT, HOT_FLAG, hotSeq } from "../protocol/hot.ts";
import { sysAck, sysPong, sysRefused } from "../protocol/sys.ts";
import type { Tracer } from "../tracing/tracer.ts";
import { type Answer, SILENCE, UNKNOWN_SERVICE, UNKNOWN_TYPE } from "../service/service.ts";
import { MessageTraces } from "./message_traces.ts";
import { Denials, type DeniedMessage, FRAMES_IGNORED_MAX } from "./denials.ts";
import { heardIn } from "./heard.ts";
import type { InboundState } from "./inbound_state.ts";
import { PendingCalls } from "./pending.ts";
import type { DecisionRecorder } from "./recorder.ts";
import type { SessionHandle } from "./session_handle.ts";
import type { TenantSettings } from "./settings.ts";
import type { SessionWatcher } from "./watcher.ts";

export interface MessageHandlerOptions {
  /** Whose messages these are; its settings are looked up anew for each of them. */
  readonly tenant: {
    readonly settings: TenantSettings;
    readonly watchers: readonly SessionWatcher[];
    readonly recorder: DecisionRecorder | null;
    /** Ends all sessions of a user, who is not let in again for so many milliseconds. */
    ban(user: string, ms: number, by: string): void;
  };
  readonly metrics: TenantMetrics;
  readonly log: Log;
  /** Null where nothing is traced. */
  readonly tracer: Tracer | null;
  /** Milliseconds of a monotonic clock. */
  readonly now: () => number;
  /** Unix time in milliseconds. */
  readonly unixMs: () => number;
}

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
const BAD_HEARD = refusal(
  "BAD_REQUEST",
  "data.heard must be how many ext messages were heard on this session",
);
const REPLY_TOO_DEEP = "the reply is nested deeper than limits.max_json_depth";

/** One hot message in this many is timed. A power of two. */
const HOT_SAMPLE = 1024;

export class MessageHandler {
  readonly #options: MessageHandlerOptions;
  readonly #denials: Denials;
  readonly #traces: MessageTraces | null;
  /** The message that is being judged. */
  #input: PolicyInput | null = null;

  constructor(options: MessageHandlerOptions) {
    this.#options = options;
    const { metrics, log, tracer, tenant } = options;
    this.#traces = tracer === null ? null : new MessageTraces(tracer);
    this.#denials = new Denials({
      metrics,
      log,
      watchers: tenant.watchers,
      ban: (user, ms, by) => tenant.ban(user, ms, by),
    });
  }

  text(from: InboundState, message: string, now: number): void {
    // A character is one byte at least, so an oversized message is known without counting.
    const tooLong = message.length > from.session.policy.maxFrameBytes;
    this.#ext(from, message, tooLong ? message.length : Buffer.byteLength(message), now);
  }

  binary(from: InboundState, message: Uint8Array, now: number): void {
    if (from.session.cbor && looksLikeCborMap(message)) this.#ext(from, message, message.length, now);
    else this.#hot(from, message, now);
  }

  /** A frame that is no message costs its sender what one does. */
  control(from: InboundState, bytes: number, now: number): void {
    if (now < from.throttledUntil) return this.#denials.ignored(from, "ext", FRAMES_IGNORED_MAX);
    const denial = from.session.policy.arriveFrame(from, bytes, now);
    if (denial === null) return;
    const nothing = () => null;
    const found = {
      lane: "ext",
      state: from,
      bytes,
      now,
      service: nothing,
      seq: nothing,
      body: null,
    } as const;
    this.#denies(from, denial, found);
  }

  #ext(from: InboundState, message: string | Uint8Array, bytes: number, now: number): void {
    const { metrics } = this.#options;
    const depth = from.session.policy.maxJsonDepth;
    metrics.in.ext.add(1, bytes);
    from.ext(bytes);
    if (now < from.throttledUntil) return this.#denials.ignored(from, "ext");
    const state = from;
    const early = from.session.policy.size(bytes) ?? from.session.policy.arrive(state, bytes, now);
    if (early !== null) {
      // Only a message whose sender is told of it needs to be read, for its seq; a large one is not.
      const seq = () => early.ruleId === CHECK.size ? null : decode(message, depth).seq;
      const service = () => null;
      const found = { lane: "ext", state, bytes, now, service, seq, body: message } as const;
      if (this.#denies(from, early, found)) return;
    }
    const decoded = decode(message, depth);
    if (!decoded.ok) return this.#unreadable(from, decoded.refusal, decoded.seq, message);
    const { svc, type, seq } = decoded;
    const traces = this.#traces;
    traces?.read(from.session, decoded, bytes);
    const input = this.#about(from, state, bytes);
    fillExt(input, decoded, from.session.active === null ? null : from.session.active.room.name);
    const denial = from.session.policy.judge(input, wayOf(decoded), now);
    if (denial !== null || input.findings.length > 0) {
      const service = () => `${svc}:${type}`;
      const found = { lane: "ext", state, bytes, now, service, seq: () => seq, body: message } as const;
      if (this.#denies(from, denial, found)) {
        traces?.judged(decoded, denial);
        return traces?.idle();
      }
    } else this.#options.tenant.recorder?.passed(from.session, "ext", message);
    metrics.passed.ext++;
    traces?.judged(decoded, null);
    if (svc === "sys") {
      this.#sys(from, decoded);
      traces?.answered(decoded, null);
    } else {
      for (const watcher of this.#options.tenant.watchers) watcher.message(from.session, decoded);
      this.#enqueue(from, decoded);
    }
    traces?.idle();
    from.session.policy.settle(state, now);
  }

  #sys(from: InboundState, message: Envelope): void {
    switch (message.type) {
      case "ping":
        this.#pong(from.session, message);
        return;
      case "ack":
        return;
      case "auth":
        from.session.renew(message.data, message.seq);
        return;
      default:
        tell(from.session, UNKNOWN_TYPE, message.seq);
    }
  }

  /** On a session that can be resumed, both ends say with it how far they are. */
  #pong(session: SessionHandle, { data, seq }: Envelope): void {
    const { taken } = session;
    if (taken !== null) {
      const heard = heardIn(data);
      if (heard !== undefined && (heard === null || !session.hasHeard(heard))) {
        return tell(session, BAD_HEARD, seq);
      }
    }
    session.deliver(sysPong(session.traceId, data, { timeMs: this.#options.unixMs(), seq, heard: taken }));
  }

  #enqueue(from: InboundState, message: Envelope): void {
    const { pending } = from;
    if (from.later >= this.#options.tenant.settings.maxPending) return this.#tooMany(from, message);
    if (pending === null || pending.count === 0) return this.#call(from, message);
    // A service that is idle is asked at once: it may not be one of those that answer later.
    if (!pending.isBusy(message.svc)) return this.#call(from, message);
    if (pending.count < this.#options.tenant.settings.maxPending) {
      pending.add(message);
      return;
    }
    this.#tooMany(from, message);
  }

  #tooMany(from: InboundState, message: Envelope): void {
    this.#options.metrics.denied.add({ lane: "ext", decision: "reject", reason: "pending" });
    this.#traces?.answered(message, TOO_MANY_PENDING);
    tell(from.session, TOO_MANY_PENDING, message.seq);
  }

  #call(from: InboundState, message: Envelope): void {
    const { tenant, now } = this.#options;
    const { svc } = message;
    let next: Envelope | undefined = message;
    while (next !== undefined && from.session.isOpen) {
      const current: Envelope = next;
      const startedAt = now();
      this.#traces?.called(current);
      let answer: Answer | Promise<Answer>;
      try {
        answer = tenant.settings.dispatcher.ext(from.session, current);
      } catch (cause) {
        answer = this.#failed(from, svc, cause);
      }
      this.#traces?.idle();
      if (answer instanceof Promise) return this.#await(from, current, answer, startedAt);
      this.#answer(from, current, answer, startedAt);
      next = from.pending?.isBusy(svc) ? from.pending.next(svc) : undefined;
    }
  }

  #await(from: InboundState, message: Envelope, answer: Promise<Answer>, startedAt: number): void {
    const { svc } = message;
    const pending = from.pending ??= new PendingCalls();
    if (!pending.isBusy(svc)) pending.add(message);
    answer.catch((cause: unknown) => this.#failed(from, svc, cause)).then((settled) => {
      if (from.session.isOpen) this.#answer(from, message, settled, startedAt);
      else this.#traces?.answered(message, settled.ok ? null : settled);
      const next = pending.next(svc);
      if (next !== undefined) this.#call(from, next);
    });
  }

  #failed(from: InboundState, svc: string, cause: unknown): Refusal {
    const error = errorTrace(cause);
    const { tenant, user, session, traceId } = from.session;
    this.#options.log.error("service failed", { tenant, user, session, trace_id: traceId, svc, error });
    return INTERNAL;
  }

  #answer(from: InboundState, message: Envelope, answer: Answer, startedAt: number): void {
    const { metrics, now } = this.#options;
    if (answer.ok && answer.later !== undefined) {
      from.later++;
      return void answer.later.then((settled) => {
        from.later--;
        if (from.session.isOpen) this.#answer(from, message, settled, startedAt);
      });
    }
    metrics.dispatch.ext.observe(now() - startedAt);
    if (answer === SILENCE) return this.#traces?.answered(message, null);
    const { seq, flags } = message;
    const refused = answer.ok ? this.#reply(from, message, answer.reply) : answer;
    this.#traces?.answered(message, refused);
    if (refused !== null) {
      metrics.serviceErrors.ext++;
      if (refused === UNKNOWN_SERVICE) metrics.unknownServices++;
      tell(from.session, refused, seq);
    } else if (seq !== null && (flags & EXT_FLAG.ackRequested) !== 0) {
      from.session.deliver(sysAck(from.session.traceId, seq, answer.ok ? answer.ack : undefined));
    }
  }

  #reply(from: InboundState, { svc, seq }: Envelope, data: unknown): Refusal | null {
    if (data === undefined) return null;
    const head = { v: 1, svc, type: "reply" } as const;
    const depth = from.session.policy.maxJsonDepth - 1;
    if (depthOf(data, depth) > depth) return this.#failed(from, svc, REPLY_TOO_DEEP);
    try {
      from.session.deliver(
        extFrame(seq === null ? { ...head, data } : { ...head, seq, data }, LANE.reliable),
      );
      return null;
    } catch (cause) { // A service of somebody else may answer with what no message can carry.
      return this.#failed(from, svc, cause);
    }
  }

  #hot(from: InboundState, frame: Uint8Array, now: number): void {
    const { metrics, tenant } = this.#options;
    const { policy } = from.session;
    const bytes = frame.length;
    metrics.in.hot.add(1, bytes);
    from.hot(bytes);
    if (now < from.throttledUntil) return this.#denials.ignored(from, "hot");
    const state = from;
    const early = policy.size(bytes) ?? policy.arrive(state, bytes, now);
    if (early !== null) {
      const seq = () => early.ruleId === CHECK.size || checkHot(frame) !== null ? null : hotSeq(frame);
      const service = () => null;
      const found = { lane: "hot", state, bytes, now, service, seq, body: frame } as const;
      if (this.#denies(from, early, found)) return;
    }
    const unreadable = checkHot(frame);
    if (unreadable !== null) {
      const isNeither = from.session.cbor && bytes > 0 && frame[0] !== 1;
      return this.#unreadable(from, isNeither ? CBOR_OR_HOT : unreadable, null, frame);
    }
    const input = this.#about(from, state, bytes);
    fillHot(input, frame, from.session.active === null ? null : from.session.active.room.name);
    const denial = policy.judge(input, "hot", now);
    if (denial !== null || input.findings.length > 0) {
      const service = () => `${frame[HOT_AT.svcId]}:${frame[HOT_AT.opcode]}`;
      const seq = () => hotSeq(frame);
      const found = { lane: "hot", state, bytes, now, service, seq, body: frame } as const;
      if (this.#denies(from, denial, found)) return;
    } else tenant.recorder?.passed(from.session, "hot", frame);
    metrics.passed.hot++;
    let refused: Refusal | null;
    try {
      refused = tenant.settings.dispatcher.hot(from.session, frame);
    } catch (cause) {
      refused = this.#failed(from, String(frame[HOT_AT.svcId]), cause);
    }
    policy.settle(state, now);
    if ((++from.hotCount & (HOT_SAMPLE - 1)) === 0) metrics.dispatch.hot.observe(this.#options.now() - now);
    if (refused !== null) this.#hotRefused(from, refused, hotSeq(frame));
    else if ((frame[HOT_AT.flags]! & HOT_FLAG.ackRequested) !== 0) {
      from.session.deliver(hotFrame(ackOf(frame), LANE.control));
    }
  }

  #hotRefused(from: InboundState, refused: Refusal, seq: number | null): void {
    const { metrics } = this.#options;
    metrics.serviceErrors.hot++;
    if (refused === UNKNOWN_SERVICE) metrics.unknownServices++;
    if (from.session.policy.answersHotErrors) tell(from.session, refused, seq);
  }

  #unreadable(from: InboundState, refused: Refusal, seq: number | null, body: string | Uint8Array): void {
    this.#options.metrics.decodeErrors++;
    const why = { ...refused, ruleId: CHECK.decode };
    const { recorder } = this.#options.tenant;
    if (recorder !== null) {
      const finding = { ruleId: CHECK.decode, action: "reject", refusal: refused, passes: false } as const;
      const lane = typeof body === "string" ? "ext" : "hot";
      recorder.found(from.session, finding, { lane, body, bytes: body.length, service: null });
    }
    if (refused.close === undefined) return tell(from.session, why, seq);
    from.session.end(refused.close, sysRefused(from.session.traceId, why, { seq }));
  }

  /** The place to write down what there is to know of a message. */
  #about(from: InboundState, state: SessionPolicyState, bytes: number): PolicyInput {
    const input = this.#input ??= newPolicyInput(from.session);
    input.subject = from.session;
    input.sessionState = state;
    input.bytes = bytes;
    input.findings.length = 0;
    return input;
  }

  /** Does about a message what policy has found. @returns whether that is the end of it */
  #denies(from: InboundState, denial: Denial | null, message: DeniedMessage): boolean {
    const findings = this.#input?.findings;
    if (findings !== undefined && findings.length > 0) {
      this.#denials.observe(from, findings, message);
      if (denial === null) this.#record(from, findings[0]!, message, true);
      findings.length = 0;
    }
    if (denial === null) return false;
    const { dryRun } = from.session.policy;
    this.#record(from, denial, message, dryRun);
    if (dryRun) {
      this.#denials.observe(from, [{ ...denial, dryRun: true }], message);
      return false;
    }
    this.#denials.deny(from, denial, message);
    // What it is told about that is on its own account.
    from.session.policy.settle(message.state, message.now);
    return true;
  }

  #record(from: InboundState, denial: Denial, message: DeniedMessage, passes: boolean): void {
    const { recorder } = this.#options.tenant;
    if (recorder === null) return;
    const { ruleId, action, refusal } = denial, { lane, body, bytes } = message;
    const about = { lane, body, bytes, service: message.service() };
    recorder.found(from.session, { ruleId, action, refusal, passes }, about);
  }
}

function tell(to: SessionHandle, refused: Refusal, seq: number | null): void {
  to.deliver(sysRefused(to.traceId, refused, { seq }));
}

function decode(message: string | Uint8Array, depthMax: number): Envelope | Unreadable {
  return typeof message === "string" ? decodeJson(message, depthMax) : decodeCbor(message, depthMax);
}
