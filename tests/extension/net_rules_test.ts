// Which URLs and addresses an extension may fetch from, without any network.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import ipaddr from "ipaddr.js";
import { type Destination, NetRules } from "../../src/extension/net_rules.ts";

const LISTED = [
  "api.acme.example:443",
  "*.hooks.example:443",
  "http://plain.example:80",
  "bücher.example:443",
  "10.1.2.3:443",
  "http://10.9.0.0/16:80",
  "0.0.0.0/0:444",
  "[::/0]:444",
  "any.example:444",
];
const rules = new NetRules(LISTED);

function refused(url: string): boolean {
  return typeof rules.destination(url) === "string";
}

test("A URL is listed by scheme, name and port, however it is written", () => {
  const listed = [
    "https://api.acme.example/",
    "HTTPS://API.ACME.EXAMPLE:443/x?y#z",
    "https://ＡＰＩ.acme.example/",
    "https://a.hooks.example/",
    "https://a.b.hooks.example/",
    "http://plain.example/",
    "https://bücher.example/",
    "https://xn--bcher-kva.example/",
    "https://10.1.2.3/",
    "https://0x0a010203/",
    "https://[::ffff:10.1.2.3]/",
    "http://10.9.8.7/",
  ];
  for (const url of listed) assert.ok(!refused(url), `${url}: ${rules.destination(url)}`);
});

test("No other scheme, name, port or address is, in any spelling", () => {
  const others = [
    "http://api.acme.example/",
    "https://api.acme.example:8443/",
    "https://api.acme.example:444/",
    "https://api.acme.example./",
    "https://xapi.acme.example/",
    "https://api.acme.example.evil.example/",
    "https://hooks.example/",
    "https://.hooks.example/",
    "https://evilhooks.example/",
    "https://plain.example/",
    "https://evil.example\\@api.acme.example/",
    "https://evil.example/@api.acme.example",
    "https://user:password@api.acme.example/",
    "https://api.acme.example@evil.example/",
    "https://api.acme.example%2eevil.example/",
    "https://api.acme.example\u3002evil.example/",
    "https://127.0.0.1/",
    "https://0x7f.1/",
    "https://2130706433/",
    "https://127.1/",
    "https://0177.0.0.1/",
    "https://①②⑦.0.0.1/",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::127.0.0.1]/",
    "https://169.254.169.254/",
    "http://169.254.169.254/latest/meta-data/",
    "https://localhost/",
    "https://[::ffff:10.9.8.7]/",
    "file:///etc/passwd",
    "data:text/plain,x",
    "blob:https://api.acme.example/1",
    "ftp://api.acme.example/",
    "unix:/var/run/docker.sock",
    "gopher://api.acme.example:443/",
    "ws://api.acme.example:443/",
    "javascript:0",
    "//api.acme.example/",
    "api.acme.example",
    "https://",
    "https://[fe80::1%25eth0]/",
    "",
  ];
  for (const url of others) assert.ok(refused(url), url);
});

/** What a name that is listed may stand for. */
function objection(address: string, url = "https://api.acme.example/"): string | null {
  return rules.objection(ipaddr.process(address), rules.destination(url) as Destination);
}

const PRIVATE = [
  "127.0.0.1",
  "127.255.255.254",
  "10.0.0.1",
  "172.16.0.1",
  "192.168.1.1",
  "100.64.0.1",
  "169.254.1.1",
  "192.0.2.1",
  "198.18.0.1",
  "240.0.0.1",
  "192.88.99.1",
  "::1",
  "::ffff:127.0.0.1",
  "::ffff:10.0.0.1",
  "::127.0.0.1",
  "::ffff:0:127.0.0.1",
  "64:ff9b::127.0.0.1",
  "64:ff9b:1::127.0.0.1",
  "2002:7f00:1::1",
  "2001:0:7f00:1::1",
  "2001:db8::1",
  "fd00::1",
  "fe80::1",
  "fec0::1",
  "100::1",
  "4000::1",
];
const METADATA = [
  "169.254.169.254",
  "::ffff:169.254.169.254",
  "fd00:ec2::254",
  "100.100.100.200",
  "168.63.129.16",
];
const NEVER = ["0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "239.255.255.250", "255.255.255.255", "ff02::1"];

test("A name may stand for public addresses, and for no others", () => {
  for (const address of ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"]) {
    assert.equal(objection(address), null, address);
  }
  for (const address of [...PRIVATE, ...METADATA, ...NEVER]) {
    assert.match(objection(address) ?? "", /no public address/, address);
  }
  assert.equal(
    objection("10.0.0.1"),
    "api.acme.example is 10.0.0.1, which is no public address (private), and not listed itself",
  );
});

test("An address that is listed itself may be asked, at that port and with that scheme", () => {
  assert.equal(objection("10.1.2.3"), null);
  assert.equal(objection("10.1.2.3", "https://10.1.2.3/"), null);
  assert.ok(objection("10.1.2.3", "http://plain.example/"));
  assert.equal(objection("10.9.2.3", "http://plain.example/"), null);
  assert.ok(objection("10.9.2.3"));
});

test("A range never means metadata addresses, nor those that are nobody's", () => {
  const at = "https://any.example:444/";
  for (const address of PRIVATE) assert.equal(objection(address, at), null, address);
  for (const address of [...METADATA, ...NEVER]) assert.ok(objection(address, at), address);
  const single = new NetRules(["http://169.254.169.254:80", "https://0.0.0.0:443"]);
  const metadata = single.destination("http://169.254.169.254/") as Destination;
  assert.equal(single.objection(metadata.address!, metadata), null);
  const nobody = single.destination("https://0.0.0.0/") as Destination;
  assert.ok(single.objection(nobody.address!, nobody));
});

test("A metadata address that IPv6 wraps is one, and a range never means it", () => {
  const rules = new NetRules(["http://[::/0]:80"]);
  for (
    const address of [
      ...[
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        // By prefixes of 48, 56 and 64 bits, around octet 8.
        "64:ff9b:1:a9fe:a9:fe00::",
        "64:ff9b:1:a9:fe:a9fe::",
        "64:ff9b:1:0:a9:fea9:fe00:0",
        "2002:a9fe:a9fe::1",
        "::a9fe:a9fe",
        "2001:db8::5efe:169.254.169.254",
      ],
      ...["2001:0:a9fe:a9fe::1", "2001:0:1:1::5601:5601", "64:ff9b::6464:64c8"],
    ]
  ) {
    const where = rules.destination(`http://[${address}]/`);
    assert.ok(typeof where !== "string", String(where));
    assert.match(String(rules.objection(where.address!, where)), /metadata/, address);
  }
});
