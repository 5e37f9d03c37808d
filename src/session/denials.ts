// What is done about messages that policy does not let pass: they are counted, the log says so now and then, the client is
// told as far as the denial wants it, and whoever floods, or breaks a rule once too often, is shown out.

import type { Log } from "../log.ts";
import type { TenantMetrics } from "../metrics.ts";
import { type Denial, FLOODING, isOverQuota } from "../policy/denial.ts";
import type { Standing } from "../policy/matter.ts";
import type { TenantPolicy } from "../policy/policy.ts";
import { Rate } from "../policy/rate.ts";
import type { Refusal } from "../protocol/codes.ts";
import { sysError } from "../protocol/sys.ts";
import type { Context } from "../service/service.ts";
import type { SessionWatcher } from "./watcher.ts";

/** A session whose message was denied. */
export interface Denied extends Context {
  readonly policy: TenantPolicy;
  endRefused(refused: Refusal, detail: { readonly seq: number | null; readonly retryAfterMs?: number }): void;
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
    const { policy } = from;
    const floods = isOverQuota(denial) && policy.isFlooding(standing, now);
    const done: Denial = floods
      ? { ...denial, action: "close", refusal: FLOODING, told: "each", waitMs: 0 }
      : denial;
    this.#options.metrics.denied.add({ lane, decision: done.action, reason: done.reason });
    this.#note(from, done, message);
    if (this.#options.watchers.length > 0) this.#tellWatchers(from, done, message);
    const { refusal, ruleId, banMs } = done;
    if (refusal.close !== undefined) {
      from.endRefused({ ...refusal, ruleId }, { seq: message.seq(), ...retryAfter(done) });
      if (banMs > 0) this.#options.ban(from.user, banMs, ruleId);
    } else if (this.#tells(from, done, message)) {
      const detail = { seq: message.seq(), ruleId, ...retryAfter(done) };
      from.deliver(sysError(from.traceId, refusal.code, refusal.msg, detail));
    }
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

function retryAfter({ waitMs }: Denial): { retryAfterMs?: number } {
  return waitMs > 0 ? { retryAfterMs: Math.ceil(waitMs) } : {};
}
