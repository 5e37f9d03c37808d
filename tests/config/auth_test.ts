// What an operator can get wrong in `auth`, and what each mistake is told as. No message may show a secret.

import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readConfig } from "../../src/config/load.ts";
import { accepted, type Circumstances, refusals, warned } from "./loading.ts";

const SECRET = "s3cr3t-0123456789-abcdefghij-XYZ"; // 32 bytes
const NOW = 1_767_225_600_000;

function pems(type: "rsa" | "ec" | "ed25519" | "ed448", options: object = {}) {
  // deno-lint-ignore no-explicit-any -- an overload per kind
  const { publicKey, privateKey } = (generateKeyPairSync as any)(type, options);
  return {
    publicPem: publicKey.export({ type: "spki", format: "pem" }) as string,
    privatePem: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
    publicKey,
    privateKey,
  };
}

const P256 = pems("ec", { namedCurve: "P-256" });
const P384 = pems("ec", { namedCurve: "P-384" });
const ED = pems("ed25519");
const RSA = pems("rsa", { modulusLength: 2048 });
const WEAK_RSA = pems("rsa", { modulusLength: 1024 });

/** A file with one tenant and this `auth`; JSON is YAML. */
function withAuth(auth: unknown): string {
  return `version: 1\ntenants:\n  - id: acme\n    auth: ${JSON.stringify(auth)}\n`;
}

const jwt = (algorithms: readonly string[], keys: readonly unknown[], more: object = {}) =>
  withAuth({ mode: "jwt", jwt: { algorithms, keys, ...more } });

/** The failures without tenant and place. */
function faults(text: string, circumstances: Circumstances = {}): string[] {
  const lines = refusals(text, { dev: false, ...circumstances });
  for (const line of lines) {
    assert.ok(!line.includes(SECRET) && !line.includes("s3cr3t"), line);
    assert.ok(!line.includes("PRIVATE KEY-----\nM"), line);
  }
  return lines.map((line) => line.replace(/^tenants\[0\]\.auth\.?/, "").replace(/ \(\d+, \d+\)$/, ""));
}

const notices = (text: string, circumstances: Circumstances = {}) =>
  warned(text, { dev: false, ...circumstances }).map((line) =>
    line.replace(/^tenants\[0\]\.auth\.?/, "").replace(/ \(\d+, \d+\)$/, "")
  );

test("An auth without its mode, with another mode's section or without its own is refused", () => {
  const fixed = { tickets: [{ ticket: "0123456789abcdef", user: "bot" }] };
  const cases: [unknown, string[]][] = [
    [{}, ['mode is missing; it must be one of "jwt", "static", "http", "dev"']],
    [{ mode: "jwt" }, ['jwt is missing with mode "jwt"']],
    [{ mode: "static" }, ['static is missing with mode "static"']],
    [{ mode: "http" }, ['http is missing with mode "http"']],
    [{ mode: "static", static: fixed, http: { url: "https://a.example/", secret: SECRET } }, [
      'http does not go with mode "static"',
    ]],
    [{ mode: "dev" }, ['mode "dev" accepts anybody and needs --dev']],
  ];
  for (const [auth, expected] of cases) assert.deepEqual(faults(withAuth(auth)), expected);
  accepted(withAuth({ mode: "static", static: fixed }), { dev: false });
  accepted(withAuth({ mode: "dev" }), { dev: true });
});

test("The algorithm none is no algorithm, and neither is any other unknown one", () => {
  for (const algorithm of ["none", "None", "HS1", "ES256K", "RS1", "dir", ""]) {
    const [fault, ...others] = faults(jwt([algorithm], [{ secret: SECRET }]));
    assert.deepEqual(others, []);
    assert.match(fault ?? "", /^jwt\.algorithms\[0\] must be one of "HS256", /);
  }
  assert.match(
    faults(jwt([], [{ secret: SECRET }]))[0] ?? "",
    /^jwt\.algorithms must be a list of at least one/,
  );
});

