// What only streams of events can do wrong: requests that come out of turn, keys that are not theirs, and what is left of a
// stream that is gone. Without a network: a request goes in and an answer comes out.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Link, LinkHandler, ReadMessage, UpgradeRequest } from "../../src/transport/port.ts";
import { SseTransport } from "../../src/transport/sse/sse.ts";
import { wireFrame } from "./contract.ts";

const ORIGIN = "http://gateway";

class Listener implements LinkHandler {
  link!: Link;
  readonly heard: (string | number)[] = [];
  /** Called with each text. */
  onText: (message: string) => void = () => {};
  #wakes: (() => void)[] = [];

  open(link: Link): void {
    this.link = link;
  }
  text(message: string): void {
    this.heard.push(message);
    this.onText(message);
    for (const wake of this.#wakes.splice(0)) wake();
  }
  binary(): void {}
  pong(): void {}
  control(bytes: number): void {
    this.heard.push(bytes);
  }
  onDatagramsDrain(): void {}
  onDrain(): void {}
  onClose(code: number): void {
    this.heard.push(code);
  }
  async until(count: number): Promise<void> {
    while (this.heard.length < count) await new Promise<void>((resolve) => this.#wakes.push(resolve));
  }
}

interface Opened {
  readonly listener: Listener;
  readonly post: string;
  readonly key: string;
  /** The next piece of the stream; null at its end. */
  readonly read: () => Promise<string | null>;
  readonly leave: () => Promise<void>;
}

class Stage {
  now = 0;
  /** Paths that somebody from no page, or from one, has asked for. */
  readonly asked: UpgradeRequest[] = [];
  resumes = true;
  waitMs = 0;
  listener = new Listener();
  readonly transport: SseTransport;

  constructor({ bodyTimeoutMs = 10_000 } = {}) {
    this.transport = new SseTransport({
      maxMessageBytes: 1000,
      bodyTimeoutMs,
      afterTurn: (task) => void setImmediate(task),
      now: () => this.now,
      random: () => 0.5,
    });
    const pages = {
      headers: (request: UpgradeRequest) => {
        this.asked.push(request);
        return request.header("origin") === "https://evil.example" ? null : {};
      },
    };
    this.transport.start({
      open: () => ({ accept: this.listener, hot: false, pages, mayResume: () => this.resumes }),
      pages: () => pages,
      read: (message) => this.#read(message),
      refusedBy: (message) => message.startsWith("refused ") ? Number(message.slice(8)) : null,
      stranger: () => this.waitMs,
    });
  }

  #read(message: string): ReadMessage | { refuse: string } {
    const [word = "", key, seq] = message.split(" ");
    if (word === "bad" || message.includes("\n")) return { refuse: '{"code":"BAD_REQUEST","msg":"bad"}' };
    return { key: key ?? null, seq: seq === undefined ? null : Number(seq) };
  }

  ask(method: string, path: string, init: RequestInit = {}): Promise<Response> {
    const streams = init.body instanceof ReadableStream ? { duplex: "half" } : {};
    const request = new Request(`${ORIGIN}${path}`, { method, ...init, ...streams } as RequestInit);
    return Promise.resolve(this.transport.request(request, "192.0.2.1"));
  }

  async open(): Promise<Opened> {
    const listener = this.listener = new Listener();
    const answer = await this.ask("GET", "/v1/sse?tenant=acme");
    const reader = answer.body!.getReader();
    const decoder = new TextDecoder();
    const read = async () => {
      const { done, value } = await reader.read();
      return done ? null : decoder.decode(value);
    };
    const [, data = ""] = /^retry: 2000\nevent: open\ndata: (.*)\n\n$/.exec(await read() ?? "") ?? [];
    const { post, key } = JSON.parse(data) as { post: string; key: string };
    return { listener, post, key, read, leave: () => reader.cancel() };
  }

  async say(
    { post, key }: Opened,
    body: string | ReadableStream,
  ): Promise<[number, Record<string, unknown>]> {
    const answer = await this.ask("POST", post, { headers: { authorization: `Bearer ${key}` }, body });
    return [answer.status, await answer.json()];
  }
}

/** A body that comes piece by piece. */
function slowBody(): { stream: ReadableStream<Uint8Array>; push: (text: string) => void; end: () => void } {
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const stream = new ReadableStream<Uint8Array>({ start: (given) => void (controller = given) });
  return {
    stream,
    push: (text) => controller.enqueue(new TextEncoder().encode(text)),
    end: () => controller.close(),
  };
}

test("POSTs are taken in the order in which they came, however slowly the first of them comes", async () => {
  const stage = new Stage();
  const opened = await stage.open();
  const slow = slowBody();
  const first = stage.say(opened, slow.stream);
  const second = stage.say(opened, "second");
  slow.push("fir");
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(opened.listener.heard, []);
  slow.push("st");
  slow.end();
  assert.deepEqual(await Promise.all([first, second]), [[202, { taken: 1 }], [202, { taken: 1 }]]);
  assert.deepEqual(opened.listener.heard, ["first", "second"]);
});

test("a POST that does not arrive in time is refused, and the next is taken", async () => {
  const stage = new Stage({ bodyTimeoutMs: 20 });
  const opened = await stage.open();
  const late = slowBody();
  const waits = stage.say(opened, late.stream);
  const next = stage.say(opened, "next");
  assert.equal((await waits)[0], 408);
  assert.deepEqual(await next, [202, { taken: 1 }]);
});

test("one that breaks off is refused, and the next is taken", async () => {
  const stage = new Stage();
  const opened = await stage.open();
  const broken = new ReadableStream({ start: (controller) => controller.error(new Error("cut")) });
  assert.equal((await stage.say(opened, broken))[0], 400);
  assert.deepEqual(await stage.say(opened, "next"), [202, { taken: 1 }]);
});

test("only so many wait for their turn", async () => {
  const stage = new Stage();
  const opened = await stage.open();
  const slow = slowBody();
  const waiting = [
    stage.say(opened, slow.stream),
    ...Array.from({ length: 15 }, () => stage.say(opened, "x")),
  ];
  const [status, refused] = await stage.say(opened, "one too many");
  assert.deepEqual([status, refused["code"], refused["retry_after_ms"]], [429, "RATE_LIMITED", 1000]);
  slow.push("first");
  slow.end();
  for (const [status] of await Promise.all(waiting)) assert.equal(status, 202);
  assert.deepEqual(await stage.say(opened, "there is room again"), [202, { taken: 1 }]);
});

test("a body larger than a message is refused, announced or not, and costs no memory beyond that", async () => {
  const stage = new Stage();
  const opened = await stage.open();
  assert.equal((await stage.say(opened, "x".repeat(1001)))[0], 413);
  const endless = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65_536)) });
  assert.equal((await stage.say(opened, endless))[0], 413);
  stage.transport.boundMessages(2000);
  assert.equal((await stage.say(opened, "x".repeat(1001)))[0], 202);
});

