// What the admin API's answers have in common: faults as `{code, msg}` with a status, and the texts of a request that was
// not as its schema has it.

import { z } from "@hono/zod-openapi";
import type { Context, TypedResponse } from "hono";
import { type ErrorCode, type Refusal, refusal } from "../../protocol/codes.ts";
import type { AdminEnv } from "./admin_context.ts";

type FaultStatus = 400 | 401 | 403 | 404 | 409 | 413 | 429 | 500 | 503;

const STATUS: Readonly<Record<ErrorCode, FaultStatus>> = {
  BAD_REQUEST: 400,
  UNSUPPORTED_VERSION: 400,
  AUTH_FAILED: 401,
  NOT_ALLOWED: 403,
  NOT_FOUND: 404,
  RESOURCE_EXHAUSTED: 409,
  TOO_MANY_SESSIONS: 409,
  SUSPENDED: 409,
  PAYLOAD_TOO_LARGE: 413,
  RATE_LIMITED: 429,
  INTERNAL: 500,
  UNAVAILABLE: 503,
  DRAINING: 503,
  TIMEOUT: 503,
};

const Fault = z.strictObject({
  code: z.string().openapi({ description: "What is wrong, in one word.", example: "BAD_REQUEST" }),
  msg: z.string().openapi({ description: "What is wrong, for a person." }),
  failures: z.array(z.string()).optional().openapi({ description: "All that is wrong, one by one." }),
  retry_after_ms: z.number().optional().openapi({ description: "When to come back, as in `Retry-After`." }),
}).openapi("Fault");

type Faulty = Response & TypedResponse<z.infer<typeof Fault>, FaultStatus, "json">;

/** What was asked for is done, and holds as long as the process; it could not be written for longer. */
export const NOT_KEPT = refusal(
  "UNAVAILABLE",
  "done, but not written: the state cannot be written now, so that a restart may undo it; the gateway tries again",
);

/** Answers with what is wrong. */
export function refuse(c: Context<AdminEnv>, { code, msg }: Pick<Refusal, "code" | "msg">): Faulty {
  return c.json({ code, msg }, STATUS[code]);
}

/** Answers that it was too much, and when to come back. */
export function refuseForNow(c: Context<AdminEnv>, msg: string, waitMs: number): Faulty {
  const retryAfterMs = Math.ceil(waitMs);
  c.header("retry-after", String(Math.max(1, Math.ceil(retryAfterMs / 1000))));
  return c.json({ code: "RATE_LIMITED", msg, retry_after_ms: retryAfterMs }, 429);
}

const fault = (description: string) => ({
  description,
  content: { "application/json": { schema: Fault } },
});

/** Faults of routes that need a key. */
const FAULTS = {
  400: fault("The request is not as its schema has it."),
  401: fault("There is no key, or no such key."),
  403: fault("The key is not good for this."),
  404: fault("There is no such thing."),
  409: fault("A limit, or what went before, does not let it happen."),
  413: fault("The request, or a message in it, is too large."),
  415: fault("The body is compressed, or otherwise encoded."),
  429: fault("Too many requests of this key."),
  500: fault("The gateway failed on this request."),
  503: fault("Not now."),
} as const satisfies Record<FaultStatus | 415, unknown>;

/** Nodes of a cluster that did not answer in time, so that what they have is missing. */
export const MissingNodes = z.array(z.string()).optional().openapi({
  description: "Nodes that did not answer in time, whose part is missing; absent where all did.",
});
/** The node that has something. */
export const NodeName = z.string().optional().openapi({
  description: "The node of the cluster that has it; absent where the gateway is alone.",
});

/** The answers of a route: this one, or a fault. */
export function answers<S extends z.ZodType>(description: string, schema: S) {
  return { 200: { description, content: { "application/json": { schema } } }, ...FAULTS } as const;
}

/** The answers of a route that serves text. */
export function textAnswers<T extends string>(description: string, type: T) {
  const content = { [type]: { schema: z.string() } } as { [key in T]: { schema: z.ZodString } };
  return { 200: { description, content }, ...FAULTS } as const;
}

/** The body of a request. */
export function jsonBody<S extends z.ZodType>(schema: S) {
  return { content: { "application/json": { schema } }, required: true } as const;
}

/** A body that may be left out; all of it is optional. */
export function optionalBody<S extends z.ZodType>(schema: S) {
  return { content: { "application/json": { schema } }, required: false } as const;
}

const PARTS: Readonly<Record<string, string>> = { json: "body", param: "path", query: "query" };

/** What is wrong with a request, in one line: where, and what was expected. */
export function describeFault(part: string, error: z.core.$ZodError): string {
  const { path, message } = nearest(error.issues);
  const place = path.reduce<string>(
    (text, step) => typeof step === "number" ? `${text}[${step}]` : `${text}.${String(step)}`,
    PARTS[part] ?? part,
  );
  return `${place}: ${message}`;
}

interface Near {
  /** How many faults there are in all. */
  readonly faults: number;
  /** The first of them. */
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** Of the variants of a union, the one with the fewest faults is what a value was meant to be. */
function nearest(issues: readonly z.core.$ZodIssue[]): Near {
  const all = issues.map((issue): Near => {
    const { path, message } = issue;
    const variants = issue.code === "invalid_union" ? issue.errors.filter(({ length }) => length > 0) : [];
    if (variants.length === 0) return { faults: 1, path, message };
    const best = variants.map(nearest).reduce((a, b) => b.faults < a.faults ? b : a);
    return { ...best, path: [...path, ...best.path] };
  });
  return { ...all[0]!, faults: all.reduce((sum, { faults }) => sum + faults, 0) };
}
