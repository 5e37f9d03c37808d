import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { configShape } from "../../src/config/document.ts";
import type { Shape } from "../../src/config/shape.ts";
import { accepted, oneTenant, refusals } from "./loading.ts";

test("A file with nothing but a tenant's id has every default of the contract", () => {
  assert.deepEqual(accepted(oneTenant()).config, {
    version: 1,
    gateway: {
      listen: "127.0.0.1:8080",
      ping_interval_ms: 20000,
      idle_timeout_ms: 60000,
      writer_send_timeout_ms: 1500,
      drain_grace_ms: 2000,
      handshake_limit: {
        enabled: false,
        global_rps: 100,
        global_burst: 200,
        per_ip_rps: 10,
        per_ip_burst: 50,
        max_ip_entries: 50000,
        failed_auth_cost: 5,
      },
      max_connections: 0,
      auth_timeout_ms: 5000,
      max_header_bytes: 16384,
      header_timeout_ms: 12000,
      max_outbox_bytes: 268_435_456,
      state_max_bytes: 4_294_967_296,
      state_tenant_max_bytes: 1_073_741_824,
      socket_watermark_bytes: 65_536,
      reuse_port: false,
      access_log: false,
      socket_unsent_bytes: 65_536,
      trusted_proxies: [],
      client_ip_header: "x-forwarded-for",
      max_history_bytes: 268_435_456,
      max_replay_bytes: 67_108_864,
      transport: "auto",
      quotas: {},
    },
    extensions: { confinement: "required", host_memory_mb: 512 },
    metrics: { enabled: true, path: "/metrics" },
    tenants: [{
      id: "acme",
      suspended: false,
      plugins: [],
      webhooks: [],
      origins: [],
      rooms: [],
      limits: {
        max_frame_bytes: 4096,
        max_json_depth: 64,
        max_sessions_total: 0,
        max_rooms_total: 0,
        max_users_per_room: 0,
        max_rooms_per_user: 0,
        max_sessions_per_ip: 0,
        max_pending_per_session: 64,
      },
      delivery: {
        reliable: { max_bytes: 1_048_576, max_messages: 4096 },
        latest: { max_bytes: 262_144, max_age_ms: 0 },
        lossy: { max_bytes: 262_144, max_age_ms: 0, on_full: "drop_oldest" },
      },
      policy: {
        rate_limit_rps: 200,
        rate_limit_burst: 400,
        rate_limit_scope: "connection",
        sessions: { mode: "multi", max_sessions_per_user: 4, on_exceed: "deny" },
        hot_error_mode: "sys_error",
        hot_requires_active_room: true,
        ext_allowlist: ["room:join", "room:leave"],
        hot_allowlist: [],
        quotas: { tenant: {}, user: {}, session: {} },
        rules: [],
      },
      services: [{ svc: "chat", builtin: "chat" }],
      hot_services: [{ id: 1, kind: "echo", lane: "lossy" }],
    }],
  });
});

