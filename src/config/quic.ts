// `gateway.webtransport` at load: whether the runtime can serve it at all.

import process from "node:process";

/** Why this runtime cannot serve QUIC, as the end of an error about the key that asks for it; null where it can. */
export function noQuic(): string | null {
  if (process.versions["bun"] !== undefined) {
    return "cannot be served on Bun, which has no server for WebTransport: run wsPrism on Deno for it";
  }
  const runtime: unknown = Reflect.get(globalThis, "Deno");
  return typeof runtime === "object" && runtime !== null && "QuicEndpoint" in runtime
    ? null
    : "needs a runtime with a server for QUIC: Deno, started with --unstable-net";
}
