// What is done about messages that policy does not let pass: they are counted, the log says so now and then, the client is
// told as far as the denial wants it, and a session that floods, or breaks a rule once too often, ends.

import type { Log } from "../log.ts";
import type { TenantMetrics } from "../metrics/metrics.ts";
import { CHECK, type Denial, FLOODING, isOverQuota } from "../policy/denial.ts";
import type { SessionPolicyState } from "../policy/input.ts";
import { Rate } from "../policy/rate.ts";
import { CLOSE, type Refusal } from "../protocol/codes.ts";
import { type ErrorDetail, sysRefused } from "../protocol/sys.ts";
import type { InboundState } from "./inbound_state.ts";
import type { SessionWatcher } from "./watcher.ts";

export interface DenialsOptions {
  readonly metrics: TenantMetrics;
  readonly log: Log;
  readonly watchers: readonly SessionWatcher[];
  /** Ends all sessions of a user, who is not let in again for so many milliseconds. */
  readonly ban: (user: string, ms: number, by: string) => void;
}

/** The message that was denied. */
export interface DeniedMessage {
  readonly lane: "ext" | "hot";
  readonly state: SessionPolicyState;
  readonly bytes: number;
  readonly now: number;
  /** What it is, for the log: "svc:type" or "svc_id:opcode"; null where that was not read. */
  readonly service: () => string | null;
  /** As it came; null where it is no message. */
  readonly body: string | Uint8Array | null;
  /** Its number; read only when the client is told. */
  readonly seq: () => number | null;
}

/** A client is told of a quota this often, and the log of a rule and a session, in milliseconds. */
const NOTICE_MS = 1000;
/**
 * How long a session is throttled that goes on above its quota: at least, and at most however much it sends meanwhile.
 * That is kinder to others than closing at once, for a client that floods comes back at once; at the third time in a row
 * it is closed.
 */
const THROTTLE_MS = 1000;
const THROTTLE_MS_MAX = 10_000;
const THROTTLES_MAX = 2;
/** A session that is heard for so long without being throttled again starts anew. */
const CALM_MS = 10_000;
/** More messages sent before it was throttled than any socket's buffer holds: this transport cannot stop reading. */
const IGNORED_MAX = 65_536;
/** The same of frames that are no message: nobody has a use for so many, and each costs as much as a message. */
export const FRAMES_IGNORED_MAX = 250;
/** Lines that one tenant's denials may put into the log. */
const LOG_RATE = new Rate(50, 100);

export class Denials {
  readonly #options: DenialsOptions;
  #logFullAt = 0;

  constructor(options: DenialsOptions) {
    this.#options = options;
  }

  /** Does what a denial says. */
  deny(from: InboundState, denial: Denial, message: DeniedMessage): void {
    const { lane, state, now } = message;
    const excessive = isOverQuota(denial) && from.session.policy.isExcessive(state, now);
    const done = !excessive
      ? denial
      : beginThrottle(state, now) > THROTTLES_MAX
      ? flooding(denial)
      : throttling(denial);
    this.#options.metrics.denied.add({ lane, decision: done.action, reason: done.reason });
    this.#note(from, done, message);
    if (this.#options.watchers.length > 0) this.#tellWatchers(from, done, message);
    const { refusal, ruleId, banMs } = done;
    if (refusal.close !== undefined) {
      this.#end(from, { ...refusal, ruleId }, { seq: message.seq(), ...retryAfter(done) });
      if (banMs > 0) this.#options.ban(from.session.user, banMs, ruleId);
      return;
    }
    if (this.#tells(from, done, message)) {
      const detail = { seq: message.seq(), ...retryAfter(done) };
      from.session.deliver(sysRefused(from.session.traceId, { ...refusal, ruleId }, detail));
    }
    if (!excessive) return;
    this.#throttle(from, now + THROTTLE_MS);
  }

  /** A message of a session that is throttled, which was on its way already: it prolongs that, at the least cost. */
  ignored(from: InboundState, lane: "ext" | "hot", max = IGNORED_MAX): void {
    const { metrics } = this.#options;
    metrics.ignored[lane]++;
    const until = from.throttledUntil + from.session.policy.messageMs;
    const throttling = from.throttling!;
    this.#throttle(from, Math.min(until, throttling.since + THROTTLE_MS_MAX));
    if (++throttling.ignored <= max) return;
    metrics.denied.add({ lane, decision: "close", reason: "flood" });
    this.#end(from, { ...FLOODING, ruleId: CHECK.session }, { seq: null });
  }

  /** Counts what was found against a message that passes all the same. */
  observe(from: InboundState, denials: readonly Denial[], message: DeniedMessage): void {
    for (const denial of denials) this.#note(from, denial, message);
  }

  #throttle(from: InboundState, until: number): void {
    from.throttledUntil = until;
    from.session.throttle(until);
  }

