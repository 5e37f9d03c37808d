// One node answers for all: what was asked of this node is asked of the others too, and the answers are made one. Who does
// not answer in time is named.

import type { Context, MiddlewareHandler } from "hono";
import { refusal } from "../../protocol/codes.ts";
import type { AdminEnv } from "./admin_context.ts";
import { refuse } from "./answers.ts";

/** A request of the API as another node is asked it; that node's permission is not asked for once more. */
export interface NodeRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  /** JSON; null for none. */
  readonly body: string | null;
}

export interface NodeAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** A node as the API tells of it. */
export interface AdminNode {
  readonly node: string;
  readonly incarnation: string;
  readonly version: string;
  /** Unix time in milliseconds. */
  readonly startedMs: number;
  readonly sessions: number;
  readonly draining: boolean;
  /** Since it was heard last. */
  readonly silentMs: number;
}

/** The nodes of a cluster, as one of them sees them. */
export interface AdminNodes {
  /** This one's name. */
  readonly name: string;
  /** All of them, this one first. */
  list(): readonly AdminNode[];
  /** The incarnation of the other node that has a session; null for none. */
  holderOf(tenant: string, session: string): string | null;
  /** Asks a node. @returns null where it does not answer in time; never rejects */
  ask(incarnation: string, request: NodeRequest): Promise<NodeAnswer | null>;
}

type Json = Record<string, unknown>;

/** How the answers to a request become one. */
type Merge =
  | { readonly kind: "list"; readonly of: string; readonly key: string }
  /** All numbers are added up, those in maps too. */
  | { readonly kind: "sum" }
  /** It is for the node that has the session. */
  | { readonly kind: "holder" };

const TENANT = "^/v1/tenants/([^/]+)";
const ROUTES: readonly { readonly method: string; readonly path: RegExp; readonly merge: Merge }[] = [
  {
    method: "GET",
    path: new RegExp(`${TENANT}/sessions$`),
    merge: { kind: "list", of: "sessions", key: "session" },
  },
  { method: "GET", path: new RegExp(`${TENANT}/rooms$`), merge: { kind: "list", of: "rooms", key: "room" } },
  { method: "GET", path: new RegExp(`${TENANT}/sessions/([^/]+)$`), merge: { kind: "holder" } },
  { method: "DELETE", path: new RegExp(`${TENANT}/sessions/([^/]+)$`), merge: { kind: "holder" } },
  { method: "PUT", path: new RegExp(`${TENANT}/rooms/[^/]+/members/([^/]+)$`), merge: { kind: "holder" } },
  { method: "DELETE", path: new RegExp(`${TENANT}/rooms/[^/]+/members/([^/]+)$`), merge: { kind: "holder" } },
  { method: "DELETE", path: new RegExp(`${TENANT}/rooms/[^/]+$`), merge: { kind: "sum" } },
  { method: "POST", path: new RegExp(`${TENANT}/users/[^/]+/disconnect$`), merge: { kind: "sum" } },
  { method: "GET", path: new RegExp(`${TENANT}/stats$`), merge: { kind: "sum" } },
];

/** What of a summed answer is the same on every node, or known to this one for all. */
const NOT_SUMMED: ReadonlySet<string> = new Set(["sessions", "users", "rooms"]);
/** Items of a page that nobody asked for the size of (words.ts). */
const PAGE = 100;

const SILENT = refusal("UNAVAILABLE", "the node that has the session does not answer");

/** Asks the other nodes as well, once this one has let the request pass. */
export function overNodes(nodes: AdminNodes): MiddlewareHandler<AdminEnv> {
  return async (c, next): Promise<Response | void> => {
    await next();
    const { method } = c.req, path = new URL(c.req.url).pathname;
    const route = ROUTES.find((one) => one.method === method && one.path.test(path));
    // Whoever may not ask this node may not ask the others.
    if (route === undefined || c.res.status !== 200 && c.res.status !== 404) return;
    const { search } = new URL(c.req.url);
    const body = method === "POST" ? await c.req.text() : "";
    const request: NodeRequest = { method, path: path + search, body: body === "" ? null : body };
    if (route.merge.kind === "holder") return await fromHolder(c, route.path.exec(path)!, { nodes, request });
    await fromAll(c, route.merge, { nodes, request });
  };
}

interface Asking {
  readonly nodes: AdminNodes;
  readonly request: NodeRequest;
}

async function fromHolder(
  c: Context<AdminEnv>,
  [, tenant, session]: RegExpExecArray,
  { nodes, request }: Asking,
): Promise<Response | void> {
  if (c.res.status === 200) return;
  const holder = nodes.holderOf(decodeURIComponent(tenant!), decodeURIComponent(session!));
  if (holder === null) return;
  const answer = await nodes.ask(holder, request);
  c.res = answer === null ? refuse(c, SILENT) : Response.json(answer.body, { status: answer.status });
}

async function fromAll(
  c: Context<AdminEnv>,
  merge: Exclude<Merge, { readonly kind: "holder" }>,
  { nodes, request }: Asking,
): Promise<void> {
  const others = nodes.list().slice(1);
  if (others.length === 0) return;
  const answers = await Promise.all(others.map(({ incarnation }) => nodes.ask(incarnation, request)));
  const missing = others.filter((_, i) => (answers[i]?.status ?? 500) >= 500).map(({ node }) => node);
  const own = c.res.status === 200 ? await c.res.json() as Json : null;
  const good = [own, ...answers.map((answer) => answer?.status === 200 ? answer.body as Json : null)]
    .filter((body) => body !== null);
  if (good.length === 0) return;
  const merged = merge.kind === "sum" ? summed(good) : listed(good, merge, limitOf(c));
  const told = missing.length === 0 ? merged : { ...merged, missing_nodes: missing };
  c.res = undefined;
  c.res = Response.json(told, { status: 200 });
}

function limitOf(c: Context<AdminEnv>): number {
  return Number(c.req.query("limit") ?? PAGE);
}

/** A page of lists that are each in order, and hold the same things twice where several nodes have them. */
function listed(bodies: readonly Json[], { of, key }: { of: string; key: string }, limit: number): Json {
  const items = new Map<string, Json>();
  for (const body of bodies) {
    for (const item of body[of] as Json[]) {
      const name = String(item[key]);
      // Each node tells of a thing that several have as it is on all of them.
      if (!items.has(name)) items.set(name, item);
    }
  }
  const sorted = [...items].sort(([a], [b]) => a < b ? -1 : 1);
  const shown = sorted.slice(0, limit).map(([, item]) => item);
  const more = sorted.length > limit || bodies.some(({ next }) => next !== null);
  return { ...bodies[0], [of]: shown, next: more && shown.length > 0 ? String(shown.at(-1)![key]) : null };
}

function summed(bodies: readonly Json[]): Json {
  const [first, ...others] = bodies as [Json, ...Json[]];
  return Object.fromEntries(
    Object.entries(first).map(([key, value]): [string, unknown] => {
      const theirs = others.map((body) => body[key]);
      if (typeof value === "number" && !NOT_SUMMED.has(key)) {
        return [key, theirs.reduce<number>((sum, one) => sum + (typeof one === "number" ? one : 0), value)];
      }
      return isMap(value) ? [key, summed([value, ...theirs.filter(isMap)])] : [key, value];
    }),
  );
}

function isMap(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
