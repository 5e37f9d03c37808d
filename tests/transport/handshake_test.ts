// What the adapters share and no socket is needed for.

import assert from "node:assert/strict";
import { test } from "node:test";
import { asksUpgrade, cannotListen, plainAddress, refusalResponse } from "../../src/transport/handshake.ts";

test("an address is written without IPv4 mapping and zone", () => {
  const cases: [string | null | undefined, string][] = [
    ["127.0.0.1", "127.0.0.1"],
    ["::ffff:10.0.0.7", "10.0.0.7"],
    ["::FFFF:10.0.0.7", "10.0.0.7"],
    ["::1", "::1"],
    ["2001:db8::ffff:1", "2001:db8::ffff:1"],
    ["fe80::1%eth0", "fe80::1"],
    ["::ffff:10.0.0.7%3", "10.0.0.7"],
    ["", ""],
    [null, ""],
    [undefined, ""],
  ];
  for (const [given, expected] of cases) assert.equal(plainAddress(given), expected);
});

test("an upgrade needs both its headers, in any case and in lists", () => {
  const asks = (headers: Record<string, string>) => asksUpgrade((name) => headers[name] ?? null);
  assert.equal(asks({ upgrade: "websocket", connection: "Upgrade" }), true);
  assert.equal(asks({ upgrade: "WebSocket", connection: "keep-alive , upgrade" }), true);
  assert.equal(asks({ upgrade: "h2c", connection: "HTTP2-Settings , upgrade" }), false);
  assert.equal(asks({ upgrade: "websocket" }), false);
  assert.equal(asks({ upgrade: "websocket", connection: "upgraded" }), false);
  assert.equal(asks({ connection: "upgrade" }), false);
});

test("a refusal is JSON unless its headers say otherwise, and is never kept alive", async () => {
  const plain = refusalResponse({ status: 503, headers: { "Retry-After": "2" }, body: "{}" });
  assert.deepEqual([...plain.headers], [
    ["connection", "close"],
    ["content-type", "application/json"],
    ["retry-after", "2"],
  ]);
  assert.equal(await plain.text(), "{}");
  const text = refusalResponse({ status: 403, headers: { "Content-Type": "text/plain" }, body: "no" });
  assert.equal(text.headers.get("content-type"), "text/plain");
});

test("an address that cannot be bound is one line with the cause", () => {
  const inUse = Object.assign(new Error("listen EADDRINUSE"), { code: "EADDRINUSE" });
  assert.equal(cannotListen("::", 80, inUse).message, "Cannot listen on [::]:80: the address is in use");
  const denied = new Error("permission denied\n  at somewhere");
  assert.equal(cannotListen("0.0.0.0", 80, denied).message, "Cannot listen on 0.0.0.0:80: permission denied");
  assert.equal(cannotListen("0.0.0.0", 80, denied).cause, denied);
});
