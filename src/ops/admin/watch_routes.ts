// What one session says, or what one room hears, as it happens and for as long as somebody reads it.

import { createRoute } from "@hono/zod-openapi";
import type { Context } from "hono";
import { refusal } from "../../protocol/codes.ts";
import { LANE_NAMES } from "../../protocol/frame.ts";
import { Rate } from "../../policy/rate.ts";
import { type Decision, hexOf, MESSAGE_CHARS_MAX } from "../console/decision.ts";
import type { Heard } from "../console/probe.ts";
import { refuse, textAnswers } from "./answers.ts";
import { RuleLines } from "./decision_view.ts";
import { EventStream } from "./event_stream.ts";
import type { AdminApp, AdminEnv } from "./admin_context.ts";
import { NOT_WATCHED } from "./overview_routes.ts";
import type { AdminParts } from "./parts.ts";
import { NO_SUCH_SESSION } from "./session_routes.ts";
import { RoomParams, SessionParams } from "./words.ts";

/** Of one session that are told when somebody begins to watch it. */
const PAST_MAX = 100;
/** What a watcher is told in a second; the rest is counted. */
const TOLD = new Rate(100, 200);
const TICK_MS = 1000;
const BEAT_TICKS = 5;

const TOO_MANY = refusal("RESOURCE_EXHAUSTED", "too many read events already, in all or with this key");

const SSE_HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-store",
  "x-accel-buffering": "no",
};

export function watchRoutes(app: AdminApp, { auth, context, observer, feed }: AdminParts): void {
  /** An endless answer; `begin` has its events told and returns what ends that. */
  function stream(
    c: Context<AdminEnv>,
    begin: (tell: (type: string, event: () => object) => void) => () => void,
  ) {
    const open = new EventStream();
    if (!feed.adopt(c.var.key, open)) return refuse(c, TOO_MANY);
    let fullAt = 0, skipped = 0, ticks = 0;
    const push = (type: string, event: object) =>
      open.push(`event: ${type}\ndata: ${JSON.stringify({ type, ...event })}\n\n`);
    const end = begin((type, event) => {
      const now = context.now();
      if (TOLD.waitMs(fullAt, now) > 0) return void skipped++;
      fullAt = TOLD.take(fullAt, now);
      push(type, event());
    });
    const stop = context.every(TICK_MS, () => {
      if (open.ended) {
        end();
        return stop();
      }
      if (skipped > 0) push("skipped", { events: skipped });
      skipped = 0;
      if (++ticks % BEAT_TICKS === 0) open.beat();
    });
    return c.body(open.body, 200, SSE_HEADERS);
  }

  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/tenants/{tenant}/sessions/{session}/watch",
      tags: ["sessions"],
      summary:
        "What policy decides about a session's messages, the last few first and then live, as Server-Sent Events",
      middleware: auth.permit("read"),
      request: { params: SessionParams },
      responses: textAnswers(
        "An endless stream of `decision` events, 100 a second at most; `skipped` counts the others, `gone` says that " +
          "the session has ended.",
        "text/event-stream",
      ),
    }),
    async (c) => {
      const { seat } = c.var, { session } = c.req.valid("param");
      const probe = observer.probe(seat);
      if (probe === null) return refuse(c, NOT_WATCHED);
      if (seat.tenant.registry.find(session) === undefined) return refuse(c, NO_SUCH_SESSION);
      const lines = new RuleLines(context, seat);
      const past = probe.decisions().filter((one) => one.session === session).slice(-PAST_MAX);
      await lines.find(past);
      return stream(c, (tell) => {
        const told = (decision: Decision) => tell("decision", () => lines.show(decision));
        for (const decision of past) told(decision);
        const unwatch = probe.watchSession(session, (decision) => {
          // The line of a rule that has not come up yet is looked for while the next one may come.
          void lines.find([decision]).then(() => told(decision));
        });
        const stop = context.every(TICK_MS, () => {
          if (seat.tenant.registry.find(session) !== undefined) return;
          tell("gone", () => ({ session }));
          stop();
        });
        return () => {
          stop();
          unwatch();
        };
      });
    },
  );

  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/tenants/{tenant}/rooms/{room}/watch",
      tags: ["rooms"],
      summary: "What a room's members are told from now on, as Server-Sent Events",
      middleware: auth.permit("read"),
      request: { params: RoomParams },
      responses: textAnswers(
        "An endless stream of `message` events, 100 a second at most; `skipped` counts the others.",
        "text/event-stream",
      ),
    }),
    (c) => {
      const probe = observer.probe(c.var.seat);
      if (probe === null) return refuse(c, NOT_WATCHED);
      const { room } = c.req.valid("param");
      return stream(c, (tell) => probe.watchRoom(room, (heard) => tell("message", () => shownOf(heard))));
    },
  );
}

function shownOf({ timeMs, frame, deliveries }: Heard): object {
  const { payload, bytes, lane } = frame;
  const text = typeof payload === "string"
    ? payload.slice(0, MESSAGE_CHARS_MAX)
    : hexOf(payload.subarray(0, MESSAGE_CHARS_MAX / 2));
  return {
    time_ms: Math.round(timeMs),
    lane: LANE_NAMES[lane],
    bytes,
    deliveries: Math.max(0, deliveries),
    busy: deliveries < 0,
    message: text,
    cut: typeof payload === "string" ? text.length < payload.length : text.length < payload.length * 2,
  };
}
