// Lets requests in to the admin API: a key first, then its rate, then what the route asks of it. Whoever writes is noted in
// the log, and so is whoever brings no good key, as often as is of use.

import type { Context, MiddlewareHandler } from "hono";
import type { AdminPermission } from "../../config/admin_schema.ts";
import type { Log, LogFields } from "../../log.ts";
import { Rate } from "../../policy/rate.ts";
import { refusal } from "../../protocol/codes.ts";
import type { Audit } from "../console/audit.ts";
import { refuse, refuseForNow } from "./answers.ts";
import { bounded } from "./body.ts";
import type { AdminContext, AdminEnv } from "./admin_context.ts";
import type { AdminKeys } from "./keys.ts";

/** Bad keys from one address that are answered and logged one by one. */
const FAILURES_PER_SECOND = 1;
const FAILURES_BURST = 10;
/** Addresses remembered; the one that failed longest ago is forgotten first. */
const ADDRESSES_MAX = 10_000;
/** Longest path in a line of the log, in characters. */
const LOGGED_PATH_CHARS = 300;

/** Requests that change nothing, and have a body all the same. */
const ASKS = /^\/v1\/(tenants\/[^/]+\/explain|dry-run)$/;

const NO_KEY = refusal("AUTH_FAILED", "a key is required, as Authorization: Bearer <secret>");
const NO_SUCH_TENANT = refusal("NOT_FOUND", "no such tenant");
const OTHER_TENANT = refusal("NOT_ALLOWED", "key is not for this tenant");
const NOT_GLOBAL = refusal("NOT_ALLOWED", 'key is not for the whole gateway: its tenants are not ["*"]');

export class AdminAuth {
  readonly #keys: AdminKeys;
  readonly #context: AdminContext;
  readonly #audit: Audit;
  readonly #failures = new Rate(FAILURES_PER_SECOND, FAILURES_BURST);
  /** Buckets by address, the one that failed longest ago first. */
  readonly #failed = new Map<string, number>();

  /** For routes that take a body. */
  readonly bounded: MiddlewareHandler<AdminEnv>;

  constructor(keys: AdminKeys, context: AdminContext, audit: Audit) {
    this.#keys = keys;
    this.#audit = audit;
    this.#context = context;
    this.bounded = bounded(() => context.admin().max_body_bytes);
  }

  /** For every route that needs a key. */
  readonly admit: MiddlewareHandler<AdminEnv> = async (c, next): Promise<Response | void> => {
    const key = this.#keys.find(c.req.header("authorization"));
    if (key === null) return this.#turnAway(c);
    const now = this.#context.now();
    const wait = key.rate.waitMs(key.fullAt, now);
    if (wait > 0) return refuseForNow(c, "too many requests of this key", wait);
    key.fullAt = key.rate.take(key.fullAt, now);
    c.set("key", key);
    await next();
    const { method, path } = c.req;
    if (method === "GET" || ASKS.test(path)) return;
    const { status } = c.res;
    this.#note("admin request", c, { key: key.id, status });
    this.#audit.note({
      timeMs: Math.round(this.#context.unixMs()),
      key: key.id,
      method,
      path: path.slice(0, LOGGED_PATH_CHARS),
      tenant: tenantOf(path),
      address: c.env.address,
      status,
    });
  };

  /** For routes below a tenant: the key must have this permission there. */
  permit(permission: AdminPermission): MiddlewareHandler<AdminEnv> {
    const refused = lacks(permission);
    return async (c, next): Promise<Response | void> => {
      const { key } = c.var;
      const id = c.req.param("tenant")!;
      // Before it is looked for: whether a tenant exists is not everybody's to know.
      if (!key.reaches(id)) return refuse(c, OTHER_TENANT);
      if (!key.may(permission)) return refuse(c, refused);
      const seat = this.#context.tenant(id);
      if (seat === undefined) return refuse(c, NO_SUCH_TENANT);
      c.set("seat", seat);
      await next();
    };
  }

  /** For routes that concern the whole gateway. */
  permitGlobally(permission: AdminPermission): MiddlewareHandler<AdminEnv> {
    const anywhere = this.permitAnywhere(permission);
    return async (c, next) => c.var.key.isGlobal ? await anywhere(c, next) : refuse(c, NOT_GLOBAL);
  }

  /** For routes that show of each tenant what the key may see. */
  permitAnywhere(permission: AdminPermission): MiddlewareHandler<AdminEnv> {
    const refused = lacks(permission);
    return async (c, next) => c.var.key.may(permission) ? await next() : refuse(c, refused);
  }

  // A good key passes whatever else came from its address: secrets are too long to be guessed at any rate, and an
  // address is often shared. The limit keeps the log readable.
  #turnAway(c: Context<AdminEnv>): Response {
    const { address } = c.env, now = this.#context.now();
    const fullAt = this.#failed.get(address) ?? 0;
    const wait = this.#failures.waitMs(fullAt, now);
    if (wait > 0) return refuseForNow(c, "too many requests without a good key", wait);
    this.#failed.delete(address);
    this.#failed.set(address, this.#failures.take(fullAt, now));
    if (this.#failed.size > ADDRESSES_MAX) this.#failed.delete(this.#failed.keys().next().value!);
    this.#note("admin request refused", c, { status: 401 }, "warn");
    c.header("www-authenticate", "Bearer");
    return refuse(c, NO_KEY);
  }

  #note(message: string, c: Context<AdminEnv>, fields: LogFields, level: keyof Log = "info"): void {
    const { method, path } = c.req;
    const { address } = c.env;
    this.#context.log[level](message, {
      method,
      path: path.slice(0, LOGGED_PATH_CHARS),
      address,
      ...fields,
    });
  }
}

/** The tenant that a path is below; null for none. */
function tenantOf(path: string): string | null {
  const found = /^\/v1\/tenants\/([^/]+)/.exec(path);
  try {
    return found === null ? null : decodeURIComponent(found[1]!);
  } catch {
    return null;
  }
}

function lacks(permission: AdminPermission) {
  return refusal("NOT_ALLOWED", `key has no permission "${permission}"`);
}
