// What there is to see of one session while it runs, in the words of the admin API.

import { z } from "@hono/zod-openapi";
import type { SessionHandle } from "../../session/session_handle.ts";

const Count = z.int().min(0);

/** What the detail of a session says of it beside who it is. */
export const lookShape = {
  transport: z.string().openapi({ description: "By what its client is connected." }),
  lanes: z.array(z.strictObject({ lane: z.string(), messages: Count, bytes: Count })).openapi({
    description: "What waits in its outbox; no lane at all while it is idle.",
  }),
  waiting_bytes: Count.openapi({ description: "In the lanes, and in its socket's buffer." }),
  blocked_ms: z.number().nullable().openapi({
    description: "How long its socket has been full; null while it is not.",
  }),
  dropped: Count.openapi({ description: "Messages of the latest and lossy lanes that were dropped for it." }),
  backlog: z.strictObject({ messages: Count, bytes: Count }).openapi({
    description: "What waits for a client that is away, or that is being brought up to date.",
  }),
  quotas: z.array(z.strictObject({
    quota: z.enum(["session", "user"]),
    unit: z.enum(["messages", "bytes"]),
    burst: z.number().openapi({ description: "Of a full bucket." }),
    left: z.number(),
  })).openapi({ description: "What it may still send at once." }),
  throttled_ms: z.number().nullable().openapi({
    description:
      "How long its messages are still not looked at, for it sent far too many; null while they are.",
  }),
};

export function lookOf(session: SessionHandle, now: number) {
  const { lanes, waitingBytes, blockedMs, dropped, backlog, quotas, throttledMs } = session.look(now);
  const rounded = (ms: number | null) => ms === null ? null : Math.round(ms);
  return {
    transport: session.transport,
    lanes: lanes.map((lane) => ({ ...lane })),
    waiting_bytes: waitingBytes,
    blocked_ms: rounded(blockedMs),
    dropped,
    backlog: { ...backlog },
    quotas: quotas.map(({ quota, unit, burst, left }) => ({
      quota,
      unit,
      burst,
      left: Math.floor(left * 100) / 100,
    })),
    throttled_ms: rounded(throttledMs),
  };
}
