// The house's own rules, read off its source: which room may import which, and a few habits of style.

import { strict as assert } from "node:assert";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";

const ROOT = join(import.meta.dirname!, "..");
const SRC = join(ROOT, "src");

/**
 * What each room may import of ours, besides itself. A room is a folder of src/, or a file that stands alone; where a
 * folder's files differ, the file has its own line and goes first.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  "log": [],
  "error_text": [],
  "own_entry": [],
  "collections": [],
  "metrics": [],
  "outbound": [],
  "tracing": ["outbound", "metrics", "log"],
  "protocol": [],
  "transport/port": [],
  "transport": ["transport/port"],
  // Scripts are read and prepared when a configuration is loaded, on the thread that loads it.
  "program": [],
  "config": ["protocol", "program", "metrics", "log"],
  "policy": ["config", "protocol", "collections"],
  "cluster/peers": [],
  "cluster/bus": ["cluster/peers", "protocol"],
  "cluster": [
    "cluster/bus",
    "cluster/peers",
    "protocol",
    "collections",
    "config",
    "room",
    "tracing",
    "metrics",
    "log",
  ],
  "room": ["cluster/bus", "cluster/peers", "protocol", "collections"],
  "state": ["room", "config", "outbound", "log"],
  "service": ["cluster/peers", "protocol", "room"],
  "extension": [
    "program",
    "protocol",
    "config",
    "service",
    "outbound",
    "collections",
    "state",
    "metrics",
    "log",
  ],
  "webhook": ["protocol", "config", "outbound", "tracing", "state", "metrics", "log"],
  "backend": ["protocol", "config", "service", "outbound", "tracing", "collections", "metrics", "log"],
  "session": [
    "transport/port",
    "protocol",
    "config",
    "policy",
    "room",
    "service",
    "collections",
    "tracing",
    "metrics",
    "log",
  ],
  "admission": [
    "transport/port",
    "protocol",
    "config",
    "policy",
    "session",
    "outbound",
    "tracing",
    "collections",
    "metrics",
    "log",
  ],
  "ops": ["protocol", "config", "session", "room", "service", "policy", "collections", "log"],
  "gateway": [
    "outbound",
    "tracing",
    "program",
    "transport/port",
    "metrics",
    "log",
    "collections",
    "state",
    "protocol",
    "config",
    "policy",
    "cluster/bus",
    "cluster/peers",
    "cluster",
    "room",
    "service",
    "extension",
    "webhook",
    "backend",
    "session",
    "admission",
    "ops",
  ],
  "cli": [
    "protocol",
    "outbound",
    "tracing",
    "gateway",
    "config",
    "policy",
    "admission",
    "collections",
    "extension",
    "program",
    "ops",
    "transport",
    "metrics",
    "log",
  ],
};

/** What everybody may import. */
const FOR_ALL = ["error_text", "own_entry"];

/** Where a runtime's own name may stand. */
const RUNTIME_FILES = [
  "transport/bun.ts",
  "transport/deno.ts",
  "transport/unsent_bytes.ts",
  "transport/quic/deno_quic.ts",
  "transport/stream/bun_socket.ts",
  "transport/mod.ts", // Finds out which runtime this is, by names in quotes.
  "extension/launch.ts",
  "extension/confine.ts",
  "cli/descriptor.ts",
];

const LINES_MAX = 400;
/** Files that may be longer, each with its reason. */
const LONG_FILES: Readonly<Record<string, string>> = {};

/** Files that make a Proxy, and why. Naming it for scripts, as a text, makes none. */
const PROXIES: Readonly<Record<string, string>> = {
  "config/env_file.ts": "Deno guards each variable of the environment, which therefore cannot be copied",
  "extension/host/evaluator.ts":
    "the outermost scope of a compartment must have every name, so that none is looked for behind it",
};

const VAGUE_NAMES = ["utils", "util", "helpers", "helper", "common", "types", "manager", "index", "misc"];

interface Import {
  readonly specifier: string;
  /** Erased: nothing is loaded. */
  readonly typeOnly: boolean;
}

interface Source {
  /** Path below src/, with slashes. */
  readonly path: string;
  readonly text: string;
  /** The text without comments and without the content of strings and regular expressions. */
  readonly code: string;
  readonly imports: readonly Import[];
}

/** Replaces comments, and what stands in quotes, by spaces; lines stay where they are. */
function bare(text: string): string {
  const pattern =
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`|(?<=[(,=:?!&|;{}\n]\s*)\/(?![*/])(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/g;
  return text.replace(pattern, (part) => {
    // Code in a template is code.
    const code = part.startsWith("`") ? [...part.matchAll(/\$\{([^}]*)\}/g)].map((m) => m[1]).join(" ") : "";
    return code.replace(/\n/g, " ") + part.replace(/[^\n]/g, "");
  });
}

