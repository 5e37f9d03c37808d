// What policy has decided lately, and what another file would have decided.

import { createRoute, z } from "@hono/zod-openapi";
import { describeIssue } from "../../config/issue.ts";
import type { Config } from "../../config/schema.ts";
import { formatPath } from "../../config/places.ts";
import type { Decision } from "../console/decision.ts";
import { answers, jsonBody, refuse } from "./answers.ts";
import { DecisionShape, RuleLines } from "./decision_view.ts";
import { compare, sideOf, type Verdict } from "./dry_run.ts";
import type { SchemaCache } from "./fresh_policy.ts";
import type { AdminApp, AdminTenant } from "./admin_context.ts";
import { NOT_WATCHED } from "./overview_routes.ts";
import { pageOf } from "./page.ts";
import type { AdminParts } from "./parts.ts";
import { Slice } from "./slices.ts";
import { countQuery, Name, Next, PageQuery, SessionId, TenantParams, UserName } from "./words.ts";

/** Differences that one answer names; the rest is counted. */
const SHOWN_MAX = 200;
/** Longest file, in characters, as the gateway's own. */
const FILE_CHARS_MAX = 1_048_576;

const VerdictShape = z.strictObject({
  allowed: z.boolean(),
  rule_id: z.string().nullable(),
  path: z.string().nullable(),
  line: z.int().nullable(),
  why: z.string().nullable(),
});
const DryRun = z.strictObject({
  compared: z.int().min(0).openapi({ description: "Decisions that both files could be asked about." }),
  same: z.int().min(0),
  left_out: z.int().min(0).openapi({
    description:
      "Decisions that cannot be repeated: by quotas and rates, which depend on what came before, and of messages that " +
      "are too long to be kept.",
  }),
  different: z.int().min(0),
  differences: z.array(
    z.strictObject({
      tenant: z.string(),
      decision: DecisionShape,
      before: VerdictShape,
      after: VerdictShape,
    }),
  )
    .openapi({ description: `At most ${SHOWN_MAX} of them, newest first.` }),
  missing: z.array(z.string()).openapi({ description: "Tenants that the other file does not have." }),
}).openapi("DryRun");

export function decisionRoutes(app: AdminApp, { auth, context, slices, observer }: AdminParts): void {
  app.openapi(
    createRoute({
      method: "get",
      path: "/v1/tenants/{tenant}/decisions",
      tags: ["policy"],
      summary: "The last decisions of policy, newest first: denials, and a sample of what passed",
      middleware: auth.permit("read"),
      request: {
        params: TenantParams,
        query: PageQuery.extend({
          cursor: countQuery(1, Number.MAX_SAFE_INTEGER).optional(),
          session: SessionId.optional(),
          user: UserName.optional(),
          denied: z.enum(["true", "false"]).optional().openapi({
            description: "Only denials, or only what passed.",
          }),
        }),
      },
      responses: answers("A page.", z.strictObject({ decisions: z.array(DecisionShape), next: Next })),
    }),
    async (c) => {
      const { seat } = c.var;
      const { limit, cursor = Infinity, session, user, denied } = c.req.valid("query");
      const probe = observer.probe(seat);
      if (probe === null) return refuse(c, NOT_WATCHED);
      const wanted = probe.decisions().reverse().filter((one) =>
        one.seq < cursor && (session === undefined || one.session === session) &&
        (user === undefined || one.user === user) &&
        (denied === undefined || (denied === "true") === (one.finding !== null))
      );
      const { items, next } = pageOf(wanted, { keyOf: ({ seq }) => seq, limit });
      const lines = new RuleLines(context, seat);
      await lines.find(items);
      const decisions = items.map((one) => lines.show(one));
      return c.json({ decisions, next: next === null ? null : String(next) }, 200);
    },
  );

  const schemas: SchemaCache = new WeakMap();
  app.openapi(
    createRoute({
      method: "post",
      path: "/v1/dry-run",
      tags: ["policy"],
      summary: "What the policy of another file would have decided differently over the last decisions",
      middleware: [auth.permitGlobally("read"), auth.bounded],
      request: {
        body: jsonBody(z.strictObject({
          config: z.string().min(1).max(FILE_CHARS_MAX).openapi({
            description:
              "The whole file. Variables in it that are not plain numbers have stand-ins, and of further files it may " +
              "name those only that the configuration in use names.",
          }),
          tenant: Name.optional().openapi({ description: "Only decisions of this tenant." }),
        })),
      },
      responses: answers("The differences.", DryRun),
    }),
    async (c) => {
      const { config: text, tenant: only } = c.req.valid("json");
      const checked = await context.check(text);
      if (!checked.ok) {
        const failures = checked.failures.map(describeIssue);
        return c.json({ code: "BAD_REQUEST", msg: "the file has failures", failures }, 400);
      }
      const slice = new Slice(slices.of(c.var.key));
      const found: Difference[] = [], missing: string[] = [];
      let same = 0, leftOut = 0;
      const { config: next } = checked, running = context.config();
      for (const seat of context.tenants()) {
        const { id } = seat.tenant;
        const probe = observer.probe(seat);
        if (probe === null || only !== undefined && only !== id) continue;
        const at = placeIn(next, id);
        if (at === null) {
          missing.push(id);
          continue;
        }
        const inUse = { config: seat.config, index: placeIn(running, id)?.index ?? 0 };
        const before = sideOf(inUse, { quotas: running.gateway.quotas, schemas });
        const after = sideOf(at, { quotas: next.gateway.quotas, schemas });
        for (const decision of probe.decisions()) {
          const compared = compare(decision, before, after);
          if (compared === null) leftOut++;
          else if (compared.before.rule === compared.after.rule) same++;
          else found.push({ seat, decision, ...compared });
          if (slice.isOver) await slice.next();
        }
      }
      const different = found.length;
      found.reverse().sort((a, b) => b.decision.timeMs - a.decision.timeMs).splice(SHOWN_MAX);
      const linesBefore = await linesFor(found.map(({ before }) => before));
      const linesAfter = await linesFor(found.map(({ after }) => after), checked.text);
      const differences = [];
      for (const { seat, decision, before, after } of found) {
        const own = new RuleLines(context, seat);
        differences.push({
          tenant: seat.tenant.id,
          decision: own.show(decision),
          before: shown(before, linesBefore),
          after: shown(after, linesAfter),
        });
      }
      return c.json(
        { compared: same + different, same, left_out: leftOut, different, differences, missing },
        200,
      );
    },
  );

  /** The lines of what verdicts name, by path, each asked for once. */
  async function linesFor(verdicts: readonly Verdict[], text?: string): Promise<Lines> {
    const paths = new Map(
      verdicts.flatMap(({ path }) => path === null ? [] : [[formatPath(path), path] as const]),
    );
    if (paths.size === 0) return new Map();
    const lines = await context.lines([...paths.values()], text);
    return new Map([...paths.keys()].map((path, i) => [path, lines[i] ?? null]));
  }
}

type Lines = ReadonlyMap<string, number | null>;

interface Difference {
  readonly seat: AdminTenant;
  readonly decision: Decision;
  readonly before: Verdict;
  readonly after: Verdict;
}

function placeIn({ tenants }: Config, id: string) {
  const index = tenants.findIndex((tenant) => tenant.id === id);
  return index < 0 ? null : { config: tenants[index]!, index };
}

function shown({ rule, why, path }: Verdict, lines: Lines): z.infer<typeof VerdictShape> {
  const at = path === null ? null : formatPath(path);
  return {
    allowed: rule === null,
    rule_id: rule,
    path: at,
    line: at === null ? null : lines.get(at) ?? null,
    why,
  };
}
