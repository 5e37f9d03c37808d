// A tenant's policy, compiled at load: what its clients may send, how large and how often. It is told facts and returns
// verdicts; it neither logs nor counts. The order of the checks is the order of the lists here. Checks judge first and
// take afterwards, once all have passed: only a session's own quota pays for messages that are refused.

import { loadSchema, type SchemaCodes, SchemaCompiler } from "../config/data_schema.ts";
import type { RuleConfig, TenantConfig } from "../config/schema.ts";
import { ExtAllowlist, HotAllowlist } from "./allowlist.ts";
import {
  CHECK,
  type Denial,
  NO_ACTIVE_ROOM,
  NOT_ALLOWED_EXT,
  NOT_ALLOWED_HOT,
  NOT_IN_TICKET,
  overQuota,
  TOO_LARGE,
} from "./denial.ts";
import type { FairQuota } from "./fair_quota.ts";
import type { PolicyInput, SessionPolicyState, Way } from "./input.ts";
import type { Narrowing } from "./narrowing.ts";
import { OutboundQuota } from "./outbound_quota.ts";
import {
  type Check,
  GatewayQuotas,
  type Limit,
  quotaLimits,
  rateOf,
  SharedQuota,
  UserQuota,
} from "./quotas.ts";
import { Rate } from "./rate.ts";
import { Rule } from "./rule.ts";
import { RuleTable } from "./rule_table.ts";
import { PolicyState, type QuotaName } from "./state.ts";

/** Narrowed policies that a tenant keeps for sessions to share; tickets usually differ by role, not by user. */
const NARROWED_MAX = 256;
/** Refusals by quotas that may come at once and are not excessive yet. */
const EXCESS_MIN = 100;
/** What sessions are held to in this where no quota of messages holds them. */
const ANY: Limit = { perSecond: 1000, burst: 1000 };
const FRAMES = new Rate(ANY.perSecond, ANY.burst);

/** What a policy is compiled from. */
export interface PolicyOptions {
  readonly config: TenantConfig;
  /** What the tenant's policy keeps when the configuration changes. */
  readonly state: PolicyState;
  readonly gateway: GatewayQuotas;
  /** The code of its rules' schemas; what is not among it is compiled here and now. */
  readonly schemas: SchemaCodes;
  /** Whether everything is decided and nothing is denied. */
  readonly dryRun: boolean;
  /** Bytes that the tenant's sessions were given, ever. */
  readonly delivered: () => number;
  /** The tenant's own policy, and what a ticket takes away from it. */
  readonly narrowed?: { readonly whole: TenantPolicy; readonly by: Narrowing };
}

/** Options of a tenant that is alone in the world. */
export function alone(config: TenantConfig): PolicyOptions {
  return {
    config,
    state: new PolicyState(),
    gateway: new GatewayQuotas({}),
    schemas: new Map(),
    dryRun: false,
    delivered: () => 0,
  };
}

/** A bucket, as somebody sees it who looks at a session. */
export interface QuotaFill {
  readonly quota: "session" | "user";
  readonly unit: "messages" | "bytes";
  /** Of a full one. */
  readonly burst: number;
  readonly left: number;
}

/** What is the same for all policies of a tenant. */
interface Common {
  readonly rules: readonly Rule[];
  readonly outbound: OutboundQuota | null;
  /** After the allowlist. */
  readonly ways: Readonly<Record<Way, readonly Check[]>>;
  readonly quotas: Readonly<Record<QuotaName, FairQuota | null>>;
}

export class TenantPolicy {
  readonly maxFrameBytes: number;
  /** Levels of values within each other in a message, itself the first. */
  readonly maxJsonDepth: number;
  /** Whether refused hot messages are answered, or only counted. */
  readonly answersHotErrors: boolean;
  readonly hotRequiresActiveRoom: boolean;
  /** What one message takes of the quota that is the least, in milliseconds. */
  readonly messageMs: number;
  readonly dryRun: boolean;
  readonly #ext: ExtAllowlist;
  readonly #hot: HotAllowlist;
  readonly #messages: Rate | null;
  readonly #bytes: Rate | null;
  /** How many refusals a session is told where no quota of its own bounds them. */
  readonly #told: Rate | null;
  /** How often a quota may refuse a session before that is excessive. */
  readonly #excess: Rate;
  readonly #ways: Readonly<Record<Way, readonly Check[]>>;
  readonly #common: Common;
  readonly #options: PolicyOptions;
  /** By what narrows, oldest first. */
  readonly #narrowed = new Map<string, TenantPolicy>();

