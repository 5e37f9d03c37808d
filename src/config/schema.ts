// The configuration file, declared once. Types, defaults, ranges, the reference in docs/ and the JSON Schema come
// from here; what two keys must satisfy together is in relations.ts, and what is merely unwise in warnings.ts.
// `meta.wish` completes the sentence "must be …" of an error, where a range alone doesn't say it.

import * as z from "zod";
import type { Program } from "../program/messages.ts";
import { JSON_DEPTH, JSON_DEPTH_MAX } from "../protocol/json_scan.ts";
import { MESSAGE_BYTES_MAX } from "../protocol/limits.ts";
import { isCidr, parseListen } from "./addresses.ts";
import { adminSchema } from "./admin_schema.ts";
import { clusterSchema } from "./cluster_schema.ts";
import { parseExtEntry, parseHotEntry } from "./allowlist.ts";
import { authSchema, originsSchema } from "./auth_schema.ts";
import { httpServiceSchema, stateDirSchema, webhookSchema } from "./backend_schema.ts";
import { extensionKeys, extensionsSchema, pluginsSchema } from "./extension_schema.ts";
import { flag, limit, name, rate, text, whole } from "./fields.ts";
import { gatewayQuotasSchema, quotasSchema, rulesSchema } from "./policy_schema.ts";
import { compressionSchema, tcpSchema, tlsSchema, webtransportSchema } from "./listener_schema.ts";
import { recoveryKeys, resumeSchema, roomClassesSchema } from "./recovery_schema.ts";
import { tracingSchema } from "./tracing_schema.ts";

/** Paths of the public listener that the metrics must not cover. */
const TAKEN_PATHS = ["/v1/ws", "/healthz", "/readyz"];

const handshakeLimit = z.strictObject({
  enabled: flag(false, "Whether connection attempts are limited before the upgrade (refused with 429)."),
  global_rps: rate(100, "Attempts per second, all addresses together."),
  global_burst: rate(200, "Attempts at once, all addresses together."),
  per_ip_rps: rate(10, "Attempts per second from one address; IPv6 addresses count by their first 64 bits."),
  per_ip_burst: rate(50, "Attempts at once from one address."),
  max_ip_entries: whole(
    1,
    10_000_000,
    50_000,
    "Addresses remembered; the one not seen for longest is forgotten first.",
  ),
  failed_auth_cost: whole(
    0,
    1000,
    5,
    "Attempts that a bad ticket counts for, besides its own. Its address then waits longer.",
  ),
}).meta({
  description:
    "Token buckets for connection attempts; plain HTTP on the public listener has the same, of its own.",
});

