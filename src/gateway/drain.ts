// The end of all sessions when the gateway drains: each client is told when to come back elsewhere, and its connection ends
// then. Where another node stays, a session that can be resumed is kept until its client has come to that one, which asks
// for it. Where none does, sessions end, those whose clients are away first and at once: nobody can come back to a gateway
// that lets nobody in.

import type { Cluster } from "../cluster/cluster.ts";
import type { GatewayConfig } from "../config/schema.ts";
import { CLOSE } from "../protocol/codes.ts";
import { sysDraining } from "../protocol/sys.ts";
import { SPREAD_MS } from "../admission/retry.ts";
import type { SessionHandle } from "../session/session_handle.ts";
import type { Clock } from "./clock.ts";
import { poll, StaggeredClose } from "./staggered_close.ts";

/** How long a session is kept for a client that is late, and how much longer where clients are told to come later. */
const KEPT_MS = 5000;
const SPREAD_KEPT_MS = 3000;

export interface DrainOptions {
  readonly sessions: readonly SessionHandle[];
  /** Over which the sessions end. */
  readonly graceMs: number;
  /** Whether none is left, before the time or after. */
  readonly isEmpty: () => boolean;
  /** Whether other nodes take sessions over. */
  readonly handsOver: boolean;
  /** Handshakes a second that those have room for who take the sessions in; infinite where nobody knows. */
  readonly budgetPerSecond: number;
  readonly clock: Clock;
}

/** Resolves when all have ended. */
export async function sendElsewhere(
  { sessions, graceMs, isEmpty, handsOver, budgetPerSecond, clock }: DrainOptions,
): Promise<void> {
  const present = sessions.filter(({ detachedMs }) => detachedMs === null);
  const end = (session: SessionHandle): void => session.end(CLOSE.draining, null);
  if (!handsOver) { for (const session of sessions) if (session.detachedMs !== null) end(session); }
  const closing = new StaggeredClose({
    sessions: present,
    overMs: graceMs,
    end: (session) => handsOver ? session.letGo(CLOSE.draining) : end(session),
    isEmpty,
    clock,
  });
  // Their ends are spread over the grace already; where that is short, their return is. Each has a slot of its own, so that
  // no more of them come at once than are let in.
  const needMs = present.length / budgetPerSecond * 1000;
  const spreadMs = Math.max(0, SPREAD_MS.one - graceMs, needMs - graceMs);
  present.forEach((session, i) => {
    const slotMs = (i + clock.random()) / present.length * spreadMs;
    const retryAfterMs = Math.ceil(closing.endsAfter(i) + slotMs);
    session.deliver(sysDraining(session.traceId, retryAfterMs));
  });
  await closing.start();
  if (!handsOver) return;
  const since = clock.now(), keptMs = KEPT_MS + Math.min(spreadMs, SPREAD_KEPT_MS);
  await poll(clock, () => isEmpty() || clock.now() - since >= keptMs);
  for (const session of sessions) end(session);
}

/** Whether there is a node that stays. */
export function hasHeirs(cluster: Cluster | null): boolean {
  return cluster !== null && cluster.isUp && staying(cluster) > 0;
}

function staying({ nodes }: Cluster): number {
  return [...nodes.others.values()].filter(({ facts }) => !facts.draining).length;
}

/** How many handshakes a second the nodes that stay let in, each as its configuration says, which is taken to be this one's. */
export function handshakeBudget(
  { handshake_limit: { enabled, global_rps } }: GatewayConfig,
  cluster: Cluster | null,
): number {
  if (!enabled || cluster === null) return Number.POSITIVE_INFINITY;
  return Math.max(1, staying(cluster)) * global_rps;
}
