import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Jwks } from "../../src/admission/jwks.ts";
import { JwtVerifier } from "../../src/admission/jwt.ts";
import type { Bearer } from "../../src/admission/verifier.ts";
import { Semaphore } from "../../src/collections/semaphore.ts";
import { accepted } from "../config/loading.ts";
import { type Answer, settled } from "./answers.ts";
import { NOW_S, type Pair, pairFor, SECRET, ticket } from "./keys.ts";

const jwk = (pair: Pair, more: object = {}) => ({ ...pair.publicKey.export({ format: "jwk" }), ...more });
const [A, B, C] = [pairFor("ES256"), pairFor("ES256"), pairFor("ES256")];

const keys = (...keys: object[]) => new Response(JSON.stringify({ keys }));

/** A verifier whose provider answers as the test says, at a time that the test says. */
function place(jwt: object = {}, answer: () => Answer = () => keys(jwk(A, { kid: "a" }))) {
  const clock = { ms: 1000 };
  const provider = { answer, fetches: 0, closed: 0 };
  const logged: string[] = [];
  const note = (message: string) => void logged.push(message);
  const section = { algorithms: ["ES256"], jwks_url: "https://login.example/keys", ...jwt };
  const text = `version: 1\ntenants: [{ id: acme, auth: ${
    JSON.stringify({ mode: "jwt", jwt: section })
  } }]\n`;
  const config = accepted(text, { dev: false }).config.tenants[0]!.auth!.jwt!;
  const jwks = new Jwks({
    url: config.jwks_url!,
    timing: config,
    now: () => clock.ms,
    log: { debug: note, info: note, warn: note, error: note },
    tenant: "acme",
    client: {
      get: ({ timeoutMs }) => {
        provider.fetches++;
        return settled(provider.answer(), timeoutMs);
      },
      post: () => assert.fail("keys are fetched by GET"),
      close: () => void (provider.closed++),
    },
  });
  const verifier = new JwtVerifier({ config, jwks, turns: new Semaphore(1), unixMs: () => NOW_S * 1000 });
  const bearer = (ticket: string): Bearer => ({
    ticket,
    address: "",
    origin: null,
    headers: {},
    renews: null,
  });
  const brief = async (ticket: string) => {
    const verdict = await verifier.verify(bearer(ticket));
    return verdict.ok ? `user ${verdict.user}` : verdict.reason;
  };
  const of = ({ privatePem: key }: Pair, kid?: string) =>
    ticket({ sub: "ann" }, { alg: "ES256", key, ...(kid === undefined ? {} : { kid }) });
  return { clock, provider, logged, brief, of, verifier, bearer };
}

test("Nothing is fetched before a ticket needs it, and then once for all that wait", async () => {
  const { provider, brief, of } = place();
  assert.equal(provider.fetches, 0);
  const good = await of(A, "a");
  const told = await Promise.all(Array.from({ length: 50 }, () => brief(good)));
  assert.deepEqual(new Set(told), new Set(["user ann"]));
  assert.equal(provider.fetches, 1);
  assert.equal(await brief(await of(B, "a")), "bad_ticket");
  assert.equal(await brief(await of(A)), "user ann", "without a kid");
  assert.equal(provider.fetches, 1);
});

test("A ticket without kid is tried with every key of the set that fits", async () => {
  const { brief, of } = place({}, () => keys(jwk(A, { kid: "a" }), jwk(B, { kid: "b" })));
  assert.deepEqual([await brief(await of(A)), await brief(await of(B)), await brief(await of(C))], [
    "user ann",
    "user ann",
    "bad_ticket",
  ]);
});

test("A rotated key is fetched when a ticket names it, once per cool-down whatever strangers make up", async () => {
  const { clock, provider, brief, of } = place({ jwks_cooldown_ms: 30_000 });
  assert.equal(await brief(await of(A, "a")), "user ann");
  provider.answer = () => keys(jwk(A, { kid: "a" }), jwk(B, { kid: "b" }));
  const rotated = await of(B, "b");
  assert.equal(await brief(rotated), "bad_ticket", "fetched a moment ago");
  clock.ms += 30_000;
  assert.equal(await brief(rotated), "user ann");
  assert.equal(provider.fetches, 2);
  for (let i = 0; i < 100; i++) assert.equal(await brief(await of(C, `made-up-${i}`)), "bad_ticket");
  assert.equal(provider.fetches, 2);
  clock.ms += 30_000;
  for (let i = 0; i < 100; i++) assert.equal(await brief(await of(C, `made-up-${i}`)), "bad_ticket");
  assert.equal(provider.fetches, 3);
});

