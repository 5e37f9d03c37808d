// Lists what an executable is made of, as CycloneDX 1.6: the packages that the source imports and all that they need,
// with the sums of the lock file, and the runtime. Run by release.sh from the project's folder; writes to stdout.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { Buffer } from "node:buffer";
import process from "node:process";

interface Locked {
  readonly integrity: string;
  readonly dependencies?: readonly string[];
  readonly optionalDependencies?: readonly string[];
}

interface Lock {
  readonly specifiers: Readonly<Record<string, string>>;
  readonly npm: Readonly<Record<string, Locked>>;
}

const { version, imports } = JSON.parse(readFileSync("deno.json", "utf8")) as {
  readonly version: string;
  readonly imports: Readonly<Record<string, string>>;
};
const lock = JSON.parse(readFileSync("deno.lock", "utf8")) as Lock;

/** Bare names that the source imports. */
function imported(): Set<string> {
  const names = new Set<string>();
  const files = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".ts")
  );
  for (const file of files) {
    for (
      const [, specifier] of readFileSync(`src/${file}`, "utf8").matchAll(/(?:from|import\(?)\s*"([^"]+)"/g)
    ) {
      const name = Object.keys(imports).find((key) => specifier === key || specifier!.startsWith(`${key}/`));
      if (name !== undefined) names.add(name);
    }
  }
  return names;
}

/** Keys of the lock file, `name@version` with the peers behind it, from a name or `name@version`. */
function lockedKey(wanted: string): string {
  const exact = Object.keys(lock.npm).filter((key) => key === wanted || key.startsWith(`${wanted}_`));
  const named = Object.keys(lock.npm).filter((key) => key.startsWith(`${wanted}@`));
  const [key] = exact.length > 0 ? exact : named;
  if (key === undefined) throw new Error(`deno.lock has no ${wanted}`);
  return key;
}

const keys = new Set<string>();
/** What each needs, by keys. */
const needs = new Map<string, readonly string[]>();
function take(key: string): void {
  if (keys.has(key)) return;
  keys.add(key);
  const { dependencies = [], optionalDependencies = [] } = lock.npm[key]!;
  const inner = [...dependencies, ...optionalDependencies].map(lockedKey);
  needs.set(key, inner);
  inner.forEach(take);
}

const direct = [...imported(), "bun"].map((name) => lockedKey(imports[name]!.slice("npm:".length)));
direct.forEach(take);

/** `@scope/name` and the version of a key. */
function parted(key: string): { readonly name: string; readonly version: string } {
  const [, name, exact] = /^(@?[^@]+)@([^_]+)/.exec(key)!;
  return { name: name!, version: exact! };
}

function purl(key: string): string {
  const { name, version } = parted(key);
  return `pkg:npm/${name.replace("@", "%40")}@${version}`;
}

function licence(key: string): { readonly licenses?: readonly object[] } {
  const { name, version } = parted(key);
  try {
    const folder = `node_modules/.deno/${name.replace("/", "+")}@${version}/node_modules/${name}`;
    const { license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8")) as { license?: unknown };
    return typeof license === "string" ? { licenses: [{ expression: license }] } : {};
  } catch {
    return {}; // another platform's, which is not installed here
  }
}

function gitDate(): string {
  try {
    const seconds = execFileSync("git", ["show", "-s", "--format=%ct", "HEAD"], { encoding: "utf8" });
    return new Date(Number(seconds) * 1000).toISOString();
  } catch {
    return new Date(0).toISOString();
  }
}

const self = `pkg:generic/wsprism@${version}`;
const unique = [...new Map([...keys].map((key) => [purl(key), key])).entries()].sort(([a], [b]) =>
  a < b ? -1 : 1
);
const refs = (inner: readonly string[]) => [...new Set(inner.map(purl))].sort();
process.stdout.write(`${
  JSON.stringify(
    {
      bomFormat: "CycloneDX",
      specVersion: "1.6",
      version: 1,
      metadata: {
        timestamp: gitDate(),
        component: { type: "application", "bom-ref": self, name: "wsprism", version, purl: self },
      },
      components: unique.map(([ref, key]) => ({
        type: parted(key).name === "bun" ? "platform" : "library",
        "bom-ref": ref,
        ...parted(key),
        purl: ref,
        ...licence(key),
        hashes: [{
          alg: "SHA-512",
          content: Buffer.from(lock.npm[key]!.integrity.replace("sha512-", ""), "base64").toString("hex"),
        }],
      })),
      dependencies: [
        { ref: self, dependsOn: refs(direct) },
        ...unique.map(([ref, key]) => ({ ref, dependsOn: refs(needs.get(key)!) })),
      ],
    },
    null,
    2,
  )
}\n`);
