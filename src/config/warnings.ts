// What is allowed in a configuration and still worth a word: entries that reach nothing, services that nothing reaches,
// bounds that other bounds make pointless. None of these stops a start.

import { findAdminWarnings } from "./admin.ts";
import { parseExtEntry, parseHotEntry } from "./allowlist.ts";
import type { ConfigIssue, Path } from "./issue.ts";
import type { Config, HandshakeLimitConfig, TenantConfig } from "./schema.ts";
import type { Tree } from "./tree.ts";

/** Every warning about a valid configuration. */
export function findWarnings(config: Config, tree: Tree, dev: boolean): ConfigIssue[] {
  const warnings: ConfigIssue[] = [];
  const warn = (path: Path, message: string) => void warnings.push(tree.issue(path, message));

  const { gateway } = config;
  gateway.trusted_proxies.forEach((range, index) => {
    if (!range.endsWith("/0")) return;
    warn(
      ["gateway", "trusted_proxies", index],
      "trusts every address, so that any client can pretend to be another",
    );
  });
  if (gateway.handshake_limit.enabled) warnOfHandshakes(gateway.handshake_limit, warn);
  warnings.push(...findAdminWarnings(config, tree));
  config.tenants.forEach((tenant, index) => {
    const path = ["tenants", index];
    if (dev && (tenant.auth === undefined || tenant.auth.mode === "dev")) {
      warn(
        [...path, "id"],
        'accepts development tickets ("dev", "dev:<name>") from anybody, because of --dev',
      );
    }
    tenant.origins.forEach((origin, at) => {
      if (origin === "*" || origin.toLowerCase() === "null") {
        warn([...path, "origins", at], "lets pages of any site connect in their visitors' name");
      }
    });
    warnOfLimits(tenant, path, gateway.max_connections, warn);
    warnOfDelivery(tenant, path, gateway.socket_watermark_bytes, warn);
    warnOfExtLane(tenant, [...path, "policy", "ext_allowlist"], tree, warn);
    warnOfHotLane(tenant, [...path, "policy", "hot_allowlist"], tree, warn);
    warnOfServices(tenant, path, tree, warn);
  });
  return warnings;
}

type Warn = (path: Path, message: string) => void;

function warnOfHandshakes(limit: HandshakeLimitConfig, warn: Warn): void {
  const path = ["gateway", "handshake_limit"];
  if (limit.per_ip_rps > limit.global_rps) {
    warn([...path, "per_ip_rps"], "is more than global_rps, which refuses first");
  }
  if (limit.global_burst < limit.global_rps) warn([...path, "global_burst"], smallBurst("global_rps"));
  if (limit.per_ip_burst < limit.per_ip_rps) warn([...path, "per_ip_burst"], smallBurst("per_ip_rps"));
}

function smallBurst(rate: string): string {
  return `is less than ${rate}, so that one second's worth is refused in part when it comes at once`;
}

function warnOfLimits(tenant: TenantConfig, path: Path, connections: number, warn: Warn): void {
  const { limits, policy } = tenant;
  if (policy.rate_limit_burst < policy.rate_limit_rps) {
    warn([...path, "policy", "rate_limit_burst"], smallBurst("rate_limit_rps"));
  }
  if (connections > 0 && limits.max_sessions_total > connections) {
    warn(
      [...path, "limits", "max_sessions_total"],
      "is more than gateway.max_connections, which is reached first",
    );
  }
  if (limits.max_sessions_total > 0 && policy.sessions.max_sessions_per_user > limits.max_sessions_total) {
    const key = [...path, "policy", "sessions", "max_sessions_per_user"];
    warn(key, "is more than limits.max_sessions_total, which is reached first");
  }
}

function warnOfDelivery({ delivery, limits }: TenantConfig, path: Path, watermark: number, warn: Warn): void {
  const at = [...path, "delivery", "reliable", "max_bytes"], { max_bytes: bytes } = delivery.reliable;
  if (bytes < limits.max_frame_bytes) {
    warn(
      at,
      "is less than limits.max_frame_bytes, so that one large message can end the session of a slow reader",
    );
  } else if (bytes <= watermark) {
    warn(
      at,
      "is no more than gateway.socket_watermark_bytes, so that a socket which holds that much ends its session",
    );
  }
}

function warnOfExtLane(tenant: TenantConfig, path: Path, tree: Tree, warn: Warn): void {
  const { ext_allowlist: entries } = tenant.policy;
  if (entries.length === 0) warn(path, "is empty: clients may send no text messages but those of sys");
  const services = new Set(["room", "sys", ...tenant.services.map((service) => service.svc)]);
  entries.forEach((text, index) => {
    const entry = parseExtEntry(text);
    if (entry === undefined) return;
    const at = [...path, index];
    if (!entry.matchable) {
      warn(at, `matches no message: ${tree.show(at)} is not "svc:type" or "svc:*" in valid names`);
    } else if (!services.has(entry.svc)) {
      warn(at, `${tree.show(at)} names a service that this tenant doesn't have`);
    }
  });
}

function warnOfHotLane(tenant: TenantConfig, path: Path, tree: Tree, warn: Warn): void {
  const ids = new Set(tenant.hot_services.map((service) => service.id));
  const { hot_allowlist: entries, hot_requires_active_room: needsRoom } = tenant.policy;
  if (entries.length > 0 && needsRoom && !tenant.policy.ext_allowlist.some(lets("room", "join"))) {
    warn(
      path,
      'lets nothing through: hot_requires_active_room is true, and ext_allowlist has no "room:join"',
    );
  }
  entries.forEach((text, index) => {
    const entry = parseHotEntry(text);
    if (entry === undefined || ids.has(entry.svcId)) return;
    const at = [...path, index];
    warn(at, `${tree.show(at)} names a hot service that this tenant doesn't have`);
  });
}

function lets(svc: string, type: string): (text: string) => boolean {
  return (text) => text === `${svc}:*` || text === `${svc}:${type}`;
}

/** Services that the file itself names and no entry reaches; unused defaults are nobody's mistake. */
function warnOfServices(tenant: TenantConfig, path: Path, tree: Tree, warn: Warn): void {
  const reached = new Set(tenant.policy.ext_allowlist.map((text) => parseExtEntry(text)?.svc));
  tenant.services.forEach((service, index) => {
    const at = [...path, "services", index, "svc"];
    if (!reached.has(service.svc) && tree.has(at)) warn(at, "is reached by no entry of policy.ext_allowlist");
  });
  const hotReached = new Set(tenant.policy.hot_allowlist.map((text) => parseHotEntry(text)?.svcId));
  tenant.hot_services.forEach((service, index) => {
    const at = [...path, "hot_services", index, "id"];
    if (!hotReached.has(service.id) && tree.has(at)) {
      warn(at, "is reached by no entry of policy.hot_allowlist");
    }
  });
}
