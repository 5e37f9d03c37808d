// The client library over real sockets that are cut anywhere: every message once and in order, both ways, in this runtime
// and in Node.

import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { join } from "node:path";
import { after, test } from "node:test";
import { Folder, ROOT, sharedGateway } from "./gateway_process.ts";
import { recoverByLibrary, type RecoveryRun } from "./recovery_by_library.ts";

const policy = { ext_allowlist: ["room:*", "chat:*"], rate_limit_rps: 100_000, rate_limit_burst: 100_000 };
const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  tenants: [
    { id: "resumes", policy, resume: { window_ms: 30_000 } },
    { id: "keeps", policy, rooms: [{ match: "*", history: { max_messages: 2000 } }] },
    { id: "both", policy, resume: { window_ms: 30_000 }, rooms: [{ match: "*", history: {} }] },
  ],
});

const folder = new Folder();
after(() => folder[Symbol.dispose]());

const runOf = (tenant: string, seed: number): RecoveryRun => ({
  origin: gateway.origin,
  tenant,
  seed,
  messages: 400,
  cuts: 40,
});

for (const [tenant, seed] of [["resumes", 1], ["keeps", 2], ["both", 3]] as const) {
  test(`However often the connection is cut, the library delivers everything once and in order (${tenant})`, async () => {
    const { cuts, said } = await recoverByLibrary(runOf(tenant, seed));
    assert.ok(cuts >= 40 && said >= 400);
  });

  test(`The same in Node (${tenant})`, async () => {
    const program = join(folder.path, "program.mjs");
    execFileSync(`${ROOT}/node_modules/bun/bin/bun.exe`, [
      "build",
      "--target=node",
      `--outfile=${program}`,
      `${ROOT}/tests/flow/recovery_by_library.ts`,
    ], { stdio: ["ignore", "ignore", "pipe"] });
    const said = await new Promise<string>((resolve, reject) =>
      execFile(
        "node",
        [program, JSON.stringify(runOf(tenant, seed + 10))],
        (error, stdout, stderr) => error === null ? resolve(stdout) : reject(new Error(stderr)),
      )
    );
    assert.ok((JSON.parse(said) as { cuts: number }).cuts >= 40, said);
  });
}

test("at the end nobody is left, nothing was complained of, and the gateway stops with exit code 0", async () => {
  // Rooms with history stay for as long as that is kept.
  await gateway.metricsUntil(
    "sessions to be gone",
    (metrics) => metrics.sum("wsprism_ws_sessions_active") + metrics.sum("wsprism_sessions_detached") === 0,
  );
  await gateway.stop();
});
