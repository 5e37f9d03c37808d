// The last decisions of policy once more, by the file in use and by another one: what would have been decided differently.
// Each message is asked about alone, with full buckets; what a quota or a rate decided cannot be repeated and is left out.

import type { Path } from "../../config/places.ts";
import type { QuotaConfig, TenantConfig } from "../../config/schema.ts";
import { explain, hotBytes, placeOf } from "../../policy/explain.ts";
import type { TenantPolicy } from "../../policy/policy.ts";
import { GatewayQuotas } from "../../policy/quotas.ts";
import type { Decision } from "../console/decision.ts";
import { freshPolicy, type SchemaCache } from "./fresh_policy.ts";

/** A tenant's policy in one of the files. */
export interface Side {
  readonly policy: TenantPolicy;
  readonly at: { readonly config: TenantConfig; readonly index: number };
}

/** What one file says to a message. */
export interface Verdict {
  /** The check or rule that denies; null where none does. */
  readonly rule: string | null;
  readonly why: string | null;
  /** Where the file has it; null for nowhere. */
  readonly path: Path | null;
}

/** What both say; null where the decision cannot be repeated. */
export type Compared = { readonly before: Verdict; readonly after: Verdict } | null;

/** @param at the tenant's place in the file */
export function sideOf(
  at: { readonly config: TenantConfig; readonly index: number },
  { quotas, schemas }: { readonly quotas: QuotaConfig; readonly schemas: SchemaCache },
): Side {
  return { policy: freshPolicy(at.config, new GatewayQuotas(quotas), schemas), at };
}

export function compare(decision: Decision, before: Side, after: Side): Compared {
  const { lane, message, finding } = decision;
  if (message === null) return null;
  // An envelope as CBOR is kept in digits, as a hot message is.
  const isText = lane === "ext" && message.trimStart().startsWith("{");
  const bytes = isText ? new TextEncoder().encode(message) : hotBytes(message);
  if (bytes === null) return null;
  const then = ask(decision, bytes, before);
  const recorded = finding === null || finding.passes ? null : finding.ruleId;
  return then.rule === recorded ? { before: then, after: ask(decision, bytes, after) } : null;
}

function ask(
  { lane, user, claims, transport, rooms, active, narrowing }: Decision,
  message: Uint8Array,
  { policy, at }: Side,
): Verdict {
  const membership = (name: string) => rooms.includes(name) ? true : undefined;
  const subject = { user, claims, transport, membership };
  // The session is in its rooms already: what its ticket says of joining is no question of policy.
  const { allowed, steps } = explain(policy.narrowed(narrowing), {
    lane,
    message,
    subject,
    active,
    rooms: null,
  }, at);
  if (allowed) return { rule: null, why: null, path: null };
  const { check, why } = steps.at(-1)!;
  const path = placeOf(check, { ...at, lane });
  return { rule: check, why, path: path.length === 0 ? null : path };
}