  constructor(options: PolicyOptions) {
    const { config, narrowed } = options;
    const { policy, limits } = config;
    const by = narrowed?.by, whole = narrowed?.whole ?? null;
    this.#options = options;
    this.dryRun = options.dryRun;
    this.maxFrameBytes = Math.min(limits.max_frame_bytes, by?.limits?.max_frame_bytes ?? Infinity);
    this.maxJsonDepth = limits.max_json_depth;
    this.answersHotErrors = policy.hot_error_mode === "sys_error";
    this.hotRequiresActiveRoom = policy.hot_requires_active_room;
    const ext = whole === null ? new ExtAllowlist(policy.ext_allowlist) : whole.#ext;
    const hot = whole === null ? new HotAllowlist(policy.hot_allowlist) : whole.#hot;
    this.#ext = by?.ext ? ext.within(by.ext) : ext;
    this.#hot = by?.hot ? hot.within(by.hot) : hot;

    const quotas = quotaLimits(policy);
    const v1: Limit = { perSecond: policy.rate_limit_rps, burst: policy.rate_limit_burst };
    const messages = narrowedLimit(quotas.session.messages, v1, by);
    this.#messages = rateOf(messages);
    this.#bytes = rateOf(quotas.session.bytes);
    this.#told = messages === null ? rateOf(quotas.tenant.messages ?? v1) : null;
    const { perSecond } = smaller(messages, quotas.tenant.messages) ?? ANY;
    this.messageMs = 1000 / perSecond;
    this.#excess = new Rate(perSecond, Math.max(EXCESS_MIN, perSecond / 10));

    this.#common = whole === null ? compile(options) : whole.#common;
    const { ways } = this.#common;
    const allowed = (lane: "ext" | "hot") =>
      new Allowed(this, whole !== null && (lane === "ext" ? by?.ext : by?.hot) ? whole : null);
    this.#ways = {
      sys: ways.sys,
      ext: [allowed("ext"), ...ways.ext],
      hot: [allowed("hot"), ...(this.hotRequiresActiveRoom ? [ACTIVE_ROOM] : []), ...ways.hot],
    };
  }

  /** The tenant's rules, in the order of the file. */
  get rules(): readonly Rule[] {
    return this.#common.rules;
  }

  /** The policy of a session whose ticket takes something away; sessions that lose the same share one. */
  narrowed(by: Narrowing): TenantPolicy {
    if (by.ext === null && by.hot === null && by.limits === null) return this;
    const key = JSON.stringify([by.ext, by.hot, by.limits]);
    let policy = this.#narrowed.get(key);
    if (policy === undefined) {
      policy = new TenantPolicy({ ...this.#options, narrowed: { whole: this, by } });
      this.#narrowed.set(key, policy);
      if (this.#narrowed.size > NARROWED_MAX) this.#narrowed.delete(this.#narrowed.keys().next().value!);
    }
    return policy;
  }

  /** Whether a message is too large to be looked at any further. */
  size(bytes: number): Denial | null {
    return bytes > this.maxFrameBytes ? TOO_LARGE : null;
  }

  /** Takes a message from the session's own quota, the first thing that happens to any message that is not too large. */
  arrive(sessionState: SessionPolicyState, bytes: number, now: number): Denial | null {
    const messages = this.#messages, ofBytes = this.#bytes;
    if (messages !== null) {
      const waitMs = messages.waitMs(sessionState.messagesFullAt, now);
      if (waitMs > 0) return overQuota(CHECK.session, "session_rate", { unit: "messages", waitMs });
    }
    if (ofBytes !== null) {
      const waitMs = ofBytes.waitMs(sessionState.bytesFullAt, now, bytes);
      if (waitMs > 0) return overQuota(CHECK.session, "session_rate", { unit: "bytes", waitMs });
      sessionState.bytesFullAt = ofBytes.take(sessionState.bytesFullAt, now, bytes);
    }
    if (messages !== null) sessionState.messagesFullAt = messages.take(sessionState.messagesFullAt, now);
    return null;
  }

  /** Charges a frame that is no message as if it were one; bounded where messages are not, for nobody needs many. */
  arriveFrame(state: SessionPolicyState, bytes: number, now: number): Denial | null {
    const denial = this.arrive(state, bytes, now);
    if (denial !== null || this.#messages !== null) return denial;
    const waitMs = FRAMES.waitMs(state.framesFullAt, now);
    if (waitMs > 0) return overQuota(CHECK.session, "session_rate", { unit: "messages", waitMs });
    state.framesFullAt = FRAMES.take(state.framesFullAt, now);
    return null;
  }

  /** Takes the place of another policy, whose numbers the buckets were filled by; also of none. */
  apply(now: number): void {
    const { config: { policy }, state } = this.#options;
    const { rules, quotas } = this.#common;
    const { user } = quotaLimits(policy);
    state.apply({ quotas, rules, user: { messages: rateOf(user.messages), bytes: rateOf(user.bytes) } }, now);
  }

  /** A session comes from another policy, with buckets of other numbers. */
  applyTo(sessionState: SessionPolicyState, now: number): void {
    const capped = (rate: Rate | null, fullAt: number) => rate === null ? 0 : rate.capped(fullAt, now);
    sessionState.messagesFullAt = capped(this.#messages, sessionState.messagesFullAt);
    sessionState.bytesFullAt = capped(this.#bytes, sessionState.bytesFullAt);
    sessionState.toldFullAt = capped(this.#told, sessionState.toldFullAt);
    // Refusals by other numbers are no flood by these: held to them, the first one more would end the session.
    sessionState.excessFullAt = 0;
    sessionState.keepRules(this.#common.rules, now);
  }

  /**
   * Judges a message that was read, and takes what it costs when it passes. What is found against it without denying it
   * is in `input.findings` afterwards.
   */
  judge(input: PolicyInput, way: Way, now: number): Denial | null {
    const checks = this.#ways[way];
    let passes = true;
    for (const check of checks) {
      const denial = check.judge(input, now);
      if (denial === null) continue;
      if (!this.dryRun) return denial;
      input.findings.push({ ...denial, dryRun: true });
      passes = false;
    }
    if (passes) { for (const check of checks) check.charge(input, now); }
    return null;
  }

  /** The checks of `judge`, for whoever explains them. */
  checks(way: Way): readonly Check[] {
    return this.#ways[way];
  }

  /** A message of this session has been handled: charges it what went out on its account. */
  settle(sessionState: SessionPolicyState, now: number): void {
    this.#common.outbound?.settle(sessionState, now);
  }

  /** Whether a refusal is told to the client: always while its session is within its rate. */
  mayTellRefusal(sessionState: SessionPolicyState, now: number): boolean {
    if (this.#told === null) return true;
    if (this.#told.waitMs(sessionState.toldFullAt, now) > 0) return false;
    sessionState.toldFullAt = this.#told.take(sessionState.toldFullAt, now);
    return true;
  }

  /** Whether a session that was refused by a quota once more goes on above it: twice as fast, and for a while. */
  isExcessive(sessionState: SessionPolicyState, now: number): boolean {
    if (this.#excess.waitMs(sessionState.excessFullAt, now) > 0) return true;
    sessionState.excessFullAt = this.#excess.take(sessionState.excessFullAt, now);
    return false;
  }

  /** How full the buckets are that a session's messages are taken from. @param state null before its first message */
  fill(state: SessionPolicyState | null, user: string, now: number): QuotaFill[] {
    const { users } = this.#options.state, limits = quotaLimits(this.#options.config.policy).user;
    const of = (quota: QuotaFill["quota"], unit: QuotaFill["unit"], rate: Rate | null, fullAt: number) =>
      rate === null ? [] : [{ quota, unit, ...rate.levels(fullAt, now) }];
    return [
      ...of("session", "messages", this.#messages, state?.messagesFullAt ?? 0),
      ...of("session", "bytes", this.#bytes, state?.bytesFullAt ?? 0),
      ...of("user", "messages", rateOf(limits.messages), users.messages.fullAt(user)),
      ...of("user", "bytes", rateOf(limits.bytes), users.bytes.fullAt(user)),
    ];
  }

  allowsExt(svc: string, type: string): boolean {
    return this.#ext.allows(svc, type);
  }

  allowsHot(svcId: number, opcode: number): boolean {
    return this.#hot.allows(svcId, opcode);
  }
}

function compile({ config: { policy }, state, gateway, schemas, delivered }: PolicyOptions): Common {
  const rules = policy.rules.map((rule) =>
    new Rule(rule, { state: state.rule(rule.id), schema: schemaOf(rule, schemas) })
  );
  const limits = quotaLimits(policy);
  const quotas = {
    messages: state.quota("messages", limits.tenant.messages),
    bytes: state.quota("bytes", limits.tenant.bytes),
    outbound: state.quota("outbound", limits.outbound),
  };
  const outbound = quotas.outbound === null
    ? null
    : new OutboundQuota(CHECK.outbound, { quota: quotas.outbound, state, delivered });
  const shared: Check[] = [];
  if (limits.user.messages !== null || limits.user.bytes !== null) {
    shared.push(new UserQuota(CHECK.user, limits.user, state.users));
  }
  if (quotas.messages !== null || quotas.bytes !== null) {
    shared.push(new SharedQuota(CHECK.tenant, { quotas, reason: "tenant_rate", sessionState: null }));
  }
  const { sessionState } = state;
  shared.push(new SharedQuota(CHECK.gateway, { quotas: gateway, reason: "gateway_rate", sessionState }));
  const sent = outbound === null ? shared : [outbound, ...shared];
  const ruled = rules.length === 0 ? sent : [new Ruled(new RuleTable(rules)), ...sent];
  return { rules, outbound, quotas, ways: { sys: shared, ext: ruled, hot: ruled } };
}

function schemaOf({ id, schema_text: text }: RuleConfig, schemas: SchemaCodes) {
  if (text === undefined) return null;
  const code = schemas.get(text);
  if (code !== undefined) return loadSchema(code);
  const compiled = new SchemaCompiler().compile(text);
  // It was compiled when the configuration was loaded.
  if (typeof compiled === "string") {
    throw new Error(`Cannot compile the schema of rule "${id}": it ${compiled}`);
  }
  return loadSchema(compiled.code);
}

/** The one that lets fewer messages through. */
function smaller(own: Limit | null, shared: Limit | null): Limit | null {
  return own === null || shared !== null && shared.perSecond < own.perSecond ? shared : own;
}

/** A session's own limit with what its ticket takes away; tickets may have one where the tenant has none. */
function narrowedLimit(own: Limit | null, v1: Limit, by: Narrowing | undefined): Limit | null {
  const { rate_limit_rps: rps, rate_limit_burst: burst } = by?.limits ?? {};
  if (rps === undefined && burst === undefined) return own;
  const whole = own ?? v1;
  return {
    perSecond: Math.min(whole.perSecond, rps ?? Infinity),
    burst: Math.min(whole.burst, burst ?? Infinity),
  };
}

/** The allowlists. */
class Allowed implements Check {
  readonly id = CHECK.allowlist;
  readonly #policy: TenantPolicy;
  /** The tenant's own policy, where a ticket has narrowed this one. */
  readonly #whole: TenantPolicy | null;

  constructor(policy: TenantPolicy, whole: TenantPolicy | null) {
    this.#policy = policy;
    this.#whole = whole;
  }

  judge(input: PolicyInput): Denial | null {
    if (allows(this.#policy, input)) return null;
    if (this.#whole !== null && allows(this.#whole, input)) return NOT_IN_TICKET;
    return input.lane === "ext" ? NOT_ALLOWED_EXT : NOT_ALLOWED_HOT;
  }

  charge(): void {}
}

function allows(policy: TenantPolicy, { lane, svc, type, svcId, opcode }: PolicyInput): boolean {
  return lane === "ext" ? policy.allowsExt(svc, type) : policy.allowsHot(svcId, opcode);
}

const ACTIVE_ROOM: Check = {
  id: CHECK.activeRoom,
  judge: ({ room }) => room === null ? NO_ACTIVE_ROOM : null,
  charge() {},
};

/** The tenant's rules. */
export class Ruled implements Check {
  readonly id = "rules";
  readonly #table: RuleTable;

  constructor(table: RuleTable) {
    this.#table = table;
  }

  judge(input: PolicyInput, now: number): Denial | null {
    for (const rule of this.#about(input)) {
      const denial = rule.isAbout(input) ? rule.judge(input, now) : null;
      if (denial === null) continue;
      if (!denial.dryRun && denial.action !== "observe") return denial;
      input.findings.push(denial);
    }
    return null;
  }

  /** Whether a rule would be asked about a message. */
  concerns(rule: Rule, input: PolicyInput): boolean {
    return this.#about(input).includes(rule) && rule.isAbout(input);
  }

  charge(input: PolicyInput, now: number): void {
    for (const rule of this.#about(input)) if (rule.isAbout(input)) rule.charge(input, now);
  }

  #about({ lane, svc, type, svcId, opcode }: PolicyInput): readonly Rule[] {
    return lane === "ext" ? this.#table.ext(svc, type) : this.#table.hot(svcId, opcode);
  }
}
