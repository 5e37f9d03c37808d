// The rules of a tenant as a reader of the documentation would carry them out: one after the other, text by text, with
// buckets that count their tokens and lists that remember everything.

import type { RuleConfig } from "../../src/config/schema.ts";
import type { Said, Speaking } from "./policies.ts";

/** What a rule does about a message; `passes` where it lets it through all the same. */
export interface Finding {
  readonly id: string;
  readonly action: string;
  readonly passes: boolean;
}

/** Tokens that come back one after the other. */
class Bucket {
  #tokens: number;
  #at: number;
  readonly #perMs: number;
  readonly #burst: number;

  constructor(perSecond: number, burst: number, now: number) {
    this.#tokens = this.#burst = burst;
    this.#perMs = perSecond / 1000;
    this.#at = now;
  }

  /** Whether there is a token now. */
  has(now: number): boolean {
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#at) * this.#perMs);
    this.#at = now;
    return this.#tokens > 1 - 1e-9;
  }

  take(): void {
    this.#tokens -= 1;
  }
}

export class NaiveRules {
  readonly #rules: readonly RuleConfig[];
  readonly #buckets = new Map<string, Bucket>();
  readonly #mutes = new Map<string, number>();
  readonly #violations = new Map<string, number[]>();
  readonly #names = new Map<Speaking, number>();

  constructor(rules: readonly RuleConfig[]) {
    this.#rules = rules;
  }

  /** All findings, the last one being the end of the message where it does not pass. */
  judge(from: Speaking, said: Said, now: number): Finding[] {
    const findings: Finding[] = [];
    const about = this.#rules.filter((rule) => isAbout(rule, said));
    for (const rule of about) {
      const found = this.#one(rule, { from, said, now });
      if (found === null) continue;
      const passes = rule.dry_run || found === "observe";
      findings.push({ id: rule.id, action: found, passes });
      if (!passes) return findings;
    }
    for (const rule of about) {
      const bucket = this.#bucket(rule, { from, said, now });
      if (bucket !== null && bucket.has(now)) bucket.take();
    }
    return findings;
  }

  #one(rule: RuleConfig, at: { from: Speaking; said: Said; now: number }): string | null {
    const { from, now } = at;
    const own = `${rule.id} of ${this.#nameOf(from)}`;
    if ((this.#mutes.get(own) ?? 0) > now) return "mute";
    if (!this.#isViolated(rule, at)) return null;
    const ends = rule.then.some((step) => typeof step === "object" && ("close" in step || "ban_ms" in step));
    const whose = ends || rule.rate?.per === "user" ? `${rule.id} of user ${from.user}` : own;
    const before = (this.#violations.get(whose) ?? []).filter((time) => time > now - rule.window_ms);
    this.#violations.set(whose, [...before, now]);
    const step = rule.then[Math.min(before.length, rule.then.length - 1)]!;
    if (typeof step === "string") return step;
    if ("mute_ms" in step) {
      if (!rule.dry_run) this.#mutes.set(own, now + step.mute_ms);
      return "mute";
    }
    return "close" in step ? "close" : "ban";
  }

  #isViolated(rule: RuleConfig, at: { from: Speaking; said: Said; now: number }): boolean {
    const { from, said, now } = at;
    if (
      rule.rate === undefined && rule.max_bytes === undefined && rule.schema_text === undefined &&
      rule.require.length === 0
    ) return true;
    if (rule.max_bytes !== undefined && said.bytes! > rule.max_bytes) return true;
    for (const condition of rule.require) {
      if (condition === "member") {
        if (said.room === null || !from.rooms.has(said.room!)) return true;
      } else {
        const [name, value] = condition.slice("claim:".length).split("=");
        if (String(from.claims[name!]) !== value) return true;
      }
    }
    const bucket = this.#bucket(rule, at);
    if (bucket !== null && !bucket.has(now)) return true;
    // The tests' one schema: {"type":"string"}.
    return rule.schema_text !== undefined && typeof said.data !== "string";
  }

  #bucket(rule: RuleConfig, { from, said, now }: { from: Speaking; said: Said; now: number }): Bucket | null {
    if (rule.rate === undefined) return null;
    const { per, messages_per_second: perSecond, burst } = rule.rate;
    if (per === "room" && said.room === null) return null;
    const whose = { session: this.#nameOf(from), user: from.user, room: said.room, tenant: "" }[per];
    const key = `${rule.id} per ${per} ${whose}`;
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      this.#buckets.set(key, bucket = new Bucket(perSecond, burst ?? 2 * perSecond, now));
    }
    return bucket;
  }

  #nameOf(session: Speaking): number {
    const name = this.#names.get(session) ?? this.#names.size;
    this.#names.set(session, name);
    return name;
  }
}

function isAbout({ match }: RuleConfig, said: Said): boolean {
  const lane = said.hot === undefined ? "ext" : "hot";
  if (match.lane !== undefined && match.lane !== lane) return false;
  const service = match.service === "*" || match.service === undefined ? "*:*" : match.service;
  const numbers = /^(\d+|\*):(\d+|\*)$/.test(service);
  // Numbers mean the hot lane, where nothing else is said; words never do.
  if (service !== "*:*" && match.lane === undefined && numbers !== (lane === "hot")) return false;
  const parts = (said.ext ?? said.hot)!.split(":");
  if (!service.split(":").every((part, index) => part === "*" || part === parts[index])) return false;
  if (match.room === undefined) return true;
  if (said.room === null || said.room === undefined) return false;
  const pattern = match.room.split("*").map((part) => part.replace(/[.:]/g, "\\$&")).join(".*");
  return new RegExp(`^${pattern}$`).test(said.room);
}
