// The document of the admin API, as tests read it.

import { strict as assert } from "node:assert";
import type { AdminHouse } from "./admin_house.ts";
import { resolved, type Schema } from "./schema_arbitrary.ts";

interface Content {
  readonly content?: Readonly<Record<string, { readonly schema: Schema }>>;
}

/** One route, its references resolved. */
export interface Operation {
  /** Such as `GET /v1/tenants/{tenant}/sessions`. */
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: "path" | "query";
    readonly required?: boolean;
    readonly schema: Schema;
  }[];
  readonly requestBody?: Content;
  readonly responses: Readonly<Record<string, Content>>;
  readonly security?: readonly unknown[];
}

/** The document, as served. */
export async function documentOf(house: AdminHouse): Promise<Record<string, unknown>> {
  const { status, body } = await house.get("/v1/openapi.json", { key: null });
  assert.equal(status, 200);
  return body;
}

/** All routes of a document. */
export function operationsOf(document: Record<string, unknown>): readonly Operation[] {
  const paths = resolved(document["paths"], document) as Record<
    string,
    Record<string, Omit<Operation, "name">>
  >;
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([verb, operation]) => {
      const method = verb.toUpperCase();
      return { ...operation, path, method, name: `${method} ${path}` };
    })
  );
}

/** Of the routes that need a body, one that is good. */
export const GOOD_BODIES: Readonly<Record<string, unknown>> = {
  "POST /v1/tenants/{tenant}/publish": { to: { all: true }, svc: "a", type: "t" },
  "POST /v1/dry-run": { config: "version: 1\ntenants: [{ id: acme }]\n" },
  "POST /v1/tenants/{tenant}/explain": { lane: "ext", message: { v: 1, svc: "a", type: "t" } },
  "POST /v1/tenants/{tenant}/tickets/revoke": { jti: "t-1" },
  "POST /v1/tenants/{tenant}/webhooks/{webhook}/dead-letters/retry": { seqs: [1] },
  "POST /v1/tenants/{tenant}/webhooks/{webhook}/dead-letters/drop": { all: true },
};

/** A webhook of a tenant whose backend is not there, as YAML in one line. */
export const WEBHOOKS =
  'webhooks: [{ id: audit, durable: false, url: "http://127.0.0.1:1/hook", events: [policy.denied] }]';
