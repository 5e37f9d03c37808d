// One rule of a tenant, compiled: which messages it is about, what it wants of them, and what happens to those that are
// not so. It judges without taking anything; what a message costs is charged once all other checks have let it pass.

import type { DataSchema } from "../config/data_schema.ts";
import { parseHotEntry } from "../config/allowlist.ts";
import { isHotService } from "../config/policies.ts";
import type { RuleConfig } from "../config/schema.ts";
import { type ErrorCode, type Refusal, refusal } from "../protocol/codes.ts";
import type { Json } from "../protocol/json.ts";
import { sameNumber, WideNumber } from "../protocol/json_number.ts";
import { Patterns } from "../protocol/patterns.ts";
import { Buckets } from "./buckets.ts";
import type { Denial } from "./denial.ts";
import { Escalation, type Step, UserViolations } from "./escalation.ts";
import type { PolicyInput } from "./input.ts";
import { Rate } from "./rate.ts";

/** What a rule keeps of all sessions; it outlives the rule's compiled form. */
export class RuleState {
  /** The bucket of a rate per tenant (see rate.ts). */
  fullAt = 0;
  /** Those of a rate per user or room. */
  readonly buckets = new Buckets();
  /** Of a escalation that users climb. */
  readonly violations = new UserViolations();
}

/** Which services a rule is about; undefined for any. */
export interface ServiceMatch {
  readonly svc: string | undefined;
  readonly type: string | undefined;
}

interface Violation {
  readonly code: ErrorCode;
  readonly what: string;
  /** 0 where waiting does not help. */
  readonly waitMs: number;
}

/** What a violated rule is called where it says no more than that a message may not be. */
const FORBIDDEN: Violation = { code: "NOT_ALLOWED", what: "such messages are not allowed", waitMs: 0 };
const TOO_LARGE: Violation = { code: "PAYLOAD_TOO_LARGE", what: "message is too large", waitMs: 0 };
const NOT_A_MEMBER: Violation = {
  code: "NOT_ALLOWED",
  what: "only for members of the message's room",
  waitMs: 0,
};

export class Rule {
  readonly id: string;
  /** The services on each lane, null where the rule is not about the lane. */
  readonly ext: ServiceMatch | null;
  readonly hot: ServiceMatch | null;
  readonly #config: RuleConfig;
  readonly #room: Patterns | null;
  readonly #rate: Rate | null;
  readonly #schema: DataSchema | null;
  readonly #member: boolean;
  readonly #claims: readonly { readonly name: string; readonly value: string; readonly lacks: Violation }[];
  readonly #escalation: Escalation;
  /** What it knows of all sessions. */
  readonly state: RuleState;
  /** A rule that asks for nothing forbids all that it matches. */
  readonly #forbids: boolean;

  constructor(config: RuleConfig, { state, schema }: { state: RuleState; schema: DataSchema | null }) {
    const { id, match, rate, require } = config;
    this.id = id;
    this.#config = config;
    this.state = state;
    this.#schema = schema;
    this.#room = match.room === undefined ? null : new Patterns([match.room]);
    this.#rate = rate === undefined
      ? null
      : new Rate(rate.messages_per_second, rate.burst ?? 2 * rate.messages_per_second);
    this.#member = require.includes("member");
    this.#claims = require.filter((text) => text !== "member").map(readClaim);
    this.#escalation = new Escalation(config);
    this.#forbids = rate === undefined && config.max_bytes === undefined && schema === null &&
      require.length === 0;
    const service = readService(match.service);
    const byNumber = match.service !== undefined && isHotService(match.service);
    const any = service.svc === undefined && service.type === undefined;
    this.ext = match.lane === "hot" || match.lane === undefined && byNumber && !any ? null : service;
    this.hot = match.lane === "ext" || !byNumber && !any ? null : service;
  }

  get dryRun(): boolean {
    return this.#config.dry_run;
  }

  /** Whether a message of a service that the rule is about comes by a transport and goes to a room that it is about. */
  isAbout({ room, subject }: PolicyInput): boolean {
    const { transport } = this.#config.match;
    if (transport !== undefined && subject.transport !== transport) return false;
    return this.#room === null || room !== null && this.#room.allows(room);
  }

  /** What becomes of a message that the rule is about; null where it has nothing against it. */
  judge(input: PolicyInput, now: number): Denial | null {
    const sessionState = input.sessionState.ofRule(this.id);
    if (sessionState !== undefined && sessionState.mutedUntil > now) {
      return this.#muted(sessionState.mutedUntil - now);
    }
    const violation = this.#violation(input, now);
    if (violation === null) return null;
    const own = sessionState ?? input.sessionState.inRule(this.id);
    const step = this.#escalation.step(
      this.#escalation.perUser
        ? this.state.violations.of(input.subject.user, this.#escalation.since(now))
        : own.violations,
      now,
    );
    if (step.muteMs > 0 && !this.dryRun) own.mutedUntil = now + step.muteMs;
    return this.#denial(violation, step);
  }

