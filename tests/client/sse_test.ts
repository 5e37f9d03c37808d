// Links of plain HTTP, on a fetch of the test's own.

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { cbor } from "../../clients/typescript/src/cbor.ts";
import { sse } from "../../clients/typescript/src/sse.ts";
import type { Codec, Link, LinkRequest } from "../../clients/typescript/src/transport.ts";

const json: Codec = {
  protocol: "wsprism.v1",
  encode: (message) => JSON.stringify(message),
  decode: (data) => typeof data === "string" ? JSON.parse(data) as unknown : undefined,
};

interface Asked {
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly body: unknown;
  readonly credentials: string;
  /** Answers it. */
  answer(response: Response): void;
  fail(error: Error): void;
}

class Stage {
  readonly asked: Asked[] = [];
  readonly heard: unknown[] = [];
  readonly link: Link;
  #stream: ReadableStreamDefaultController<Uint8Array> | null = null;

  constructor(request: Partial<LinkRequest> = {}) {
    const fetch = (url: string | URL, init: RequestInit = {}) =>
      new Promise<Response>((resolve, reject) => {
        init.signal?.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
        this.asked.push({
          method: init.method ?? "GET",
          url: String(url),
          headers: new Headers(init.headers),
          body: init.body,
          credentials: init.credentials ?? "",
          answer: resolve,
          fail: reject,
        });
      });
    this.link = sse({ fetch: fetch as typeof globalThis.fetch }).open({
      url: new URL("wss://gateway.example"),
      tenant: "acme",
      ticket: "secret",
      sid: undefined,
      resume: undefined,
      codec: json,
      ...request,
    }, {
      message: (data) => this.heard.push(typeof data === "string" ? data : [...data as Uint8Array]),
      close: (...why) => this.heard.push({ close: why }),
    });
  }

