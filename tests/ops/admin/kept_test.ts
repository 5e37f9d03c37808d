// What administrators decide is answered for only once it is written; when it cannot be, they are told.

import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { StateStore } from "../../../src/state/state_store.ts";
import { OPEN_POLICY } from "../../session/house.ts";
import { open } from "./admin_house.ts";

const ACME = "/v1/tenants/acme";
/** Everything that is kept, and what undoes it. */
const DECISIONS = [
  ["POST", "/users/ann/ban"],
  ["DELETE", "/users/ann/ban"],
  ["POST", "/tickets/revoke", { jti: "t-1" }],
  ["POST", "/suspend"],
  ["POST", "/resume"],
] as const;

async function stateful<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "wsprism-kept-"));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const houseIn = (folder: string) =>
  open({ gateway: `state_dir: ${JSON.stringify(folder)}, drain_grace_ms: 0`, tenant: [OPEN_POLICY] });

test("A gateway on the same state finds what was decided before", async () => {
  await stateful(async (folder) => {
    const one = await houseIn(folder);
    for (const user of ["ann", "bob"]) {
      assert.equal((await one.ask("POST", `${ACME}/users/${user}/ban`)).status, 200);
    }
    await one.ask("DELETE", `${ACME}/users/bob/ban`);
    await one.ask("POST", "/v1/tenants/other/suspend");
    await one.gateway.stop();
    const next = await houseIn(folder);
    const { bans } = (await next.get(`${ACME}/bans`)).body;
    assert.deepEqual(bans.map(({ user }: { user: string }) => user), ["ann"]);
    const knock = next.upgrade("tenant=acme&ticket=dev:ann");
    assert.ok("refuse" in knock && knock.refuse.status === 403);
    const { tenants } = (await next.get("/v1/tenants")).body;
    assert.deepEqual(tenants.map(({ suspended }: { suspended: boolean }) => suspended), [false, true]);
    assert.equal((await next.ask("POST", "/v1/tenants/other/resume")).body.suspended, false);
    await next.gateway.stop();
  });
});

test("What cannot be written is answered with 503, and holds all the same", async () => {
  await stateful(async (folder) => {
    const house = await houseIn(folder);
    const ann = house.enterAs("ann");
    await (house.gateway.state as StateStore).close();
    for (const [method, path, body] of DECISIONS) {
      const { status, body: told, text } = await house.ask(method, `${ACME}${path}`, { body });
      assert.deepEqual([status, told.code], [503, "UNAVAILABLE"], text);
      assert.match(told.msg, /^done, but not written/);
    }
    assert.equal(ann.client.link.closed?.code, 4504);
    await house.gateway.stop();
  });
});

test("Without a state they are answered at once", async () => {
  const house = await open({ tenant: [OPEN_POLICY] });
  for (const [method, path, body] of DECISIONS) {
    const { status, text } = await house.ask(method, `${ACME}${path}`, { body });
    assert.equal(status, 200, text);
  }
});
