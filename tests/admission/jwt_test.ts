// Tickets made by jose, and by people who should not be able to make any.

import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { createHmac, createSign } from "node:crypto";
import { test } from "node:test";
import { JWT_ALGORITHMS } from "../../src/config/auth_schema.ts";
import type { JwtConfig } from "../../src/config/schema.ts";
import { JwtVerifier } from "../../src/admission/jwt.ts";
import type { Bearer, Verdict } from "../../src/admission/verifier.ts";
import { Semaphore } from "../../src/collections/semaphore.ts";
import { accepted } from "../config/loading.ts";
import { forge, NOW_S, pairFor, SECRET, ticket } from "./keys.ts";

function config(jwt: object): JwtConfig {
  const auth = { mode: "jwt", jwt };
  const text = `version: 1\ntenants: [{ id: acme, auth: ${JSON.stringify(auth)} }]\n`;
  return accepted(text, { dev: false }).config.tenants[0]!.auth!.jwt!;
}

/** A verifier at a time, `NOW_S` at first. */
function place(jwt: object = { algorithms: ["HS256"], keys: [{ secret: SECRET }] }) {
  const clock = { s: NOW_S };
  const verifier = new JwtVerifier({
    config: config(jwt),
    jwks: null,
    turns: new Semaphore(1),
    unixMs: () => clock.s * 1000,
  });
  const bearer = (ticket: string | null): Bearer => ({
    ticket,
    address: "192.0.2.1",
    origin: null,
    headers: {},
    renews: null,
  });
  const verify = async (ticket: string | null): Promise<Verdict> => await verifier.verify(bearer(ticket));
  /** The user, or the reason of the refusal. */
  const brief = async (ticket: string | null) => {
    const verdict = await verify(ticket);
    return verdict.ok ? `user ${verdict.user}` : verdict.reason;
  };
  return { clock, verifier, verify, brief };
}

for (const alg of JWT_ALGORITHMS) {
  test(`A ticket signed with ${alg} is taken, and one with another key of the same kind is not`, async () => {
    const [key, other] = alg.startsWith("HS") ? [SECRET, `${SECRET}!`] : [pairFor(alg), pairFor(alg)];
    const keys = typeof key === "string" ? [{ secret: key }] : [{ public_key: key!.publicPem }];
    const { brief } = place({ algorithms: [alg], keys });
    const sign = (by: typeof key) =>
      ticket({ sub: "ann" }, { alg, key: typeof by === "string" ? by : by!.privatePem });
    assert.equal(await brief(await sign(key)), "user ann");
    assert.equal(await brief(await sign(other)), "bad_ticket");
  });
}

test("What a ticket says is handed on: user, claims, id and end, leeway included", async () => {
  const { verify } = place();
  const claims = {
    sub: "ann",
    jti: "t-1",
    rooms: ["a"],
    plan: { name: "pro" },
    iat: NOW_S - 7,
    exp: NOW_S + 10,
  };
  assert.deepEqual(await verify(await ticket(claims)), {
    ok: true,
    user: "ann",
    claims,
    expiresAtMs: (NOW_S + 15) * 1000,
    ticketId: "t-1",
    issuedAtMs: (NOW_S - 7) * 1000,
  });
});

test("The user stands in the claim that the tenant names, a number or a text", async () => {
  const { brief } = place({
    algorithms: ["HS256"],
    keys: [{ secret: SECRET }],
    user_claim: "https://acme/uid",
  });
  assert.equal(await brief(await ticket({ "https://acme/uid": 42, sub: "ann" })), "user 42");
  assert.equal(await brief(await ticket({ "https://acme/uid": "bob" })), "user bob");
  assert.equal(await brief(await ticket({ sub: "ann" })), "user undefined", "whose grant is refused later");
});

test("A ticket is good until it expires, and from when it says, give or take the leeway", async () => {
  const { clock, brief } = place();
  const timed = await ticket({ sub: "ann", nbf: NOW_S + 100, exp: NOW_S + 200 });
  const at = async (s: number) => {
    clock.s = NOW_S + s;
    return await brief(timed);
  };
  assert.equal(await at(94), "bad_ticket");
  assert.equal(await at(95), "user ann");
  assert.equal(await at(204), "user ann");
  assert.equal(await at(205), "expired_ticket");
  assert.equal(await at(1_000_000), "expired_ticket", "replayed");
});

