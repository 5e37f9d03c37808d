// What policy is told of a message and of its sender: facts, and the place where it keeps what it knows of the session.

import type { Envelope } from "../protocol/envelope.ts";
import type { Json } from "../protocol/json.ts";
import { HOT_AT } from "../protocol/hot.ts";
import { DEFAULT_ROOM } from "../protocol/limits.ts";
import type { Denial } from "./denial.ts";
import { type FairQuota, Share } from "./fair_quota.ts";
import type { Violations } from "./escalation.ts";

/** A session as policy sees it. */
export interface PolicySubject {
  readonly user: string;
  /** What its ticket says. */
  readonly claims: Readonly<Record<string, unknown>>;
  /** By what it is connected; null for nothing in particular. */
  readonly transport: string | null;
  /** Something for a room that the session is in, undefined for any other. */
  membership(room: string): unknown;
}

/** One message. Made once and filled anew for each, so that the hot lane allocates nothing. */
export interface PolicyInput {
  lane: "ext" | "hot";
  subject: PolicySubject;
  sessionState: SessionPolicyState;
  /** Of the whole message. */
  bytes: number;
  /** Of an ext message. */
  svc: string;
  type: string;
  data: Json | undefined;
  /** Of a hot message. */
  svcId: number;
  opcode: number;
  /** Where it goes; null for nowhere in particular. */
  room: string | null;
  /** Filled by a judgement: what was found against the message and lets it pass all the same. */
  readonly findings: Denial[];
}

/** An empty one, to be filled. */
export function newPolicyInput(subject: PolicySubject): PolicyInput {
  return {
    lane: "ext",
    subject,
    sessionState: new SessionPolicyState(),
    bytes: 0,
    svc: "",
    type: "",
    data: undefined,
    svcId: 0,
    opcode: 0,
    room: null,
    findings: [],
  };
}

/** Which checks a message has to pass: the protocol's own messages need no entry in an allowlist, and no rule knows them. */
export type Way = "ext" | "hot" | "sys";

/** The way of an ext message. */
export function wayOf({ svc, type }: Envelope): Way {
  return svc === "sys" && (type === "ping" || type === "auth" || type === "ack") ? "sys" : "ext";
}

/** Writes down what an ext message says; `active` is the room that its session joined last. */
export function fillExt(input: PolicyInput, message: Envelope, active: string | null): void {
  const { svc, type, room, data } = message;
  input.lane = "ext";
  input.svc = svc;
  input.type = type;
  // Without a name, the `room` service has one in mind.
  input.room = room ?? (svc !== "room" ? null : type === "join" ? DEFAULT_ROOM : active);
  input.data = data;
}

/** Writes down what a hot frame says, which goes to the active room. */
export function fillHot(input: PolicyInput, frame: Uint8Array, active: string | null): void {
  input.lane = "hot";
  input.svcId = frame[HOT_AT.svcId]!;
  input.opcode = frame[HOT_AT.opcode]!;
  input.room = active;
}

/** What a rule keeps of one session. */
export interface SessionRuleState {
  /** The bucket of a rate per session (see rate.ts). */
  fullAt: number;
  mutedUntil: number;
  /** Of a escalation that sessions climb. */
  violations: Violations;
}

/** When the client was last told, and the log last written, of one rule or check. */
export interface Notice {
  toldAt: number;
  loggedAt: number;
  /** Denials since the last line in the log. */
  unlogged: number;
  watchedAt: number;
  /** Denials since watchers were last told of one. */
  unwatched: number;
}

/** How a session was throttled last. */
export interface Throttling {
  /** Times in a row. */
  times: number;
  since: number;
  /** Messages that came all the same. */
  ignored: number;
}

/** What policy keeps of one session; made at its first message. */
export class SessionPolicyState {
  /** Buckets (see rate.ts) of its own messages and bytes, and of refusals that it is told or may cause. */
  messagesFullAt = 0;
  bytesFullAt = 0;
  /** Of frames that are no messages, where messages have no quota. */
  framesFullAt = 0;
  toldFullAt = 0;
  excessFullAt = 0;
  /** Until when its messages are not looked at (see session/denials.ts). */
  throttledUntil = Number.NEGATIVE_INFINITY;
  /** Null until it was throttled once. */
  throttling: Throttling | null = null;
  /** Its part in each quota that it shares; they change with the configuration. */
  #shares: { readonly of: FairQuota; readonly share: Share }[] | null = null;
  /** By the rule's id. */
  #rules: Map<string, SessionRuleState> | null = null;
  #notices: Map<string, Notice> | null = null;

  /** Its part in a quota. */
  share(of: FairQuota): Share {
    const shares = this.#shares ??= [];
    for (const entry of shares) if (entry.of === of) return entry.share;
    // Of quotas that are in force there are three at most: messages, bytes, outbound bytes.
    if (shares.length >= 3) shares.shift();
    const share = new Share();
    shares.push({ of, share });
    return share;
  }

  /** What a rule keeps of it, if anything. */
  ofRule(id: string): SessionRuleState | undefined {
    return this.#rules?.get(id);
  }

  /** The same, made where there was nothing. */
  inRule(id: string): SessionRuleState {
    const rules = this.#rules ??= new Map();
    let sessionState = rules.get(id);
    if (sessionState === undefined) {
      rules.set(id, sessionState = { fullAt: 0, mutedUntil: 0, violations: [] });
    }
    return sessionState;
  }

  /** Forgets the rules that there are no more, and holds the others to their numbers now. */
  keepRules(
    rules: readonly { readonly id: string; capped(fullAt: number, now: number): number }[],
    now: number,
  ): void {
    const before = this.#rules;
    this.#notices = null;
    if (before === null) return;
    this.#rules = new Map();
    for (const rule of rules) {
      const sessionState = before.get(rule.id);
      if (sessionState === undefined) continue;
      sessionState.fullAt = rule.capped(sessionState.fullAt, now);
      this.#rules.set(rule.id, sessionState);
    }
  }

  /** A copy to be asked with, what it has taken and its mutes: what is done to it is done to nobody. Shares begin anew. */
  copy(): SessionPolicyState {
    const copy = new SessionPolicyState();
    copy.messagesFullAt = this.messagesFullAt;
    copy.bytesFullAt = this.bytesFullAt;
    copy.throttledUntil = this.throttledUntil;
    for (const [id, { fullAt, mutedUntil, violations }] of this.#rules ?? []) {
      Object.assign(copy.inRule(id), { fullAt, mutedUntil, violations: structuredClone(violations) });
    }
    return copy;
  }

  notice(ruleId: string): Notice {
    const notices = this.#notices ??= new Map();
    let notice = notices.get(ruleId);
    if (notice === undefined) {
      const never = Number.NEGATIVE_INFINITY;
      notices.set(
        ruleId,
        notice = { toldAt: never, loggedAt: never, unlogged: 0, watchedAt: never, unwatched: 0 },
      );
    }
    return notice;
  }
}
