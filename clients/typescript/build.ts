// Builds the package: `dist/` as modules with types and source maps, and `bundle.js`, all of it minified in one file. The
// same file is embedded in the gateway for its playground, so that one is written as well.

import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { minify } from "terser";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const EMBEDDED = `${ROOT}src/ops/playground/client.js`;

/** One file made of a module and all it imports. */
export interface Bundle {
  readonly code: string;
  readonly map: string;
}

/** Bundles a module of `src/` and makes it small. */
export async function bundle(name: string): Promise<Bundle> {
  const bun = `${ROOT}node_modules/bun/bin/bun.exe`;
  const entry = `${HERE}src/${name}.ts`;
  const joined = execFileSync(bun, ["build", "--minify", "--sourcemap=inline", entry], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { code, map } = await minify(joined, {
    module: true,
    compress: { passes: 3, ecma: 2022, unsafe_arrows: true, unsafe_methods: true, pure_getters: true },
    mangle: true,
    sourceMap: { content: "inline", url: `${name}.js.map`, root: "../src" },
  });
  return { code: code!, map: String(map) };
}

/** The bundle as the gateway has it: without the reference to a map that is not there. */
export async function embeddedBundle(): Promise<string> {
  const { code } = await bundle("bundle");
  return `// Made by clients/typescript/build.ts of clients/typescript/src: do not edit.\n${
    code.replace(/\n?\/\/# sourceMappingURL=.*/, "")
  }\n`;
}

/** Builds `dist/`. */
export async function build(): Promise<void> {
  const version = (JSON.parse(readFileSync(`${ROOT}deno.json`, "utf8")) as { version: string }).version;
  const own = JSON.parse(readFileSync(`${HERE}package.json`, "utf8")) as { version: string };
  if (own.version !== version) {
    throw new Error(`package.json says version ${own.version}, deno.json ${version}`);
  }
  rmSync(`${HERE}dist`, { recursive: true, force: true });
  mkdirSync(`${HERE}dist`);
  execFileSync("node", [`${ROOT}node_modules/typescript/bin/tsc`, "-p", HERE], { stdio: "inherit" });
  // Not every reader of declarations takes a ".ts" for a ".d.ts".
  for (const name of readdirSync(`${HERE}dist`).filter((file) => file.endsWith(".d.ts"))) {
    const path = `${HERE}dist/${name}`;
    writeFileSync(path, readFileSync(path, "utf8").replace(/(from |import\()"(\.\/\w+)\.ts"/g, '$1"$2.js"'));
  }
  const { code, map } = await bundle("bundle");
  writeFileSync(`${HERE}dist/bundle.js`, code);
  writeFileSync(`${HERE}dist/bundle.js.map`, map);
}

if (import.meta.main) {
  await build();
  writeFileSync(EMBEDDED, await embeddedBundle());
  process.stdout.write(`clients/typescript/dist and ${EMBEDDED.slice(ROOT.length)} are current\n`);
}
