// The entries of `tenants[].origins`: exact origins, origins with `*.` in front of their host, `file://` and `null`, which
// have no host, and `*`.

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

/** What pages send that have no host: those of files in some web views, and sandboxed frames and files in browsers. */
const HOSTLESS: ReadonlySet<string> = new Set(["null", "file://"]);

/** The dot at the end of a name says that it is whole; it is the same host. */
function withoutDot(host: string): string {
  return host.length > 1 && host.endsWith(".") ? host.slice(0, -1) : host;
}

/** Reads an entry; undefined when it is none. */
export function parseOriginEntry(text: string): OriginEntry | undefined {
  if (text === "*") return { kind: "any" };
  const lower = text.toLowerCase();
  if (HOSTLESS.has(lower)) return { kind: "exact", origin: lower };
  const parts = ORIGIN.exec(lower);
  if (parts === null) return undefined;
  const [, scheme = "", wild, named = "", port = ""] = parts;
  const host = withoutDot(named);
  const kept = port === DEFAULT_PORTS[scheme] ? "" : port;
  if (wild === undefined) return { kind: "exact", origin: `${scheme}://${host}${kept}` };
  return host.startsWith("[") ? undefined : { kind: "below", scheme, suffix: `.${host}${kept}` };
}

/** An `Origin` header's parts, or undefined where it is nothing that a browser sends; the host is "" where it has none. */
export function parseOrigin(text: string): { scheme: string; host: string; origin: string } | undefined {
  const entry = text.includes("*") ? undefined : parseOriginEntry(text);
  if (entry?.kind !== "exact") return undefined;
  const { origin } = entry;
  const at = origin.indexOf("://");
  return at < 0
    ? { scheme: "", host: "", origin }
    : { scheme: origin.slice(0, at), host: origin.slice(at + 3), origin };
}

/** A `Host` header as an origin of this scheme has it: in lower case, no dot at the end, the scheme's own port left out. */
export function hostOf(header: string, scheme: string): string {
  const [, name = "", port = ""] = /^(.*?)(:[0-9]*)?$/s.exec(header.toLowerCase())!;
  return withoutDot(name) + (port === ":" || port === DEFAULT_PORTS[scheme] ? "" : port);
}
