// The guarded fetch against real servers on loopback, names resolved by the test.

import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, createServer as createRawServer, type Server, type Socket } from "node:net";
import { test } from "node:test";
import { type FetchOutcome, GuardedFetch } from "../../src/extension/fetch.ts";
import { Inflow } from "../../src/outbound/inflow.ts";
import { makePair } from "../certificates.ts";

interface House {
  readonly port: number;
  /** Sockets that came. */
  readonly sockets: Set<Socket>;
}

async function serving(server: Server, use: (house: House) => Promise<void>): Promise<void> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    socket.on("error", () => {});
    sockets.add(socket);
  });
  const port = await new Promise<number>((resolve) =>
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port))
  );
  try {
    await use({ port, sockets });
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

const http = (answer: (request: IncomingMessage, response: ServerResponse, body: string) => void) =>
  createServer((request, response) => {
    const chunks: Uint8Array[] = [];
    request.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    request.on("end", () => answer(request, response, Buffer.concat(chunks).toString()));
  });

/** Tells what it was asked. */
const telling = () =>
  http(({ method, url, headers }, response, body) =>
    response.end(JSON.stringify({ method, url, headers, body }))
  );

interface Wish {
  readonly allow: readonly string[];
  readonly names?: Readonly<Record<string, readonly string[]>>;
  readonly concurrency?: number;
  readonly ca?: string;
}

async function fetching(wish: Wish, use: (fetch: GuardedFetch) => Promise<void>): Promise<void> {
  const fetch = new GuardedFetch({
    share: new Inflow(() => performance.now()).share(),
    allow: wish.allow,
    concurrency: wish.concurrency ?? 8,
    resolve: (name) => {
      const found = wish.names?.[name];
      return found === undefined ? Promise.reject(new Error("ENOTFOUND")) : Promise.resolve(found);
    },
    ...(wish.ca === undefined ? {} : { ca: wish.ca }),
  });
  try {
    await use(fetch);
  } finally {
    fetch.stop();
  }
}

function textOf(outcome: FetchOutcome): string {
  assert.ok(outcome.ok, JSON.stringify(outcome));
  assert.ok("text" in outcome.value);
  return outcome.value.text;
}

function refusal(outcome: FetchOutcome, code: string, why: RegExp): void {
  assert.ok(!outcome.ok, JSON.stringify(outcome));
  assert.equal(outcome.code, code, outcome.msg);
  assert.match(outcome.msg, why);
}

const here = (port: number) => [`http://api.example:${port}`, `http://127.0.0.1:${port}`];
const names = { "api.example": ["127.0.0.1"] };

test("A request goes out as it was given, and its answer comes back", async () => {
  await serving(telling(), async ({ port, sockets }) => {
    await fetching({ allow: here(port), names }, async (fetch) => {
      const outcome = await fetch.fetch(`http://api.example:${port}/a b?c=ä#d`, {
        method: "post",
        headers: { "X-Key": "k", "Content-Type": "application/json" },
        body: '{"ä":1}',
      });
      const { method, url, headers, body } = JSON.parse(textOf(outcome));
      assert.deepEqual([method, url, body], ["POST", "/a%20b?c=%C3%A4", '{"ä":1}']);
      assert.equal(headers.host, `api.example:${port}`);
      assert.deepEqual([headers["x-key"], headers["content-type"], headers["content-length"]], [
        "k",
        "application/json",
        "8",
      ]);
      const bytes = { base64: Buffer.from([0x61, 0xc3]).toString("base64") };
      const put = JSON.parse(
        textOf(await fetch.fetch(`http://127.0.0.1:${port}/`, { method: "PUT", body: bytes })),
      );
      assert.equal(put.headers["content-length"], "2");
      for (let i = 0; i < 3; i++) textOf(await fetch.fetch(`http://api.example:${port}/`, undefined));
      assert.equal(sockets.size, 2, "a connection is kept for each place");
    });
  });
});

test("Statuses, headers and bytes are told, and a HEAD's answer has no body", async () => {
  const server = http((request, response) => {
    response.writeHead(request.url === "/none" ? 204 : 418, { "X-Tea": "pot", "content-length": "2" });
    response.end(request.url === "/none" || request.method === "HEAD" ? "" : Buffer.from([0xff, 0xfe]));
  });
  await serving(server, async ({ port }) => {
    await fetching({ allow: here(port), names }, async (fetch) => {
      const bytes = await fetch.fetch(`http://api.example:${port}/`, {});
      assert.ok(bytes.ok && "base64" in bytes.value);
      assert.deepEqual([bytes.value.status, bytes.value.base64], [418, "//4="]);
      assert.equal(bytes.value.headers["x-tea"], "pot");
      const head = await fetch.fetch(`http://api.example:${port}/`, { method: "HEAD" });
      assert.ok(head.ok && "text" in head.value);
      assert.deepEqual([head.value.status, head.value.text], [418, ""]);
    });
  });
});

test("Only what is listed is asked, and only what is a request", async () => {
  await serving(telling(), async ({ port, sockets }) => {
    await fetching({ allow: [`http://127.0.0.1:${port}`], names }, async (fetch) => {
      const url = `http://127.0.0.1:${port}/`;
      refusal(
        await fetch.fetch(`http://api.example:${port}/`, {}),
        "NOT_ALLOWED",
        /not in its permissions\.net/,
      );
      refusal(
        await fetch.fetch(`https://127.0.0.1:${port}/`, {}),
        "NOT_ALLOWED",
        /not in its permissions\.net/,
      );
      refusal(await fetch.fetch("file:///etc/passwd", {}), "NOT_ALLOWED", /file:/);
      const bad: readonly (readonly [unknown, RegExp])[] = [
        [7, /options must be an object/],
        [{ method: "CONNECT" }, /method/],
        [{ method: "GET /evil HTTP/1.1\r\n" }, /method/],
        [{ redirect: "manual" }, /no option "redirect"/],
        [{ timeout_ms: 0 }, /timeout_ms/],
        [{ timeout_ms: Number.NaN }, /timeout_ms/],
        [{ timeout_ms: 1e9 }, /timeout_ms/],
        [{ body: "x" }, /GET has no body/],
        [{ method: "POST", body: 7 }, /body/],
        [{ method: "POST", body: "x".repeat(1_048_577) }, /at most 1048576 bytes/],
        [{ headers: [] }, /headers/],
        [{ headers: { "a b": "" } }, /name/],
        [{ headers: { "a\r\nb": "" } }, /name/],
        [{ headers: { a: "b\r\nhost: evil" } }, /printable/],
        [{ headers: { a: 7 } }, /printable/],
        [{ headers: { A: "1", a: "2" } }, /twice/],
        [{ headers: { Host: "evil" } }, /not for an extension/],
        [{ headers: { "Content-Length": "7" } }, /not for an extension/],
        [{ headers: { "Transfer-Encoding": "chunked" } }, /not for an extension/],
        [{ headers: { a: "x".repeat(9000) } }, /8192 bytes/],
        [{ headers: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`h${i}`, "1"])) }, /at most 64/],
      ];
      for (const [options, why] of bad) refusal(await fetch.fetch(url, options), "BAD_REQUEST", why);
      refusal(await fetch.fetch(`${url}${"a".repeat(9000)}`, {}), "BAD_REQUEST", /URL/);
      refusal(await fetch.fetch({ toString: () => url }, {}), "BAD_REQUEST", /URL/);
      assert.equal(sockets.size, 0);
    });
  });
});

