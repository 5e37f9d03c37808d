// Parts of an upgrade request, as admission reads them.

import type { UpgradeRequest } from "../transport/port.ts";

/** These headers of a request, as far as they are there. */
export function pick(names: readonly string[], request: UpgradeRequest): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of names) {
    const value = request.header(name);
    if (value !== null) headers[name] = value;
  }
  return headers;
}

/** What it offers, in its order. */
export function subprotocolsOf(request: UpgradeRequest): readonly string[] {
  const header = request.header("sec-websocket-protocol");
  return header === null ? [] : header.split(",").map((name) => name.trim());
}

/** A query's parameters, or null when it says something twice or cannot be decoded. */
export function readQuery(text: string): URLSearchParams | null {
  try {
    decodeURIComponent(text);
  } catch {
    return null;
  }
  const query = new URLSearchParams(text);
  return new Set(query.keys()).size === query.size ? query : null;
}
