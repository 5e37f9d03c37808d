// Picks the adapter for the runtime this process runs on. Importing all three costs nothing: none of them
// touches its runtime before `start`.

import { createBunTransport } from "./bun.ts";
import { createDenoTransport } from "./deno.ts";
import { createNodeTransport } from "./node.ts";
import type { Transport, TransportOptions } from "./port.ts";
import { createRawTransport } from "./raw/raw.ts";
import { runtimeName } from "./runtime_name.ts";

/**
 * `auto`: the best one of the runtime; `native`: the runtime's own server; `node`: `node:http` and `ws`; `raw`: own framing on
 * sockets of Bun's.
 */
export type TransportKind = "auto" | "native" | "node" | "raw";

export { runtimeName } from "./runtime_name.ts";

/** What a transport has to do, and not each can. */
export interface Wants {
  /** The first tenant that wants its messages deflated. */
  readonly deflatesFor: string | null;
}

/** @throws when `kind` does not work on this runtime, or does not do what is wanted. */
export function createTransport(
  kind: TransportKind,
  options: TransportOptions,
  { deflatesFor }: Wants = { deflatesFor: null },
): Transport {
  const deflates = deflatesFor !== null;
  const transport = create(deflates && kind === "auto" && runtimeName() === "bun" ? "raw" : kind, options);
  if (!deflates || transport.limits.deflates) return transport;
  throw new Error(
    `Cannot deflate messages with transport "${transport.name}", as compression of tenant "${deflatesFor}" asks: ` +
      'run on Bun with gateway.transport "raw" or "auto", or remove the key',
  );
}

function create(kind: TransportKind, options: TransportOptions): Transport {
  const runtime = runtimeName();
  if (runtime === "bun") {
    if (kind === "raw") return createRawTransport(options);
    if (kind !== "node") return createBunTransport(options);
    // Bun replaces the package "ws" by its own, which fails the contract on drain and on pongs (1.4.5).
    throw new Error('Cannot use transport "node" on Bun: use "auto", "native" or "raw"');
  }
  if (kind === "raw") {
    throw new Error('Cannot use transport "raw" elsewhere than on Bun: use "auto" or "node"');
  }
  if (kind !== "native") return createNodeTransport(options);
  if (runtime === "deno") {
    // `Deno.serve` takes the option only with --unstable-net (2.9.6).
    if (options.reusePort) throw new Error('Cannot share a port with transport "native" on Deno: use "auto"');
    return createDenoTransport(options);
  }
  throw new Error(
    'Cannot use transport "native" on Node: use "auto" or "node"',
  );
}