const gateway = z.strictObject({
  listen: text((value) => parseListen(value) !== undefined, {
    description:
      "Address and port of the public listener. `:port` stands for every IPv4 address, port 0 for any " +
      "free port. `WSPRISM_LISTEN` (host:port), else `PORT` (the port only), in the environment goes first.",
    wish: '"host:port", "[ipv6]:port" or ":port" with a port 0..65535',
  }).default("0.0.0.0:8080"),
  ping_interval_ms: whole(5000, 120_000, 20_000, "Time between pings to a client, in milliseconds."),
  idle_timeout_ms: whole(
    10_000,
    600_000,
    60_000,
    "Time without any message or pong after which a session ends, in milliseconds. Greater than `ping_interval_ms`.",
  ),
  writer_send_timeout_ms: whole(
    50,
    60_000,
    1500,
    "Time that a socket may stall with data waiting before its session ends (4000), in milliseconds.",
  ),
  drain_grace_ms: whole(0, 600_000, 2000, "Time that sessions get to leave at shutdown, in milliseconds."),
  handshake_limit: handshakeLimit.prefault({}),
  max_connections: limit("Open connections, all tenants together."),
  auth_timeout_ms: whole(
    100,
    600_000,
    5000,
    "Time for the first message of a client that connects without a ticket, in milliseconds.",
  ),
  max_header_bytes: whole(
    2048,
    65_536,
    16_384,
    "Largest head of a request, its address and headers, in bytes; a larger one is refused with 431.",
  ),
  header_timeout_ms: whole(
    1000,
    120_000,
    12_000,
    "Time for a request's head to arrive, and before it for the TLS handshake, in milliseconds.",
  ),
  trusted_proxies: z.array(text(isCidr, {
    description: "An address range.",
    wish: 'an address range such as "10.0.0.0/8", or "10.1.2.3/32" for one address',
  })).default([]).meta({
    description: "Address ranges of the proxies whose `client_ip_header` is believed.",
  }),
  client_ip_header: z.string().regex(/^[a-z0-9!#$%&'*+.^_`|~-]{1,64}$/).default("x-forwarded-for").meta({
    description: "Header in which a trusted proxy names the client's address, such as `fly-client-ip`.",
    wish: 'a header name in lower case, such as "x-forwarded-for"',
  }),
  max_outbox_bytes: limit(
    "Payload bytes that may wait for clients which read too slowly, all sessions together; above it, those who " +
      "hold most lose first what may be lost, then their connection.",
    268_435_456,
  ),
  socket_watermark_bytes: whole(
    1024,
    16_777_216,
    65_536,
    "Bytes in a socket's own buffer above which it is fed no more. Messages there can't be overtaken any more.",
  ),
  socket_unsent_bytes: whole(
    0,
    16_777_216,
    65_536,
    "Bytes that the kernel may keep unsent for a socket, about, on Bun with Linux or macOS; they can't be overtaken " +
      "any more either. 0: what the system says.",
  ),
  ...recoveryKeys,
  transport: z.enum(["auto", "native", "node", "raw"]).default("auto").meta({
    description:
      "How sockets are served: `native` is the runtime's own server, `node` is `node:http` with `ws`, `raw` is own framing " +
      "on Bun's sockets (experimental); `auto` takes `native` on Bun, or `raw` where a tenant has `compression`, and " +
      "`node` on Deno.",
  }),
  access_log: flag(
    false,
    "Whether each session's beginning and end, and each refused handshake, is a line of the log at level info, 1,000 a " +
      "second at most. Otherwise they are at debug.",
  ),
  quotas: gatewayQuotasSchema,
  tls: tlsSchema,
  tcp: tcpSchema,
  webtransport: webtransportSchema,
  reuse_port: flag(
    false,
    "Whether several gateways on this machine may share the public listener and that of `tcp`, on Linux: the kernel spreads " +
      "new connections over them. For several processes of one `cluster`.",
  ),
  state_dir: stateDirSchema,
  state_max_bytes: whole(
    1_048_576,
    Number.MAX_SAFE_INTEGER,
    4_294_967_296,
    "Bytes that all tenants may keep together in the state: values of their extensions and events of their webhooks. " +
      "Above it, values are refused and events are given up; bans, revocations, suspensions and open sessions are " +
      "always kept.",
  ),
  state_tenant_max_bytes: whole(
    65_536,
    Number.MAX_SAFE_INTEGER,
    1_073_741_824,
    "Bytes that one tenant may keep in the state, whatever its extensions and webhooks may keep each.",
  ),
}).meta({ description: "The listener and what holds for every connection." });

const metrics = z.strictObject({
  enabled: flag(true, "Whether metrics are served."),
  path: text((value) => /^\/[A-Za-z0-9._~/-]{0,127}$/.test(value) && !TAKEN_PATHS.includes(value), {
    description: "Path of the metrics, on the admin listener where there is one, else on the public one.",
    wish: `a path such as "/metrics", other than ${TAKEN_PATHS.join(", ")}`,
  }).default("/metrics"),
}).meta({ description: "Prometheus metrics." });

const limits = z.strictObject({
  max_frame_bytes: whole(
    1,
    MESSAGE_BYTES_MAX,
    4096,
    "Largest message from a client, in bytes; a larger one ends the session (4508).",
  ),
  max_json_depth: whole(
    4,
    JSON_DEPTH_MAX,
    JSON_DEPTH,
    "Values within each other in a message, itself the first and `data` the second, whoever sends it and whether in " +
      "JSON or CBOR. A deeper one is refused with `BAD_REQUEST`, and in CBOR ends its session (4505).",
  ),
  max_sessions_total: limit("Sessions of the tenant; above it, connections are refused with 503."),
  max_rooms_total: limit(
    "Rooms with at least one member. While there are so many rooms, with those that only keep a history, no message " +
      "begins one in which nobody is.",
  ),
  max_users_per_room: limit("Users in one room."),
  max_rooms_per_user: limit("Rooms that one user is in."),
  max_sessions_per_ip: limit("Sessions from one address; IPv6 addresses count by their first 64 bits."),
  max_pending_per_session: whole(
    1,
    1_000_000,
    64,
    "Ext messages of one session that may wait for a service; one more is refused with `RATE_LIMITED`.",
  ),
}).meta({ description: "How much of everything a tenant may have." });

const sessions = z.strictObject({
  mode: z.enum(["single", "multi"]).default("multi").meta({
    description: "Whether a user has one session or several. `single` needs `max_sessions_per_user: 1`.",
  }),
  max_sessions_per_user: whole(1, 4_294_967_295, 4, "Sessions of one user at the same time."),
  on_exceed: z.enum(["deny", "kick_oldest"]).default("deny").meta({
    description: "What happens at one session too many: the new one is refused, or the oldest one ends.",
  }),
}).meta({ description: "Sessions of one user." });

