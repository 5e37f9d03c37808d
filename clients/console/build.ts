// Builds the console's page: one script of `src/` and the libraries it needs, one style. Both are embedded in the gateway
// (src/ops/console/page.ts), so that a start needs no build.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { minify } from "terser";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PAGE = `${ROOT}src/ops/console/page/`;
const HEAD = "Made by clients/console/build.ts of clients/console/src: do not edit.";

/** The files as the gateway has them, by name. */
export async function built(): Promise<Readonly<Record<"console.js" | "console.css", string>>> {
  const bun = `${ROOT}node_modules/bun/bin/bun.exe`;
  const joined = execFileSync(bun, ["build", "--minify", `${HERE}src/main.js`], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { code } = await minify(joined, { module: true, compress: { passes: 2, ecma: 2022 }, mangle: true });
  const uplot = readFileSync(`${ROOT}node_modules/uplot/dist/uPlot.min.css`, "utf8").trim();
  const own = readFileSync(`${HERE}src/console.css`, "utf8");
  return { "console.js": `// ${HEAD}\n${code}\n`, "console.css": `/* ${HEAD} */\n${uplot}\n${own}` };
}

if (import.meta.main) {
  for (const [name, text] of Object.entries(await built())) writeFileSync(PAGE + name, text);
  process.stdout.write(`${PAGE.slice(ROOT.length)} is current\n`);
}