test("A ticket without an end is refused, unless the tenant takes such", async () => {
  const endless = await ticket({ sub: "ann", exp: undefined });
  assert.equal(await place().brief(endless), "bad_ticket");
  const lax = place({ algorithms: ["HS256"], keys: [{ secret: SECRET }], require_exp: false });
  assert.equal(await lax.brief(endless), "user ann");
  assert.equal(await lax.brief(await ticket({ sub: "ann", exp: NOW_S - 10 })), "expired_ticket");
  for (const exp of ["tomorrow", null, {}, "9999999999", [1]]) {
    assert.equal(
      await lax.brief(forge({ alg: "HS256" }, { sub: "ann", exp }, SECRET)),
      "bad_ticket",
      String(exp),
    );
  }
});

test("max_age_s bounds how far ahead a ticket may end, milliseconds in the place of seconds included", async () => {
  const keys = [{ secret: SECRET }];
  const any = place(), bounded = place({ algorithms: ["HS256"], keys, max_age_s: 3600 });
  const at = (exp: number) => ticket({ sub: "ann", exp });
  for (
    const [exp, found] of [
      [NOW_S + 3605, "user ann"], // with the leeway
      [NOW_S + 3606, "bad_ticket"],
      [NOW_S * 1000, "bad_ticket"],
    ] as const
  ) {
    assert.equal(await any.brief(await at(exp)), "user ann");
    assert.equal(await bounded.brief(await at(exp)), found, String(exp));
  }
  const lax = place({ algorithms: ["HS256"], keys, require_exp: false, max_age_s: 3600 });
  assert.equal(await lax.brief(await ticket({ sub: "ann", exp: undefined })), "bad_ticket");
  assert.match((await bounded.verifier.explain(await at(NOW_S * 1000))).failed!, /more than 3600 s ahead/);
});

test("An exp of twenty digits is no time", async () => {
  const [header, body] = ['{"alg":"HS256"}', '{"sub":"ann","exp":12345678901234567890}'];
  const signed = [header, body].map((text) => Buffer.from(text).toString("base64url")).join(".");
  const mac = createHmac("sha256", SECRET).update(signed).digest("base64url");
  assert.match((await place().verifier.explain(`${signed}.${mac}`)).failed!, /its exp is no time/);
  assert.equal(await place().brief(`${signed}.${mac}`), "bad_ticket");
});

test("Issuer and audience must be those of the tenant, where it has any", async () => {
  const { brief } = place({
    algorithms: ["HS256"],
    keys: [{ secret: SECRET }],
    issuer: "https://login.example",
    audience: "wsprism",
  });
  const iss = "https://login.example";
  assert.equal(await brief(await ticket({ sub: "ann", iss, aud: "wsprism" })), "user ann");
  assert.equal(await brief(await ticket({ sub: "ann", iss, aud: ["other", "wsprism"] })), "user ann");
  for (
    const claims of [{}, { iss }, { aud: "wsprism" }, { iss, aud: "other" }, { iss: "x", aud: "wsprism" }]
  ) {
    assert.equal(await brief(await ticket({ sub: "ann", ...claims })), "bad_ticket", JSON.stringify(claims));
  }
});

test("Keys are found by their kid, and tickets without one are tried with every key of their kind", async () => {
  const secrets = ["1", "2", "3"].map((n) => n.repeat(10) + SECRET);
  const [a, b, bare] = secrets as [string, string, string];
  const pair = pairFor("ES256");
  const { brief } = place({
    algorithms: ["HS256", "ES256"],
    keys: [{ kid: "a", secret: a }, { kid: "b", secret: b }, { secret: bare }, {
      kid: "e",
      public_key: pair.publicPem,
    }],
  });
  const of = (key: string, kid?: string) =>
    ticket({ sub: "ann" }, { key, ...(kid === undefined ? {} : { kid }) });
  for (const key of secrets) assert.equal(await brief(await of(key)), "user ann");
  assert.equal(await brief(await of(a, "a")), "user ann");
  assert.equal(await brief(await of(b, "b")), "user ann");
  assert.equal(await brief(await of(a, "b")), "bad_ticket", "another key's name");
  assert.equal(await brief(await of(a, "e")), "bad_ticket", "a key of another kind");
  assert.equal(await brief(await of(bare, "new")), "user ann", "a key without a name answers to any");
  assert.equal(await brief(await of(a, "new")), "bad_ticket");
  assert.equal(
    await brief(await ticket({ sub: "bob" }, { alg: "ES256", key: pair.privatePem, kid: "e" })),
    "user bob",
  );
});