  /** The stream is open. */
  async open(): Promise<void> {
    const body = new ReadableStream<Uint8Array>({ start: (controller) => void (this.#stream = controller) });
    this.asked.shift()!.answer(new Response(body));
    await this.say('retry: 1000\nevent: open\ndata: {"post":"/v1/sse/abc","key":"k"}\n\n');
  }

  async say(text: string | Uint8Array): Promise<void> {
    this.#stream!.enqueue(typeof text === "string" ? new TextEncoder().encode(text) : text);
    await settled();
  }

  async end(): Promise<void> {
    this.#stream!.close();
    await settled();
  }
}

const settled = () =>
  new Promise<void>((resolve) => setTimeout(resolve, 0)).then(() =>
    new Promise<void>((resolve) => setTimeout(resolve, 0))
  );
const say = (type: string) => JSON.stringify({ v: 1, type });
const taken = () => new Response('{"taken":1}', { status: 202 });

test("A stream is asked for with the ticket in a header, and resumed by the query", () => {
  const [first] = new Stage().asked;
  assert.deepEqual([first?.url, first?.headers.get("authorization"), first?.credentials], [
    "https://gateway.example/v1/sse?tenant=acme&hot=1&resume=1",
    "Bearer secret",
    "same-origin",
  ]);
  for (const path of ["/v1/ws", "/"]) {
    const [next] = new Stage({
      url: new URL(`http://g${path}`),
      ticket: undefined,
      sid: "tab",
      resume: { token: "t", heard: 7 },
    }).asked;
    assert.deepEqual([next?.url, next?.headers.get("authorization"), next?.credentials], [
      "http://g/v1/sse?tenant=acme&hot=1&resume=t&heard=7&sid=tab",
      null,
      "include",
    ]);
  }
  assert.equal(
    new Stage({ url: new URL("wss://g/api/") }).asked[0]?.url.split("?")[0],
    "https://g/api/v1/sse",
  );
});

test("Events are read wherever the network cuts them, in the middle of a character as well", async () => {
  const stage = new Stage();
  await stage.open();
  const bytes = new TextEncoder().encode(
    'id: t.0\ndata: {"type":"grüße 🙂"}\n\n:\n\nevent: hot\ndata: AQID\n\ndata: {\ndata: }\n\n',
  );
  for (const byte of bytes) await stage.say(Uint8Array.of(byte));
  assert.deepEqual(stage.heard, ['{"type":"grüße 🙂"}', [1, 2, 3], "{\n}"]);
});

test("Messages go out one request after the other, those that wait together, and bytes on their own", async () => {
  const stage = new Stage();
  await stage.open();
  const { link, asked } = stage;
  const frame = Uint8Array.of(1, 2, 3);
  for (const message of [say("a"), say("b"), say("c"), frame, say("d"), say("x".repeat(16_384)), say("e")]) {
    link.send(message);
  }
  frame.fill(0);
  assert.ok(link.buffered > 8192 + 16_384 && link.buffered < 8192 + 16_384 + 500);
  const bodies: unknown[] = [];
  const keys = new Set<string>();
  while (asked.length > 0) {
    assert.equal(asked.length, 1, "one at a time");
    const { method, url, headers, body, answer } = asked.shift()!;
    assert.deepEqual([method, url, headers.get("authorization")], [
      "POST",
      "https://gateway.example/v1/sse/abc",
      "Bearer k",
    ]);
    const type = headers.get("content-type")!.split("/")[1];
    if (typeof body !== "string") bodies.push([type, ...body as Uint8Array]);
    else {
      const lines = body.split("\n").map((line) => JSON.parse(line) as { key: string; type: string });
      for (const { key } of lines) keys.add(key);
      bodies.push([type, ...lines.map((line) => line.type.slice(0, 3))]);
    }
    answer(taken());
    await settled();
  }
  assert.deepEqual(bodies, [
    ["x-ndjson", "a"],
    ["x-ndjson", "b", "c"],
    ["octet-stream", 1, 2, 3],
    ["x-ndjson", "d"],
    ["x-ndjson", "xxx"],
    ["x-ndjson", "e"],
  ]);
  assert.equal(keys.size, 6, "each has a key, for a request that is sent twice on its way");
  assert.equal(link.buffered, 0);
});

test("A message with a key of its own keeps it", async () => {
  const stage = new Stage();
  await stage.open();
  stage.link.send('{"v":1,"key":"mine"}');
  assert.equal(stage.asked[0]!.body, '{"key":"mine","v":1}');
});

test("Messages in CBOR go out as JSON, frames as they are", async () => {
  const stage = new Stage({ codec: cbor });
  await stage.open();
  stage.link.send(cbor.encode({ v: 1, svc: "a" }));
  stage.link.send(Uint8Array.of(1, 2, 3));
  const { body, answer } = stage.asked.shift()!;
  assert.match(String(body), /^\{"key":"[\d.e-]+-1","v":1,"svc":"a"\}$/);
  answer(taken());
  await settled();
  assert.deepEqual([...stage.asked[0]!.body as Uint8Array], [1, 2, 3]);
});

test("A refusal says why, and when to come again", async () => {
  const cases: [number, string, Record<string, string>, [number, string, number]][] = [
    [401, '{"msg":"ticket expired"}', {}, [1006, "401 ticket expired", 0]],
    [429, '{"msg":"too many","retry_after_ms":1234}', { "retry-after": "2" }, [1006, "429 too many", 1234]],
    [503, "<html>", { "retry-after": "7" }, [1006, "503 ", 7000]],
    [400, '{"msg":"other encoding"}', {}, [1002, "400 other encoding", 0]],
  ];
  for (const [status, body, headers, close] of cases) {
    const stage = new Stage();
    stage.asked[0]!.answer(new Response(body, { status, headers }));
    await settled();
    assert.deepEqual(stage.heard, [{ close }]);
  }
});

test("The end of a stream is told once: as the gateway names it, as a loss, or for what was said", async () => {
  const ends: [(stage: Stage) => Promise<void> | void, unknown[]][] = [
    [(stage) => stage.say('event: close\ndata: {"code":4501,"reason":"kicked"}\n\n'), [
      4501,
      "kicked",
      undefined,
    ]],
    [(stage) => stage.end(), [1006, "", undefined]],
    [(stage) => stage.asked[0]!.fail(new Error("no network")), [1006, "Error: no network", undefined]],
    [(stage) => stage.asked[0]!.answer(new Response('{"msg":"gone","close":4502}', { status: 410 })), [
      4502,
      "410 gone",
      0,
    ]],
    [(stage) => stage.asked[0]!.answer(new Response('{"msg":"nested"}', { status: 400 })), [
      4505,
      "400 nested",
      0,
    ]],
    [(stage) => stage.asked[0]!.answer(new Response("{}", { status: 413 })), [4508, "413 ", 0]],
  ];
  for (const [end, close] of ends) {
    const stage = new Stage();
    await stage.open();
    stage.link.send(say("a"));
    await end(stage);
    await settled();
    stage.link.close(4006);
    assert.deepEqual(stage.heard, [{ close }]);
  }
});

test("A goodbye is said, and a leave to come back is not", async () => {
  for (const [code, said] of [[1000, "DELETE"], [undefined, "DELETE"], [4006, undefined]] as const) {
    const stage = new Stage();
    await stage.open();
    stage.link.close(code);
    assert.equal(stage.asked[0]?.method, said);
    stage.asked[0]?.answer(new Response(null, { status: 204 }));
    await settled();
    assert.deepEqual(stage.heard, [{ close: [code ?? 1005, "", undefined] }]);
  }
  const early = new Stage();
  early.link.close();
  await settled();
  assert.deepEqual([early.asked.length, early.heard], [1, [{ close: [1005, "", undefined] }]]);
});