/** Every range of the contract; `path` goes through tenant 0. The companion keeps relations out of the way. */
const RANGES: readonly [path: string, min: number, max: number, companion?: string][] = [
  ["gateway.ping_interval_ms", 5000, 120_000, "idle_timeout_ms: 600000"],
  ["gateway.idle_timeout_ms", 10_000, 600_000, "ping_interval_ms: 5000"],
  ["gateway.writer_send_timeout_ms", 50, 60_000],
  ["gateway.drain_grace_ms", 0, 600_000],
  ["gateway.max_connections", 0, Number.MAX_SAFE_INTEGER],
  ["gateway.max_outbox_bytes", 0, Number.MAX_SAFE_INTEGER],
  ["gateway.state_max_bytes", 1_048_576, Number.MAX_SAFE_INTEGER],
  ["gateway.state_tenant_max_bytes", 65_536, Number.MAX_SAFE_INTEGER],
  ["gateway.socket_watermark_bytes", 1024, 16_777_216],
  ["gateway.socket_unsent_bytes", 0, 16_777_216],
  ["tenants[].compression.min_bytes", 1, 1_048_576],
  ["tenants[].compression.max_inflated_bytes", 1024, 16_777_216],
  ["gateway.max_history_bytes", 0, Number.MAX_SAFE_INTEGER],
  ["gateway.max_replay_bytes", 65_536, 1_073_741_824],
  ["gateway.handshake_limit.global_rps", 1, 1_000_000_000],
  ["gateway.handshake_limit.global_burst", 1, 1_000_000_000],
  ["gateway.handshake_limit.per_ip_rps", 1, 1_000_000_000],
  ["gateway.handshake_limit.per_ip_burst", 1, 1_000_000_000],
  ["gateway.handshake_limit.max_ip_entries", 1, 10_000_000],
  ["gateway.handshake_limit.failed_auth_cost", 0, 1000],
  ["gateway.auth_timeout_ms", 100, 600_000],
  ["gateway.max_header_bytes", 2048, 65_536],
  ["gateway.header_timeout_ms", 1000, 120_000],
  ["tracing.sample_ratio", 0, 1],
  ["cluster.history.replicas", 1, 5],
  ["cluster.history.max_bytes", 0, Number.MAX_SAFE_INTEGER],
  ["admin.max_body_bytes", 1024, 67_108_864],
  ["admin.keys[].rps", 1, 1_000_000_000],
  ["admin.keys[].burst", 1, 1_000_000_000],
  ["tenants[].auth.max_pending", 1, 1_000_000],
  ["tenants[].auth.max_pending_per_ip", 1, 1_000_000],
  ["tenants[].auth.expiry_warning_ms", 0, 3_600_000],
  ["tenants[].auth.failure_delay_ms", 0, 5000],
  ["tenants[].auth.jwt.jwks_refresh_ms", 1000, 86_400_000],
  ["tenants[].auth.jwt.jwks_cooldown_ms", 100, 3_600_000],
  ["tenants[].auth.jwt.jwks_timeout_ms", 50, 60_000],
  ["tenants[].auth.jwt.jwks_max_stale_ms", 0, 2_592_000_000],
  ["tenants[].auth.jwt.leeway_s", 0, 300],
  ["tenants[].auth.jwt.max_age_s", 0, 3_155_760_000],
  ["tenants[].auth.http.timeout_ms", 50, 30_000],
  ["tenants[].auth.http.max_concurrent", 1, 10_000],
  ["tenants[].auth.http.max_queued", 0, 100_000],
  ["tenants[].auth.http.cache_ttl_ms", 0, 300_000],
  ["tenants[].auth.http.cache_max_entries", 1, 1_000_000],
  ["tenants[].limits.max_frame_bytes", 1, 16_777_216],
  ["tenants[].limits.max_json_depth", 4, 512],
  ["tenants[].limits.max_sessions_total", 0, Number.MAX_SAFE_INTEGER],
  ["tenants[].limits.max_rooms_total", 0, Number.MAX_SAFE_INTEGER],
  ["tenants[].limits.max_users_per_room", 0, Number.MAX_SAFE_INTEGER],
  ["tenants[].limits.max_rooms_per_user", 0, Number.MAX_SAFE_INTEGER],
  ["tenants[].limits.max_sessions_per_ip", 0, Number.MAX_SAFE_INTEGER],
  ["tenants[].limits.max_pending_per_session", 1, 1_000_000],
  ["tenants[].delivery.reliable.max_bytes", 1024, 1_073_741_824],
  ["tenants[].delivery.reliable.max_messages", 1, 1_000_000],
  ["tenants[].delivery.latest.max_bytes", 1024, 1_073_741_824],
  ["tenants[].delivery.latest.max_age_ms", 0, 3_600_000],
  ["tenants[].delivery.lossy.max_bytes", 1024, 1_073_741_824],
  ["tenants[].delivery.lossy.max_age_ms", 0, 3_600_000],
  ["tenants[].resume.window_ms", 1000, 3_600_000],
  ["tenants[].resume.max_bytes", 1024, 1_073_741_824],
  ["tenants[].resume.max_messages", 1, 1_000_000],
  ["tenants[].resume.max_detached", 1, 10_000_000],
  ["tenants[].rooms[].history.max_messages", 1, 100_000],
  ["tenants[].rooms[].history.max_bytes", 1024, 1_073_741_824],
  ["tenants[].rooms[].history.max_age_ms", 1000, 2_592_000_000],
  ["tenants[].policy.rate_limit_rps", 1, 1_000_000_000],
  ["tenants[].policy.rate_limit_burst", 1, 1_000_000_000],
  ["gateway.quotas.messages_per_second", 1, 1_000_000_000_000],
  ["gateway.quotas.burst", 1, 1_000_000_000_000, "messages_per_second: 1"],
  ["gateway.quotas.bytes_per_second", 1, 1_000_000_000_000],
  ["gateway.quotas.bytes_burst", 1, 1_000_000_000_000, "bytes_per_second: 1"],
  ["tenants[].policy.quotas.tenant.messages_per_second", 1, 1_000_000_000_000],
  ["tenants[].policy.quotas.tenant.burst", 1, 1_000_000_000_000, "messages_per_second: 1"],
  ["tenants[].policy.quotas.tenant.bytes_per_second", 1, 1_000_000_000_000],
  ["tenants[].policy.quotas.tenant.bytes_burst", 1, 1_000_000_000_000, "bytes_per_second: 1"],
  ["tenants[].policy.quotas.tenant.outbound_bytes_per_second", 1, 1_000_000_000_000],
  [
    "tenants[].policy.quotas.tenant.outbound_bytes_burst",
    1,
    1_000_000_000_000,
    "outbound_bytes_per_second: 1",
  ],
  ["tenants[].policy.quotas.user.messages_per_second", 1, 1_000_000_000_000],
  ["tenants[].policy.quotas.user.burst", 1, 1_000_000_000_000, "messages_per_second: 1"],
  ["tenants[].policy.quotas.user.bytes_per_second", 1, 1_000_000_000_000],
  ["tenants[].policy.quotas.user.bytes_burst", 1, 1_000_000_000_000, "bytes_per_second: 1"],
  ["tenants[].policy.quotas.session.messages_per_second", 1, 1_000_000_000_000],
  ["tenants[].policy.quotas.session.burst", 1, 1_000_000_000_000, "messages_per_second: 1"],
  ["tenants[].policy.quotas.session.bytes_per_second", 1, 1_000_000_000_000],
  ["tenants[].policy.quotas.session.bytes_burst", 1, 1_000_000_000_000, "bytes_per_second: 1"],
  ["tenants[].policy.rules[].rate.messages_per_second", 1, 1_000_000_000_000],
  ["tenants[].policy.rules[].rate.burst", 1, 1_000_000_000_000, "messages_per_second: 1"],
  ["tenants[].policy.rules[].max_bytes", 1, 16_777_216],
  ["tenants[].policy.rules[].window_ms", 100, 86_400_000],
  ["tenants[].policy.rules[].then[].mute_ms", 1, 86_400_000],
  ["tenants[].policy.rules[].then[].ban_ms", 1, 315_360_000_000],
  ["tenants[].policy.sessions.max_sessions_per_user", 1, 4_294_967_295],
  ["tenants[].webhooks[].batch.max_events", 1, 10_000],
  ["tenants[].webhooks[].batch.max_wait_ms", 0, 60_000],
  ["tenants[].webhooks[].timeout_ms", 50, 120_000],
  ["tenants[].webhooks[].retry.max_age_ms", 1000, 2_592_000_000],
  ["tenants[].webhooks[].queue.max_bytes", 65_536, Number.MAX_SAFE_INTEGER],
  ["tenants[].webhooks[].queue.max_dead_letters", 0, 1_000_000],
  ["tenants[].services[].http.timeout_ms", 50, 120_000],
  ["tenants[].services[].http.max_concurrent", 1, 10_000],
  ["tenants[].services[].http.max_queued", 0, 100_000],
  ["tenants[].services[].http.max_response_bytes", 1024, 16_777_216],
  ["tenants[].services[].http.retry.attempts", 0, 10],
  ["extensions.host_memory_mb", 96, 1_048_576],
  ...["services", "plugins"].flatMap((list): [path: string, min: number, max: number][] => [
    [`tenants[].${list}[].tick_ms`, 50, 86_400_000],
    [`tenants[].${list}[].limits.timeout_ms`, 10, 600_000],
    [`tenants[].${list}[].limits.cpu_ms`, 10, 60_000],
    [`tenants[].${list}[].limits.memory_mb`, 16, 16_384],
    [`tenants[].${list}[].limits.max_pending`, 1, 1_000_000],
    [`tenants[].${list}[].limits.fetch_concurrency`, 1, 1000],
    [`tenants[].${list}[].limits.max_actions_per_second`, 1, 1_000_000],
    [`tenants[].${list}[].limits.max_log_lines_per_second`, 1, 100_000],
    [`tenants[].${list}[].limits.kv_max_bytes`, 1024, 1_073_741_824],
    [`tenants[].${list}[].limits.max_reply_bytes`, 1024, 1_048_576],
    [`tenants[].${list}[].limits.max_timers`, 1, 100_000],
  ]),
  ["tenants[].hot_services[].id", 0, 255, "kind: echo"],
  ["tenants[].hot_services[].tick_ms", 10, 10_000, "id: 1, kind: state"],
];