test("A listed name that stands for a private address is not asked, whatever else it stands for", async () => {
  await serving(telling(), async ({ port, sockets }) => {
    const allow = [`http://api.example:${port}`, `http://two.example:${port}`, `http://odd.example:${port}`];
    const resolved = {
      "api.example": ["127.0.0.1"],
      "two.example": ["93.184.216.34", "::ffff:127.0.0.1"],
      "odd.example": ["fe80::1%lo"],
    };
    await fetching({ allow, names: resolved }, async (fetch) => {
      for (const name of ["api", "two"]) {
        const outcome = await fetch.fetch(`http://${name}.example:${port}/`, {});
        refusal(outcome, "NOT_ALLOWED", /127\.0\.0\.1, which is no public address \(loopback\)/);
      }
      refusal(await fetch.fetch(`http://odd.example:${port}/`, {}), "UNAVAILABLE", /address of odd/);
      assert.equal(sockets.size, 0);
    });
  });
});

test("The connection goes to the address that was checked, when a name changes in between", async () => {
  await serving(telling(), async ({ port }) => {
    let asked = 0;
    const fetch = new GuardedFetch({
      share: new Inflow(() => performance.now()).share(),
      allow: here(port),
      concurrency: 8,
      // The second answer is one that nobody is at; whoever resolves again goes there.
      resolve: () => Promise.resolve([asked++ === 0 ? "127.0.0.1" : "127.0.0.99"]),
    });
    assert.equal(JSON.parse(textOf(await fetch.fetch(`http://api.example:${port}/x`, {}))).url, "/x");
    assert.equal(asked, 1);
    fetch.stop();
  });
});

