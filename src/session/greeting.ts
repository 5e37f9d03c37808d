// How a session begins: who has to agree, what it is told first, and what its client has said before that.

import { CLOSE, refusal } from "../protocol/codes.ts";
import type { Authed } from "../protocol/sys.ts";
import type { Context } from "../service/service.ts";
import type { GatewayContext } from "./gateway_context.ts";
import type { SessionWatcher } from "./watcher.ts";

/** Messages that a client may send before it is greeted. */
const EARLY_MAX = 16;

export const TOO_EARLY = refusal("RATE_LIMITED", "too many messages before sys.authed", CLOSE.rateLimited);
export const UNRECORDED = refusal("UNAVAILABLE", "session cannot be recorded now", CLOSE.internal);

/** What a greeting says of a session. */
export interface Greeted {
  readonly tenant: string;
  readonly user: string;
  readonly sid: string;
  readonly session: string;
  readonly transport: string;
  readonly policy: { readonly maxFrameBytes: number };
}

/**
 * The data of `sys.authed`, and of `sys.resumed`.
 * @param expiresAt on the gateway's clock, infinite for never
 * @param resume what is said of coming back
 */
export function greeting(
  { tenant, user, sid, session, transport, policy }: Greeted,
  gateway: GatewayContext,
  { expiresAt, resume }: { expiresAt: number; resume: Pick<Authed, "resume" | "resumed"> },
): Authed {
  const data = {
    tenant,
    user,
    sid,
    session,
    transport,
    ping_interval_ms: gateway.settings.pingIntervalMs,
    max_frame_bytes: policy.maxFrameBytes,
    time_ms: gateway.unixMs(),
    ...(gateway.node === null ? {} : { node: gateway.node }),
  };
  const left = expiresAt - gateway.now();
  const authed = left === Number.POSITIVE_INFINITY
    ? data
    : { ...data, expires_in_ms: Math.max(0, Math.ceil(left)) };
  return { ...authed, ...resume };
}

/** Tells the watchers of a session. @returns whether it may begin, later; null for at once */
export function welcomed(session: Context, watchers: readonly SessionWatcher[]): Promise<boolean> | null {
  const waits: Promise<boolean>[] = [];
  for (const watcher of watchers) {
    const wait = watcher.opened(session);
    if (wait !== null) waits.push(wait);
  }
  if (waits.length === 0) return null;
  return Promise.all(waits).then((answers) => answers.every((yes) => yes));
}

/** What a client says before it is greeted, kept until then. */
export class EarlyMessages {
  readonly #messages: (string | Uint8Array)[] = [];

  /** @returns false when it is one too many */
  add(message: string | Uint8Array): boolean {
    return this.#messages.push(message) <= EARLY_MAX;
  }

  replay(
    to: { text(message: string, now: number): void; binary(message: Uint8Array, now: number): void },
    now: number,
  ): void {
    for (const message of this.#messages) {
      if (typeof message === "string") to.text(message, now);
      else to.binary(message, now);
    }
  }
}