const ADMIN_KEY =
  '{ id: a, secret: "0123456789abcdef0123456789abcdef", tenants: [acme], permissions: [read], ';

/** What a map needs besides; in `auth`, that depends on the mode. */
function others(part: string, inner: string): string {
  switch (part) {
    case "cluster":
      return 'nats: { servers: ["nats://127.0.0.1:4222"] }, ';
    case "tracing":
      return 'otlp_endpoint: "http://127.0.0.1:4318", ';
    case "tenants[]":
      return "id: acme, ";
    case "admin":
      return `listen: "127.0.0.1:1", ${inner.startsWith("keys:") ? "" : `keys: [${ADMIN_KEY} }], `}`;
    case "keys[]":
      return ADMIN_KEY.slice(1);
    case "rooms[]":
      return 'match: "*", ';
    case "rules[]":
      return "id: a-rule, ";
    case "auth":
      return `mode: ${/^(jwt|http):/.exec(inner)?.[1] ?? "dev"}, `;
    case "jwt":
      return 'algorithms: [HS256], keys: [{ secret: "0123456789abcdef0123456789abcdef" }], ';
    case "webhooks[]":
      return 'id: audit, url: "https://backend.example/", events: [room.joined], durable: false, ';
    case "services[]":
      return /^(limits|tick_ms):/.test(inner) ? "svc: orders, worker: a.ts, " : "svc: orders, ";
    case "plugins[]":
      return 'id: a-plugin, match: { service: "*" }, worker: a.ts, ';
    case "http":
      return 'url: "https://backend.example/", ';
    default:
      return "";
  }
}

