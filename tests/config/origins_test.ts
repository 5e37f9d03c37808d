import { strict as assert } from "node:assert";
import { test } from "node:test";
import { hostOf, parseOrigin, parseOriginEntry } from "../../src/config/origins.ts";
import { oneTenant, refusals, warned } from "./loading.ts";

test("An entry is an exact origin, one with a wildcard before its host, or a star", () => {
  const exact = (origin: string) => ({ kind: "exact", origin });
  const below = (scheme: string, suffix: string) => ({ kind: "below", scheme, suffix });
  const cases: [string, unknown][] = [
    ["https://app.example", exact("https://app.example")],
    ["HTTPS://App.Example", exact("https://app.example")],
    ["https://app.example:443", exact("https://app.example")],
    ["http://app.example:80", exact("http://app.example")],
    ["https://app.example:80", exact("https://app.example:80")],
    ["http://[::1]:3000", exact("http://[::1]:3000")],
    ["capacitor://localhost", exact("capacitor://localhost")],
    ["https://*.example", below("https", ".example")],
    ["https://*.app.example:8443", below("https", ".app.example:8443")],
    ["*", { kind: "any" }],
    ["https://app.example.", exact("https://app.example")],
    ["https://app.example.:8443", exact("https://app.example:8443")],
    ["app://.", exact("app://.")],
    ["null", exact("null")],
    ["file://", exact("file://")],
    ["FILE://", exact("file://")],
  ];
  for (const [text, expected] of cases) assert.deepEqual(parseOriginEntry(text), expected, text);
  for (
    const text of [
      "",
      "nul",
      "file:",
      "file:///home",
      "https://null://",
      "app.example",
      "https://",
      "https://app.example/",
      "https://app.example/path",
      "https://*",
      "https://a*.example",
      "https://app.*.example",
      "https://*.[::1]",
      "https://user@app.example",
      "https://app.example:123456",
      "https://app.example\nhttps://evil.example",
      "*.example",
    ]
  ) {
    assert.equal(parseOriginEntry(text), undefined, text);
  }
});

test("What a browser sends as Origin is read, and anything else is nobody's", () => {
  assert.deepEqual(parseOrigin("https://App.example:443"), {
    scheme: "https",
    host: "app.example",
    origin: "https://app.example",
  });
  assert.deepEqual(parseOrigin("null"), { scheme: "", host: "", origin: "null" });
  assert.deepEqual(parseOrigin("file://"), { scheme: "file", host: "", origin: "file://" });
  for (
    const text of ["", "https://*.example", "*", "file", "https://a.example, https://b.example"]
  ) {
    assert.equal(parseOrigin(text), undefined, text);
  }
});

test("A Host header loses the port that its scheme has anyway", () => {
  assert.equal(hostOf("App.example:443", "https"), "app.example");
  assert.equal(hostOf("app.example.:443", "https"), "app.example");
  assert.equal(hostOf("app.example.:8443", "https"), "app.example:8443");
  assert.equal(hostOf("app.example:", "https"), "app.example");
  assert.equal(hostOf("[::1]:443", "https"), "[::1]");
  assert.equal(hostOf("[::1]", "https"), "[::1]");
  assert.equal(hostOf("app.example:443", "http"), "app.example:443");
  assert.equal(hostOf("app.example:80", "http"), "app.example");
  assert.equal(hostOf("app.example:8080", "http"), "app.example:8080");
});

test("A list of origins is checked at load, and a star is worth a warning", () => {
  assert.match(
    refusals(oneTenant('origins: ["app.example"]'))[0] ?? "",
    /^tenants\[0\]\.origins\[0\] must be "https:\/\/app\.example", .* got "app\.example"/,
  );
  assert.match(
    warned(oneTenant(`origins: ["*"]`))[0] ?? "",
    /^tenants\[0\]\.origins\[0\] lets pages of any site/,
  );
});
