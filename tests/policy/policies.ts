// Short ways for the tests of this folder to a policy, and to sessions that speak under it.

import { Json } from "../../src/protocol/json.ts";
import type { Denial } from "../../src/policy/denial.ts";
import {
  newPolicyInput,
  type PolicyInput,
  type PolicySubject,
  SessionPolicyState,
} from "../../src/policy/input.ts";
import { alone, type PolicyOptions, TenantPolicy } from "../../src/policy/policy.ts";
import { accepted, type Circumstances, oneTenant } from "../config/loading.ts";

/** The policy of one tenant, from the keys of its `policy` in one line. */
export function policyOf(
  keys: string,
  more: Partial<PolicyOptions> & { readonly limits?: string; readonly files?: Circumstances["files"] } = {},
): TenantPolicy {
  const { limits, files, ...options } = more;
  const text = oneTenant(`policy: { ${keys} }`) +
    (limits === undefined ? "" : `    limits: { ${limits} }\n`);
  const { config } = accepted(text, files === undefined ? {} : { files });
  return new TenantPolicy({ ...alone(config.tenants[0]!), ...options });
}

/** One session. */
export class Speaking implements PolicySubject {
  readonly user: string;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly standing = new SessionPolicyState();
  readonly rooms = new Set<string>();

  constructor(user = "ann", claims: Readonly<Record<string, unknown>> = {}) {
    this.user = user;
    this.claims = claims;
  }

  membership(room: string): true | undefined {
    return this.rooms.has(room) ? true : undefined;
  }
}

/** What is said; of an ext message "svc:type", of a hot one "svc_id:opcode". */
export interface Said {
  readonly ext?: string;
  readonly hot?: string;
  readonly bytes?: number;
  readonly room?: string | null;
  readonly data?: unknown;
}

/** What a session says, as policy is told of it. */
export function matterOf(subject: Speaking, said: Said): PolicyInput {
  const [first, second] = (said.ext ?? said.hot ?? ":").split(":");
  return {
    ...newPolicyInput(subject),
    sessionState: subject.standing,
    lane: said.hot === undefined ? "ext" : "hot",
    svc: first!,
    type: second!,
    svcId: Number(first),
    opcode: Number(second),
    bytes: said.bytes ?? 1,
    room: said.room ?? null,
    data: said.data === undefined ? undefined : Json.of(said.data),
  };
}

/** Says it, past the session's own quota. */
export function say(policy: TenantPolicy, subject: Speaking, said: Said, now = 0): Denial | null {
  return policy.judge(matterOf(subject, said), said.hot === undefined ? "ext" : "hot", now);
}

/** Milliseconds until the session's own quota allows a message; 0: it was taken. */
export function arrive(policy: TenantPolicy, { standing }: Speaking, now: number, bytes = 1): number {
  return policy.arrive(standing, bytes, now)?.waitMs ?? 0;
}

/** Milliseconds until all quotas that are shared allow a message; 0: it was taken. */
export function share(policy: TenantPolicy, subject: Speaking, now: number, bytes = 1): number {
  return policy.judge(matterOf(subject, { bytes }), "sys", now)?.waitMs ?? 0;
}
