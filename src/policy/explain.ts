// The way of one message through the very policy that a gateway would judge it by, check by check, with what each one
// found and where the configuration says so. Buckets are full, as for a session that has said nothing yet, except those of
// the session that is asked about, if any.

import { parseExtEntry, parseHotEntry } from "../config/allowlist.ts";
import type { Path } from "../config/places.ts";
import type { TenantConfig } from "../config/schema.ts";
import { decodeCbor, looksLikeCborMap } from "../protocol/cbor.ts";
import { decodeJson, type Unreadable } from "../protocol/envelope.ts";
import { checkHot } from "../protocol/hot.ts";
import { CHECK, type Denial, ROOM_NOT_ALLOWED } from "./denial.ts";
import type { Patterns } from "../protocol/patterns.ts";
import {
  fillExt,
  fillHot,
  newPolicyInput,
  type PolicyInput,
  type PolicySubject,
  type SessionPolicyState,
  type Way,
  wayOf,
} from "./input.ts";
import { Ruled, type TenantPolicy } from "./policy.ts";
import type { Check } from "./quotas.ts";

/** What a check says: it has nothing against the message, it is not about it, it finds something and lets it pass, or it denies it. */
export type StepVerdict = "pass" | "skip" | "note" | "deny";

/** One check. */
export interface Step {
  /** A built-in check's name or a rule's id. */
  readonly check: string;
  readonly verdict: StepVerdict;
  /** Where the configuration has it, from the file's root. */
  readonly at: Path;
  /** What it found; null where there is nothing to say. */
  readonly denial: Denial | null;
  readonly why: string;
}

/** A message and who says it. */
export interface Question {
  readonly lane: "ext" | "hot";
  readonly message: Uint8Array;
  readonly subject: PolicySubject;
  /** The room that the session joined last. */
  readonly active: string | null;
  /** Rooms that its ticket lets it join; null for any. */
  readonly rooms: Patterns | null;
  /** What policy keeps of the session, to be written to, and when that is; without it, the session has said nothing. */
  readonly session?: { readonly state: SessionPolicyState; readonly now: number };
}

export interface Explanation {
  readonly allowed: boolean;
  /** In order; the last one denies, if any does. */
  readonly steps: readonly Step[];
}

/** A hot message written as hexadecimal digits, in pairs; null for any other text. */
export function hotBytes(text: string): Uint8Array | null {
  // A hot message begins with a 1, which is no hexadecimal digit's character.
  if (!/^([0-9a-f]{2}\s*)+$/i.test(text)) return null;
  return Uint8Array.from(text.match(/[0-9a-f]{2}/gi)!, (digits) => Number.parseInt(digits, 16));
}

/** Some moment: buckets that nobody has used are full at any. */
const NOW = 0;

/** @param at the tenant: its configuration, and its place in the list of tenants */
export function explain(
  policy: TenantPolicy,
  question: Question,
  at: { readonly config: TenantConfig; readonly index: number },
): Explanation {
  return new Explainer(policy, question, at).run();
}

/** Where the configuration has a check, or the rule of this id; nothing where it has it nowhere. */
export function placeOf(
  check: string,
  { config, index, lane = "ext" }: {
    readonly config: TenantConfig;
    readonly index: number;
    readonly lane?: "ext" | "hot";
  },
): Path {
  const { quotas, rate_limit_scope: scope, rules } = config.policy;
  const root: Path = ["tenants", index], policy = [...root, "policy"];
  const quota = (level: "session" | "user" | "tenant", v1: boolean) =>
    v1 && quotas[level].messages_per_second === undefined
      ? [...policy, "rate_limit_rps"]
      : [...policy, "quotas", level];
  switch (check) {
    case CHECK.size:
      return [...root, "limits", "max_frame_bytes"];
    case CHECK.session:
      return quota("session", scope !== "tenant");
    case CHECK.user:
      return quota("user", false);
    case CHECK.tenant:
      return quota("tenant", scope !== "connection");
    case CHECK.outbound:
      return [...policy, "quotas", "tenant", "outbound_bytes_per_second"];
    case CHECK.gateway:
      return ["gateway", "quotas"];
    case CHECK.activeRoom:
      return [...policy, "hot_requires_active_room"];
    case CHECK.allowlist:
      return [...policy, `${lane}_allowlist`];
    default: {
      const at = rules.findIndex(({ id }) => id === check);
      return at < 0 ? [] : [...policy, "rules", at];
    }
  }
}

class Explainer {
  readonly #steps: Step[] = [];
  readonly #policy: TenantPolicy;
  readonly #question: Question;
  readonly #config: TenantConfig;
  readonly #root: Path;
  readonly #input: PolicyInput;
  readonly #now: number;

  constructor(
    policy: TenantPolicy,
    question: Question,
    at: { readonly config: TenantConfig; readonly index: number },
  ) {
    this.#policy = policy;
    this.#question = question;
    this.#config = at.config;
    this.#root = ["tenants", at.index];
    this.#input = newPolicyInput(question.subject);
    this.#input.bytes = question.message.length;
    this.#now = question.session?.now ?? NOW;
    if (question.session !== undefined) this.#input.sessionState = question.session.state;
  }