test("a key is taken once as long as its message is the same, and again where that was refused", async () => {
  const stage = new Stage();
  const opened = await stage.open();
  assert.deepEqual(await stage.say(opened, "a key 1"), [202, { taken: 1 }]);
  assert.deepEqual(await stage.say(opened, "a key 1\nb key2 2"), [202, { taken: 1, duplicates: 1 }]);
  assert.deepEqual(await stage.say(opened, "another key 3"), [202, { taken: 1 }]);
  opened.listener.link.write([wireFrame("refused 7")], 1);
  assert.deepEqual(await stage.say(opened, "b key2 2"), [202, { taken: 0, duplicates: 1 }]);
  opened.listener.link.write([wireFrame("refused 2")], 1);
  assert.deepEqual(await stage.say(opened, "b key2 2"), [202, { taken: 1 }]);
  assert.deepEqual(opened.listener.heard, ["a key 1", "b key2 2", "another key 3", "b key2 2"]);
});

test("lines of which one is none are refused whole, and cost what a message does", async () => {
  const stage = new Stage();
  const opened = await stage.open();
  assert.deepEqual(await stage.say(opened, "good\nbad"), [400, { code: "BAD_REQUEST", msg: "bad" }]);
  assert.deepEqual(opened.listener.heard, [8]);
});