function importsOf(text: string): Import[] {
  const plain = text.replace(/^\s*(\/\/|\*|\/\*).*$/gm, "");
  const found: Import[] = [];
  const statement = /^(?:import|export)\s+(type\s+)?([\w*{][^;"']*?)\s*from\s*"([^"]+)"/gm;
  for (const [, type, names, specifier] of plain.matchAll(statement)) {
    const inBraces = /^\{([\s\S]*)\}$/.exec(names!.trim());
    const allTypes = inBraces !== null &&
      inBraces[1]!.split(",").map((name) => name.trim()).filter((name) => name !== "").every((name) =>
        name.startsWith("type ")
      );
    found.push({ specifier: specifier!, typeOnly: type !== undefined || allTypes });
  }
  for (const [, specifier] of plain.matchAll(/^import\s+"([^"]+)"/gm)) {
    found.push({ specifier: specifier!, typeOnly: false });
  }
  for (const [, specifier] of plain.matchAll(/\bimport\(\s*"([^"]+)"/g)) {
    found.push({ specifier: specifier!, typeOnly: false });
  }
  return found;
}

function read(folder: string): Source[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return read(path);
    if (!entry.name.endsWith(".ts")) return [];
    const text = readFileSync(path, "utf8");
    return [{ path: slashes(relative(SRC, path)), text, code: bare(text), imports: importsOf(text) }];
  });
}

function slashes(path: string): string {
  return path.replaceAll("\\", "/");
}

/** The line of the table that a file falls under. */
function roomOf(path: string): string {
  const name = path.replace(/\.ts$/, "");
  return name in MAY_IMPORT ? name : name.split("/")[0]!;
}

function target(from: string, specifier: string): string {
  return slashes(join(dirname(from), specifier));
}

const isOurs = (specifier: string) => specifier.startsWith(".");
const sources = read(SRC);

test("The source is found, and its imports are read", () => {
  assert.ok(sources.length > 40, String(sources.length));
  const gateway = sources.find(({ path }) => path === "gateway.ts");
  assert.ok(gateway && gateway.imports.length > 20);
  assert.deepEqual(
    importsOf(
      'import a, { type B } from "./a.ts";\nimport type { C } from "c";\nimport { type D, type E } from "./d.ts";\n' +
        'export * from "./f.ts";\nimport "./g.ts";\n// import "./no.ts"\nconst h = await import("./h.ts");\nimport {\n  i,\n} from "./i.ts";\n',
    ),
    [
      { specifier: "./a.ts", typeOnly: false },
      { specifier: "c", typeOnly: true },
      { specifier: "./d.ts", typeOnly: true },
      { specifier: "./f.ts", typeOnly: false },
      { specifier: "./i.ts", typeOnly: false },
      { specifier: "./g.ts", typeOnly: false },
      { specifier: "./h.ts", typeOnly: false },
    ],
  );
  assert.equal(bare('a("Bun") // Bun\n/* Bun */ `x${Bun.y}`'), "a() \n Bun.y");
  for (const { path, text, imports } of sources) {
    const words = text.match(/^(?:import|export)\b[^;]*?\bfrom "/gm) ?? [];
    assert.ok(imports.length >= words.length, `${path}: an import was not understood`);
  }
});

test("Every room has its line in the table", () => {
  const unknown = sources.filter(({ path }) => !(roomOf(path) in MAY_IMPORT)).map(({ path }) => path);
  assert.deepEqual(unknown, []);
});

test("Imports go one way: no room imports what it may not, types included", () => {
  const wrong: string[] = [];
  for (const { path, imports } of sources) {
    const room = roomOf(path);
    for (const { specifier } of imports) {
      if (!isOurs(specifier)) continue;
      const to = target(path, specifier);
      // The port is a room of its own to everybody but its adapters.
      if (roomOf(to) === room || FOR_ALL.includes(roomOf(to)) || MAY_IMPORT[room]?.includes(roomOf(to))) {
        continue;
      }
      wrong.push(`${path} imports ${to}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test("main.ts imports the command line and nothing else of src/", () => {
  const imports = importsOf(readFileSync(join(ROOT, "main.ts"), "utf8"));
  const ours = imports.map(({ specifier }) => specifier).filter((specifier) =>
    specifier.startsWith("./src/")
  );
  assert.deepEqual(ours, ["./src/cli/mod.ts"]);
});

test("Our own files are imported by their path with .ts, and exist; other people's by their bare name", () => {
  const paths = new Set(sources.map(({ path }) => path));
  for (const { path, imports } of sources) {
    for (const { specifier } of imports) {
      // What is no code, such as a page, is imported as text.
      if (isOurs(specifier) && !specifier.endsWith(".ts")) {
        assert.ok(existsSync(join(SRC, target(path, specifier))));
      } else if (isOurs(specifier)) {
        assert.ok(paths.has(target(path, specifier)), `${path} imports ${specifier}`);
      } else assert.match(specifier, /^(node:[a-z_/]+|@?[a-z][a-z0-9./@-]*)$/, path);
    }
  }
});

test("No file needs itself: imports go round in no circle, those of types counted", () => {
  const edges = new Map(sources.map(({ path, imports }) => [
    path,
    imports.filter(({ specifier }) => isOurs(specifier) && specifier.endsWith(".ts"))
      .map(({ specifier }) => target(path, specifier)),
  ]));
  const done = new Set<string>();
  const visit = (path: string, way: readonly string[]) => {
    if (way.includes(path)) assert.fail(`a circle: ${[...way.slice(way.indexOf(path)), path].join(" -> ")}`);
    if (done.has(path)) return;
    for (const next of edges.get(path) ?? []) visit(next, [...way, path]);
    done.add(path);
  };
  for (const path of edges.keys()) visit(path, []);
  assert.equal(done.size, sources.length);
});

test("The table allows nothing that nobody needs", () => {
  const used = new Set(
    sources.flatMap(({ path, imports }) =>
      imports.filter(({ specifier }) => isOurs(specifier)).map(({ specifier }) =>
        `${roomOf(path)} imports ${roomOf(target(path, specifier))}`
      )
    ),
  );
  const rooms = new Set(sources.map(({ path }) => roomOf(path)));
  const dead = Object.entries(MAY_IMPORT).flatMap(([room, others]) =>
    rooms.has(room)
      ? others.map((other) => `${room} imports ${other}`).filter((row) => !used.has(row))
      : [room]
  );
  assert.deepEqual(dead, []);
});

test("The table itself goes one way", () => {
  const visit = (room: string, way: readonly string[]) => {
    assert.ok(!way.includes(room), `a circle: ${[...way, room].join(" -> ")}`);
    for (const next of MAY_IMPORT[room] ?? []) if (next !== room) visit(next, [...way, room]);
  };
  for (const room of Object.keys(MAY_IMPORT)) visit(room, []);
});

test("Only a runtime's own adapter names it", () => {
  for (const { path, code, text } of sources) {
    if (path === "transport/mod.ts") {
      assert.ok(!/\b(Bun|Deno)\s*[.(]/.test(code), "asks whether a runtime is there, and uses neither");
    } else if (!RUNTIME_FILES.includes(path)) {
      assert.ok(!/\b(Bun|Deno)\b/.test(code), `${path} names a runtime`);
      assert.ok(!/globalThis\s*(\.|\[)/.test(code), `${path} reaches for a global by name`);
    }
    if (path !== "transport/bun.ts") assert.ok(!/from "bun"/.test(text), path);
  }
  for (const path of ["transport/bun.ts", "transport/deno.ts"]) {
    assert.match(
      sources.find((source) => source.path === path)!.code,
      /\b(Bun|Deno)\b/,
      "or this test sees nothing",
    );
  }
});

test("A file's name says what it holds, in snake_case", () => {
  for (const { path } of sources) {
    const names = path.replace(/\.ts$/, "").split("/");
    for (const name of names) {
      assert.match(name, /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/, path);
      assert.ok(!VAGUE_NAMES.includes(name), `${path} could hold anything`);
    }
  }
});

test("No module keeps state of its own: no let and no var outside of functions", () => {
  for (const { path, code } of sources) assert.doesNotMatch(code, /^(export\s+)?(let|var)\s/m, path);
});

test("Syntax is erasable: no enum, namespace, decorator or parameter property", () => {
  for (const { path, code } of sources) {
    assert.doesNotMatch(code, /^\s*(export\s+)?(declare\s+)?(const\s+)?enum\s+\w/m, path);
    assert.doesNotMatch(code, /^\s*(export\s+)?(declare\s+)?(namespace|module)\s+\w/m, path);
    assert.doesNotMatch(code, /^\s*@\w/m, path);
    for (const [, parameters] of code.matchAll(/\bconstructor\s*\(([^)]*)\)/g)) {
      assert.doesNotMatch(
        parameters!,
        /(^|[,(\n])\s*(private|public|protected|readonly|override)\s+\w+\s*\??\s*:/,
        path,
      );
    }
    // However it is made.
    assert.equal(/(?<!["'])\bProxy(?!Handler)\b/.test(code), path in PROXIES, `${path}: Proxy`);
  }
});

test("No file is longer than somebody would read, but for those with a reason", () => {
  for (const { path, text } of sources) {
    const lines = text.trimEnd().split("\n").length;
    if (lines > LINES_MAX) assert.ok(LONG_FILES[path], `${path} has ${lines} lines`);
  }
  const known = new Set(sources.map(({ path }) => path));
  for (const [path, reason] of Object.entries({ ...LONG_FILES, ...PROXIES })) {
    assert.ok(known.has(path) && reason !== "", path);
  }
});

test("Every file opens with one to eight lines on what it is", () => {
  for (const { path, text } of sources) {
    const lines = text.split("\n");
    const opening = lines.findIndex((line) => !line.startsWith("//"));
    assert.ok(opening >= 1 && opening <= 8, `${path} opens with ${opening} lines of comment`);
    assert.equal(lines[opening], "", `${path}: an empty line after them`);
  }
});

test("Nothing is written to the console, and nothing is left to be done", () => {
  for (const { path, code, text } of sources) {
    assert.doesNotMatch(code, /\bconsole\s*\./, path);
    assert.doesNotMatch(text, /\b(TODO|FIXME|XXX)\b/, path);
  }
});