  #end({ session }: InboundState, refused: Refusal, detail: ErrorDetail): void {
    session.end(refused.close ?? CLOSE.policyViolation, sysRefused(session.traceId, refused, detail));
  }

  #tells(
    { session: { policy } }: InboundState,
    { told, ruleId }: Denial,
    { lane, state, now }: DeniedMessage,
  ): boolean {
    if (told === "never" || lane === "hot" && !policy.answersHotErrors) return false;
    if (told === "each") return policy.mayTellRefusal(state, now);
    const notice = state.notice(ruleId);
    if (now - notice.toldAt < NOTICE_MS) return false;
    notice.toldAt = now;
    return true;
  }

  /** The first of a rule, session and second, so that a flood of messages is none of events. */
  #tellWatchers(from: InboundState, { ruleId, action, refusal }: Denial, message: DeniedMessage): void {
    const { state, now, lane } = message;
    const notice = state.notice(ruleId);
    if (now - notice.watchedAt < NOTICE_MS) {
      notice.unwatched++;
      return;
    }
    notice.watchedAt = now;
    const note = {
      lane,
      action,
      ruleId,
      code: refusal.code,
      service: message.service(),
      untold: notice.unwatched,
    };
    for (const watcher of this.#options.watchers) watcher.denied(from.session, note);
    notice.unwatched = 0;
  }

  #note(from: InboundState, denial: Denial, message: DeniedMessage): void {
    const { metrics, log } = this.#options;
    const { ruleId, action, dryRun, refusal } = denial;
    metrics.rules.add({ rule_id: ruleId, action, dry_run: String(dryRun) });
    const { state, now, lane, bytes } = message;
    const notice = state.notice(ruleId);
    // The first of a rule, session and second; and no more lines than anybody reads.
    if (now - notice.loggedAt < NOTICE_MS || LOG_RATE.waitMs(this.#logFullAt, now) > 0) {
      notice.unlogged++;
      return;
    }
    notice.loggedAt = now;
    this.#logFullAt = LOG_RATE.take(this.#logFullAt, now);
    const { tenant, user, session, traceId } = from.session;
    const who = { tenant, user, session, trace_id: traceId };
    const what = { rule_id: ruleId, action, lane, service: message.service(), bytes, code: refusal.code };
    const passed = dryRun || action === "observe";
    log.info(passed ? "message would be denied" : "message denied", {
      ...who,
      ...what,
      why: refusal.msg,
      unlogged: notice.unlogged,
    });
    notice.unlogged = 0;
  }
}

/** @returns how many times in a row this is */
function beginThrottle(state: SessionPolicyState, now: number): number {
  const before = now - state.throttledUntil < CALM_MS ? state.throttling : null;
  const times = before === null ? 1 : before.times + 1;
  state.throttling = { times, since: now, ignored: 0 };
  return times;
}

function flooding(denial: Denial): Denial {
  return { ...denial, action: "close", refusal: FLOODING, told: "each", waitMs: 0 };
}

function throttling(denial: Denial): Denial {
  return { ...denial, told: "each", waitMs: THROTTLE_MS };
}

function retryAfter({ waitMs }: Denial): { retryAfterMs?: number } {
  return waitMs > 0 ? { retryAfterMs: Math.ceil(waitMs) } : {};
}