test("a stream that ends in the midst of a POST says how far it came", async () => {
  const stage = new Stage();
  const opened = await stage.open();
  opened.listener.onText = () => opened.listener.link.close(4507, "policy violation");
  const [status, gone] = await stage.say(opened, "one\ntwo");
  assert.equal(status, 410);
  assert.deepEqual([gone["taken"], gone["close"], gone["reason"], gone["resume"]], [
    1,
    4507,
    "policy violation",
    false,
  ]);
  assert.equal(await opened.read(), 'event: close\ndata: {"code":4507,"reason":"policy violation"}\n\n');
  assert.equal(await opened.read(), null);
  assert.deepEqual(opened.listener.heard, ["one", 4507]);
});

test("messages of one POST wait while their link is paused, and are taken when it is read again", async () => {
  const stage = new Stage();
  const opened = await stage.open();
  const { listener } = opened;
  listener.onText = (message) => message === "one" && listener.link.pause();
  const answered = stage.say(opened, "one\ntwo");
  await listener.until(1);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(listener.heard, ["one"]);
  listener.link.resume();
  assert.deepEqual(await answered, [202, { taken: 2 }]);
});

test("events of a session that can be resumed bear its token and what both sides count", async () => {
  const stage = new Stage();
  const { listener: { link }, read } = await stage.open();
  link.resumable!("token", 7);
  link.write([wireFrame("authed")], 1);
  assert.equal(await read(), "id: token.7\ndata: authed\n\n");
  link.write([wireFrame("a"), wireFrame(Uint8Array.of(1)), wireFrame("b\r\nc")], 3);
  assert.equal(await read(), "id: token.8\ndata: a\n\nid: token.9\ndata: b\ndata: c\n\n");
});

test("what is said to a stream that is gone is told whether to come back, for a while", async () => {
  const stage = new Stage();
  const opened = await stage.open();
  opened.listener.link.resumable!("token", 0);
  await opened.leave();
  assert.deepEqual(opened.listener.heard, [1006]);
  const told = async () => {
    const [status, { resume }] = await stage.say(opened, "x");
    return [status, resume];
  };
  assert.deepEqual(await told(), [410, true]);
  stage.resumes = false;
  assert.deepEqual(await told(), [410, false]);
  stage.now = 300_001;
  await (await stage.open()).leave();
  assert.deepEqual(await told(), [404, false]);
  assert.equal(stage.transport.size, 0);
});

test("strangers pay for what they ask, and a page that may not speak is told nothing", async () => {
  const stage = new Stage();
  const opened = await stage.open();
  const asks = async (path: string, headers: Record<string, string>) =>
    (await stage.ask("POST", path, { headers, body: "x" })).status;
  const mine = { authorization: `Bearer ${opened.key}` };
  assert.equal(await asks(opened.post, mine), 202);
  assert.equal(await asks(opened.post, { ...mine, origin: "https://evil.example" }), 403);
  assert.equal(await asks(opened.post, {}), 401);
  assert.equal(await asks(`${opened.post}/x`, mine), 404);
  stage.waitMs = 1500;
  assert.equal(await asks(opened.post, {}), 429);
  assert.equal(await asks(`${opened.post}/x`, mine), 429);
  assert.equal(await asks(opened.post, mine), 202);
});

test("a goodbye ends the link with 1000, also where the stream is not read any more", async () => {
  const stage = new Stage();
  const opened = await stage.open();
  const { listener } = opened;
  assert.ok(listener.link.write([wireFrame("x".repeat(100_000))], 1) > 0);
  const headers = { authorization: `Bearer ${opened.key}` };
  assert.equal((await stage.ask("DELETE", opened.post, { headers })).status, 204);
  assert.deepEqual(listener.heard, [1000]);
  assert.equal(await opened.read(), null);
});

test("a stream that nobody begins to read opens no link", async () => {
  const stage = new Stage();
  const answer = await stage.ask("GET", "/v1/sse");
  assert.equal(stage.listener.link, undefined);
  await answer.body!.cancel();
  assert.deepEqual(stage.listener.heard, []);
  assert.equal(stage.transport.size, 0);
});