  /** Takes the place of a rule with the same id, whose numbers the buckets were filled by; also of none. */
  apply(now: number): void {
    const { state } = this;
    state.fullAt = this.#rate === null ? 0 : this.#rate.capped(state.fullAt, now);
    state.buckets.apply(this.#rate, now);
    if (!this.#escalation.perUser) state.violations.clear();
  }

  /** The bucket of one session, filled by other numbers. */
  capped(fullAt: number, now: number): number {
    return this.#rate === null ? 0 : this.#rate.capped(fullAt, now);
  }

  /** Takes the message's token, to be called once nothing refuses it any more; in a dry run there may be none. */
  charge(input: PolicyInput, now: number): void {
    const rate = this.#rate;
    if (rate === null || this.#waitMs(input, now) > 0) return;
    const { sessionState, subject: { user }, room } = input;
    switch (this.#config.rate!.per) {
      case "session": {
        const own = sessionState.inRule(this.id);
        own.fullAt = rate.take(own.fullAt, now);
        return;
      }
      case "tenant":
        this.state.fullAt = rate.take(this.state.fullAt, now);
        return;
      case "user":
        this.state.buckets.take(rate, user, now, 1);
        return;
      case "room":
        if (room !== null) this.state.buckets.take(rate, room, now, 1);
    }
  }

  /** From the cheapest to the dearest. */
  #violation(input: PolicyInput, now: number): Violation | null {
    if (this.#forbids) return FORBIDDEN;
    const { max_bytes: maxBytes } = this.#config;
    if (maxBytes !== undefined && input.bytes > maxBytes) return TOO_LARGE;
    const { subject, room } = input;
    if (this.#member && (room === null || subject.membership(room) === undefined)) return NOT_A_MEMBER;
    for (const { name, value, lacks } of this.#claims) {
      if (!Object.hasOwn(subject.claims, name) || !isSaid(subject.claims[name], value)) return lacks;
    }
    const waitMs = this.#rate === null ? 0 : this.#waitMs(input, now);
    if (waitMs > 0) return { code: "RATE_LIMITED", what: "too many messages", waitMs };
    const fault = this.#schema === null ? null : faultOf(this.#schema, input.data);
    return fault === null ? null : { code: "BAD_REQUEST", what: fault, waitMs: 0 };
  }

  #waitMs(input: PolicyInput, now: number): number {
    const rate = this.#rate!;
    switch (this.#config.rate!.per) {
      case "session":
        return rate.waitMs(input.sessionState.ofRule(this.id)?.fullAt ?? 0, now);
      case "tenant":
        return rate.waitMs(this.state.fullAt, now);
      case "user":
        return this.state.buckets.waitMs(rate, input.subject.user, now, 1);
      case "room":
        return input.room === null ? 0 : this.state.buckets.waitMs(rate, input.room, now, 1);
    }
  }

  #denial({ code, what, waitMs }: Violation, { action, muteMs, banMs, close }: Step): Denial {
    const told: Refusal = refusal(code, `${this.id}: ${what}`, close ?? undefined);
    return {
      ruleId: this.id,
      reason: "rule",
      action,
      refusal: told,
      told: action === "drop" || action === "observe" ? "never" : "each",
      waitMs: Math.max(waitMs, muteMs, banMs),
      banMs,
      dryRun: this.dryRun,
    };
  }

  #muted(waitMs: number): Denial {
    return {
      ruleId: this.id,
      reason: "rule",
      action: "mute",
      refusal: refusal("NOT_ALLOWED", `${this.id}: muted`),
      told: "first",
      waitMs,
      banMs: 0,
      dryRun: this.dryRun,
    };
  }
}

function readClaim(text: string): { name: string; value: string; lacks: Violation } {
  const claim = text.slice("claim:".length), at = claim.indexOf("=");
  const name = claim.slice(0, at);
  const what = `only with another ${name} in the ticket`;
  return { name, value: claim.slice(at + 1), lacks: { code: "NOT_ALLOWED", what, waitMs: 0 } };
}

/** What a schema has against data; also against data that reading would change, as a verdict is about what was sent. */
function faultOf(schema: DataSchema, data: Json | undefined): string | null {
  const read = data?.read();
  return read?.ok === false ? `data ${read.why}` : schema.fault(read?.value);
}

/** Whether a claim is what the configuration says. Numbers are compared as they are written, however many digits they have. */
function isSaid(claim: unknown, text: string): boolean {
  if (typeof claim === "string") return claim === text;
  if (typeof claim === "boolean") return String(claim) === text;
  const number = claim instanceof WideNumber ? claim.text : typeof claim === "number" ? String(claim) : null;
  return number !== null && sameNumber(number) === sameNumber(text);
}

function readService(text: string | undefined): ServiceMatch {
  if (text === undefined || text === "*") return { svc: undefined, type: undefined };
  const at = text.indexOf(":");
  const part = (name: string) => name === "*" ? undefined : name;
  return { svc: part(text.slice(0, at)), type: part(text.slice(at + 1)) };
}

/** The numbers of a rule's service on the hot lane. */
export function hotNumbers({ svc, type }: ServiceMatch): { svcId: number | null; opcode: number | null } {
  const entry = parseHotEntry(`${svc ?? "0"}:${type ?? "*"}`)!;
  return { svcId: svc === undefined ? null : entry.svcId, opcode: entry.opcode ?? null };
}
