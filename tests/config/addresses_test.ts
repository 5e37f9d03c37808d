import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { formatListen, isCidr, parseListen } from "../../src/config/addresses.ts";
import { oneTenant, refusals } from "./loading.ts";

test("A listen address is host:port, [ipv6]:port or :port", () => {
  const good: readonly [text: string, hostname: string, port: number][] = [
    ["0.0.0.0:8080", "0.0.0.0", 8080],
    ["127.0.0.1:0", "127.0.0.1", 0],
    ["localhost:65535", "localhost", 65535],
    ["gw-1.internal:80", "gw-1.internal", 80],
    ["[::]:8080", "::", 8080],
    ["[2001:db8::1]:1", "2001:db8::1", 1],
    [":8080", "0.0.0.0", 8080],
  ];
  for (const [text, hostname, port] of good) assert.deepEqual(parseListen(text), { hostname, port }, text);
});

test("Anything else is no listen address", () => {
  const bad = [
    "",
    "8080",
    "localhost",
    "localhost:",
    "localhost:65536",
    "localhost:-1",
    "localhost:8e3",
    "a b:1",
    "::1:80",
    "[::1]",
  ];
  bad.push(
    "[::1",
    "[]:1",
    "[1.2.3.4]:1",
    "[fe80::1%eth0]:1",
    "256.1.1.1:1",
    "1.2.3:1",
    "-a:1",
    "a..b:1",
    "http://a:1",
    "a:1/",
    "*:80",
  );
  for (const text of bad) {
    assert.equal(parseListen(text), undefined, text);
    assert.match(
      refusals(`gateway: { listen: ${JSON.stringify(text)} }\n${oneTenant()}`)[0] ?? "",
      /^gateway\.listen must be "host:port"/,
    );
  }
});

test("An address is written as it is read", () => {
  const address = fc.record({
    hostname: fc.oneof(
      fc.ipV4(),
      fc.constantFrom("::", "::1", "2001:db8::5"),
      fc.domain().filter((name) => name.length < 250),
    ),
    port: fc.integer({ min: 0, max: 65535 }),
  }, { noNullPrototype: true });
  fc.assert(fc.property(address, (address) => assert.deepEqual(parseListen(formatListen(address)), address)));
});

test("A range of addresses has a prefix length that fits its family", () => {
  for (const text of ["10.0.0.0/8", "0.0.0.0/0", "10.1.2.3/32", "::/0", "fd00::/8", "::1/128"]) {
    assert.ok(isCidr(text), text);
  }
  const bad = [
    "10.0.0.0",
    "10.0.0.0/33",
    "10.0.0/8",
    "10/8",
    "::1/129",
    "::1",
    "fe80::1%eth0/64",
    "a/8",
    "/8",
    "10.0.0.0/",
    "010.0.0.0/8",
  ];
  bad.push("10.0.0.0/-1", "10.0.0.0/8/8", "", " 10.0.0.0/8", "10.0.0.0/ 8");
  for (const text of bad) {
    assert.ok(!isCidr(text), text);
    const [line] = refusals(`gateway: { trusted_proxies: [${JSON.stringify(text)}] }\n${oneTenant()}`);
    assert.match(line ?? "", /^gateway\.trusted_proxies\[0\] must be an address range such as/, text);
  }
});

test("The header with the client's address is a header name in lower case", () => {
  for (const header of ["X-Forwarded-For", "x forwarded", "", "x:y", "ü", "x".repeat(65)]) {
    const [line] = refusals(`gateway: { client_ip_header: ${JSON.stringify(header)} }\n${oneTenant()}`);
    assert.match(line ?? "", /^gateway\.client_ip_header must be a header name in lower case/, header);
  }
});
