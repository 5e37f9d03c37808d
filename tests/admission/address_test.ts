import { strict as assert } from "node:assert";
import { test } from "node:test";
import fc from "fast-check";
import { AddressFinder } from "../../src/admission/address.ts";

function find(trusted: readonly string[], peer: string, forwarded: string | null): string {
  const asked: string[] = [];
  const finder = new AddressFinder(trusted, "x-forwarded-for");
  const found = finder.find(peer, (name) => {
    asked.push(name);
    return forwarded;
  });
  assert.ok(asked.every((name) => name === "x-forwarded-for"));
  return found;
}

const PROXIES = ["10.0.0.0/8", "fd00::/8"];

test("Without a trusted proxy the socket's peer is the client, whatever a header says", () => {
  assert.equal(find([], "192.0.2.1", "203.0.113.9"), "192.0.2.1");
  assert.equal(find(PROXIES, "192.0.2.1", "203.0.113.9"), "192.0.2.1");
  assert.equal(find(PROXIES, "", "203.0.113.9"), "", "a unix socket has no address");
});

test("Behind trusted proxies it is the last address that is none of them", () => {
  const cases: [forwarded: string | null, found: string][] = [
    ["203.0.113.9", "203.0.113.9"],
    ["203.0.113.9, 10.1.1.1", "203.0.113.9"],
    ["203.0.113.9,10.1.1.1 ,\t10.2.2.2", "203.0.113.9"],
    ["1.1.1.1, 203.0.113.9, 10.1.1.1", "203.0.113.9"],
    ["10.3.3.3, 10.2.2.2", "10.3.3.3"],
    [null, "10.9.9.9"],
    ["", "10.9.9.9"],
  ];
  for (const [forwarded, found] of cases) {
    assert.equal(find(PROXIES, "10.9.9.9", forwarded), found, String(forwarded));
  }
});

test("What a client writes into the header itself is not believed", () => {
  // The proxy appends the address that it sees; whatever the client sent stands before it.
  fc.assert(fc.property(fc.oneof(fc.string(), fc.ipV4(), fc.ipV6()), (spoofed) => {
    assert.equal(find(PROXIES, "10.9.9.9", `${spoofed}, 203.0.113.9`), "203.0.113.9");
    assert.equal(find(PROXIES, "192.0.2.1", spoofed), "192.0.2.1");
  }));
});

test("Addresses are read with ports, in brackets and mapped, and written in one form", () => {
  const cases: [hop: string, found: string][] = [
    ["203.0.113.9:4711", "203.0.113.9"],
    ["[2001:db8::1]", "2001:db8::1"],
    ["[2001:db8::1]:4711", "2001:db8::1"],
    ["2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
    ["::ffff:203.0.113.9", "203.0.113.9"],
    ["[::ffff:203.0.113.9]:1", "203.0.113.9"],
    ["::ffff:10.1.1.1", "10.1.1.1"],
  ];
  for (const [hop, found] of cases) assert.equal(find(PROXIES, "10.9.9.9", hop), found, hop);
  assert.equal(find(PROXIES, "fd00::5", "203.0.113.9"), "203.0.113.9");
  assert.equal(
    find(PROXIES, "::ffff:10.9.9.9", "203.0.113.9"),
    "203.0.113.9",
    "a mapped peer is the proxy too",
  );
  assert.equal(find(PROXIES, "10.9.9.9", "203.0.113.9, ::ffff:10.1.1.1"), "203.0.113.9");
});

test("What cannot be read is not believed, nor what stands before it", () => {
  for (
    const junk of [
      "unknown",
      "_hidden",
      "",
      "10.0.0",
      "300.1.1.1",
      "[::1",
      "a:b",
      "203.0.113.9:x",
      "🎲",
      "10.0.0.1/8",
    ]
  ) {
    assert.equal(find(PROXIES, "10.9.9.9", `203.0.113.9, ${junk}`), "10.9.9.9", junk);
    assert.equal(find(PROXIES, "10.9.9.9", `203.0.113.9, ${junk}, 10.1.1.1`), "10.1.1.1", junk);
  }
});

test("Numbers that only some readers take for addresses are not addresses", () => {
  for (const hop of ["1", "2130706433", "0x7f000001", "127.1", "010.0.0.1", "0x7f.0.0.1", "fe80::1%eth0"]) {
    assert.equal(find(PROXIES, "10.9.9.9", hop), "10.9.9.9", hop);
  }
});

test("A header of any length is looked at as far as 32 hops", () => {
  const hops = (count: number) =>
    Array.from({ length: count }, (_, i) => `10.1.${i >> 8}.${i & 255}`).join(", ");
  assert.equal(find(PROXIES, "10.9.9.9", `203.0.113.9, ${hops(31)}`), "203.0.113.9");
  assert.equal(find(PROXIES, "10.9.9.9", `203.0.113.9, ${hops(32)}`), "10.1.0.0");
  assert.equal(find(PROXIES, "10.9.9.9", `203.0.113.9, ${hops(1000)}`), "10.1.3.200");
});

test("A range holds what its prefix says, for both families", () => {
  const cases: [range: string, address: string, trusted: boolean][] = [
    ["192.0.2.64/26", "192.0.2.127", true],
    ["192.0.2.64/26", "192.0.2.128", false],
    ["192.0.2.7/32", "192.0.2.7", true],
    ["192.0.2.7/32", "192.0.2.8", false],
    ["0.0.0.0/0", "8.8.8.8", true],
    ["0.0.0.0/0", "2001:db8::1", false],
    ["2001:db8::/33", "2001:db8:7fff::1", true],
    ["2001:db8::/33", "2001:db8:8000::1", false],
    ["::/0", "8.8.8.8", false],
  ];
  for (const [range, peer, trusted] of cases) {
    assert.equal(find([range], peer, "203.0.113.9") === "203.0.113.9", trusted, `${peer} in ${range}`);
  }
});

test("Any header at all is read without a throw, and what comes out is an address or the peer", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("1", ".", ":", ",", " ", "[", "]", "f", "/", "%", "0", "x") }),
      (header) => {
        const found = find(PROXIES, "10.9.9.9", header);
        assert.match(found, /^[0-9a-f.:]+$/);
      },
    ),
    { numRuns: 2000 },
  );
});

test("Limits count IPv6 addresses by their first 64 bits, however they are written, and others by themselves", () => {
  const finder = new AddressFinder([], "x-forwarded-for");
  const cases: [address: string, group: string][] = [
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["2001:DB8:0:0:1:2:3:4", "2001:db8:0:0::/64"],
    ["2001:db8:0:1::", "2001:db8:0:1::/64"],
    ["::1", "0:0:0:0::/64"],
    ["192.0.2.1", "192.0.2.1"],
    ["", ""],
    ["no:address", "no:address"],
  ];
  for (const [address, group] of cases) assert.equal(finder.group(address), group, address);
});