test("A key is good until its not_after, whatever its tickets say", async () => {
  const iso = (s: number) => new Date((NOW_S + s) * 1000).toISOString();
  const [old, next] = ["old!".repeat(10) + SECRET, "next".repeat(10) + SECRET];
  const { clock, brief } = place({
    algorithms: ["HS256"],
    keys: [{ kid: "old", secret: old, not_after: iso(100) }, { kid: "next", secret: next }],
  });
  const [before, after] = [
    await ticket({ sub: "ann" }, { key: old, kid: "old" }),
    await ticket({ sub: "ann" }, { key: next, kid: "next" }),
  ];
  clock.s = NOW_S + 99;
  assert.deepEqual([await brief(before), await brief(after)], ["user ann", "user ann"]);
  clock.s = NOW_S + 101;
  assert.deepEqual([await brief(before), await brief(after)], ["bad_ticket", "user ann"]);
});

test("An unsigned ticket is refused, in every spelling of none", async () => {
  const { brief } = place();
  const payload = { sub: "ann", exp: NOW_S + 3600 };
  for (const alg of ["none", "None", "NONE", "nOnE", "", null, undefined, 0, ["HS256"], {}]) {
    assert.equal(await brief(forge({ alg, typ: "JWT" }, payload, null)), "bad_ticket");
    assert.equal(
      await brief(forge({ alg, typ: "JWT" }, payload, SECRET)),
      "bad_ticket",
      "signed all the same",
    );
  }
  const good = await ticket(payload);
  assert.equal(await brief(good.replace(/[^.]*$/, "")), "bad_ticket", "the signature cut off");
});

test("A public key is no secret: tickets signed with it by HMAC are refused", async () => {
  for (const alg of ["RS256", "ES256", "EdDSA"]) {
    const pair = pairFor(alg);
    const { brief } = place({ algorithms: [alg], keys: [{ public_key: pair.publicPem }] });
    const payload = { sub: "ann", exp: NOW_S + 3600 };
    const der = pair.publicKey.export({ type: "spki", format: "der" }).toString("latin1");
    for (
      const secret of [
        pair.publicPem,
        pair.publicPem.trim(),
        der,
        JSON.stringify(pair.publicKey.export({ format: "jwk" })),
      ]
    ) {
      assert.equal(await brief(forge({ alg: "HS256" }, payload, secret)), "bad_ticket");
      assert.equal(await brief(forge({ alg }, payload, secret)), "bad_ticket");
    }
  }
  // With both kinds of keys at one tenant, each is good for its own kind only.
  const pair = pairFor("RS256");
  const both = place({
    algorithms: ["RS256", "HS256"],
    keys: [{ public_key: pair.publicPem }, { secret: SECRET }],
  });
  assert.equal(
    await both.brief(forge({ alg: "HS256" }, { sub: "ann", exp: NOW_S + 9 }, pair.publicPem)),
    "bad_ticket",
  );
  assert.equal(await both.brief(forge({ alg: "HS256" }, { sub: "ann", exp: NOW_S + 9 }, SECRET)), "user ann");
});

test("An algorithm that the tenant does not allow is refused, though the key could do it", async () => {
  const pair = pairFor("RS256");
  const { brief } = place({ algorithms: ["RS256"], keys: [{ public_key: pair.publicPem }] });
  for (const alg of ["RS384", "RS512", "PS256"]) {
    assert.equal(await brief(await ticket({ sub: "ann" }, { alg, key: pair.privatePem })), "bad_ticket", alg);
  }
  assert.equal(await place().brief(await ticket({ sub: "ann" }, { alg: "HS384" })), "bad_ticket");
});

test("Keys that a ticket brings along or points to are not looked at", async () => {
  const { brief } = place({ algorithms: ["ES256"], keys: [{ public_key: pairFor("ES256").publicPem }] });
  const mine = pairFor("ES256");
  const headers = [
    { jwk: mine.publicKey.export({ format: "jwk" }) },
    { jku: "https://evil.example/keys" },
    { x5u: "https://evil.example/cert" },
    { x5c: [Buffer.from(mine.publicPem).toString("base64")] },
    { kid: "../../../../dev/null" },
    { kid: "' or 1=1 --" },
  ];
  for (const header of headers) {
    const forged = await ticket({ sub: "ann" }, { alg: "ES256", key: mine.privatePem, header });
    assert.equal(await brief(forged), "bad_ticket", JSON.stringify(header));
  }
});