test("Redirects are followed by hand, as far as they may", async () => {
  const server = http((request, response, body) => {
    const url = new URL(request.url!, "http://h");
    const to = url.searchParams.get("to");
    if (to === null) return void response.end(JSON.stringify([request.method, request.headers, body]));
    response.writeHead(Number(url.searchParams.get("status") ?? 302), { location: to }).end();
  });
  await serving(server, async ({ port }) => {
    const base = `http://api.example:${port}`;
    const allow = [...here(port), `http://other.example:${port}`, `http://inside.example:${port}`];
    const resolved = { ...names, "other.example": ["127.0.0.1"], "inside.example": ["127.0.0.9"] };
    await fetching({ allow, names: resolved }, async (fetch) => {
      const go = (to: string, status: number, options: object = {}) =>
        fetch.fetch(`${base}/?status=${status}&to=${encodeURIComponent(to)}`, options);
      const secret = { authorization: "Bearer s", cookie: "c=1", "x-api-key": "k", accept: "text/html" };
      const post = { method: "POST", body: "b", headers: secret };
      const told = async (outcome: Promise<FetchOutcome>) => JSON.parse(textOf(await outcome));
      const [m1, h1, b1] = await told(go("/end", 307, post));
      assert.deepEqual([m1, h1.authorization, h1["x-api-key"], b1], ["POST", "Bearer s", "k", "b"]);
      for (const status of [301, 302, 303]) {
        const [method, headers, body] = await told(go("/end", status, post));
        assert.deepEqual([method, headers.authorization, headers["content-type"], body], [
          "GET",
          "Bearer s",
          undefined,
          "",
        ]);
      }
      const [m2, h2, b2] = await told(go(`http://other.example:${port}/end`, 308, post));
      assert.deepEqual([m2, h2.authorization, h2.cookie, h2["x-api-key"], h2.accept, b2], [
        "POST",
        undefined,
        undefined,
        undefined,
        "text/html",
        "b",
      ]);
      const off = /a redirect leads on/;
      for (
        const to of [
          "http://169.254.169.254/latest/meta-data/",
          "http://0x7f.1:1/",
          `http://[::1]:${port}/`,
          "file:///etc/passwd",
          "//evil.example/",
          `https://api.example:${port}/`,
          `http://u:p@api.example:${port}/`,
        ]
      ) refusal(await go(to, 302), "NOT_ALLOWED", off);
      refusal(
        await go(`http://inside.example:${port}/`, 302),
        "NOT_ALLOWED",
        /127\.0\.0\.9.*no public address/,
      );
      refusal(await go("http://[", 302), "UNAVAILABLE", /no URL/);
      const loop = `${base}/?status=302&to=${encodeURIComponent("/?to=/loop")}`;
      assert.ok(textOf(await fetch.fetch(loop, {})));
    });
  });
});

test("A circle of redirects ends", async () => {
  let asked = 0;
  const server = http((_, response) => {
    asked++;
    response.writeHead(302, { location: "/again" }).end();
  });
  await serving(server, async ({ port }) => {
    await fetching({ allow: here(port), names }, async (fetch) => {
      refusal(
        await fetch.fetch(`http://api.example:${port}/`, {}),
        "UNAVAILABLE",
        /redirected more than 5 times/,
      );
      assert.equal(asked, 6);
    });
  });
});

test("Answers that are too large, broken or late fail, and say how", async () => {
  const said: Readonly<Record<string, string>> = {
    huge: "HTTP/1.1 200 OK\r\ncontent-length: 1048577\r\n\r\n",
    garbage: "\x00\x01\x02\r\n\r\n",
    midway: "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel",
    head: `HTTP/1.1 200 OK\r\nx: ${"y".repeat(20_000)}\r\n\r\n`,
    silent: "",
  };
  const server = createRawServer((socket) =>
    socket.on("data", (bytes: Buffer) => {
      const path = /^GET \/(\w+)/.exec(bytes.toString())?.[1] ?? "";
      socket.write(said[path] ?? "");
      if (path === "midway") socket.end();
    })
  );
  await serving(server, async ({ port }) => {
    await fetching({ allow: here(port), names }, async (fetch) => {
      const url = (path: string) => `http://api.example:${port}/${path}`;
      refusal(await fetch.fetch(url("huge"), {}), "UNAVAILABLE", /larger than 1048576 bytes/);
      refusal(await fetch.fetch(url("garbage"), {}), "UNAVAILABLE", /not HTTP/);
      refusal(await fetch.fetch(url("midway"), {}), "UNAVAILABLE", /midway/);
      refusal(await fetch.fetch(url("head"), {}), "UNAVAILABLE", /head is larger/);
      refusal(await fetch.fetch(url("silent"), { timeout_ms: 30 }), "TIMEOUT", /within 30 ms/);
    });
  });
});

