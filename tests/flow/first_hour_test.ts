// The first hour: `wsprism init`, what a check and a start say of it, completion in a shell.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseEnv } from "node:util";
import { handshake, statusOf } from "../raw_client.ts";
import { commandOf, Folder, GatewayProcess, wsprism } from "./gateway_process.ts";

const NAMES = ["wsprism.env", "wsprism.schema.json", "wsprism.yaml"];

/** Runs a command line on a terminal of its own; whoever it asks types these lines. */
async function onTerminal(
  args: readonly string[],
  options: { readonly folder: string; readonly type: string; readonly until?: RegExp },
): Promise<{ readonly code: number | null; readonly out: string }> {
  const { folder, type, until } = options;
  const line = [...commandOf(folder), ...args].map((word) => `'${word}'`).join(" ");
  const child = spawn("script", ["-qec", `exec ${line}`, "/dev/null"], {
    cwd: folder,
    stdio: ["pipe", "pipe", "inherit"],
  });
  let out = "", ended = false;
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
    if (until?.test(out) === true && !ended) {
      ended = true;
      child.stdin.write("\x03"); // Ctrl-C
    }
  });
  child.stdin.write(type);
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, out: out.replaceAll("\r", "") };
}

const hasScript = existsSync("/usr/bin/script");

test("init writes a configuration for each use that passes its check without a warning, with secrets of its own", async () => {
  using folder = new Folder();
  const secrets = new Set<string>();
  for (const use of ["game", "chat", "trading"]) {
    const made = await wsprism(["init", "--use", use, use, "--origin", "https://app.example"], {
      folder: folder.path,
    });
    assert.deepEqual([made.code, made.stderr], [0, ""]);
    assert.match(made.stdout, /^Written: .*wsprism\.yaml[^]*Next:\n {2}cd /);
    const at = join(folder.path, use);
    assert.deepEqual(readdirSync(at).sort(), NAMES);
    assert.equal(statSync(join(at, "wsprism.env")).mode & 0o777, 0o600);
    const env = parseEnv(readFileSync(join(at, "wsprism.env"), "utf8"));
    for (const value of Object.values(env)) secrets.add(value!);
    const text = readFileSync(join(at, "wsprism.yaml"), "utf8");
    assert.ok(text.startsWith("# yaml-language-server: $schema=./wsprism.schema.json\n"));
    assert.equal(JSON.parse(readFileSync(join(at, "wsprism.schema.json"), "utf8")).type, "object");
    const config = ["--config", `${use}/wsprism.yaml`];
    const checked = await wsprism(["check", ...config, "--env-file", `${use}/wsprism.env`], {
      folder: folder.path,
    });
    assert.deepEqual([checked.code, checked.stderr], [0, ""]);
    assert.match(checked.stdout, /^\S+ is good: 1 tenant, 0 warnings\n/);
    assert.match(checked.stdout, /\n {2}pages {4}acme: of https:\/\/app\.example\n/);
    const signed = await wsprism(["token", ...config, "--tenant", "acme", "--user", "ann"], {
      folder: folder.path,
      env: env as Record<string, string>,
    });
    assert.equal(signed.code, 0, signed.stderr);
  }
  assert.equal(secrets.size, 9, "no secret twice");
});

test("with --env-file the secrets need not be in the environment, and a reload takes up those of the file", async () => {
  using folder = new Folder();
  await wsprism(["init", "--use", "chat"], { folder: folder.path });
  const given = ["--env-file", "wsprism.env"];
  const file = join(folder.path, "wsprism.env"), before = readFileSync(file, "utf8");
  const signed = await wsprism(["token", "--tenant", "acme", "--user", "ann", ...given], {
    folder: folder.path,
  });
  assert.deepEqual([signed.code, signed.stderr], [0, ""]);
  const ticket = signed.stdout.trim();
  const taken = await wsprism(["check-token", "--tenant", "acme", ticket, ...given], { folder: folder.path });
  assert.equal(taken.code, 0, taken.stdout);

  const gateway = await GatewayProcess.startText(readFileSync(join(folder.path, "wsprism.yaml"), "utf8"), {
    dev: false,
    keeps: folder.path,
    args: ["--env-file", file],
    env: { WSPRISM_LISTEN: "127.0.0.1:0" },
  });
  try {
    const path = `/v1/ws?tenant=acme`, bearer = { authorization: `Bearer ${ticket}` };
    assert.equal(await statusOf(gateway.port, handshake(path, bearer)), 101);
    // Other secrets, and the ticket is signed with none of them.
    writeFileSync(file, before.replaceAll(/^(\w+)=.*$/gm, (_, name) => `${name}=${name}${"0".repeat(64)}`));
    gateway.signal("SIGHUP");
    assert.equal((await gateway.reloaded(0)).message, "configuration reloaded");
    assert.equal(await statusOf(gateway.port, handshake(path, bearer)), 401);
    rmSync(file);
    const from = gateway.lines.length;
    gateway.signal("SIGHUP");
    const refused = await gateway.reloaded(from);
    assert.match(
      JSON.stringify(refused),
      /reload refused.*Cannot read the variables in .* there is no such file/,
    );
  } finally {
    await gateway.kill();
  }
  const none = await wsprism(["start", "--env-file", "none.env"], { folder: folder.path });
  assert.deepEqual([none.code, none.stderr], [
    3,
    'Cannot read the variables in "none.env": there is no such file\n',
  ]);
});

