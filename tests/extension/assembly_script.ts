// Compiles AssemblyScript, so that tests have WASM modules whose source can be read.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { main } from "assemblyscript/asc";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const ENTRY = "entry.ts";

/** Compiles a file of tests/extension/wasm. @throws with the compiler's words */
export async function buildWasm(name: string): Promise<Uint8Array> {
  return await compileWasm(readFileSync(join(ROOT, "tests/extension/wasm", name), "utf8"));
}

/** Compiles a module. @throws with the compiler's words */
export async function compileWasm(source: string): Promise<Uint8Array> {
  let wasm: Uint8Array | null = null;
  const { error, stderr } = await main(
    [ENTRY, "--outFile", "out.wasm", "--optimize", "--use", "abort=entry/abort"],
    {
      readFile: (path) => path === ENTRY ? source : existing(join(ROOT, path)),
      writeFile: (_path, bytes) => {
        wasm = bytes as Uint8Array;
      },
      listFiles: () => [],
    },
  );
  if (error !== null || wasm === null) throw new Error(`Cannot compile: ${stderr.toString()}`);
  return wasm;
}

function existing(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