/** A file, in flow style, in which one key has a value. */
function fileWith(path: string, value: string, companion?: string): string {
  let inner = `${value}${companion === undefined ? "" : `, ${companion}`}`;
  for (const part of path.split(".").reverse()) {
    const isList = part.endsWith("[]");
    const isLeaf = inner.startsWith(value);
    const body = isLeaf ? inner : `{ ${others(part, inner)}${inner} }`;
    inner = isList ? `${part.slice(0, -2)}: [${body}]` : `${part}: ${body}`;
  }
  return `{ version: 1, ${path.startsWith("tenants") ? "" : "tenants: [{ id: acme }], "}${inner} }`;
}

/** Of all numbers, these need not be whole. */
const FRACTIONS: ReadonlySet<string> = new Set(["tracing.sample_ratio"]);

const files = { "a.ts": "" };

for (const [path, min, max, companion] of RANGES) {
  test(`${path} takes ${min}..${max} and nothing beside it`, () => {
    const wrong = (value: string) => {
      const [first, ...others] = refusals(fileWith(path, value, companion), { files });
      assert.deepEqual(others, [], value);
      const end = path.split(".").at(-1);
      assert.match(
        first ?? "",
        new RegExp(`\\.${end} must be .*, got ${value.replace(/[.+]/g, "\\$&")} \\(`),
        value,
      );
    };
    for (const value of [min, max]) accepted(fileWith(path, String(value), companion), { files });
    const beside = FRACTIONS.has(path) ? [min - 0.5, max + 0.5] : [min + 0.5];
    for (const value of [min - 1, -1 - min, max + 1, ...beside]) wrong(String(value));
    for (const value of [`"${min}"`, "true", "lots", ".inf", ".nan", "null", "1e400"]) {
      const got = { null: "nothing", lots: '"lots"' }[value] ?? value;
      const failures = refusals(fileWith(path, value, companion), { files });
      assert.equal(failures.length, 1, value);
      assert.ok(failures[0]?.includes(`, got ${got} (`), failures[0] ?? "no failure");
    }
  });
}

test("Every number of the schema is in the table of ranges above", () => {
  const numbers: string[] = [];
  const walk = (shape: Shape, path: string): void => {
    if (shape.kind === "list") walk(shape.item, `${path}[]`);
    else if (shape.kind === "map") {
      for (const [key, inner] of shape.keys) walk(inner, path === "" ? key : `${path}.${key}`);
    } else if (shape.kind === "number") numbers.push(path);
  };
  walk(configShape(), "");
  assert.deepEqual(numbers.sort(), RANGES.map(([path]) => path).sort());
});

const CHOICES: readonly [path: string, values: readonly string[]][] = [
  ["gateway.transport", ["auto", "native", "node"]],
  ["tenants[].policy.rate_limit_scope", ["tenant", "connection", "both"]],
  ["tenants[].policy.sessions.on_exceed", ["deny", "kick_oldest"]],
  ["tenants[].policy.hot_error_mode", ["sys_error", "silent"]],
  ["gateway.handshake_limit.enabled", ["true", "false"]],
  ["metrics.enabled", ["true", "false"]],
  ["gateway.access_log", ["true", "false"]],
  ["tenants[].policy.rules[].dry_run", ["true", "false"]],
  ["tenants[].rooms[].presence", ["true", "false"]],
  ["tenants[].policy.rules[].match.lane", ["ext", "hot"]],
  ["tenants[].policy.rules[].then[].close", ["4005", "4507", "4509"]],
  ["tenants[].policy.hot_requires_active_room", ["true", "false"]],
];

