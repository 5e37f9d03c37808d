// Answers that are made to cost the gateway much: each is refused, whoever of the gateway asks, and nothing of it is held.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { clientOf } from "../../src/admission/asking.ts";
import { GuardedFetch } from "../../src/extension/fetch.ts";
import { HttpClient } from "../../src/outbound/http_client.ts";
import { Inflow, type Share } from "../../src/outbound/inflow.ts";
import { type Attack, ATTACKS, CHUNKED, hostileServer, SIZED } from "./hostile_answers.ts";

const MIB = 1_048_576;

/** Those of the gateway who ask: what each says of an answer that it cannot read. */
const ASKERS: Readonly<Record<string, (url: string, share: Share) => Promise<string>>> = {
  "a service": async (url, share) => {
    const client = new HttpClient({ url, headers: {}, bodyBytesMax: MIB, share });
    const answer = await client.post({ body: "{}", headers: {}, timeoutMs: 60_000, repeatable: true });
    client.close();
    return answer.ok ? "it was taken" : answer.msg;
  },
  "a webhook": async (url, share) => {
    const client = new HttpClient({ url, headers: {}, bodyBytesMax: 65_536, share, discards: true });
    const answer = await client.post({ body: "{}", headers: {}, timeoutMs: 60_000, repeatable: true });
    client.close();
    return answer.ok ? "it was taken" : answer.msg;
  },
  "admission": async (url, share) => {
    const client = clientOf(url, { bodyBytesMax: 262_144, share });
    const answer = await client.get({ headers: {}, timeoutMs: 60_000, repeatable: true });
    client.close();
    return answer.ok ? "it was taken" : answer.msg;
  },
  "an extension": async (url, share) => {
    const { port } = new URL(url);
    const resolve = () => Promise.reject(new Error("no names"));
    const fetch = new GuardedFetch({ allow: [`http://127.0.0.1:${port}`], concurrency: 4, resolve, share });
    const outcome = await fetch.fetch(url, { timeout_ms: 60_000 });
    fetch.stop();
    return outcome.ok ? "it was taken" : outcome.msg;
  },
};

/** Has a server whose every answer is this one. */
async function serving(
  attack: Pick<Attack, "first" | "then">,
  use: (url: string) => Promise<void>,
): Promise<void> {
  const server = await hostileServer(() => attack);
  try {
    await use(`http://127.0.0.1:${server.port}/`);
  } finally {
    server.close();
  }
}

for (const [name, attack] of Object.entries(ATTACKS)) {
  test(`An answer of ${name} is refused, whoever asks, and holds no memory`, async () => {
    await serving(attack, async (url) => {
      for (const [who, ask] of Object.entries(ASKERS)) {
        const inflow = new Inflow(() => performance.now());
        assert.match(await ask(url, inflow.share()), attack.why, who);
        assert.equal(inflow.heldBytes, 0, who);
      }
    });
  });
}

test("An answer that drips is dropped when its time is over", async () => {
  const share = new Inflow(() => performance.now()).share();
  await serving({ first: `${CHUNKED}1\r\nx`, then: "" }, async (url) => {
    const client = new HttpClient({ url, headers: {}, bodyBytesMax: MIB, share });
    const answer = await client.get({ headers: {}, timeoutMs: 50, repeatable: true });
    assert.equal(!answer.ok && answer.reason, "timeout");
    assert.equal(share.heldBytes, 0);
  });
});

test("A long answer in small chunks is read whole", async () => {
  const share = new Inflow(() => performance.now()).share();
  const body = "0123456".repeat(20_000);
  const chunks = `${CHUNKED}${"7\r\n0123456\r\n".repeat(20_000)}0\r\n\r\n`;
  await serving({ first: chunks, then: "" }, async (url) => {
    const client = new HttpClient({ url, headers: {}, bodyBytesMax: MIB, share });
    const answer = await client.get({ headers: {}, timeoutMs: 60_000, repeatable: true });
    assert.equal(answer.ok && answer.body.toString(), body);
    assert.equal(share.heldBytes, 0);
    client.close();
  });
});

test("A tenant that has used up its share is read later, and others are read meanwhile", async () => {
  let nowMs = 0;
  const inflow = new Inflow(() => nowMs);
  const heavy = inflow.share(), light = inflow.share();
  await serving({ first: `${SIZED("5")}hello`, then: "" }, async (url) => {
    const ask = async (share: Share) => {
      const client = new HttpClient({ url, headers: {}, bodyBytesMax: 1000, share });
      const answer = await client.get({ headers: {}, timeoutMs: 60_000, repeatable: true });
      client.close();
      return answer.ok ? answer.body.toString() : answer.msg;
    };
    heavy.spent(10, nowMs);
    assert.ok(heavy.waitMs > 0);
    let isRead = false;
    const late = ask(heavy).then((text) => {
      isRead = true;
      return text;
    });
    assert.equal(await ask(light), "hello");
    assert.equal(isRead, false);
    nowMs = 1_000_000;
    assert.equal(await late, "hello");
  });
});

test("Memory for answers is bounded for a tenant and for all, and a little is left for each", () => {
  const inflow = new Inflow(() => 0, { tenantBytes: 100, totalBytes: 150, floorBytes: 10 });
  const [a, b, c] = [inflow.share(), inflow.share(), inflow.share()];
  assert.equal(a.reserve(100), true);
  assert.equal(a.reserve(1), false);
  assert.equal(b.reserve(50), true);
  assert.equal(b.reserve(1), false);
  assert.equal(c.reserve(10), true);
  assert.equal(c.reserve(1), false);
  a.release(100);
  assert.equal(c.reserve(40), true);
  assert.equal(inflow.heldBytes, 100);
});

test("An answer for which there is no memory is refused, and its tenant's others go on", async () => {
  const inflow = new Inflow(() => performance.now(), { tenantBytes: 8192, totalBytes: MIB, floorBytes: 0 });
  const share = inflow.share();
  await serving({ first: `${SIZED("20000")}${"x".repeat(20_000)}`, then: "" }, async (url) => {
    const client = new HttpClient({ url, headers: {}, bodyBytesMax: MIB, share });
    const answer = await client.get({ headers: {}, timeoutMs: 60_000, repeatable: true });
    assert.match(answer.ok ? "it was taken" : answer.msg, /hold too much memory/);
  });
  await serving({ first: `${SIZED("5")}hello`, then: "" }, async (url) => {
    const client = new HttpClient({ url, headers: {}, bodyBytesMax: MIB, share });
    const answer = await client.get({ headers: {}, timeoutMs: 60_000, repeatable: true });
    assert.equal(answer.ok && answer.body.toString(), "hello");
    client.close();
  });
});