test("A key that left the set is good for nothing once the set is fetched again", async () => {
  const { clock, provider, brief, of } = place({ jwks_refresh_ms: 60_000 });
  const old = await of(A, "a");
  assert.equal(await brief(old), "user ann");
  provider.answer = () => keys(jwk(B, { kid: "b" }));
  clock.ms += 60_001;
  assert.equal(await brief(old), "user ann", "the old set answers while the new one is on its way");
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(provider.fetches, 2);
  assert.equal(await brief(old), "bad_ticket");
  assert.equal(await brief(await of(B, "b")), "user ann");
});

test("An outage locks nobody out: the last set holds until it is too old", async () => {
  const { clock, provider, brief, of, logged } = place({
    jwks_refresh_ms: 60_000,
    jwks_max_stale_ms: 3_600_000,
  });
  const good = await of(A, "a");
  assert.equal(await brief(good), "user ann");
  const outages: (() => Answer)[] = [
    () => new Error("connection refused"),
    () => new Response("oops", { status: 500 }),
    () => new Response("<html>", { status: 200 }),
    () => new Response(null, { status: 302, headers: { location: "https://evil.example/keys" } }),
    () => keys(),
    () => new Response("{}"),
    () => new Response('{"keys":"a"}'),
    () => keys(...Array.from({ length: 101 }, () => jwk(B))),
    () => new Response(new Uint8Array([0xff, 0xfe])),
  ];
  for (const outage of outages) {
    provider.answer = outage;
    clock.ms += 61_000;
    assert.equal(await brief(good), "user ann");
    await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(await brief(good), "user ann");
  }
  assert.equal(provider.fetches, 1 + outages.length);
  assert.equal(logged.filter((line) => line === "JWKS cannot be fetched").length, outages.length);
  assert.equal(await brief(await of(B, "b")), "unavailable", "nobody can tell now: no 401");
  clock.ms += 3_600_000;
  assert.equal(await brief(good), "unavailable");
  provider.answer = () => keys(jwk(A, { kid: "a" }));
  clock.ms += 2000;
  assert.equal(await brief(good), "user ann", "well again");
  assert.ok(logged.includes("JWKS fetched again"));
});

test("A provider that hangs is given up in time, and without a set tickets are told to come again", async () => {
  const { clock, provider, brief, of, verifier, bearer } = place({ jwks_timeout_ms: 50 }, () => "hang");
  const good = await of(A, "a");
  const since = performance.now();
  assert.equal(await brief(good), "unavailable");
  assert.ok(performance.now() - since < 2000);
  const verdict = await verifier.verify(bearer(good));
  assert.ok(!verdict.ok && verdict.code === "UNAVAILABLE" && verdict.retryAfterMs === 2000);
  assert.equal(provider.fetches, 1, "not again at once");
  provider.answer = () => keys(jwk(A, { kid: "a" }));
  clock.ms += 2000;
  assert.equal(await brief(good), "user ann");
});

test("Keys of the configuration go first, and need no provider", async () => {
  const { provider, brief, of } = place(
    { keys: [{ kid: "c", public_key: C.publicPem }] },
    () => new Error("down"),
  );
  assert.equal(await brief(await of(C, "c")), "user ann");
  assert.equal(provider.fetches, 0);
  assert.equal(await brief(await of(A, "a")), "unavailable");
});

test("A set cannot bring secrets, weak keys or keys for something else", async () => {
  const secret = { kty: "oct", k: btoa(SECRET), kid: "s" };
  const { brief, of } = place(
    { algorithms: ["ES256", "HS256"], keys: [{ secret: `${SECRET}!` }] },
    () =>
      keys(secret, jwk(A, { kid: "enc", use: "enc" }), jwk(B, { kid: "alg", alg: "ES384" }), { kid: "junk" }),
  );
  assert.equal(await brief(await ticket({ sub: "ann" }, { kid: "s" })), "bad_ticket");
  assert.equal(await brief(await of(A, "enc")), "bad_ticket");
  assert.equal(await brief(await of(B, "alg")), "bad_ticket");
  assert.equal(await brief(await of(C, "junk")), "bad_ticket");
});

test("Whoever is replaced lets go of the connection to its provider", () => {
  const { verifier, provider } = place();
  verifier.stop();
  assert.equal(provider.closed, 1);
});