for (const [path, values] of CHOICES) {
  test(`${path} takes ${values.join(", ")} only`, () => {
    for (const value of values) accepted(fileWith(path, value));
    for (const value of ["other", "yes", "1", "[]", `${values[0]?.toUpperCase()}x`]) {
      assert.equal(refusals(fileWith(path, value)).length, 1, value);
    }
  });
}

test("A rate within the range is taken as it is", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 1_000_000_000 }), (rate) => {
    const { config } = accepted(fileWith("tenants[].policy.rate_limit_rps", String(rate)));
    assert.equal(config.tenants[0]?.policy.rate_limit_rps, rate);
  }));
});

test("A version other than 1 is refused, and so is a missing one", () => {
  assert.deepEqual(refusals("version: 2\ntenants: [{ id: a }]"), ["version must be 1, got 2 (1, 10)"]);
  assert.deepEqual(refusals("tenants: [{ id: a }]"), ["version is missing; it must be 1 (1, 1)"]);
});

test("There is at least one tenant, and each has an id", () => {
  const wish = "must be a list of at least one tenant, got";
  assert.deepEqual(refusals("version: 1\ntenants: []"), [`tenants ${wish} an empty list (2, 10)`]);
  assert.deepEqual(refusals("version: 1\ntenants: acme"), [`tenants ${wish} "acme" (2, 10)`]);
  assert.deepEqual(refusals("version: 1"), [
    "tenants is missing; it must be a list of at least one tenant (1, 1)",
  ]);
  assert.match(
    refusals("version: 1\ntenants:\n  - limits: {}")[0] ?? "",
    /^tenants\[0\]\.id is missing; .* \(3, 5\)$/,
  );
});

test("A tenant's id is 1 to 64 of the characters that the protocol has for names", () => {
  for (const id of ["a", "A.b_c-9", "x".repeat(64)]) {
    assert.equal(
      accepted(
        fileWith("tenants[].limits.max_rooms_total", "1")
          .replace("acme", id),
      ).config.tenants[0]?.id,
      id,
    );
  }
  for (const id of ['""', "a b", "a/b", "ü", "x".repeat(65)]) {
    assert.match(
      refusals(`version: 1\ntenants: [{ id: ${id} }]`)[0] ?? "",
      /^tenants\[0\]\.id must be 1–64 of /,
      id,
    );
  }
});

test("A state service has a tick of 50 ms unless it says otherwise, and the others have none", () => {
  const { config } = accepted(oneTenant("hot_services: [{ id: 0, kind: state }, { id: 255, kind: relay }]"));
  assert.deepEqual(config.tenants[0]?.hot_services, [{ id: 0, kind: "state", lane: "latest", tick_ms: 50 }, {
    id: 255,
    kind: "relay",
    lane: "lossy",
  }]);
  assert.deepEqual(refusals(oneTenant("hot_services: [{ id: 1, kind: echo, tick_ms: 50 }]")), [
    'tenants[0].hot_services[0].tick_ms does not go with kind "echo" (4, 41)',
  ]);
});

test("A hot service of an unknown kind doesn't hide what else is wrong with it", () => {
  assert.deepEqual(refusals(oneTenant("hot_services: [{ id: 256, kind: rely, tick_ms: 1 }, { id: 2 }]")), [
    "tenants[0].hot_services[0].id must be 0..255, got 256 (4, 26)",
    'tenants[0].hot_services[0].kind must be one of "echo", "relay", "state", got "rely" (4, 37)',
    "tenants[0].hot_services[0].tick_ms must be 10..10000, got 1 (4, 52)",
    'tenants[0].hot_services[1].kind is missing; it must be one of "echo", "relay", "state" (4, 57)',
  ]);
});

test("The path of the metrics is a path, and none that the gateway needs itself", () => {
  for (const path of ["/", "/metrics", "/internal/stats", "/healthz2"]) {
    accepted(fileWith("metrics.path", path));
  }
  for (const path of ["metrics", '""', "/v1/ws", "/healthz", "/readyz", "/a?b", '"/a b"']) {
    assert.match(
      refusals(fileWith("metrics.path", path))[0] ?? "",
      /^metrics\.path must be a path such as/,
      path,
    );
  }
});
