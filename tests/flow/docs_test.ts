// The shell examples of README.md and docs/, as a reader would run them: one document after the other, its blocks in
// their order, in a folder of their own, with `wsprism` in the PATH. What they start, a real gateway included, ends with
// the document. tests/docs/blocks.ts says how blocks are marked.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { DENO } from "../deno_command.ts";
import { freePort } from "../deploy_files.ts";
import { type Block, blocksOf, DOCUMENTS, placeOf } from "../docs/blocks.ts";
import { commandOf, Folder, ROOT } from "./gateway_process.ts";

/** How long a document's blocks may take. */
const DOCUMENT_MS = 120_000;
/** Ports that examples name; each run has others in their place. */
const PORTS = ["8080", "9090", "8090"];

const quoted = (words: readonly string[]) => words.map((word) => `'${word}'`).join(" ");

/** A folder as the repository's root is to a reader, with other ports. */
class Place {
  readonly folder = new Folder();
  readonly #ports: ReadonlyMap<string, string>;

  constructor(ports: ReadonlyMap<string, string>) {
    this.#ports = ports;
    const { path } = this.folder;
    cpSync(`${ROOT}/config`, join(path, "config"), { recursive: true });
    this.#moved(join(path, "config"));
    const command = quoted(commandOf(path));
    // A gateway in the foreground of an example is one that the reader lets run on in another terminal.
    this.program("bin/wsprism", `exec ${command} "$@"`);
    this.program("dist/wsprism", `exec ${command} "$@"`);
    this.program("compile.sh", "true # the run of these tests has done it");
    this.program("bin/npx", `[ "$1 $2" = "-y deno@2.9.6" ] && shift 2 && exec ${quoted(DENO)} "$@"\nexit 9`);
    this.program("bin/curl", 'PATH="${PATH#*:}" exec curl --fail-with-body -sS --max-time 20 "$@"');
  }

  /** The same text, with the ports of this run. */
  moved(text: string): string {
    return text.replace(new RegExp(`\\b(${PORTS.join("|")})\\b`, "g"), (port) => this.#ports.get(port)!);
  }

  program(name: string, text: string): void {
    const path = join(this.folder.path, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `#!/bin/bash\n${text}\n`);
    chmodSync(path, 0o755);
  }

  #moved(folder: string): void {
    for (const name of readdirSync(folder)) {
      const path = join(folder, name);
      if (statSync(path).isDirectory()) this.#moved(path);
      else writeFileSync(path, this.moved(readFileSync(path, "utf8")));
    }
  }
}

/** A line that begins a gateway which runs on, and what waits for it. */
function started(line: string): string {
  if (!/^(dist\/)?wsprism start /.test(line) || / &$/.test(line)) return line;
  return `wsprism_runs ${line.replace(/ # .*$/, "")}`;
}

const PRELUDE = `set -eo pipefail
wsprism_runs() {
  "$@" > gateway.log 2>&1 &
  local pid=$!
  until grep -q '"listening"' gateway.log; do kill -0 $pid || { cat gateway.log >&2; return 1; }; sleep 0.05; done
}
`;

/** All blocks of a document as one script, each with a mark before it. */
function scriptOf(blocks: readonly Block[], place: Place): string {
  const parts = [PRELUDE];
  for (const block of blocks) {
    parts.push(`printf '\\n=== ${block.line}\\n' | tee /dev/stderr`);
    if (block.before !== null) parts.push(place.moved(block.before).split("\n").map(started).join("\n"));
    parts.push(`printf '\\n=== ${block.line}\\n'`);
    const text = place.moved(block.text).split("\n").map(started).join("\n");
    parts.push(block.exit === 0 ? text : `( set +e\n${text}\n) && exit 99 || [ $? = ${block.exit} ]`);
  }
  return `${parts.join("\n")}\nprintf '\\n=== end\\n'\n`;
}

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(script: string, place: Place): Promise<Ended> {
  const { path } = place.folder;
  const env = {
    ...process.env,
    PATH: `${path}/bin:${process.env["PATH"]}`,
    NO_COLOR: "1",
    WSPRISM_LISTEN: place.moved("127.0.0.1:8080"),
  };
  const file = place.folder.write("document.sh", script);
  const child = spawn("bash", [file], { cwd: path, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
  let stdout = "", stderr = "";
  child.stdout.on("data", (bytes) => stdout += String(bytes));
  child.stderr.on("data", (bytes) => stderr += String(bytes));
  const endGroup = () => {
    try {
      process.kill(-child.pid!, "SIGKILL");
    } catch {
      // Nobody is left of it.
    }
  };
  const timer = setTimeout(endGroup, DOCUMENT_MS);
  return new Promise((resolve) => {
    child.once("exit", (code) => {
      clearTimeout(timer);
      endGroup();
      resolve({ code, stdout, stderr });
    });
  });
}

for (const file of DOCUMENTS) {
  const all = blocksOf(file).filter(({ notRun }) => notRun === null);
  const shell = all.filter(({ language }) => language === "sh");
  if (shell.length === 0) continue;
  test(`the shell examples of ${file} do what they say`, async () => {
    const ports = new Map<string, string>();
    for (const port of PORTS) ports.set(port, String(await freePort()));
    const place = new Place(ports);
    using _folder = place.folder;
    for (const { name, text } of all) if (name !== null) place.folder.write(name, place.moved(text));
    const { code, stdout, stderr } = await run(scriptOf(shell, place), place);
    const parts = stdout.split(/^=== (.*)\n/m);
    const last = parts.at(-2);
    assert.equal(last, "end", `${file}:${last} ended with ${code}:\n${parts.at(-1)}\n${stderr}`);
    const printedBy = ({ line }: Block) => parts[parts.lastIndexOf(String(line)) + 1]!;
    for (const block of shell) {
      for (const part of block.prints) {
        assert.ok(printedBy(block).includes(part), `${placeOf(block)}: ${stdout}`);
      }
    }
    for (const [at, block] of all.entries()) {
      if (block.language !== "text") continue;
      const printed = printedBy(all[at - 1]!);
      const lines = (text: string) => text.trim().split("\n").map((line) => line.trimEnd());
      assert.deepEqual(lines(printed), lines(place.moved(block.text)), placeOf(block));
    }
  });
}
