// The last hour in numbers, and the lists of who is slow, loud or in the way now.

import { createRoute, z } from "@hono/zod-openapi";
import { refusal } from "../../protocol/codes.ts";
import type { SessionHandle } from "../../session/session_handle.ts";
import { type Counted, countedOf, GATEWAY_LINES, LINES } from "../console/history.ts";
import { answers, refuse } from "./answers.ts";
import type { AdminApp, AdminTenant } from "./admin_context.ts";
import type { AdminParts } from "./parts.ts";
import { inSlices, type Slices } from "./slices.ts";
import { countQuery, Milliseconds, Name, SessionId, TenantParams, UserName } from "./words.ts";

const OTHER_TENANT = refusal("NOT_ALLOWED", "key is not for this tenant");
const NO_SUCH_TENANT = refusal("NOT_FOUND", "no such tenant");
/** Said where nothing is kept for a console. */
export const NOT_WATCHED = refusal(
  "UNAVAILABLE",
  "nothing is kept: admin.console of the configuration is false",
);
/** Tenants that one answer sums up. */
const TENANTS_MAX = 1000;
/** A list of those who are slow is made for all who ask within so many milliseconds. */
const FRESH_MS = 1000;
const TOP_MAX = 50;

const Count = z.number().min(0);
const numbers = Object.fromEntries(LINES.map((line) => [line, Count])) as Record<
  typeof LINES[number],
  typeof Count
>;
const Overview = z.strictObject({
  time_ms: Milliseconds,
  draining: z.boolean(),
  degraded: z.boolean().openapi({ description: "Whether something is down that a tenant relies on." }),
  tenants: z.int().min(0).openapi({ description: "How many the numbers are of." }),
  now: z.strictObject(numbers).openapi({ description: "Since the start, but for `sessions`." }),
  rooms: z.int().min(0),
  users: z.int().min(0),
  pending: z.int().min(0),
  extensions_down: z.int().min(0),
  process: z.strictObject({ memory_bytes: Count, held_bytes: Count }).nullable().openapi({
    description: "Null for a key that is not good for the whole gateway, and of one tenant.",
  }),
  history: z.strictObject({
    step_ms: z.int().min(1),
    end_ms: Milliseconds.openapi({ description: "When the newest point was taken." }),
    count: z.int().min(0).openapi({ description: "Points ever taken: `since` of the next request." }),
    lines: z.record(z.string(), z.array(z.number())).openapi({
      description: `Points by line, oldest first: ${GATEWAY_LINES.join(", ")}; rates are per second.`,
    }),
  }).nullable().openapi({ description: "Null while nothing is kept, or not yet." }),
}).openapi("Overview");

const SlowSession = z.strictObject({
  session: SessionId,
  user: UserName,
  address: z.string(),
  waiting_bytes: Count,
  blocked_ms: Count.nullable(),
  dropped: Count,
}).openapi("SlowSession");
const Top = z.array(z.strictObject({
  name: z.string(),
  count: Count.openapi({ description: "At most." }),
  over: Count.openapi({ description: "How much of it may have been others'." }),
}));
const Slow = z.strictObject({
  waiting: z.array(SlowSession).openapi({ description: "Sessions for which most bytes wait." }),
  blocked: z.array(SlowSession).openapi({
    description: "Sessions whose sockets have been full the longest.",
  }),
  dropped: z.array(SlowSession).openapi({ description: "Sessions for which most messages were dropped." }),
  rooms: Top.openapi({ description: "Rooms with the most deliveries." }),
  users: Top.openapi({ description: "Users with the most denials." }),
  counted_ms: Count.openapi({ description: "The time over which rooms and users are counted." }),
}).openapi("Slow");

