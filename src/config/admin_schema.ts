// `admin`: the operator's listener and who may use it. What its keys must satisfy together is in admin.ts.

import * as z from "zod";
import { NAME_PATTERN, NAME_RULE } from "../protocol/limits.ts";
import { parseListen } from "./addresses.ts";
import { flag, name, rate, text, whole } from "./fields.ts";

/** What a key may be good for. */
export const ADMIN_PERMISSIONS = ["read", "publish", "disconnect", "reload"] as const;
/** One of `ADMIN_PERMISSIONS`. */
export type AdminPermission = (typeof ADMIN_PERMISSIONS)[number];

/** In a key's `tenants`: all of them, those of later configurations too. */
export const EVERY_TENANT = "*";

/** Fewest characters of a key's secret: no rate of guesses finds one of this length. */
const SECRET_CHARS_MIN = 32;
const SECRET_CHARS_MAX = 512;
const KEYS_MAX = 1000;

const key = z.strictObject({
  id: name("The key's name in the log; unique."),
  secret: z.string().min(SECRET_CHARS_MIN).max(SECRET_CHARS_MAX).regex(/^[\x21-\x7e]+$/).meta({
    description: "Sent as `Authorization: Bearer <secret>`; unique.",
    wish: `${SECRET_CHARS_MIN}–${SECRET_CHARS_MAX} printable ASCII characters without spaces`,
    secret: true,
  }),
  tenants: z.array(text((value) => value === EVERY_TENANT || NAME_PATTERN.test(value), {
    description: "A tenant.",
    wish: `"*" or a tenant's id: ${NAME_RULE}`,
  })).min(1).max(10_000).meta({
    description:
      'Tenants that the key is good for; `"*"` for all. What concerns the gateway as a whole needs `"*"`.',
    wish: 'a list of tenants, or ["*"]',
  }),
  permissions: z.array(z.enum(ADMIN_PERMISSIONS).meta({ description: "A permission." })).min(1).meta({
    description:
      "`read`: look. `publish`: send, and move sessions between rooms. `disconnect`: end sessions. " +
      "`reload`: change what the gateway serves, and send dead letters again or drop them.",
    wish: `a list of ${ADMIN_PERMISSIONS.map((one) => JSON.stringify(one)).join(", ")}`,
  }),
  rps: rate(1000, "Requests per second; above it they are refused with 429."),
  burst: rate(2000, "Requests at once."),
}).meta({ description: "Somebody who may use the admin API." });

/** `admin`. */
export const adminSchema = z.strictObject({
  listen: text((value) => parseListen(value) !== undefined, {
    description: "Address and port of the admin listener. Keep it off the internet: it speaks plain HTTP.",
    wish: '"host:port", "[ipv6]:port" or ":port" with a port 0..65535',
  }),
  keys: z.array(key).min(1).max(KEYS_MAX).meta({
    description: "Who may use it, and what for.",
    wish: "a list of at least one key",
    secret: true,
  }),
  console: flag(
    false,
    "Serve `/console` on the admin listener, a page for operators; it keeps numbers of the last hour, and the last " +
      "decisions of policy with their messages, in memory.",
  ),
  max_body_bytes: whole(
    1024,
    67_108_864,
    1_048_576,
    "Largest body of a request, in bytes; a larger one is refused with 413.",
  ),
}).optional().meta({
  description:
    "The operator's HTTP API, on a listener of its own. Without it there is none, and the metrics are served on the " +
    "public listener.",
});
