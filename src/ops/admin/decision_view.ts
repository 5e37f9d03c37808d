// Decisions in the words of the admin API, each with the line of the file that it comes from.

import { z } from "@hono/zod-openapi";
import { formatPath, type Path } from "../../config/places.ts";
import { placeOf } from "../../policy/explain.ts";
import type { Decision } from "../console/decision.ts";
import type { AdminContext, AdminTenant } from "./admin_context.ts";
import { Milliseconds } from "./words.ts";

export const DecisionShape = z.strictObject({
  seq: z.int().min(1),
  time_ms: Milliseconds,
  session: z.string(),
  user: z.string(),
  lane: z.enum(["ext", "hot"]),
  service: z.string().nullable().openapi({
    description: "Null where that was not read, and of what passed.",
  }),
  bytes: z.int().min(0),
  room: z.string().nullable().openapi({ description: "The room that the session had joined last." }),
  allowed: z.boolean(),
  rule_id: z.string().nullable().openapi({ description: "The check or rule that found something." }),
  path: z.string().nullable().openapi({ description: "Where the configuration has it." }),
  line: z.int().nullable().openapi({ description: "Its line in the file." }),
  action: z.string().nullable(),
  code: z.string().nullable(),
  why: z.string().nullable(),
  repeats: z.int().min(0).openapi({ description: "Others like it, of the same session and second." }),
  message: z.string().nullable().openapi({
    description: "As it came: text, or hexadecimal digits; null for what is too long to be kept.",
  }),
}).openapi("Decision");

/** Finds the lines of a tenant's checks and rules, each once. */
export class RuleLines {
  readonly #context: AdminContext;
  readonly #at: { readonly config: AdminTenant["config"]; readonly index: number };
  readonly #lines = new Map<string, number | null>();

  constructor(context: AdminContext, { config, tenant: { id } }: AdminTenant) {
    this.#context = context;
    this.#at = { config, index: context.config().tenants.findIndex((tenant) => tenant.id === id) };
  }

  /** To be awaited before those of these decisions are shown. */
  async find(decisions: readonly Decision[]): Promise<void> {
    const paths = new Map<string, Path>();
    for (const { finding, lane } of decisions) {
      const path = finding === null ? null : this.#pathOf(finding.ruleId, lane);
      if (path !== null && !this.#lines.has(formatPath(path))) paths.set(formatPath(path), path);
    }
    if (paths.size === 0) return;
    const lines = await this.#context.lines([...paths.values()]);
    for (const [i, path] of [...paths.keys()].entries()) this.#lines.set(path, lines[i] ?? null);
  }

  #pathOf(rule: string, lane: "ext" | "hot"): Path | null {
    const path = placeOf(rule, { ...this.#at, lane });
    return path.length === 0 ? null : path;
  }

  /** A decision as it is shown. */
  show(decision: Decision): z.infer<typeof DecisionShape> {
    const { seq, timeMs, session, user, lane, service, bytes, active, finding, repeats, message } = decision;
    const path = finding === null ? null : this.#pathOf(finding.ruleId, lane);
    return {
      seq,
      time_ms: Math.round(timeMs),
      session,
      user,
      lane,
      service,
      bytes,
      room: active,
      allowed: finding === null || finding.passes,
      rule_id: finding?.ruleId ?? null,
      path: path === null ? null : formatPath(path),
      line: path === null ? null : this.#lines.get(formatPath(path)) ?? null,
      action: finding?.action ?? null,
      code: finding?.refusal.code ?? null,
      why: finding?.refusal.msg ?? null,
      repeats,
      message,
    };
  }
}