const policy = z.strictObject({
  rate_limit_rps: rate(200, "Messages per second."),
  rate_limit_burst: rate(400, "Messages at once."),
  rate_limit_scope: z.enum(["tenant", "connection", "both"]).default("connection").meta({
    description: "Whether the rate holds for the tenant as a whole, for each connection, or for both.",
  }),
  sessions: sessions.prefault({}),
  hot_error_mode: z.enum(["sys_error", "silent"]).default("sys_error").meta({
    description: "Whether a refused hot message is answered with `sys.error` or dropped without a word.",
  }),
  hot_requires_active_room: flag(true, "Whether hot messages need a room joined before."),
  ext_allowlist: z.array(text((value) => parseExtEntry(value) !== undefined, {
    description: "An entry.",
    wish: '"svc:type" or "svc:*"',
  })).default(["room:join", "room:leave"]).meta({
    description:
      'Text messages that clients may send, as `"svc:type"` or `"svc:*"`. An empty list allows nothing.',
  }),
  hot_allowlist: z.array(text((value) => parseHotEntry(value) !== undefined, {
    description: "An entry.",
    wish: '"svc_id:opcode" or "svc_id:*", numbers 0..255',
  })).default([]).meta({
    description:
      'Binary messages that clients may send, as `"svc_id:opcode"` or `"svc_id:*"`. An empty list allows ' +
      "nothing.",
  }),
  quotas: quotasSchema,
  rules: rulesSchema,
}).meta({ description: "What a session may do." });

const laneBytes = (preset: number) =>
  whole(1024, 1_073_741_824, preset, "Payload bytes of one session that may wait.");
const laneAge = () =>
  whole(0, 3_600_000, 0, "Messages that waited longer than this many milliseconds are dropped. 0: any age.");

const delivery = z.strictObject({
  reliable: z.strictObject({
    max_bytes: laneBytes(1_048_576),
    max_messages: whole(1, 1_000_000, 4096, "Messages of one session that may wait."),
  }).prefault({}).meta({
    description: "The ext lane. Full: the session is closed (4000), never a silent loss.",
  }),
  latest: z.strictObject({
    max_bytes: laneBytes(262_144),
    max_age_ms: laneAge(),
  }).prefault({}).meta({
    description:
      "Hot messages of which only the newest per sender and opcode matters. Full: the oldest leaves.",
  }),
  lossy: z.strictObject({
    max_bytes: laneBytes(262_144),
    max_age_ms: laneAge(),
    on_full: z.enum(["drop_oldest", "drop_newest"]).default("drop_oldest").meta({
      description: "Which message leaves when the lane is full.",
    }),
  }).prefault({}).meta({ description: "All other hot messages." }),
}).meta({ description: "What waits for a session that reads more slowly than it is sent to." });

const service = z.strictObject({
  svc: name("Name in the messages' `svc`; not `room` or `sys`, which every tenant has."),
  builtin: z.enum(["chat"]).meta({ description: "The service that the gateway brings along." }).optional(),
  http: httpServiceSchema.optional(),
  ...extensionKeys,
}).meta({
  description:
    "A service of the ext lane. `permissions`, `limits`, `options` and `tick_ms` are for a `worker` or `wasm`.",
});

const hotId = z.int().min(0).max(255).meta({ description: "The `svc_id` in the messages' header." });
function hotLane() {
  return z.enum(["lossy", "latest"]).default("lossy").meta({
    description:
      "How its messages wait for a slow client: all of them up to a bound (`lossy`), or the newest of each sender " +
      "and opcode (`latest`).",
  });
}
const stateService = z.strictObject({
  id: hotId,
  kind: z.literal("state"),
  lane: z.literal("latest").default("latest").meta({ description: "State is always `latest`." }),
  tick_ms: whole(10, 10_000, 50, "With `kind: state` only: time between two sends, in milliseconds."),
});
const hotService = z.discriminatedUnion("kind", [
  z.strictObject({
    id: hotId,
    kind: z.literal("echo").meta({
      description:
        "`echo` sends a message to the whole room, `relay` to the others in it with the sender's number, " +
        "`state` keeps each sender's latest and sends what changed every `tick_ms`.",
    }),
    lane: hotLane(),
  }),
  z.strictObject({ id: hotId, kind: z.literal("relay"), lane: hotLane() }),
  stateService,
]).meta({ description: "A service of the hot lane." });
/** All that any kind may have, by which an entry of no known kind can be checked all the same. */
export const anyHotServiceSchema = stateService.extend({ lane: hotLane() });

