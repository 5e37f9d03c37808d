// The auth backend as the verifier sees it: an answer, now, later or never.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { HttpVerifier } from "../../src/admission/http.ts";
import type { Bearer, Verdict } from "../../src/admission/verifier.ts";
import { isSigned } from "../../src/outbound/signing.ts";
import { accepted } from "../config/loading.ts";
import { type Answer, settled } from "./answers.ts";
import { NOW_S } from "./keys.ts";

const KEY = "a-secret-of-the-backend-and-of-nobody-else";

interface Question {
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly answer: (response: Response | Error) => void;
}

function place(http: object = {}) {
  const clock = { ms: 1000 };
  const unixMs = () => NOW_S * 1000 + clock.ms;
  const logged: string[] = [];
  const note = (message: string) => void logged.push(message);
  const questions: Question[] = [];
  const closed = { times: 0 };
  const section = { url: "https://backend.example/auth", secret: KEY, ...http };
  const text = `version: 1\ntenants: [{ id: acme, auth: ${
    JSON.stringify({ mode: "http", http: section })
  } }]\n`;
  const verifier = new HttpVerifier({
    tenant: "acme",
    config: accepted(text, { dev: false }).config.tenants[0]!.auth!.http!,
    now: () => clock.ms,
    unixMs,
    log: { debug: note, info: note, warn: note, error: note },
    client: {
      get: () => assert.fail("a question is a POST"),
      post: ({ body, headers, timeoutMs }) => {
        const { promise, resolve } = Promise.withResolvers<Answer>();
        questions.push({ body, headers, answer: resolve });
        return settled(promise, timeoutMs);
      },
      close: () => void (closed.times++),
    },
  });
  const ask = async (ticket: string | null, more: Partial<Bearer> = {}): Promise<Verdict> =>
    await verifier.verify({ ticket, address: "192.0.2.1", origin: null, headers: {}, renews: null, ...more });
  const brief = async (verdict: Promise<Verdict>) => {
    const settled = await verdict;
    return settled.ok ? `user ${settled.user}` : settled.reason;
  };
  /** Asks, answers, and tells what came of it. */
  const told = async (ticket: string, response: Response | Error) => {
    const verdict = ask(ticket);
    await tick();
    questions.at(-1)!.answer(response);
    return await brief(verdict);
  };
  return { clock, unixMs, closed, verifier, questions, logged, ask, brief, told };
}

const tick = () => new Promise((resolve) => setTimeout(resolve, 1));
const json = (value: unknown, status = 200) => new Response(JSON.stringify(value), { status });

test("The backend is told everything that it may want to know, signed", async () => {
  const { ask, questions, unixMs } = place({ headers: ["cookie"], key_id: "k1" });
  void ask("a ticket", { origin: "https://app.example", headers: { cookie: "sid=1" } });
  void ask("new ticket", { renews: "ann" });
  await tick();
  const [first, second] = questions.map(({ body }) => JSON.parse(body));
  assert.deepEqual(first, {
    tenant: "acme",
    ticket: "a ticket",
    address: "192.0.2.1",
    origin: "https://app.example",
    headers: { cookie: "sid=1" },
  });
  assert.deepEqual(second, {
    tenant: "acme",
    ticket: "new ticket",
    address: "192.0.2.1",
    origin: null,
    headers: {},
    renews: "ann",
  });
  const { body, headers } = questions[0]!;
  assert.equal(headers["content-type"], "application/json");
  const check = { keys: [{ id: "k1", secret: KEY }], unixMs: unixMs(), toleranceMs: 1000 };
  assert.ok(isSigned(body, headers["wsprism-signature"]!, check));
});

test("A good answer is a user with claims and an end, and 401 or 403 is a refusal", async () => {
  const { ask, questions, told } = place();
  const verdict = ask("t");
  await tick();
  questions[0]!.answer(
    json({ user: "ann", claims: { rooms: ["a"] }, expires_at: NOW_S + 60, ticket_id: "t1" }),
  );
  assert.deepEqual(await verdict, {
    ok: true,
    user: "ann",
    claims: { rooms: ["a"] },
    expiresAtMs: (NOW_S + 60) * 1000,
    ticketId: "t1",
    issuedAtMs: (NOW_S + 1) * 1000, // when it was asked
  });
  assert.equal(await told("a", json({ user: "bob" })), "user bob");
  assert.equal(await told("b", json({ error: "no" }, 401)), "denied");
  assert.equal(await told("c", new Response("no", { status: 403 })), "denied");
  assert.equal(await told("d", json({ user: "ann", expires_at: NOW_S - 1 })), "expired_ticket");
});

test("An answer that was not agreed on lets nobody in, and is nobody's fault but the backend's", async () => {
  const answers: (Response | Error)[] = [
    json({}),
    json({ user: "" }),
    json({ user: 7 }),
    json({ user: null }),
    json(null),
    json([{ user: "ann" }]),
    json("ann"),
    json({ user: "ann", claims: "admin" }),
    json({ user: "ann", claims: ["admin"] }),
    json({ user: "ann", expires_at: "tomorrow" }),
    json({ user: "ann", expires_at: -5 }),
    json({ user: "ann" }, 201),
    json({ user: "ann" }, 500),
    json({ user: "ann" }, 404),
    new Response(null, { status: 302, headers: { location: "https://evil.example/" } }),
    new Response('{"user":"ann"'),
    new Response(""),
    new Response(new Uint8Array([0x7b, 0xff, 0x7d])),
    new Error("connection reset"),
  ];
  for (const answer of answers) assert.equal(await place().told("t", answer), "unavailable");
});

