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

test("an address that cannot be bound is one line with the cause, and with what helps", () => {
  const error = (code: string | undefined, message = "listen") =>
    Object.assign(new Error(message), code ? { code } : {});
  const low = "permission denied: ports below 1024 need CAP_NET_BIND_SERVICE " +
    "(AmbientCapabilities= in systemd), or take a higher one";
  const unknown = "this host name has no address: check its spelling, or name an address";
  const foreign = "this machine has no such address: name one of its own, or 0.0.0.0 or [::] for all";
  const cases: [string, number, Error, string][] = [
    ["::", 80, error("EADDRINUSE"), "Cannot listen on [::]:80: the address is in use"],
    [
      "0.0.0.0",
      80,
      error(undefined, "permission denied\n  at somewhere"),
      `Cannot listen on 0.0.0.0:80: ${low}`,
    ],
    ["0.0.0.0", 443, error("EACCES"), `Cannot listen on 0.0.0.0:443: ${low}`],
    ["0.0.0.0", 8080, error("EACCES"), "Cannot listen on 0.0.0.0:8080: permission denied"],
    ["nohost.invalid", 8080, error("EINVAL"), `Cannot listen on nohost.invalid:8080: ${unknown}`],
    ["nohost.invalid", 8080, error("ENOTFOUND"), `Cannot listen on nohost.invalid:8080: ${unknown}`],
    [
      "nohost.invalid",
      8080,
      error(undefined, "failed to lookup address information: Name or service not known"),
      `Cannot listen on nohost.invalid:8080: ${unknown}`,
    ],
    ["203.0.113.5", 8080, error("EADDRNOTAVAIL"), `Cannot listen on 203.0.113.5:8080: ${foreign}`],
    ["203.0.113.5", 8080, error("EINVAL"), `Cannot listen on 203.0.113.5:8080: ${foreign}`],
    ["2001:db8::1", 8080, error("EINVAL"), `Cannot listen on [2001:db8::1]:8080: ${foreign}`],
    ["127.0.0.1", 1, error(undefined, "odd"), "Cannot listen on 127.0.0.1:1: odd"],
  ];
  for (const [hostname, port, cause, message] of cases) {
    const told = cannotListen(hostname, port, cause);
    assert.equal(told.message, message);
    assert.equal(told.cause, cause);
  }
});
