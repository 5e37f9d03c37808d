// Which runtime this process runs on; asked where adapters differ in a detail, and where one is picked.

/** The runtime of this process. */
export function runtimeName(): "bun" | "deno" | "node" {
  return "Bun" in globalThis ? "bun" : "Deno" in globalThis ? "deno" : "node";
}