test("A public or private key in the place of a secret is refused, however it is written", () => {
  const jwk = JSON.stringify(P256.publicKey.export({ format: "jwk" }));
  const bare = RSA.publicPem.replace(/-----.*-----|\n/g, "");
  for (
    const secret of [
      RSA.publicPem,
      RSA.privatePem,
      P256.publicPem,
      jwk,
      bare,
      P256.publicPem.replace(/\n/g, " "),
    ]
  ) {
    assert.deepEqual(faults(jwt(["HS256"], [{ secret }])), [
      "jwt.keys[0].secret must be a secret, but this is a key; give public_key or public_key_file instead",
    ]);
  }
});

test("Secrets are as long as their hash, for the longest hash that is allowed", () => {
  for (
    const [algorithms, bytes, needs] of [[["HS256"], 31, 32], [["HS384"], 47, 48], [
      ["HS512", "HS256"],
      63,
      64,
    ]] as const
  ) {
    const of = (length: number) =>
      jwt(algorithms, [{ secret: "s3cr3t0123456789".repeat(8).slice(0, length) }]);
    assert.deepEqual(faults(of(bytes)), [
      `jwt.keys[0].secret must be at least ${needs} bytes for ${algorithms[0]}, got ${bytes}`,
    ]);
    accepted(of(needs), { dev: false });
  }
  // Written as hex, two characters are a byte.
  const hex = Buffer.from(SECRET).toString("hex");
  accepted(jwt(["HS256"], [{ secret: hex, secret_encoding: "hex" }]), { dev: false });
  assert.match(
    faults(jwt(["HS256"], [{ secret: hex.slice(2), secret_encoding: "hex" }]))[0] ?? "",
    /got 31$/,
  );
  assert.match(faults(jwt(["HS256"], [{ secret: SECRET, secret_encoding: "hex" }]))[0] ?? "", /must be hex/);
  const base64 = Buffer.from(SECRET).toString("base64url");
  accepted(jwt(["HS256"], [{ secret: base64, secret_encoding: "base64" }]), { dev: false });
});

test("A secret that repeats itself is worth a warning", () => {
  assert.deepEqual(notices(jwt(["HS256"], [{ secret: "a".repeat(40) }])), [
    "jwt.keys[0].secret repeats itself: take random bytes",
  ]);
  assert.deepEqual(notices(jwt(["HS256"], [{ secret: SECRET }])), []);
});