const tenant = z.strictObject({
  id: name("The name that clients connect with (`?tenant=`); unique."),
  suspended: flag(
    false,
    "Whether its sessions end (4509) and new ones are refused with 403, as long as this holds.",
  ),
  auth: authSchema.optional(),
  origins: originsSchema,
  limits: limits.prefault({}),
  delivery: delivery.prefault({}),
  resume: resumeSchema,
  compression: compressionSchema,
  rooms: roomClassesSchema,
  policy: policy.prefault({}),
  services: z.array(service).default([{ svc: "chat", builtin: "chat" }]).meta({
    description: "Services of the ext lane, besides `room` and `sys`.",
  }),
  plugins: pluginsSchema,
  webhooks: z.array(webhookSchema).max(64).default([]).meta({
    description: "Your backend is told what happens.",
    wish: "a list of at most 64 webhooks",
  }),
  hot_services: z.array(hotService).default([{ id: 1, kind: "echo", lane: "lossy" }]).meta({
    description: "Services of the hot lane.",
  }),
}).meta({ description: "One tenant: its own users, rooms, limits and policy." });

/** The whole file. Strict at every level. */
export const configSchema = z.strictObject({
  version: z.literal(1).meta({ description: "Version of this format." }),
  gateway: gateway.prefault({}),
  admin: adminSchema,
  cluster: clusterSchema,
  extensions: extensionsSchema,
  metrics: metrics.prefault({}),
  tracing: tracingSchema,
  tenants: z.array(tenant).min(1).meta({
    description: "At least one tenant.",
    wish: "a list of at least one tenant",
  }),
}).meta({ title: "wsPrism configuration", description: "Configuration of a wsPrism gateway." });

/** What a service or plugin that is an extension has besides, once it is loaded. */
export interface Loaded {
  /** Absent where it is no extension. */
  readonly code?: {
    readonly program: Program;
    /** A short name of it. */
    readonly digest: string;
  };
}

type Parsed = z.infer<typeof configSchema>;
type ParsedTenant = Parsed["tenants"][number];
type LoadedTenant = Omit<ParsedTenant, "services" | "plugins"> & {
  services: (ParsedTenant["services"][number] & Loaded)[];
  plugins: (ParsedTenant["plugins"][number] & Loaded)[];
};

/** A configuration with every default filled in. Times are milliseconds, sizes bytes, rates per second. */
export type Config = Omit<Parsed, "tenants"> & { tenants: LoadedTenant[] };
/** `gateway`. */
export type GatewayConfig = Config["gateway"];
/** `gateway.handshake_limit`. */
export type HandshakeLimitConfig = GatewayConfig["handshake_limit"];
/** `admin`. */
export type AdminConfig = NonNullable<Config["admin"]>;
/** `cluster`. */
export type ClusterConfig = NonNullable<Config["cluster"]>;
/** `metrics`. */
export type MetricsConfig = Config["metrics"];
/** `tenants[]`. */
export type TenantConfig = Config["tenants"][number];
/** `tenants[].auth`. */
export type AuthConfig = NonNullable<TenantConfig["auth"]>;
/** `tenants[].auth.jwt`. */
export type JwtConfig = NonNullable<AuthConfig["jwt"]>;
/** `tenants[].auth.jwt.keys[]`; a loaded one has the contents of its files in `public_key` and `private_key`. */
export type JwtKeyConfig = JwtConfig["keys"][number];
/** `tenants[].auth.static`. */
export type StaticConfig = NonNullable<AuthConfig["static"]>;
/** `tenants[].auth.http`. */
export type HttpAuthConfig = NonNullable<AuthConfig["http"]>;
/** `tenants[].limits`; 0 is no limit, save where a key's range begins above it. */
export type LimitsConfig = TenantConfig["limits"];
/** `tenants[].policy`. */
export type PolicyConfig = TenantConfig["policy"];
/** `tenants[].policy.sessions`. */
export type SessionsConfig = PolicyConfig["sessions"];
/** `gateway.quotas`, and `tenants[].policy.quotas.user` and `session`. */
export type QuotaConfig = GatewayConfig["quotas"];
/** `tenants[].policy.rules[]`; a loaded one has the contents of its file in `schema_text`. */
export type RuleConfig = PolicyConfig["rules"][number];
/** `tenants[].services[]`. */
export type ServiceConfig = TenantConfig["services"][number];
/** `tenants[].plugins[]`. */
export type PluginConfig = TenantConfig["plugins"][number];
/** `tenants[].hot_services[]`. */
export type HotServiceConfig = TenantConfig["hot_services"][number];
