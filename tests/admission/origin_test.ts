import { strict as assert } from "node:assert";
import { test } from "node:test";
import { OriginRule } from "../../src/admission/origin.ts";

const allows = (entries: readonly string[], origin: string, host: string | null = "ws.example") =>
  new OriginRule(entries).allows(origin, host);

test("Without entries, a page of the host that is connected to may connect, on any scheme and its own port", () => {
  assert.ok(allows([], "https://ws.example"));
  assert.ok(allows([], "http://WS.example"));
  assert.ok(allows([], "https://ws.example", "ws.example:443"));
  assert.ok(allows([], "http://localhost:3000", "localhost:3000"));
  // A dot at the end of a name says that it is whole.
  assert.ok(allows([], "https://ws.example.", "ws.example"));
  assert.ok(allows([], "https://ws.example", "ws.example."));
  assert.ok(allows([], "https://ws.example.:8443", "ws.example.:8443"));
  for (
    const [origin, host] of [
      ["https://evil.example", "ws.example"],
      ["https://ws.example.evil.example", "ws.example"],
      ["https://a.ws.example", "ws.example"],
      ["https://ws.example:8443", "ws.example"],
      ["http://localhost:3000", "localhost:3001"],
      ["null", "ws.example"],
      ["null", ""],
      ["file://", ""],
      ["file://", "file"],
      ["", "ws.example"],
      ["https://ws.example", null],
      ["https://ws.example", ""],
    ] as const
  ) {
    assert.ok(!allows([], origin, host), `${origin} on ${host}`);
  }
});

test("With entries, exactly these pages may connect, and the host's own no more", () => {
  const entries = ["https://app.example", "https://*.tenants.example", "http://localhost:3000"];
  for (
    const origin of [
      "https://app.example",
      "https://APP.example",
      "https://app.example:443",
      "https://a.tenants.example",
      "https://a.b.tenants.example",
      "http://localhost:3000",
    ]
  ) {
    assert.ok(allows(entries, origin), origin);
  }
  for (
    const origin of [
      "http://app.example",
      "https://app.example:8443",
      "https://app.example.evil.example",
      "https://evilapp.example",
      "https://tenants.example",
      "https://.tenants.example",
      "https://eviltenants.example",
      "http://a.tenants.example",
      "https://a.tenants.example:444",
      "https://ws.example",
      "http://localhost",
      "null",
      "https://app.example/path",
      "https://user@app.example",
      "https://app.example https://evil.example",
    ]
  ) {
    assert.ok(!allows(entries, origin), origin);
  }
});

test("A star lets every page in, sandboxed ones too", () => {
  for (const origin of ["https://any.example", "null", "file://"]) assert.ok(allows(["*"], origin));
});

test("Pages without a host may connect where they are named, each by its own name", () => {
  assert.ok(allows(["null"], "null"));
  assert.ok(allows(["file://"], "file://"));
  assert.ok(!allows(["file://"], "null"));
  assert.ok(!allows(["null"], "file://"));
  assert.ok(!allows(["null", "file://"], "https://evil.example"));
  assert.ok(!allows(["https://*.example"], "null"));
});

test("With --dev pages of this machine may connect from any port, and no others", () => {
  const rule = new OriginRule([], { thisMachine: true });
  for (
    const origin of [
      "http://localhost:5173",
      "https://localhost",
      "http://127.0.0.1:3000",
      "http://127.1.2.3",
      "http://[::1]:8080",
      "http://app.localhost:4200",
    ]
  ) {
    assert.ok(rule.allows(origin, "example.com"), origin);
    assert.ok(!new OriginRule([]).allows(origin, "example.com"), origin);
  }
  for (
    const origin of [
      "http://localhost.example",
      "http://127.0.0.1.example",
      "http://notlocalhost",
      "http://128.0.0.1",
      "null",
      "ftp://localhost",
    ]
  ) assert.ok(!rule.allows(origin, "example.com"), origin);
  assert.ok(
    new OriginRule(["https://app.example"], { thisMachine: true }).allows("http://localhost:1", null),
  );
});