test("init writes over nothing, and nothing where an option is wrong or nobody can be asked", async () => {
  for (const name of NAMES) {
    using folder = new Folder();
    folder.write(name, "mine");
    const { code, stderr } = await wsprism(["init", "--use", "chat"], { folder: folder.path });
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`^${name.replaceAll(".", "\\.")} is there already: nothing was written`));
    assert.deepEqual([readdirSync(folder.path), readFileSync(join(folder.path, name), "utf8")], [
      [name],
      "mine",
    ]);
  }
  const wrong: [string[], RegExp][] = [
    [[], /no terminal; give --use game\|chat\|trading/],
    [["--use", "chess"], /Allowed choices are game, chat, trading/],
    [["--use", "chat", "--tenant", "a b"], /^--tenant must be .* got "a b"/],
    [["--use", "chat", "--listen", "here"], /^--listen must be .* got "here"/],
    [["--use", "chat", "--origin", "app"], /^--origin must be .* got "app"/],
  ];
  for (const [args, expected] of wrong) {
    using folder = new Folder();
    const { code, stderr } = await wsprism(["init", ...args], { folder: folder.path });
    assert.equal(code, 2);
    assert.match(stderr, expected);
    assert.deepEqual(readdirSync(folder.path), []);
  }
});

test("init asks on a terminal, again where an answer is wrong", { skip: !hasScript }, async () => {
  using folder = new Folder();
  const { code, out } = await onTerminal(["init"], {
    folder: folder.path,
    type: "chess\ngame\narena\n127.0.0.1:9999\nhttps://game.example\n",
  });
  assert.equal(code, 0, out);
  assert.match(out, /It must be game, chat, trading\./);
  const text = readFileSync(join(folder.path, "wsprism.yaml"), "utf8");
  for (
    const part of [
      'id: "arena"',
      'listen: "127.0.0.1:9999"',
      'origins: ["https://game.example"]',
      "tick_ms: 33",
    ]
  ) {
    assert.ok(text.includes(part), part);
  }
});

test("start says on a terminal what is open where, and what to do next", { skip: !hasScript }, async () => {
  using folder = new Folder();
  folder.write(
    "a.yaml",
    'version: 1\ngateway: { listen: "127.0.0.1:0", drain_grace_ms: 0 }\ntenants: [{ id: acme }]\n',
  );
  const { code, out } = await onTerminal(["start", "--config", "a.yaml", "--dev"], {
    folder: folder.path,
    type: "",
    until: /next [^\n]*\n/,
  });
  assert.equal(code, 0, out);
  assert.match(out, /\n {2}clients {2}ws:\/\/127\.0\.0\.1:[1-9]\d*\/v1\/ws, from this machine only\n/);
  assert.match(out, /\n {2}next {5}connect to ws:\/\/127\.0\.0\.1:\d+\/v1\/ws\?tenant=acme&ticket=dev:ann\n/);
});

test("bash completes verbs, options and values by what completion prints; the other shells can read theirs", async () => {
  using folder = new Folder();
  const scriptOf = async (shell: string) => {
    const { code, stdout } = await wsprism(["completion", shell], { folder: folder.path });
    assert.equal(code, 0);
    folder.write(`complete.${shell}`, stdout);
    return join(folder.path, `complete.${shell}`);
  };
  const bash = await scriptOf("bash");
  const complete = (...words: string[]) =>
    execFileSync("bash", [
      "-c",
      'source "$0"; COMP_WORDS=(wsprism "$@"); COMP_CWORD=$#; _wsprism; echo "${COMPREPLY[*]}"',
      bash,
      ...words,
    ], { encoding: "utf8" }).trim();
  assert.equal(complete("ch"), "check check-token");
  assert.equal(complete("init", "--use", ""), "game chat trading");
  assert.equal(complete("webhooks", ""), "list retry drop");
  assert.equal(complete("start", "--log-l"), "--log-level");
  assert.equal(complete("check", "--config", ""), "", "left to files");
  assert.equal(complete("completion", "z"), "zsh");
  for (const shell of ["zsh", "fish"]) {
    const path = await scriptOf(shell);
    if (!existsSync(`/usr/bin/${shell}`)) continue;
    execFileSync(shell, ["-n", path]);
  }
  const none = await wsprism(["completion", "tcsh"], { folder: folder.path });
  assert.equal(none.code, 2);
});