  run(): Explanation {
    const { sessionState, bytes } = this.#input;
    const way = !this.#throttled(sessionState.throttledUntil - this.#now) &&
      this.#step(CHECK.size, this.#policy.size(bytes)) &&
      this.#step(CHECK.session, this.#policy.arrive(sessionState, bytes, this.#now)) && this.#decode();
    if (way) {
      for (const check of this.#policy.checks(way)) {
        if (!(check instanceof Ruled ? this.#rules(check) : this.#check(check))) break;
      }
      this.#join();
    }
    return { allowed: this.#steps.at(-1)?.verdict !== "deny", steps: this.#steps };
  }

  /** Before anything else, as in session/message_handler.ts. @param waitMs how long its messages are not looked at */
  #throttled(waitMs: number): boolean {
    if (waitMs <= 0) return false;
    const why = `it sent far too many messages; none is looked at for another ${Math.ceil(waitMs)} ms`;
    this.#add("throttled", "deny", [], why);
    return true;
  }

  /** Reads the message. @returns its way, null where it cannot be read */
  #decode(): Way | null {
    const { lane, message, active } = this.#question;
    if (lane === "hot") {
      const unreadable = checkHot(message);
      if (unreadable !== null) return this.#unreadable(unreadable.msg);
      fillHot(this.#input, message, active);
      this.#add(CHECK.decode, "pass", [], `service ${this.#input.svcId}:${this.#input.opcode}`);
      return "hot";
    }
    const decoded = decode(message, this.#policy.maxJsonDepth);
    if (typeof decoded === "string") return this.#unreadable(decoded);
    if (!decoded.ok) return this.#unreadable(decoded.refusal.msg);
    fillExt(this.#input, decoded, active);
    const { svc, type, room } = this.#input;
    this.#add(
      CHECK.decode,
      "pass",
      [],
      `${svc}:${type}${room === null ? "" : `, room ${JSON.stringify(room)}`}`,
    );
    return wayOf(decoded);
  }

  #unreadable(why: string): null {
    this.#add(CHECK.decode, "deny", [], why);
    return null;
  }

  /** A ticket's rooms are not policy's business but the session's, when it joins; whoever asks wants to know all the same. */
  #join(): void {
    const { svc, type, room, lane } = this.#input;
    const { rooms } = this.#question;
    const joins = lane === "ext" && svc === "room" && type === "join" && room !== null;
    if (!joins || rooms === null || this.#steps.at(-1)?.verdict === "deny") return;
    const allowed = rooms.allows(room);
    this.#add(CHECK.room, allowed ? "pass" : "deny", [], allowed ? "" : ROOM_NOT_ALLOWED.msg);
  }

  #check(check: Check): boolean {
    return this.#step(check.id, check.judge(this.#input, this.#now));
  }

  #rules(ruled: Ruled): boolean {
    for (const [index, rule] of this.#policy.rules.entries()) {
      const at = [...this.#root, "policy", "rules", index];
      if (!ruled.concerns(rule, this.#input)) {
        this.#add(rule.id, "skip", at, "not about this message");
        continue;
      }
      const denial = rule.judge(this.#input, this.#now);
      if (denial === null) this.#add(rule.id, "pass", at, "");
      else if (denial.dryRun || denial.action === "observe") {
        this.#found(rule.id, { verdict: "note", denial, at });
      } else return this.#found(rule.id, { verdict: "deny", denial, at });
    }
    return true;
  }

  /** Writes down what a check found. @returns whether the message goes on */
  #step(id: string, denial: Denial | null): boolean {
    const at = this.#placeOf(denial?.ruleId ?? id);
    if (denial === null) this.#add(id, "pass", at, "");
    return denial === null || this.#found(denial.ruleId, { verdict: "deny", denial, at });
  }

  #found(
    check: string,
    { verdict, denial, at }: { verdict: "note" | "deny"; denial: Denial; at: Path },
  ): boolean {
    const { refusal: { code, msg }, action, dryRun } = denial;
    const why = `${code}: ${msg}; ${dryRun ? "in dry run: " : ""}${action}`;
    this.#steps.push({ check, verdict, at, denial, why });
    return verdict !== "deny";
  }

  #add(check: string, verdict: StepVerdict, at: Path, why: string): void {
    this.#steps.push({ check, verdict, at, denial: null, why });
  }

  #placeOf(check: string): Path {
    if (check === CHECK.allowlist) return [...this.#root, "policy", ...this.#entry()];
    return placeOf(check, { config: this.#config, index: this.#root[1] as number });
  }

  /** The allowlist, and of it the entry that lets the message through. */
  #entry(): Path {
    const { svc, type, svcId, opcode } = this.#input;
    const { ext_allowlist: ext, hot_allowlist: hot } = this.#config.policy;
    const isExt = this.#question.lane === "ext";
    const index = isExt
      ? ext.map(parseExtEntry).findIndex((entry) => entry?.svc === svc && (entry.type ?? type) === type)
      : hot.map(parseHotEntry).findIndex((entry) =>
        entry?.svcId === svcId && (entry.opcode ?? opcode) === opcode
      );
    const list = isExt ? "ext_allowlist" : "hot_allowlist";
    return index < 0 ? [list] : [list, index];
  }
}

function decode(message: Uint8Array, depthMax: number): ReturnType<typeof decodeJson> | Unreadable | string {
  if (looksLikeCborMap(message)) return decodeCbor(message, depthMax);
  try {
    return decodeJson(new TextDecoder("utf-8", { fatal: true }).decode(message), depthMax);
  } catch {
    return "message is neither UTF-8 nor CBOR";
  }
}
