// A release is built, served and installed, and what is not as its checksum says is not installed.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { within } from "../raw_client.ts";
import { Folder, ROOT, TARGET } from "./gateway_process.ts";

const PLATFORM = `${process.platform}-${process.arch}`;
const skip = TARGET !== "executable"
  ? "a release is of executables"
  : process.platform !== "linux"
  ? "the script has been tried with the tools of Linux"
  : false;
const BUILD_MS = 120_000;

interface Run {
  readonly code: number;
  readonly said: string;
}

function run(command: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Run> {
  const [file, ...args] = command;
  const child = spawn(file!, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => said += String(bytes));
  const ended = new Promise<Run>((resolve) =>
    child.once("close", (code) => resolve({ code: code ?? -1, said }))
  );
  return within(ended, command.join(" "), BUILD_MS);
}

/** Serves a folder, and notes what was asked for. */
async function served(folder: string): Promise<{ readonly origin: string; close(): void }> {
  const server = createServer((request, response) => {
    const path = join(folder, request.url!.slice(1));
    if (!existsSync(path)) return void response.writeHead(404).end();
    response.end(readFileSync(path));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => server.close(),
  };
}

interface Parts {
  readonly components: readonly {
    readonly purl: string;
    readonly hashes: readonly { readonly content: string }[];
  }[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

test("a release is built with sums and parts, and installed where the sum holds", { skip }, async () => {
  using release = new Folder();
  using home = new Folder();
  const built = await run(["./release.sh", "--targets", PLATFORM, "--out", release.path]);
  assert.equal(built.code, 0, built.said);
  const names = readdirSync(release.path).sort();
  assert.match(names.join(" "), /^SHA256SUMS wsprism-[\d.]+-linux-\w+ wsprism-[\d.]+\.cdx\.json$/);

  const parts = JSON.parse(readFileSync(join(release.path, names[2]!), "utf8")) as Parts;
  const purls = parts.components.map(({ purl }) => purl);
  for (const name of ["ses", "hono", "zod", "bun"]) {
    assert.ok(purls.some((purl) => purl.startsWith(`pkg:npm/${name}@`)), name);
  }
  assert.ok(!purls.some((purl) => /playwright|typescript@/.test(purl)), "tools of the tests are no parts");
  for (const { hashes } of parts.components) assert.match(hashes[0]!.content, /^[0-9a-f]{128}$/);
  for (const { dependsOn } of parts.dependencies) {
    for (const ref of dependsOn) assert.ok(purls.includes(ref), ref);
  }

  const server = await served(release.path);
  try {
    const install = [
      "sh",
      "config/deploy/install.sh",
      "--from",
      server.origin,
      "--to",
      join(home.path, "bin"),
    ];
    const installed = await run(install);
    assert.equal(installed.code, 0, installed.said);
    assert.match(installed.said, /^wsprism \d+\.\d+\.\d+/m);
    const file = join(home.path, "bin/wsprism");
    const before = readFileSync(file);

    const elsewhere = await run([...install, "--sha256", "0".repeat(64)]);
    assert.deepEqual(
      [elsewhere.code, /nothing is installed/.test(elsewhere.said)],
      [1, true],
      elsewhere.said,
    );

    const forged = join(release.path, names[1]!);
    chmodSync(forged, 0o755);
    writeFileSync(forged, "#!/bin/sh\necho forged\n");
    const refused = await run(install);
    assert.equal(refused.code, 1);
    assert.match(refused.said, /is not what its checksum says .*nothing is installed/);
    assert.ok(readFileSync(file).equals(before));

    writeFileSync(join(release.path, "SHA256SUMS"), "");
    assert.match((await run(install)).said, /the release has nothing for linux-/);
  } finally {
    server.close();
  }
});

test("what cannot be installed or built says so", { skip }, async () => {
  using home = new Folder();
  const install = (...args: readonly string[]) => run(["sh", "config/deploy/install.sh", ...args]);
  assert.match((await install()).said, /--from says where/);
  assert.match((await install("--form", "x")).said, /unknown option --form/);
  assert.match((await install("--from", "http://example.com/x")).said, /not encrypted; use https/);
  assert.match(
    (await install("--from", join(home.path, "none"), "--to", home.path)).said,
    /there is no .*SHA256SUMS/,
  );
  const release = await run(["./release.sh", "--targets", "amiga"]);
  assert.deepEqual([release.code, /no platform amiga/.test(release.said)], [2, true]);
});
