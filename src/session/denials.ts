// What is done about messages that policy does not let pass: they are counted, the log says so now and then, the client is
// told as far as the denial wants it, and whoever floods, or breaks a rule once too often, is shown out.

import type { Log } from "../log.ts";
import type { TenantMetrics } from "../metrics.ts";
import { CHECK, type Denial, FLOODING, isOverQuota } from "../policy/denial.ts";
import type { Standing } from "../policy/matter.ts";
import type { TenantPolicy } from "../policy/policy.ts";
import { Rate } from "../policy/rate.ts";
import type { Refusal } from "../protocol/codes.ts";
import { type ErrorDetail, sysError } from "../protocol/sys.ts";
import type { Context } from "../service/service.ts";
import type { SessionWatcher } from "./watcher.ts";

/** A session whose message was denied. */
export interface Denied extends Context {
  readonly policy: TenantPolicy;
  /** What policy keeps of it; null until its first message. */
  standing: Standing | null;
  /** Until when nothing more of it is read, and what still arrives is not looked at; 0: it is heard. */
  deafUntil: number;
  /** Stops reading, as far as the transport can, until `deafUntil`: who sends on meets TCP's own flow control. */
  rest(): void;
  endRefused(refused: Refusal, detail: ErrorDetail): void;
}

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
  readonly standing: Standing;
  readonly bytes: number;
  readonly now: number;
  /** What it is, for the log: "svc:type" or "svc_id:opcode"; null where that was not read. */
  readonly service: () => string | null;
  /** Its number; read only when the client is told. */
  readonly seq: () => number | null;
}

/** A client is told of a quota this often, and the log of a rule and a session, in milliseconds. */
const NOTICE_MS = 1000;
/**
 * How long a session rests that goes on above its quota: at least, and at most however much it sends meanwhile. Resting
 * is kinder to others than closing at once, for whoever floods comes back at once; at the third time in a row it is closed.
 */
const REST_MS = 1000;
const REST_MS_MAX = 10_000;
const RESTS_MAX = 2;
/** A session that is heard for so long after a rest without another one starts anew. */
const RESTED_MS = 10_000;
/** More of what was sent before the rest than any socket's buffer holds: this transport cannot stop reading. */
const UNHEARD_MAX = 65_536;
/** The same of frames that are no message: nobody has a use for so many, and each costs as much as a message. */
export const FRAMES_UNHEARD_MAX = 1_000;
/** Lines that one tenant's denials may put into the log. */
const LOG_RATE = new Rate(50, 100);

export class Denials {
  readonly #options: DenialsOptions;
  #logFullAt = 0;

  constructor(options: DenialsOptions) {
    this.#options = options;
  }

  /** Does what a denial says. */
  deny(from: Denied, denial: Denial, message: DeniedMessage): void {
    const { lane, standing, now } = message;
    const excessive = isOverQuota(denial) && from.policy.isExcessive(standing, now);
    const done = !excessive
      ? denial
      : beginRest(standing, now) > RESTS_MAX
      ? flooding(denial)
      : resting(denial);
    this.#options.metrics.denied.add({ lane, decision: done.action, reason: done.reason });
    this.#note(from, done, message);
    if (this.#options.watchers.length > 0) this.#tellWatchers(from, done, message);
    const { refusal, ruleId, banMs } = done;
    if (refusal.close !== undefined) {
      from.endRefused({ ...refusal, ruleId }, { seq: message.seq(), ...retryAfter(done) });
      if (banMs > 0) this.#options.ban(from.user, banMs, ruleId);
      return;
    }
    if (this.#tells(from, done, message)) {
      const detail = { seq: message.seq(), ruleId, ...retryAfter(done) };
      from.deliver(sysError(from.traceId, refusal.code, refusal.msg, detail));
    }
    if (!excessive) return;
    from.deafUntil = standing.restsUntil = now + REST_MS;
    from.rest();
  }

  /** A message of a session that rests, which was on its way already: it prolongs the rest, at the least cost. */
  unheard(from: Denied, lane: "ext" | "hot", max = UNHEARD_MAX): void {
    const { metrics } = this.#options;
    metrics.unheard[lane]++;
    const standing = from.standing!;
    const until = Math.min(standing.restsUntil + from.policy.messageMs, standing.restedAt + REST_MS_MAX);
    from.deafUntil = standing.restsUntil = until;
    if (++standing.unheard <= max) return;
    metrics.denied.add({ lane, decision: "close", reason: "flood" });
    from.endRefused({ ...FLOODING, ruleId: CHECK.session }, { seq: null });
  }

  /** Counts what was found against a message that passes all the same. */
  observe(from: Denied, denials: readonly Denial[], message: DeniedMessage): void {
    for (const denial of denials) this.#note(from, denial, message);
  }

  #tells({ policy }: Denied, { told, ruleId }: Denial, { lane, standing, now }: DeniedMessage): boolean {
    if (told === "never" || lane === "hot" && !policy.answersHotErrors) return false;
    if (told === "each") return policy.mayTellRefusal(standing, now);
    const notice = standing.notice(ruleId);
    if (now - notice.toldAt < NOTICE_MS) return false;
    notice.toldAt = now;
    return true;
  }

  /** The first of a rule, session and second, so that a flood of messages is none of events. */
  #tellWatchers(from: Denied, { ruleId, action, refusal }: Denial, message: DeniedMessage): void {
    const { standing, now, lane } = message;
    const notice = standing.notice(ruleId);
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
    for (const watcher of this.#options.watchers) watcher.denied(from, note);
    notice.unwatched = 0;
  }

  #note(from: Denied, denial: Denial, message: DeniedMessage): void {
    const { metrics, log } = this.#options;
    const { ruleId, action, dryRun, refusal } = denial;
    metrics.rules.add({ rule_id: ruleId, action, dry_run: String(dryRun) });
    const { standing, now, lane, bytes } = message;
    const notice = standing.notice(ruleId);
    // The first of a rule, session and second; and no more lines than anybody reads.
    if (now - notice.loggedAt < NOTICE_MS || LOG_RATE.waitMs(this.#logFullAt, now) > 0) {
      notice.unlogged++;
      return;
    }
    notice.loggedAt = now;
    this.#logFullAt = LOG_RATE.take(this.#logFullAt, now);
    const { tenant, user, session, traceId } = from;
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

/** @returns how many rests in a row this is */
function beginRest(standing: Standing, now: number): number {
  standing.rests = now - standing.restsUntil < RESTED_MS ? standing.rests + 1 : 1;
  standing.restedAt = now;
  standing.unheard = 0;
  return standing.rests;
}

function flooding(denial: Denial): Denial {
  return { ...denial, action: "close", refusal: FLOODING, told: "each", waitMs: 0 };
}

function resting(denial: Denial): Denial {
  return { ...denial, told: "each", waitMs: REST_MS };
}

function retryAfter({ waitMs }: Denial): { retryAfterMs?: number } {
  return waitMs > 0 ? { retryAfterMs: Math.ceil(waitMs) } : {};
}