test("Good answers hold for their time and no other question, refusals not at all", async () => {
  const { ask, brief, questions, clock, told, verifier } = place({ cache_ttl_ms: 5000 });
  assert.equal(await told("t", json({ user: "ann" })), "user ann");
  clock.ms += 4999;
  assert.equal(await brief(ask("t")), "user ann");
  assert.equal(questions.length, 1);
  void ask("t", { address: "192.0.2.2" });
  void ask("t", { origin: "https://a.example" });
  void ask("t", { headers: { cookie: "x" } });
  void ask("t", { renews: "ann" });
  await tick();
  assert.equal(questions.length, 5, "from elsewhere it is another question");
  clock.ms += 1;
  assert.equal(await told("t", json({}, 401)), "denied");
  assert.equal(await told("t", json({ user: "ann" })), "user ann", "asked anew");
  assert.equal(
    await told("u", json({ user: "bob", expires_at: Math.ceil((NOW_S * 1000 + clock.ms) / 1000) + 1 })),
    "user bob",
  );
  clock.ms += 2001;
  assert.equal(await told("u", json({}, 401)), "denied", "an answer does not outlive its ticket");
  assert.ok(verifier.cached <= 2);
  const off = place({ cache_ttl_ms: 0 });
  await off.told("t", json({ user: "ann" }));
  assert.equal(off.verifier.cached, 0);
});

test("No more answers are remembered than allowed", async () => {
  const { told, verifier } = place({ cache_max_entries: 3 });
  for (let i = 0; i < 10; i++) await told(`t${i}`, json({ user: "ann" }));
  assert.equal(verifier.cached, 3);
});

test("Equal questions under way are asked once", async () => {
  const { ask, brief, questions } = place();
  const verdicts = Array.from({ length: 20 }, () => ask("t"));
  await tick();
  assert.equal(questions.length, 1);
  questions[0]!.answer(json({ user: "ann" }));
  for (const verdict of verdicts) assert.equal(await brief(verdict), "user ann");
});

test("So many are asked at once, so many wait, in order, and one more is told to come again", async () => {
  const { ask, brief, questions } = place({ max_concurrent: 2, max_queued: 2 });
  const verdicts = ["a", "b", "c", "d"].map((ticket) => ask(ticket));
  const fifth = await ask("e");
  assert.ok(
    !fifth.ok && fifth.reason === "busy" && fifth.code === "UNAVAILABLE" && fifth.retryAfterMs === 1000,
  );
  await tick();
  const tickets = () => questions.map(({ body }) => JSON.parse(body).ticket);
  assert.deepEqual(tickets(), ["a", "b"]);
  questions[1]!.answer(json({ user: "b" }));
  await tick();
  assert.deepEqual(tickets(), ["a", "b", "c"]);
  questions[0]!.answer(json({ user: "a" }));
  questions[2]!.answer(json({}, 401));
  await tick();
  questions[3]!.answer(json({ user: "d" }));
  assert.deepEqual(await Promise.all(verdicts.map(brief)), ["user a", "user b", "denied", "user d"]);
  void ask("f");
  await tick();
  assert.equal(tickets().at(-1), "f", "there is room again");
});

test("A backend that hangs is given up in time, and who waited in vain behind it is not asked about", async () => {
  const { ask, brief, questions, clock } = place({ timeout_ms: 50, max_concurrent: 1 });
  const verdicts = [ask("a"), ask("b")];
  await tick();
  clock.ms += 60;
  assert.deepEqual(await Promise.all(verdicts.map(brief)), ["unavailable", "unavailable"]);
  assert.deepEqual(questions.map(({ body }) => JSON.parse(body).ticket), ["a"]);
});

test("After failures in a row the backend is left alone, then tried once, and trusted again", async () => {
  const { told, ask, brief, questions, clock, logged } = place();
  for (let i = 0; i < 5; i++) assert.equal(await told(`t${i}`, new Error("down")), "unavailable");
  assert.equal(logged.filter((line) => line === "auth backend is left alone for a while").length, 1);
  const spared = await ask("x");
  assert.ok(!spared.ok && spared.reason === "unavailable" && spared.retryAfterMs! > 0);
  assert.equal(questions.length, 5);
  clock.ms += 1000;
  const trial = ask("y");
  assert.equal(await brief(ask("z")), "unavailable", "one tries");
  await tick();
  questions.at(-1)!.answer(json({}, 401));
  assert.equal(await brief(trial), "denied", "a refusal is a sign of life");
  assert.equal(await told("z", json({ user: "ann" })), "user ann");
});

test("A trial that gets no turn leaves the breaker able to try again", async () => {
  const { told, ask, brief, questions, clock } = place({ max_concurrent: 1, timeout_ms: 50 });
  const hanging = ask("hangs");
  await tick();
  clock.ms += 1;
  assert.equal(questions.length, 1);
  assert.equal(await brief(hanging), "unavailable");
  for (let i = 0; i < 4; i++) await told(`t${i}`, new Error("down"));
  for (let i = 0; i < 3; i++) {
    clock.ms += 40_000;
    assert.equal(await told(`again ${i}`, new Error("down")), "unavailable");
  }
  clock.ms += 40_000;
  assert.equal(await told("at last", json({ user: "ann" })), "user ann");
});

test("Whoever is replaced lets go of its connections", () => {
  const { verifier, closed } = place();
  verifier.stop();
  assert.equal(closed.times, 1);
});

test("No ticket stays in memory, and none is logged", async () => {
  const { told, logged, verifier } = place();
  await told("s3cr3t", json({ user: "ann" }));
  await told("s3cr3t-2", new Error("down"));
  assert.ok(!JSON.stringify([logged, verifier]).includes("s3cr3t"));
});
