// A tenant's policy, compiled at load: what its clients may send, how large and how often. It is told
// facts and returns verdicts; it neither logs nor counts. The order of the checks is the order of the
// methods here, and a refused message never takes from what the tenant's clients share.

import type { TenantConfig } from "../config/schema.ts";
import { CLOSE, refusal } from "../protocol/codes.ts";
import { ExtAllowlist, HotAllowlist } from "./allowlist.ts";
import type { Narrowing } from "./narrowing.ts";
import { Rate } from "./rate.ts";

/** Why a message was refused, as metrics name it. */
export type DenyReason = "size" | "session_rate" | "tenant_rate" | "allowlist" | "no_active_room";

export const TOO_LARGE = refusal(
  "PAYLOAD_TOO_LARGE",
  "message is larger than the tenant's max_frame_bytes",
  CLOSE.messageTooLarge,
);
export const NOT_ALLOWED_EXT = refusal("NOT_ALLOWED", "svc and type are not in the tenant's ext_allowlist");
export const NOT_ALLOWED_HOT = refusal(
  "NOT_ALLOWED",
  "service and opcode are not in the tenant's hot_allowlist",
);
export const RATE_LIMITED = refusal("RATE_LIMITED", "too many messages");
export const NO_ACTIVE_ROOM = refusal(
  "BAD_REQUEST",
  "no active room: join one before sending on the hot lane",
);

export const ROOM_NOT_ALLOWED = refusal("NOT_ALLOWED", "the session's ticket is not for this room");

/** Narrowed policies that a tenant keeps for sessions to share; tickets usually differ by role, not by user. */
const NARROWED_MAX = 256;

/** A bucket's state (see rate.ts); a session keeps its own. */
export interface Bucket {
  rateFullAt: number;
}

/** What a tenant's policy remembers of its clients, and what outlives the policy at a reload. */
export class PolicyState {
  /** What all sessions of the tenant share. */
  readonly tenant: Bucket = { rateFullAt: 0 };
}

export interface PolicyOptions {
  readonly config: TenantConfig;
  readonly state: PolicyState;
  /** The tenant's own policy, and what a ticket takes away from it. */
  readonly narrowed?: { readonly whole: TenantPolicy; readonly by: Narrowing };
}

export class TenantPolicy {
  readonly maxFrameBytes: number;
  /** Whether refused hot messages are answered, or only counted. */
  readonly answersHotErrors: boolean;
  readonly hotRequiresActiveRoom: boolean;
  readonly #ext: ExtAllowlist;
  readonly #hot: HotAllowlist;
  /** What a session may send, in scopes `connection` and `both`. */
  readonly #sessionRate: Rate | null;
  /** How many refusals a session is told, in scope `tenant`, where nothing else bounds them. */
  readonly #refusalRate: Rate | null;
  readonly #tenantRate: Rate | null;
  readonly #state: PolicyState;
  readonly #config: TenantConfig;
  /** By what narrows, oldest first. */
  readonly #narrowed = new Map<string, TenantPolicy>();

  constructor({ config, state, narrowed }: PolicyOptions) {
    const { policy, limits } = config;
    const by = narrowed?.by, whole = narrowed?.whole ?? null;
    this.#config = config;
    this.#state = state;
    this.maxFrameBytes = Math.min(limits.max_frame_bytes, by?.limits?.max_frame_bytes ?? Infinity);
    this.answersHotErrors = policy.hot_error_mode === "sys_error";
    this.hotRequiresActiveRoom = policy.hot_requires_active_room;
    const ext = whole === null ? new ExtAllowlist(policy.ext_allowlist) : whole.#ext;
    const hot = whole === null ? new HotAllowlist(policy.hot_allowlist) : whole.#hot;
    this.#ext = by?.ext ? ext.within(by.ext) : ext;
    this.#hot = by?.hot ? hot.within(by.hot) : hot;
    const scope = policy.rate_limit_scope;
    const rate = new Rate(policy.rate_limit_rps, policy.rate_limit_burst);
    const { rate_limit_rps: rps, rate_limit_burst: burst } = by?.limits ?? {};
    const ownRate = rps === undefined && burst === undefined ? null : new Rate(
      Math.min(policy.rate_limit_rps, rps ?? Infinity),
      Math.min(policy.rate_limit_burst, burst ?? Infinity),
    );
    this.#sessionRate = ownRate ?? (scope === "tenant" ? null : rate);
    this.#refusalRate = scope === "tenant" && ownRate === null ? rate : null;
    this.#tenantRate = scope === "connection" ? null : rate;
  }

  /** The policy of a session whose ticket takes something away; sessions that lose the same share one. */
  narrowed(by: Narrowing): TenantPolicy {
    if (by.ext === null && by.hot === null && by.limits === null) return this;
    const key = JSON.stringify([by.ext, by.hot, by.limits]);
    let policy = this.#narrowed.get(key);
    if (policy === undefined) {
      policy = new TenantPolicy({
        config: this.#config,
        state: this.#state,
        narrowed: { whole: this, by },
      });
      this.#narrowed.set(key, policy);
      if (this.#narrowed.size > NARROWED_MAX) this.#narrowed.delete(this.#narrowed.keys().next().value!);
    }
    return policy;
  }

  /** Takes the place of another policy, whose numbers the tenant's bucket was filled by. */
  begin(now: number): void {
    const { tenant } = this.#state;
    if (this.#tenantRate !== null) tenant.rateFullAt = this.#tenantRate.capped(tenant.rateFullAt, now);
  }

  /** A session comes from another policy, with a bucket of other numbers. */
  takeOver(bucket: Bucket, now: number): void {
    const rate = this.#sessionRate ?? this.#refusalRate;
    if (rate !== null) bucket.rateFullAt = rate.capped(bucket.rateFullAt, now);
  }

  /**
   * Takes a token of the session's own bucket, the first thing that happens to any message.
   * @returns milliseconds to wait for one, 0 when it was taken
   */
  takeSession(bucket: Bucket, now: number): number {
    return this.#sessionRate === null ? 0 : takeFrom(this.#sessionRate, bucket, now);
  }

  /** Whether a refusal is told to the client: always while its session is within its rate. */
  mayTellRefusal(bucket: Bucket, now: number): boolean {
    return this.#refusalRate === null || takeFrom(this.#refusalRate, bucket, now) === 0;
  }

  allowsExt(svc: string, type: string): boolean {
    return this.#ext.allows(svc, type);
  }

  allowsHot(svcId: number, opcode: number): boolean {
    return this.#hot.allows(svcId, opcode);
  }

  /**
   * Takes a token that all sessions of the tenant share, the last check of a message that passed all others.
   * @returns milliseconds to wait for one, 0 when it was taken
   */
  takeTenant(now: number): number {
    return this.#tenantRate === null ? 0 : takeFrom(this.#tenantRate, this.#state.tenant, now);
  }
}

function takeFrom(rate: Rate, bucket: Bucket, now: number): number {
  const wait = rate.waitMs(bucket.rateFullAt, now);
  if (wait === 0) bucket.rateFullAt = rate.take(bucket.rateFullAt, now);
  return wait;
}