test("Header parameters that must be understood and are not, refuse the ticket", async () => {
  const { brief } = place();
  const payload = { sub: "ann", exp: NOW_S + 3600 };
  for (
    const header of [{ crit: ["exp"] }, { crit: ["b64"], b64: false }, { crit: [] }, { crit: "b64" }, {
      b64: false,
    }]
  ) {
    const told = await brief(forge({ alg: "HS256", ...header }, payload, SECRET));
    // Without `crit`, a `b64` nobody has to understand is only noise.
    assert.equal(told, "crit" in header ? "bad_ticket" : "user ann", JSON.stringify(header));
  }
});

test("ECDSA signatures of zeros, and those in DER, are refused", async () => {
  const pair = pairFor("ES256");
  const { brief } = place({ algorithms: ["ES256"], keys: [{ public_key: pair.publicPem }] });
  const good = await ticket({ sub: "ann" }, { alg: "ES256", key: pair.privatePem });
  const [header, payload] = good.split(".") as [string, string];
  const zeros = Buffer.alloc(64).toString("base64url");
  const der = createSign("sha256").update(`${header}.${payload}`).sign(pair.privatePem).toString("base64url");
  for (
    const signature of [
      zeros,
      der,
      Buffer.alloc(63, 1).toString("base64url"),
      Buffer.alloc(64, 255).toString("base64url"),
    ]
  ) {
    assert.equal(await brief(`${header}.${payload}.${signature}`), "bad_ticket");
  }
  assert.equal(await brief(good), "user ann");
});

test("A ticket cut or changed at any place is refused, and never by an exception", async () => {
  const { brief } = place();
  const good = await ticket({ sub: "ann" });
  for (let end = 0; end < good.length; end++) assert.equal(await brief(good.slice(0, end)), "bad_ticket");
  for (let at = 0; at < good.length - 1; at++) {
    const other = good[at] === "A" ? "B" : "A";
    const told = await brief(good.slice(0, at) + other + good.slice(at + 1));
    assert.ok(told === "bad_ticket" || told === "expired_ticket", `${at}: ${told}`);
  }
});

test("What is no JWT at all is refused", async () => {
  const { brief } = place();
  const cases = [
    null,
    "",
    ".",
    "..",
    "...",
    "a.b.c",
    "dev",
    "dev:ann",
    "=.=.=",
    "é.é.é",
    `${"a".repeat(8000)}`,
    "a.b.c.d.e",
  ];
  const part = (text: string) => Buffer.from(text).toString("base64url");
  for (const header of ["", "{", "null", "[]", '"HS256"', "1", '{"alg":"HS256"', "\u0000"]) {
    cases.push(`${part(header)}.${part('{"sub":"ann"}')}.AAAA`);
  }
  for (const payload of ["", "{", "null", "[]", '"ann"', "1"]) {
    cases.push(forge({ alg: "HS256" }, 0, SECRET).replace(/\.[^.]*\./, `.${part(payload)}.`));
  }
  for (const text of cases) assert.equal(await brief(text), "bad_ticket", String(text).slice(0, 40));
  // Signed, and no object all the same.
  for (const payload of [null, [], "ann", 1, true]) {
    assert.equal(await brief(forge({ alg: "HS256" }, payload, SECRET)), "bad_ticket");
  }
});

test("An explanation names the step that failed", async () => {
  const { verifier, clock } = place({
    algorithms: ["HS256"],
    keys: [{ kid: "a", secret: SECRET }],
    issuer: "me",
  });
  const failed = async (ticket: string) => (await verifier.explain(ticket)).failed ?? "good";
  assert.equal(await failed(await ticket({ sub: "ann", iss: "me" })), "good");
  assert.match(await failed("nonsense"), /three parts/);
  assert.match(await failed(forge({ alg: "none" }, {}, null) + "AA"), /"none"/);
  assert.match(
    await failed(await ticket({ sub: "ann", iss: "me" }, { alg: "HS512" })),
    /not among those allowed \(HS256\)/,
  );
  assert.match(await failed(await ticket({ sub: "ann", iss: "me" }, { kid: "b" })), /no key/);
  assert.match(await failed(await ticket({ sub: "ann", iss: "me" }, { key: `${SECRET}x` })), /signature/);
  assert.match(await failed(await ticket({ sub: "ann", iss: "you" })), /"iss"/);
  clock.s += 100_000;
  assert.match(await failed(await ticket({ sub: "ann", iss: "me" })), /expired/);
});
