// The gateway's process among others: where its log goes, which signals reach it and when, what ends with it, and what the
// folder that it is started in may change (nothing).

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { within } from "../raw_client.ts";
import { commandOf, Folder, ROOT, TARGET, until, wsprism } from "./gateway_process.ts";

const KEY = "ops-secret-ops-secret-ops-secret-";

/** A gateway whose process a test holds in its own hands. */
class Held {
  readonly child: ChildProcess;
  readonly exited: Promise<number | string>;
  stderr = "";

  /** @param command instead of the target's own: words before it, such as a shell's */
  constructor(folder: Folder, args: readonly string[], { before = [], env = {} }: {
    readonly before?: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
  } = {}) {
    const [file, ...rest] = [...before, ...commandOf(folder.path), ...args];
    this.child = spawn(file!, rest, {
      cwd: folder.path,
      env: { ...process.env, NO_COLOR: "1", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.child.stderr!.on("data", (bytes) => this.stderr += String(bytes));
    this.exited = new Promise((resolve) => {
      this.child.once("exit", (code, signal) => resolve(code ?? signal ?? -1));
    });
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(this.child.pid!, signal);
  }

  async ended(): Promise<number | string> {
    return await within(this.exited, "the gateway's end", 20_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await this.exited;
  }
}

/** A port that nobody listens on, for once the gateway cannot tell which it took. */
async function freePort(): Promise<number> {
  const { createServer } = await import("node:net");
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function twoPorts(): Promise<{ port: number; admin: number; config: string }> {
  const [port, admin] = [await freePort(), await freePort()];
  const keys = [{
    id: "ops",
    secret: KEY,
    tenants: ["*"],
    permissions: ["read", "publish"],
    rps: 100_000,
    burst: 100_000,
  }];
  const config = JSON.stringify({
    version: 1,
    gateway: { listen: `127.0.0.1:${port}`, drain_grace_ms: 0 },
    admin: { listen: `127.0.0.1:${admin}`, keys },
    tenants: [{ id: "acme" }],
  });
  return { port, admin, config };
}

async function answers(port: number): Promise<void> {
  await until("the gateway's answer", async () => {
    try {
      return (await fetch(`http://127.0.0.1:${port}/healthz`)).status === 200 ? true : null;
    } catch {
      return null;
    }
  }, 30_000);
}

/** Has the gateway log as many lines, more than any pipe holds. */
async function chatter(admin: number, lines: number): Promise<void> {
  const one = async () => {
    const answer = await within(
      fetch(`http://127.0.0.1:${admin}/v1/tenants/acme/publish`, {
        method: "POST",
        headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
        body: JSON.stringify({ to: { all: true }, svc: "n", type: "t" }),
      }),
      "an answer while the log is stuck",
    );
    await answer.body?.cancel();
    assert.equal(answer.status, 200);
  };
  for (let i = 0; i < lines; i += 50) await Promise.all(Array.from({ length: 50 }, one));
}

async function droppedLines(admin: number): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${admin}/metrics`, {
    headers: { authorization: `Bearer ${KEY}` },
  });
  return Number(/^wsprism_log_lines_dropped_total (\d+)$/m.exec(await answer.text())![1]);
}

test("a log that nobody reads holds nothing up; what was dropped is counted, and told once somebody reads", async () => {
  using folder = new Folder();
  const { port, admin, config } = await twoPorts();
  const file = folder.write("wsprism.yaml", config);
  await using gateway = new Held(folder, ["start", "--config", file, "--dev", "--log-format", "json"]);
  await answers(port);
  await chatter(admin, 4000);
  const dropped = await droppedLines(admin);
  assert.ok(dropped > 0);
  let text = "";
  gateway.child.stdout!.on("data", (bytes) => text += String(bytes));
  const notice = await until(
    "the notice",
    () => /^.*lines of this log were dropped.*$/m.exec(text)?.[0] ?? null,
  );
  const told = JSON.parse(notice);
  assert.equal(told.level, "WARN");
  assert.ok(told.lines >= dropped, notice);
  gateway.signal("SIGTERM");
  assert.deepEqual([await gateway.ended(), gateway.stderr], [0, ""]);
  const lines = text.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.equal(lines.at(-1).message, "drained");
});

for (const sink of ["a reader that leaves", "a full disk"] as const) {
  test(`${sink} ends nothing: lines are dropped and counted, and the exit code is 0`, async () => {
    using folder = new Folder();
    const { port, admin, config } = await twoPorts();
    const file = folder.write("wsprism.yaml", config);
    const before = sink === "a full disk" ? ["sh", "-c", 'exec "$@" >/dev/full', "sh"] : [];
    await using gateway = new Held(folder, ["start", "--config", file, "--dev"], { before });
    if (before.length === 0) {
      await new Promise((resolve) => gateway.child.stdout!.once("data", resolve));
      gateway.child.stdout!.destroy();
    }
    await answers(port);
    await chatter(admin, 50);
    await until("dropped lines", async () => await droppedLines(admin) > 0 ? true : null);
    gateway.signal("SIGTERM");
    assert.deepEqual([await gateway.ended(), gateway.stderr], [0, ""]);
  });
}

test("stderr may be closed too: a start that fails ends with its exit code", async () => {
  using folder = new Folder();
  const file = folder.write("bad.yaml", "version: 2\n");
  const before = ["sh", "-c", 'exec "$@" 2>/dev/full', "sh"];
  await using gateway = new Held(folder, ["start", "--config", file], { before });
  assert.equal(await gateway.ended(), 3);
});

/** A configuration that does not come before the test wants it to: the gateway waits in the reading of it. */
async function fifo(
  folder: Folder,
): Promise<{ path: string; opened: Promise<{ write(text: string): void }> }> {
  const path = join(folder.path, "wsprism.yaml");
  const made = spawn("mkfifo", [path]);
  await new Promise((resolve) => made.once("exit", resolve));
  // Whoever opens a pipe to write waits for who reads: a program of its own, for that wait is nobody's here.
  const writer = spawn("sh", ["-c", 'exec 3>"$1"; echo open; cat >&3', "sh", path], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const opened = new Promise<{ write(text: string): void }>((resolve) =>
    writer.stdout!.once("data", () => resolve({ write: (text) => void writer.stdin!.end(text) }))
  );
  return { path, opened };
}

test("a signal that comes while the configuration is read is not lost: SIGHUP reloads later", async () => {
  using folder = new Folder();
  const { port, config } = await twoPorts();
  const { path, opened } = await fifo(folder);
  await using gateway = new Held(folder, ["start", "--config", path, "--dev", "--log-format", "json"]);
  const writer = await within(opened, "the reading of the configuration", 20_000);
  gateway.signal("SIGHUP");
  let text = "";
  gateway.child.stdout!.on("data", (bytes) => text += String(bytes));
  writer.write(config);
  await answers(port);
  // It reads the file anew, which is nobody's pipe any more; that it does is what counts.
  const again = spawn("sh", ["-c", 'cat > "$1"', "sh", path], { stdio: ["pipe", "ignore", "inherit"] });
  again.stdin!.end(config);
  await until("the reload", () => /configuration reloaded/.test(text) ? true : null, 20_000);
  again.kill("SIGKILL");
  gateway.signal("SIGTERM");
  assert.deepEqual([await gateway.ended(), gateway.stderr], [0, ""]);
});

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  test(`${signal} while the configuration is read ends the process with 0`, async () => {
    using folder = new Folder();
    const { path, opened } = await fifo(folder);
    await using gateway = new Held(folder, ["start", "--config", path, "--dev"]);
    const writer = await within(opened, "the reading of the configuration", 20_000);
    gateway.signal(signal);
    assert.deepEqual([await gateway.ended(), gateway.stderr], [0, ""]);
    writer.write("");
  });
}

/** Runs a program to its end. @returns null where it cannot be had here */
function tried(program: string, ...args: readonly string[]): string | null {
  try {
    return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    return null;
  }
}

const unshared = tried("unshare", "-pf", "--mount-proc", "true") !== null;
test(
  "as process 1 of a container, SIGTERM while the configuration is read ends it as well",
  { skip: unshared ? false : "no process may be number 1 here" },
  async () => {
    using folder = new Folder();
    const { path, opened } = await fifo(folder);
    const before = ["unshare", "-pf", "--mount-proc"];
    await using outer = new Held(folder, ["start", "--config", path, "--dev"], { before });
    const writer = await within(opened, "the reading of the configuration", 20_000);
    const inner = tried("ps", "-o", "pid=", "--ppid", String(outer.child.pid))!.trim();
    process.kill(Number(inner), "SIGTERM");
    assert.deepEqual([await outer.ended(), outer.stderr], [0, ""]);
    writer.write("");
  },
);

/** Runs a command on a terminal of its own; tells its output, and does what it reads: hang up, or send a signal. */
const TERMINAL = `
import os, pty, select, signal, sys, threading
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
# Closed by whoever reads: while another thread waits in a read, the terminal stays open whatever is closed.
hang_up, hung_up = os.pipe()
def read():
    try:
        while True:
            if hang_up in select.select([terminal, hang_up], [], [])[0]: return os.close(terminal)
            part = os.read(terminal, 4096)
            if not part: break
            os.write(1, part)
    except OSError: pass
reader = threading.Thread(target=read, daemon=True)
reader.start()
def obey():
    for order in sys.stdin:
        order = order.strip()
        if order == "close": os.write(hung_up, b".")
        elif order == "key": os.write(terminal, b"\\x03")
        else: os.kill(pid, getattr(signal, order))
threading.Thread(target=obey, daemon=True).start()
_, status = os.waitpid(pid, 0)
# What it wrote last may still be on its way.
reader.join(5)
os.write(2, b"ended %d" % os.waitstatus_to_exitcode(status))
os._exit(0)
`;

const python = tried("python3", "-c", "import pty") === null ? "there is no python3" : false;

class OnTerminal {
  readonly child: ChildProcess;
  readonly closed: Promise<void>;
  text = "";
  ended = "";

  constructor(folder: Folder, args: readonly string[]) {
    const env = { ...process.env, NO_COLOR: "1" };
    this.child = spawn("python3", ["-c", TERMINAL, ...commandOf(folder.path), ...args], {
      cwd: folder.path,
      env,
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.child.stdout!.on("data", (bytes) => this.text += String(bytes));
    this.child.stderr!.on("data", (bytes) => this.ended += String(bytes));
    this.closed = new Promise((resolve) => this.child.once("close", () => resolve()));
  }

  async says(what: RegExp): Promise<void> {
    await until(String(what), () => what.test(this.text) ? true : null, 20_000);
  }

  order(text: string): void {
    this.child.stdin!.write(`${text}\n`);
  }

  async over(): Promise<string> {
    await within(this.closed, "the end on the terminal", 20_000);
    return this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await this.closed;
  }
}

/** An extension in a process of its own, which the terminal's signals reach as well, unless somebody sees to it. */
const EXTENDED = JSON.stringify({
  version: 1,
  gateway: { listen: "127.0.0.1:0", drain_grace_ms: 0 },
  extensions: { confinement: "best_effort" },
  tenants: [{ id: "acme", services: [{ svc: "one", worker: "./one.ts" }] }],
});
const EXTENSION = "export default { onMessage() { return { ok: true }; } };\n";

for (
  const [what, order] of [
    ["a terminal that is closed", "close"],
    ["SIGHUP on a terminal", "SIGHUP"],
    ["Ctrl-C on a terminal", "key"],
  ] as const
) {
  test(`${what} drains the gateway and ends it with 0, and its children`, { skip: python }, async () => {
    using folder = new Folder();
    folder.write("one.ts", EXTENSION);
    const file = folder.write("wsprism.yaml", EXTENDED);
    await using terminal = new OnTerminal(folder, ["start", "--config", file, "--dev"]);
    await terminal.says(/ listening /);
    const marker = `${folder.path.split("/").at(-1)}`;
    const gateway = tried("pgrep", "-f", `main.ts start.*${marker}|wsprism start.*${marker}`)!.trim().split(
      "\n",
    );
    const children = () => gateway.flatMap((pid) => tried("pgrep", "-P", pid)?.trim().split("\n") ?? []);
    const hosts = await until("the extension's process", () => {
      const found = children().filter((pid) =>
        /extension-host/.test(tried("ps", "-o", "args=", "-p", pid) ?? "")
      );
      return found.length > 0 ? found : null;
    }, 20_000);
    terminal.order(order);
    assert.equal(await terminal.over(), "ended 0", terminal.text);
    if (order !== "close") {
      assert.match(terminal.text, / drained /);
      assert.doesNotMatch(terminal.text, / ERROR /);
    }
    await until("the end of its children", () => {
      return hosts.every((pid) => tried("ps", "-o", "pid=", "-p", pid) === null) ? true : null;
    }, 10_000);
  });
}

test("nothing that lies in the folder of its start configures the program, for no verb", async () => {
  using folder = new Folder();
  folder.write(
    ".env",
    "PORT=1\nWSPRISM_LISTEN=127.0.0.1:1\nWSPRISM_FROM_FILE=yes\nNODE_TLS_REJECT_UNAUTHORIZED=0\n",
  );
  folder.write(".env.local", "WSPRISM_FROM_FILE=local\n");
  folder.write(".env.production", "WSPRISM_FROM_FILE=production\n");
  folder.write("bunfig.toml", 'preload = ["./bad.ts"]\n[test]\npreload = ["./bad.ts"]\n');
  folder.write("bad.ts", 'console.log("any code");\nthrow new Error("any code");\n');
  folder.write(
    "tsconfig.json",
    '{ "compilerOptions": { "paths": { "zod": ["./bad.ts"], "yaml": ["./bad.ts"] } } }',
  );
  folder.write("package.json", '{ "name": "x", "imports": { "#x": "./bad.ts" }, "type": "commonjs" }');
  folder.write("deno.json", '{ "imports": { "zod": "./bad.ts", "yaml": "./bad.ts" } }');
  folder.write("one.ts", EXTENSION);
  folder.write(
    "wsprism.yaml",
    'version: 1\ngateway: { listen: "127.0.0.1:0" }\ntenants: [{ id: "${WSPRISM_FROM_FILE:-acme}", services: [{ svc: one, worker: ./one.ts }] }]\n',
  );
  const at = { folder: folder.path };
  const version = await wsprism(["version"], at);
  assert.match(version.stdout, /^wsprism [^\n]*\n$/);
  assert.deepEqual([version.code, version.stderr], [0, ""]);
  const check = await wsprism(["check", "--dev"], at);
  assert.deepEqual([check.code, check.stderr], [0, ""]);
  assert.doesNotMatch(check.stdout, /any code/);
  const types = await wsprism(["explain", "--tenant", "acme", "--lane", "hot", "--message", "one.ts"], at);
  assert.equal(types.code, 4, types.stderr);
  const started = await wsprism(["start", "--dev", "--log-format", "json"], {
    ...at,
    endWhen: /"listening"/,
  });
  assert.deepEqual([started.code, started.stderr], [0, ""]);
  assert.doesNotMatch(started.stdout, /any code|certificates/);
  assert.match(started.stdout, /"listening"[^\n]*"hostname":"127\.0\.0\.1"/);
  assert.match(started.stdout, /"tenant ready"[^\n]*"tenant":"acme"/);
  const trial = await wsprism(
    ["run-extension", "./one.ts", "onMessage", '{"svc":"one","type":"a"}'],
    at,
  );
  assert.doesNotMatch(trial.stdout + trial.stderr, /any code/);
});

test("what the environment weakens is warned of at the start", async () => {
  using folder = new Folder();
  folder.write("wsprism.yaml", 'version: 1\ngateway: { listen: "127.0.0.1:0" }\ntenants: [{ id: acme }]\n');
  const started = await wsprism(["start", "--dev", "--log-format", "json"], {
    folder: folder.path,
    env: { NODE_TLS_REJECT_UNAUTHORIZED: "0" },
    endWhen: /"listening"/,
  });
  assert.equal(started.code, 0, started.stderr);
  assert.match(started.stdout, /"WARN"[^\n]*NODE_TLS_REJECT_UNAUTHORIZED is set in the environment/);
});

test("thousands of warnings do not hide that it listens", async () => {
  using folder = new Folder();
  const policy = { ext_allowlist: Array.from({ length: 100 }, (_, i) => `s${i}:*`) };
  const tenants = Array.from({ length: 60 }, (_, i) => ({ id: `t${i}`, policy }));
  folder.write(
    "wsprism.yaml",
    JSON.stringify({ version: 1, gateway: { listen: "127.0.0.1:0" }, tenants }),
  );
  const started = await wsprism(["start", "--dev", "--log-format", "json"], {
    folder: folder.path,
    endWhen: /"listening"/,
  });
  assert.equal(started.code, 0, started.stderr);
  assert.match(started.stdout, /names a service that this tenant doesn't have/);
  assert.match(started.stdout, /"the configuration has more warnings[^\n]*"more":5960/);
  assert.doesNotMatch(started.stdout, /lines of this log were dropped/);
});

const npx = TARGET !== "bun"
  ? "the task runs Bun"
  : tried("npx", "--version") === null
  ? "there is no npx"
  : false;
for (const signal of ["SIGTERM", "SIGKILL"] as const) {
  test(`${signal} to npx, with which people start it, reaches the gateway`, { skip: npx }, async () => {
    const port = await freePort();
    const child = spawn("npx", ["-y", "deno@2.9.6", "task", "start"], {
      cwd: ROOT,
      env: { ...process.env, PORT: String(port) },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    let text = "";
    child.stdout!.on("data", (bytes) => text += String(bytes));
    try {
      await answers(port);
      process.kill(child.pid!, signal);
      await until("the end of the gateway", async () => {
        try {
          await fetch(`http://127.0.0.1:${port}/healthz`);
          return null;
        } catch {
          return true;
        }
      }, 20_000);
      // What it wrote last comes through the pipes of all who started it.
      await until("its last words", () => /signal received/.test(text) || null);
    } finally {
      try {
        process.kill(-child.pid!, "SIGKILL");
      } catch {
        // Nobody of its group is left, as it should be.
      }
    }
  });
}
