// What is allowed in a configuration and still worth a word: entries that reach nothing, services that nothing reaches,
// bounds that other bounds make pointless. None of these stops a start.

import { parseExtEntry, parseHotEntry } from "./allowlist.ts";
import type { ConfigIssue, Path } from "./issue.ts";
import type { Config, TenantConfig } from "./schema.ts";
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
  const { handshake_limit: handshake } = gateway;
  if (handshake.enabled && handshake.per_ip_rps > handshake.global_rps) {
    warn(["gateway", "handshake_limit", "per_ip_rps"], "is never reached, as global_rps is less");
  }
  config.tenants.forEach((tenant, index) => {
    const path = ["tenants", index];
    if (dev) {
      warn(
        [...path, "id"],
        'accepts development tickets ("dev", "dev:<name>") from anybody, because of --dev',
      );
    }
    warnOfExtLane(tenant, [...path, "policy", "ext_allowlist"], tree, warn);
    warnOfHotLane(tenant, [...path, "policy", "hot_allowlist"], tree, warn);
    warnOfServices(tenant, path, tree, warn);
  });
  return warnings;
}

type Warn = (path: Path, message: string) => void;

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
  tenant.policy.hot_allowlist.forEach((text, index) => {
    const entry = parseHotEntry(text);
    if (entry === undefined || ids.has(entry.svcId)) return;
    const at = [...path, index];
    warn(at, `${tree.show(at)} names a hot service that this tenant doesn't have`);
  });
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