test("A key is of the kind that an algorithm needs, and every algorithm has a key", () => {
  const cases: [string[], unknown[], string][] = [
    [
      ["ES256"],
      [{ public_key: P384.publicPem }],
      "jwt.keys[0].public_key is a key on the curve P-384, which none of the algorithms can use",
    ],
    [
      ["RS256"],
      [{ public_key: P256.publicPem }],
      "jwt.keys[0].public_key is a key on the curve P-256, which none of the algorithms can use",
    ],
    [
      ["HS256"],
      [{ public_key: RSA.publicPem }],
      "jwt.keys[0].public_key is an RSA key, which none of the algorithms can use",
    ],
    [["RS256"], [{ secret: SECRET }], "jwt.keys[0].secret is a secret, which none of the algorithms can use"],
    [
      ["RS256"],
      [{ public_key: WEAK_RSA.publicPem }],
      "jwt.keys[0].public_key must be an RSA key of at least 2048 bits, got 1024",
    ],
    [
      ["ES256", "RS256"],
      [{ public_key: P256.publicPem }],
      "jwt.algorithms[1] RS256 has no key that is valid now: it needs an RSA key",
    ],
    [
      ["ES256"],
      [{ public_key: P256.privatePem }],
      'jwt.keys[0].public_key must be a public key in SPKI PEM ("-----BEGIN PUBLIC KEY-----")',
    ],
    [
      ["ES256"],
      [{ public_key: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----" }],
      "jwt.keys[0].public_key cannot be read as a key",
    ],
    [
      ["ES256"],
      [{ public_key: P256.publicPem, private_key: pems("ec", { namedCurve: "P-256" }).privatePem }],
      "jwt.keys[0].private_key does not belong to the public key beside it",
    ],
    [
      ["ES256"],
      [{ public_key: P256.publicPem, secret: SECRET }],
      "jwt.keys[0] must have either a secret or a public_key(_file)",
    ],
    [["ES256"], [{ kid: "a" }], "jwt.keys[0] must have either a secret or a public_key(_file)"],
    [["ES256"], [], "jwt needs keys or jwks_url"],
  ];
  for (const [algorithms, keys, expected] of cases) {
    assert.deepEqual(faults(jwt(algorithms, keys)), [expected]);
  }
  for (
    const [algorithm, { publicPem, privatePem }] of [
      ["ES256", P256],
      ["ES384", P384],
      ["EdDSA", ED],
      ["RS256", RSA],
      ["PS512", RSA],
    ] as const
  ) {
    accepted(jwt([algorithm], [{ public_key: publicPem }]), { dev: false });
    const { config } = accepted(jwt([algorithm], [{ private_key: privatePem }]), { dev: false });
    assert.equal(config.tenants[0]!.auth!.jwt!.keys[0]!.public_key, publicPem, "the public half is derived");
  }
});

test("Key files are read relative to the configuration file, and what cannot be read is a failure", async () => {
  const files = { "keys/public.pem": P256.publicPem, "big.pem": "x".repeat(70_000) };
  const of = (name: string) => jwt(["ES256"], [{ public_key_file: name }]);
  const { config } = accepted(of("keys/public.pem"), { dev: false, files });
  assert.equal(config.tenants[0]!.auth!.jwt!.keys[0]!.public_key, P256.publicPem);
  assert.deepEqual(faults(of("none.pem"), { files }), [
    "jwt.keys[0].public_key_file must name a file that can be read: there is no such file",
  ]);
  assert.deepEqual(faults(of("big.pem"), { files }), [
    "jwt.keys[0].public_key_file must name a file of at most 65536 bytes",
  ]);
  const both = jwt(["ES256"], [{ public_key: P256.publicPem, public_key_file: "keys/public.pem" }]);
  assert.deepEqual(faults(both, { files }), [
    "jwt.keys[0].public_key_file does not go with public_key, which says the same",
  ]);
  const folder = mkdtempSync(join(tmpdir(), "wsprism-auth-"));
  try {
    writeFileSync(join(folder, "public.pem"), P256.publicPem);
    writeFileSync(join(folder, "wsprism.yaml"), of("public.pem"));
    const result = await readConfig(join(folder, "wsprism.yaml"), { env: {}, dev: false });
    assert.ok(result.ok, JSON.stringify(result));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("Keys have names of their own, and a last day", () => {
  const day = (days: number) => new Date(NOW + days * 86_400_000).toISOString();
  const key = (kid: string, not_after?: string) => ({
    kid,
    secret: SECRET,
    ...(not_after === undefined ? {} : { not_after }),
  });
  assert.deepEqual(faults(jwt(["HS256"], [key("a"), key("a")])), [
    "jwt.keys[1].kid must be unique, but is also keys[0].kid",
  ]);
  assert.deepEqual(faults(jwt(["HS256"], [key("a", day(-1)), key("b", day(-2))])), [
    "jwt.keys must have a key whose not_after has not passed",
  ]);
  assert.deepEqual(notices(jwt(["HS256"], [key("a", day(-1)), key("b", day(13)), key("c", day(15))])), [
    "jwt.keys[0].not_after has passed: no ticket signed with this key is accepted",
    "jwt.keys[1].not_after comes soon, in 13 days",
  ]);
  assert.match(faults(jwt(["HS256"], [key("a", "tomorrow")]))[0] ?? "", /not_after must be a date or time/);
  assert.match(faults(jwt(["HS256"], [key("a", "2026-13-01")]))[0] ?? "", /not_after must be a date or time/);
  // An algorithm whose only key has expired is as bad as one without a key.
  assert.deepEqual(
    faults(jwt(["HS256", "ES256"], [key("a"), { public_key: P256.publicPem, not_after: day(-1) }])),
    ["jwt.algorithms[1] ES256 has no key that is valid now: it needs a key on the curve P-256"],
  );
});

test("What is asked over the network is https, except on this machine or in this network", () => {
  const jwks = (url: string) => jwt(["ES256"], [], { jwks_url: url });
  const http = (url: string) => withAuth({ mode: "http", http: { url, secret: SECRET } });
  for (const  of of[jwks, http]) {
    for (
      const url of [
        "https://login.example/keys",
        "http://127.0.0.1:1/k",
        "http://localhost/k",
        "http://[::1]/k",
      ]
    ) {
      assert.deepEqual(notices(of(url)), [], url);
    }
    for (
      const url of ["http://backend:8080/k", "http://10.1.2.3/k", "http://a.internal/k", "http://[fdaa::3]/k"]
    ) {
      assert.match(notices(of(url))[0] ?? "", /is plain http/, url);
    }
    for (const url of ["http://login.example/keys", "http://8.8.8.8/", "http://127.0.0.1.evil.example/"]) {
      assert.match(faults(of(url))[0] ?? "", /url must be https, as it leaves this network$/, url);
    }
    for (const url of ["ftp://a.example/", "login.example", "", "https://a.example/#part"]) {
      assert.match(faults(of(url))[0] ?? "", /url must be an http\(s\) URL/, url);
    }
    const [fault] = faults(of("https://user:s3cr3t@login.example/"));
    assert.match(fault ?? "", /url must not have a user name or password in it$/);
  }
});

test("Static tickets are unique, printable, and better long", () => {
  const of = (...tickets: string[]) =>
    withAuth({ mode: "static", static: { tickets: tickets.map((ticket) => ({ ticket, user: "bot" })) } });
  assert.deepEqual(faults(of(SECRET, SECRET)), [
    "static.tickets[1].ticket must be unique, but is also tickets[0].ticket",
  ]);
  assert.match(faults(of("with space s3cr3t"))[0] ?? "", /must be 1–8192 printable ASCII/);
  assert.deepEqual(notices(of("short")), ["static.tickets[0].ticket is short enough to be guessed"]);
});

test("The secret of an auth backend is long, and missing it is worth a warning", () => {
  const of = (secret?: string) =>
    withAuth({ mode: "http", http: { url: "https://b.example/", ...(secret ? { secret } : {}) } });
  assert.deepEqual(faults(of("s3cr3t")), ["http.secret must be at least 32 bytes"]);
  assert.deepEqual(notices(of()), ["http has no secret, so your backend cannot tell who asks"]);
});

test("No failure shows a secret, wherever it was put", () => {
  const texts = [
    jwt(["HS256"], [{ secret: [SECRET] }]),
    jwt(["HS256"], [SECRET]),
    withAuth({ mode: "jwt", jwt: { algorithms: ["HS256"], keys: SECRET } }),
    withAuth({ mode: "static", static: { tickets: SECRET } }),
    withAuth({ mode: "static", static: { tickets: [SECRET] } }),
    withAuth({ mode: "static", static: { tickets: [{ ticket: SECRET }] } }),
    withAuth({ mode: "http", http: { url: "https://b.example/", secret: { a: SECRET } } }),
    jwt(["HS256"], [{ secret: SECRET, kid: "a b" }, { private_key: SECRET }]),
  ];
  for (const text of texts) assert.notEqual(faults(text).length, 0);
  const fromEnv = jwt(["HS256"], [{ secret: "${KEY}" }]);
  assert.notEqual(faults(fromEnv, { env: { KEY: "s3cr3t" } }).length, 0);
});

test("With --dev, tenants without auth accept dev tickets, and only they are warned of", () => {
  const text = `${
    withAuth({ mode: "static", static: { tickets: [{ ticket: SECRET, user: "bot" }] } })
  }  - id: open\n`;
  const { warnings } = accepted(text, { dev: true });
  assert.deepEqual(warnings.map(({ path }) => path), ["tenants[1].id"]);
});
