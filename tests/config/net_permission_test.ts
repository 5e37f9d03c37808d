import { strict as assert } from "node:assert";
import { test } from "node:test";
import { parseNetPermission } from "../../src/config/net_permission.ts";

/** An entry in one word. */
function read(text: string): string | null {
  const entry = parseNetPermission(text);
  if (entry === null) return null;
  const { scheme, port, host } = entry;
  const place = host.kind === "name" ? host.name : host.kind === "below" ? host.suffix : host.range.join("/");
  return `${host.kind} ${scheme}//${place} ${port}`;
}

test("Names, names below one, addresses and ranges are read, for https unless http is said", () => {
  const good: readonly (readonly [string, string])[] = [
    ["api.acme.example:443", "name https://api.acme.example 443"],
    ["API.Acme.Example:443", "name https://api.acme.example 443"],
    ["https://api.acme.example:8443", "name https://api.acme.example 8443"],
    ["http://api:80", "name http://api 80"],
    ["bücher.example:443", "name https://xn--bcher-kva.example 443"],
    ["*.acme.example:443", "below https://.acme.example 443"],
    ["10.0.0.5:443", "addresses https://10.0.0.5/32 443"],
    ["http://10.0.0.0/8:8080", "addresses http://10.0.0.0/8 8080"],
    ["[::1]:443", "addresses https://::1/128 443"],
    ["[fd00::/8]:443", "addresses https://fd00::/8 443"],
  ];
  for (const [text, meant] of good) assert.equal(read(text), meant, text);
});

test("What is none, or would be read as something else than it seems, is refused", () => {
  const bad = [
    "",
    "api.acme.example",
    "api.acme.example:0",
    "api.acme.example:65536",
    "api.acme.example:443/path",
    "https://api.acme.example:443/",
    "ftp://api.acme.example:21",
    "file:///etc/passwd:1",
    "user@api.acme.example:443",
    "*:443",
    "*.*.example:443",
    "api.*.example:443",
    "api.acme.example.:443",
    "api..example:443",
    "a b.example:443",
    "a%2eb:443",
    "127.1:443",
    "0x7f.1:443",
    "0x7f000001:443",
    "2130706433:443",
    "0177.0.0.1:443",
    "127。0。0。1:443",
    "1.2.3.4.5:443",
    "::1:443",
    "[::1%eth0]:443",
    "[::ffff:127.0.0.1]:443",
    "[::ffff:0:0/96]:443",
    "10.0.0.0/33:443",
    "10.0.0.0/:443",
    "[fd00::/129]:443",
    "[127.0.0.1]:443",
    `${"a".repeat(300)}:443`,
  ];
  for (const text of bad) assert.equal(read(text), null, text);
});
