import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Hono } from "hono";
import { type PlaygroundFacts, playgroundRoutes } from "../../src/ops/playground.ts";
import { playgroundFacts } from "../../src/gateway/playground_facts.ts";
import { accepted } from "../config/loading.ts";

function site(facts: PlaygroundFacts = { tenants: [] }) {
  const app = new Hono();
  playgroundRoutes(app, () => facts);
  return async (path: string) => await app.fetch(new Request(`http://gateway${path}`));
}

test("The root leads to the playground", async () => {
  for (const path of ["/", "/playground/"]) {
    const answer = await site()(path);
    assert.deepEqual([answer.status, answer.headers.get("location")], [302, "/playground"], path);
  }
});

test("The page and all that it asks for is there, and may reach nothing but this gateway", async () => {
  const get = site();
  const page = await (await get("/playground")).text();
  const asked = [...page.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path]) => path!);
  const script = await (await get("/playground/page.js")).text();
  asked.push(...[...script.matchAll(/from "\.\/([\w.]+)"/g)].map(([, path]) => `/playground/${path}`));
  assert.deepEqual(
    new Set(asked),
    new Set(["/playground/page.css", "/playground/page.js", "/playground/client.js"]),
  );
  for (const path of ["/playground", ...asked, "/playground/facts.json"]) {
    const { status, headers } = await get(path);
    assert.equal(status, 200, path);
    const policy = headers.get("content-security-policy")!;
    assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'/);
    assert.doesNotMatch(policy, /unsafe|\*|https?:/);
    assert.deepEqual([headers.get("x-content-type-options"), headers.get("referrer-policy")], [
      "nosniff",
      "no-referrer",
    ]);
  }
  // Nothing in the markup that the policy would stop, and nothing from elsewhere.
  assert.doesNotMatch(page, /<script(?![^>]*src=)|style="|\son\w+=|https?:\/\//);
});

test("The page is told of the tenants that take dev tickets, and of no others", () => {
  const { config } = accepted(JSON.stringify({
    version: 1,
    tenants: [
      {
        id: "open",
        services: [{ svc: "talk", builtin: "chat" }],
        hot_services: [{ id: 7, kind: "state" }, { id: 9, kind: "relay" }],
        rooms: [{ match: "loud:*" }, { match: "kept:*", history: {} }],
      },
      {
        id: "closed",
        auth: { mode: "static", static: { tickets: [{ ticket: "t".repeat(32), user: "ann" }] } },
      },
    ],
  }));
  assert.deepEqual(playgroundFacts(config.tenants), {
    tenants: [{
      id: "open",
      chat: "talk",
      hot: [{ id: 7, kind: "state" }, { id: 9, kind: "relay" }],
      kept: "kept:lobby",
    }],
  });
});
