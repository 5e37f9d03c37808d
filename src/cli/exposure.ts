// What a configuration opens, and to whom: the five lines that `wsprism check` ends with, and what `wsprism start` shows on a
// terminal.

import ipaddr from "ipaddr.js";
import { WS_PATH } from "../admission/upgrade.ts";
import { EVERY_TENANT } from "../config/admin_schema.ts";
import { formatListen, type ListenAddress, parseListen } from "../config/addresses.ts";
import type { Config, TenantConfig } from "../config/schema.ts";

/** What is to be seen first. */
const OPEN = /\b(ANYBODY|EVERY)\b/;
/** Tenants that are named before the rest is only counted. */
const NAMED_MAX = 3;

/** Five lines: clients, tickets, pages, admin API, metrics. @param dev whether the gateway starts with --dev */
export function exposure(config: Config, dev: boolean): string[] {
  const { gateway, admin, tenants } = config;
  const listen = parseListen(gateway.listen)!;
  return [
    `clients  ${clientAddress(config, listen)}, ${reach(listen)}`,
    `tickets  ${grouped(tenants, (tenant) => ticketsOf(tenant))}`,
    `pages    ${grouped(tenants, (tenant) => pagesOf(tenant, dev))}`,
    `admin    ${admin === undefined ? "no admin API" : adminOf(admin)}`,
    `metrics  ${metricsOf(config, listen)}`,
  ];
}

/** Lines for whoever has just started a gateway by hand, with addresses that a terminal makes links of. */
export function welcome(
  config: Config,
  bound: { readonly dev: boolean; readonly address: ListenAddress; readonly admin: ListenAddress | null },
): string[] {
  const { dev, address, admin } = bound;
  const { tls } = config.gateway, { path, enabled } = config.metrics;
  const http = `${tls === undefined ? "http" : "https"}://${formatListen(local(address))}`;
  const adminHttp = admin === null ? null : `http://${formatListen(local(admin))}`;
  const first = config.tenants.find(({ suspended }) => !suspended) ?? config.tenants[0]!;
  const lines = [
    `clients  ${clientAddress(config, local(address))}, ${reach(address)}`,
    `ready    ${http}/readyz`,
  ];
  if (adminHttp !== null) {
    lines.push(`admin    ${adminHttp}/v1/openapi.json, ${reach(admin!)}, with a key to everything else`);
  }
  if (adminHttp !== null && config.admin?.console === true) {
    lines.push(`console  ${adminHttp}/console, with the secret of a key`);
  }
  if (enabled) {
    lines.push(
      adminHttp === null
        ? `metrics  ${http}${path}, no key`
        : `metrics  ${adminHttp}${path}, with a key for all tenants`,
    );
  }
  return [...lines, `next     ${nextStep(first, { dev, url: clientAddress(config, local(address)) })}`];
}

function nextStep(tenant: TenantConfig, { dev, url }: { dev: boolean; url: string }): string {
  const { id, auth } = tenant;
  const at = `${url}?tenant=${encodeURIComponent(id)}`;
  switch (auth?.mode) {
    case "jwt":
      return `wsprism token --tenant ${id} --user ann, and connect to ${at} with the ticket`;
    case "static":
      return `connect to ${at} with one of the tickets in auth.static.tickets`;
    case "http":
      return `connect to ${at} with a ticket that your backend knows`;
    default:
      return dev ? `connect to ${at}&ticket=dev:ann` : `give tenant ${id} an auth`;
  }
}

function clientAddress({ gateway }: Config, listen: ListenAddress): string {
  return `${gateway.tls === undefined ? "ws" : "wss"}://${formatListen(listen)}${WS_PATH}`;
}

/** Who can get as far as an address. */
function reach({ hostname }: ListenAddress): string {
  if (isLoopback(hostname)) return "from this machine only";
  return isAny(hostname) ? "from every network of this machine" : `from where ${hostname} is reached`;
}

function isLoopback(hostname: string): boolean {
  if (!ipaddr.isValid(hostname)) return /^(.+\.)?localhost$/i.test(hostname);
  return ipaddr.process(hostname).range() === "loopback";
}

function isAny(hostname: string): boolean {
  return ipaddr.isValid(hostname) && ipaddr.process(hostname).range() === "unspecified";
}

/** Where this machine itself reaches a listener. */
function local({ hostname, port }: ListenAddress): ListenAddress {
  if (!isAny(hostname)) return { hostname, port };
  return { hostname: hostname.includes(":") ? "::1" : "127.0.0.1", port };
}

/** What is the same for several tenants, said once. */
function grouped(tenants: readonly TenantConfig[], say: (tenant: TenantConfig) => string): string {
  const groups = new Map<string, string[]>();
  for (const tenant of tenants) {
    const text = say(tenant), ids = groups.get(text);
    if (ids === undefined) groups.set(text, [tenant.id]);
    else ids.push(tenant.id);
  }
  // What is open to all must not be among those that are only counted.
  const order = [...groups].sort(([a], [b]) => Number(OPEN.test(b)) - Number(OPEN.test(a)));
  const parts = order.map(([text, ids]) => `${named(ids)}: ${text}`);
  const rest = parts.length - NAMED_MAX;
  return rest > 0 ? `${parts.slice(0, NAMED_MAX).join("; ")}; and ${rest} more` : parts.join("; ");
}

function named(ids: readonly string[]): string {
  const rest = ids.length - NAMED_MAX;
  return rest > 0 ? `${ids.slice(0, NAMED_MAX).join(", ")} and ${rest} more` : ids.join(", ");
}

function ticketsOf({ auth, suspended }: TenantConfig): string {
  if (suspended) return "nobody, it is suspended";
  switch (auth?.mode) {
    case "jwt":
      return `whoever has a signed ticket${
        auth.jwt?.jwks_url === undefined ? "" : ` of ${hostIn(auth.jwt.jwks_url)}`
      }`;
    case "static":
      return `whoever has one of ${auth.static?.tickets.length ?? 0} fixed tickets`;
    case "http":
      return `whom ${hostIn(auth.http?.url ?? "")} lets in`;
    default:
      return "ANYBODY, under any name (--dev)";
  }
}

function hostIn(url: string): string {
  return URL.canParse(url) ? new URL(url).host : "the backend";
}

function pagesOf({ origins }: TenantConfig, dev: boolean): string {
  if (origins.includes("*")) return "of EVERY site";
  const of = origins.length === 0 ? "of the same host" : `of ${named(origins)}`;
  return dev ? `${of}, and of this machine (--dev)` : of;
}

function adminOf({ listen, keys, console: page }: NonNullable<Config["admin"]>): string {
  const whole = keys.filter(({ tenants }) => tenants.includes(EVERY_TENANT)).length;
  const keyed = keys.length === 1 ? "1 key" : `${keys.length} keys`;
  return `http://${listen}, ${reach(parseListen(listen)!)}, to ${keyed}, ${whole} of them for all tenants${
    page ? "; with a console" : ""
  }`;
}

function metricsOf({ gateway, metrics, admin }: Config, listen: ListenAddress): string {
  if (!metrics.enabled) return "none are served";
  if (admin !== undefined) return `http://${admin.listen}${metrics.path}, to keys that may read all tenants`;
  const scheme = gateway.tls === undefined ? "http" : "https";
  return `${scheme}://${formatListen(listen)}${metrics.path}, to whoever reaches it, without a key`;
}
