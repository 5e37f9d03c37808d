// The entries of `tenants[].origins`: exact origins, origins with `*.` in front of their host, and `*`.

/** An entry, read. */
export type OriginEntry =
  /** Any page. */
  | { readonly kind: "any" }
  /** This `Origin`, in lower case, its default port left out. */
  | { readonly kind: "exact"; readonly origin: string }
  /** Any host below `suffix`, which starts with a dot and ends with the port, if any. */
  | { readonly kind: "below"; readonly scheme: string; readonly suffix: string };

const ORIGIN =
  /^([a-z][a-z0-9+.-]{0,31}):\/\/(\*\.)?([a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?$/;
const DEFAULT_PORTS: Readonly<Record<string, string>> = {
  http: ":80",
  https: ":443",
  ws: ":80",
  wss: ":443",
};

/** Reads an entry; undefined when it is none. */
export function parseOriginEntry(text: string): OriginEntry | undefined {
  if (text === "*") return { kind: "any" };
  const parts = ORIGIN.exec(text.toLowerCase());
  if (parts === null) return undefined;
  const [, scheme = "", wild, host = "", port = ""] = parts;
  const kept = port === DEFAULT_PORTS[scheme] ? "" : port;
  if (wild === undefined) return { kind: "exact", origin: `${scheme}://${host}${kept}` };
  return host.startsWith("[") ? undefined : { kind: "below", scheme, suffix: `.${host}${kept}` };
}

/** An `Origin` header's parts, or undefined where it is `null` or nothing that a browser sends. */
export function parseOrigin(text: string): { scheme: string; host: string; origin: string } | undefined {
  const entry = text.includes("*") ? undefined : parseOriginEntry(text);
  if (entry?.kind !== "exact") return undefined;
  const at = entry.origin.indexOf("://");
  return { scheme: entry.origin.slice(0, at), host: entry.origin.slice(at + 3), origin: entry.origin };
}

/** A `Host` header as an origin of this scheme has it: in lower case, the scheme's default port left out. */
export function hostOf(header: string, scheme: string): string {
  const host = header.toLowerCase();
  const port = DEFAULT_PORTS[scheme];
  return port !== undefined && host.endsWith(port) ? host.slice(0, -port.length) : host;
}
