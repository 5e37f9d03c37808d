// Answers that are made to cost the gateway much: each is refused, whoever of the gateway asks, and nothing of it is held.

import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { clientOf } from "../../src/admission/asking.ts";
import { GuardedFetch } from "../../src/extension/fetch.ts";
import { HttpClient } from "../../src/outbound/http_client.ts";
import { Inflow, type Share } from "../../src/outbound/inflow.ts";

const MIB = 1_048_576;
const CHUNKED = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const SIZED = (length: string) => `HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\n\r\n`;

/** What comes first, and what comes again and again until the connection is dropped, in pieces. */
interface Attack {
  readonly first: string;
  readonly then: string;
  /** What is said of it. */
  readonly why: RegExp;
}

const many = (text: string) => text.repeat(Math.ceil(65_536 / text.length));

const ATTACKS: Readonly<Record<string, Attack>> = {
  "one-byte chunks": { first: CHUNKED, then: many("1\r\nx\r\n"), why: /less in its body than around it/ },
  "one-byte chunks, their sizes padded": {
    first: CHUNKED,
    then: many("000000000001\r\nx\r\n"),
    why: /less in its body than around it/,
  },
  "chunk extensions of 1,000 bytes": {
    first: CHUNKED,
    then: many(`1;${"e".repeat(1000)}\r\nx\r\n`),
    why: /less in its body than around it/,
  },
  "a chunk extension without end": {
    first: `${CHUNKED}1;`,
    then: many("e"),
    why: /size of a chunk is too long/,
  },
  "a size without end": { first: CHUNKED, then: many("0"), why: /no number/ },
  "a size and blanks without end": { first: `${CHUNKED}1`, then: many(" "), why: /too long/ },
  "100 Continue without end": {
    first: "",
    then: many("HTTP/1.1 100 Continue\r\n\r\n"),
    why: /more than 16 informational/,
  },
  "early hints without end": {
    first: "",
    then: many(`HTTP/1.1 103 Early Hints\r\nlink: ${"x".repeat(8000)}\r\n\r\n`),
    why: /less in its body than around it|more than 16 informational/,
  },
  "headers without end": { first: "HTTP/1.1 200 OK\r\n", then: many("x: y\r\n"), why: /head is larger/ },
  "a header without end": { first: "HTTP/1.1 200 OK\r\nx: ", then: many("y"), why: /head is larger/ },
  "a status line without end": { first: "HTTP/1.1 200 ", then: many("O"), why: /head is larger/ },
  "many headers": {
    first: `HTTP/1.1 200 OK\r\n${"a:b\r\n".repeat(300)}\r\n`,
    then: "",
    why: /more than 256 lines/,
  },
  "a trailer without end": { first: `${CHUNKED}0\r\n`, then: many("x: y\r\n"), why: /trailer is larger/ },
  "a trailer of one line without end": {
    first: `${CHUNKED}0\r\n`,
    then: many("x"),
    why: /trailer is larger/,
  },
  "a negative length": { first: SIZED("-1"), then: "", why: /length is no number/ },
  "a huge length": { first: SIZED("999999999999999"), then: many("x"), why: /larger than/ },
  "a length beyond numbers": { first: SIZED("9".repeat(40)), then: many("x"), why: /length is no number/ },
  "two lengths": { first: SIZED("5\r\ncontent-length: 6"), then: many("x"), why: /length is no number/ },
  "a length and a coding": {
    first: SIZED("5\r\ntransfer-encoding: chunked"),
    then: many("x"),
    why: /two lengths/,
  },
  "a negative chunk": { first: `${CHUNKED}-1\r\n`, then: many("x"), why: /no number/ },
  "a huge chunk": { first: `${CHUNKED}ffffffffffff\r\n`, then: many("x"), why: /larger than/ },
  "a chunk that does not end": { first: `${CHUNKED}5\r\nhello`, then: many("x"), why: /ends too late/ },
  "a body without end": { first: "HTTP/1.1 200 OK\r\n\r\n", then: many("x"), why: /larger than/ },
  "chunks without end": {
    first: CHUNKED,
    then: many("ff\r\n" + "x".repeat(255) + "\r\n"),
    why: /larger than/,
  },
  "another protocol": { first: "", then: many("SSH-2.0-x\r\n\r\n"), why: /not HTTP\/1.1/ },
};

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

/** Answers every request with `first`, and `then` until the connection is dropped. */
async function serving(
  { first, then }: Pick<Attack, "first" | "then">,
  use: (url: string) => Promise<void>,
): Promise<void> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("data", () => {
      socket.write(first);
      const piece = Buffer.from(then);
      const more = () => {
        if (then !== "" && !socket.destroyed) socket.write(piece, () => setImmediate(more));
      };
      more();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  } finally {
    for (const socket of sockets) socket.destroy();
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
