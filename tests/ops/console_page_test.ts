// The console's page as it is embedded: what its sources make, and served only where the configuration says so.

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { built } from "../../clients/console/build.ts";
import { ADMIN, open } from "./admin/admin_house.ts";

test("The embedded files are what clients/console makes", async () => {
  for (const [name, text] of Object.entries(await built())) {
    const path = new URL(`../../src/ops/console/page/${name}`, import.meta.url);
    assert.equal(readFileSync(path, "utf8"), text, `${name}: deno task console`);
  }
});

test("The page needs no key and shows nothing; without admin.console there is none", async () => {
  const house = await open();
  for (const path of ["/console", "/console/console.js", "/console/console.css"]) {
    const { status, headers, text } = await house.get(path, { key: null });
    assert.equal(status, 200, path);
    assert.match(headers.get("content-security-policy")!, /default-src 'none'/);
    // Nothing of the page itself would need to be allowed by its policy.
    if (path === "/console") assert.doesNotMatch(text, /<script>|<style|\son\w+=|\sstyle=/);
  }
  const none = await open({ admin: ADMIN.replace("console: true, ", "") });
  assert.equal((await none.get("/console", { key: null })).status, 401);
  assert.equal((await none.get("/console")).status, 404);
});

test("A reload that takes the console away takes the page with it", async () => {
  const house = await open();
  await house.reload({ admin: ADMIN.replace("console: true, ", "") });
  assert.equal((await house.get("/console")).status, 404);
});