test("Nobody there, and a name without an address, are told as such", async () => {
  let port = 0;
  await serving(createRawServer(() => {}), (house) => {
    port = house.port;
    return Promise.resolve();
  });
  await fetching({ allow: [...here(port), "https://none.example:443"], names }, async (fetch) => {
    refusal(await fetch.fetch(`http://api.example:${port}/`, {}), "UNAVAILABLE", /cannot be reached/);
    refusal(await fetch.fetch("https://none.example/", {}), "UNAVAILABLE", /address of none\.example/);
  });
});

test("A name that is never resolved is late, and the next address is tried when one cannot be reached", async () => {
  await serving(telling(), async ({ port }) => {
    const never = new GuardedFetch({
      share: new Inflow(() => performance.now()).share(),
      allow: here(port),
      concurrency: 1,
      resolve: () => new Promise(() => {}),
    });
    refusal(await never.fetch(`http://api.example:${port}/`, { timeout_ms: 20 }), "TIMEOUT", /20 ms/);
    const allow = [`http://api.example:${port}`, `http://127.0.0.0/8:${port}`];
    await fetching({ allow, names: { "api.example": ["127.0.0.77", "127.0.0.1"] } }, async (fetch) => {
      textOf(await fetch.fetch(`http://api.example:${port}/`, {}));
    });
  });
});

test("So many at a time, the others wait, and one that waits too long is late", async () => {
  const held: ServerResponse[] = [];
  let came: () => void = () => {};
  const server = http((_, response) => {
    held.push(response);
    came();
  });
  await serving(server, async ({ port }) => {
    await fetching({ allow: here(port), names, concurrency: 2 }, async (fetch) => {
      const url = `http://api.example:${port}/`;
      const two = new Promise<void>((resolve) => came = () => held.length === 2 && resolve());
      const first = [fetch.fetch(url, {}), fetch.fetch(url, {})];
      await two;
      const third = fetch.fetch(url, {});
      const late = fetch.fetch(url, { timeout_ms: 1 });
      assert.deepEqual([fetch.active, held.length], [2, 2]);
      const waiting = Array.from({ length: 254 }, () => fetch.fetch(url, { timeout_ms: 1 }));
      refusal(await fetch.fetch(url, {}), "RESOURCE_EXHAUSTED", /256 requests wait/);
      refusal(await late, "TIMEOUT", /1 ms/);
      for (const outcome of await Promise.all(waiting)) refusal(outcome, "TIMEOUT", /1 ms/);
      came = () => held.at(-1)!.end("more");
      for (const response of held.splice(0)) response.end("done");
      assert.deepEqual((await Promise.all(first)).map(textOf), ["done", "done"]);
      assert.equal(textOf(await third), "more");
      assert.equal(fetch.active, 0);
    });
  });
});

test("Over TLS the server must prove the name, at the address that was checked", async () => {
  const { cert, key } = makePair("server");
  const server = createTlsServer(
    { cert, key },
    (request, response) => response.end(String(request.headers.host)),
  );
  await serving(server, async ({ port }) => {
    const allow = [`localhost:${port}`, `other.example:${port}`, `127.0.0.1:${port}`];
    const resolved = { localhost: ["127.0.0.1"], "other.example": ["127.0.0.1"] };
    await fetching({ allow, names: resolved, ca: cert }, async (fetch) => {
      assert.equal(textOf(await fetch.fetch(`https://localhost:${port}/`, {})), `localhost:${port}`);
      assert.equal(textOf(await fetch.fetch(`https://127.0.0.1:${port}/`, {})), `127.0.0.1:${port}`);
      const other = await fetch.fetch(`https://other.example:${port}/`, {});
      refusal(other, "UNAVAILABLE", /certificate|altname|NotValidForName/i);
    });
    await fetching({ allow, names: resolved }, async (fetch) => {
      refusal(
        await fetch.fetch(`https://localhost:${port}/`, {}),
        "UNAVAILABLE",
        /self.signed|certificate|issuer/i,
      );
    });
  });
});

test("After the stop what is under way fails, and nothing more is asked", async () => {
  let came: () => void = () => {};
  await serving(http(() => came()), async ({ port, sockets }) => {
    await fetching({ allow: here(port), names }, async (fetch) => {
      const arrived = new Promise<void>((resolve) => came = resolve);
      const under = fetch.fetch(`http://api.example:${port}/`, {});
      await arrived;
      fetch.stop();
      refusal(await under, "UNAVAILABLE", /hung up/);
      refusal(await fetch.fetch(`http://api.example:${port}/`, {}), "UNAVAILABLE", /ended/);
      assert.equal(sockets.size, 1);
    });
  });
});