export function overviewRoutes(app: AdminApp, { auth, context, slices, observer }: AdminParts): void {
  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/overview",
      tags: ["gateway"],
      summary: "Numbers of now and of the last hour, of all tenants that the key is good for or of one",
      middleware: auth.permitAnywhere("read"),
      request: {
        query: z.object({
          tenant: Name.optional(),
          since: countQuery(0, Number.MAX_SAFE_INTEGER).default(0).openapi({
            description: "Only points from this one on: `count` of the answer before.",
          }),
        }),
      },
      responses: answers("The numbers.", Overview),
    }),
    (c) => {
      const { key } = c.var, { tenant: only, since } = c.req.valid("query");
      if (only !== undefined && !key.reaches(only)) return refuse(c, OTHER_TENANT);
      const seats = only === undefined
        ? [...context.tenants()].filter(({ tenant }) => key.reaches(tenant.id)).slice(0, TENANTS_MAX)
        : [context.tenant(only)].filter((seat) => seat !== undefined);
      if (only !== undefined && seats.length === 0) return refuse(c, NO_SUCH_TENANT);
      const whole = only === undefined && key.isGlobal;
      const { memoryBytes, heldBytes } = context.vitals();
      return c.json({
        time_ms: Math.round(context.unixMs()),
        draining: context.draining(),
        degraded: context.degraded(),
        tenants: seats.length,
        ...summed(seats),
        process: whole ? { memory_bytes: memoryBytes, held_bytes: heldBytes } : null,
        history: historyOf(whole ? null : seats, since ?? 0),
      }, 200);
    },
  );

  /** @param seats null for the whole gateway */
  function historyOf(seats: readonly AdminTenant[] | null, since: number) {
    const { history } = observer;
    if (history === null) return null;
    if (seats === null) {
      const { stepMs, endMs, count } = history.gateway;
      return {
        step_ms: stepMs,
        end_ms: Math.round(endMs),
        count,
        lines: rounded(history.gateway.since(since)),
      };
    }
    const all = seats.map(({ tenant }) => history.of(tenant)).filter((series) => series !== null);
    const [first] = all;
    if (first === undefined) return null;
    const oldest = all.reduce((a, b) => b.count > a.count ? b : a);
    const lines = oldest.since(since);
    for (const series of all) {
      if (series === oldest) continue;
      // They end together, and one that is younger has fewer points.
      const own = series.since(Math.max(0, since - (oldest.count - series.count)));
      for (const line of LINES) {
        const into = lines[line], from = own[line];
        for (let i = 1; i <= Math.min(into.length, from.length); i++) {
          into[into.length - i]! += from[from.length - i]!;
        }
      }
    }
    const { stepMs, endMs, count } = oldest;
    return { step_ms: stepMs, end_ms: Math.round(endMs), count, lines: rounded(lines) };
  }

  /** By tenant, until it is too old. */
  const made = new WeakMap<AdminTenant, { readonly atMs: number; readonly slow: Promise<SlowSessions> }>();
  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/tenants/{tenant}/slow",
      tags: ["sessions"],
      summary: "Who is slow, who costs most and who is denied most, now",
      middleware: auth.permit("read"),
      request: {
        params: TenantParams,
        query: z.object({ limit: countQuery(1, TOP_MAX).default(20) }),
      },
      responses: answers("The lists, of each the first few.", Slow),
    }),
    async (c) => {
      const { seat, key } = c.var, { limit = 20 } = c.req.valid("query");
      const probe = observer.probe(seat);
      if (probe === null) return refuse(c, NOT_WATCHED);
      let known = made.get(seat);
      if (known === undefined || context.now() - known.atMs > FRESH_MS) {
        known = { atMs: context.now(), slow: slowOf(seat, context.now, slices.of(key)) };
        made.set(seat, known);
      }
      const { waiting, blocked, dropped } = await known.slow;
      return c.json({
        waiting: waiting.slice(0, limit),
        blocked: blocked.slice(0, limit),
        dropped: dropped.slice(0, limit),
        rooms: probe.roomDeliveries.top(limit),
        users: probe.deniedUsers.top(limit),
        counted_ms: Math.round(context.now() - probe.deniedUsers.since),
      }, 200);
    },
  );
}

function rounded(lines: Readonly<Record<string, number[]>>): Record<string, number[]> {
  return Object.fromEntries(
    Object.entries(lines).map((
      [line, points],
    ) => [line, points.map((value) => Math.round(value * 100) / 100)]),
  );
}

function summed(seats: readonly AdminTenant[]) {
  const now = Object.fromEntries(LINES.map((line) => [line, 0])) as Counted;
  let rooms = 0, users = 0, pending = 0, extensionsDown = 0;
  for (const seat of seats) {
    const counted = countedOf(seat.tenant);
    for (const line of LINES) now[line] += counted[line];
    rooms += seat.tenant.rooms.size;
    users += seat.tenant.registry.userCount;
    pending += seat.pending();
    for (const { condition } of seat.extensions.all) if (condition === "down") extensionsDown++;
  }
  return { now, rooms, users, pending, extensions_down: extensionsDown };
}

type Shown = z.infer<typeof SlowSession>;
interface SlowSessions {
  readonly waiting: readonly Shown[];
  readonly blocked: readonly Shown[];
  readonly dropped: readonly Shown[];
}

async function slowOf(seat: AdminTenant, now: () => number, slices: Slices): Promise<SlowSessions> {
  const found: Shown[] = [];
  await inSlices(seat.tenant.registry.all(), (session: SessionHandle) => {
    const pressure = session.pressure(now());
    if (pressure === null) return;
    const { waitingBytes, blockedMs, dropped } = pressure;
    found.push({
      session: session.session,
      user: session.user,
      address: session.address,
      waiting_bytes: waitingBytes,
      blocked_ms: blockedMs === null ? null : Math.round(blockedMs),
      dropped,
    });
  }, slices);
  const by = (key: "waiting_bytes" | "blocked_ms" | "dropped") =>
    found.filter((one) => (one[key] ?? 0) > 0).sort((a, b) => b[key]! - a[key]!).slice(0, TOP_MAX);
  return { waiting: by("waiting_bytes"), blocked: by("blocked_ms"), dropped: by("dropped") };
}
