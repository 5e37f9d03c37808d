// Messages to a real HTTP server, and what its answers do to sessions.

import { strict as assert } from "node:assert";
import { Buffer } from "node:buffer";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { isSigned } from "../../src/outbound/signing.ts";
import { type Client, elsewhere, House, OPEN_POLICY } from "../session/house.ts";

const KEYS = [{ id: "new", secret: "n".repeat(32) }, { id: "old", secret: "o".repeat(32) }];

/** A question, to be answered by the test. */
interface Asked {
  // deno-lint-ignore no-explicit-any -- what a test looks into
  readonly body: any;
  readonly text: string;
  readonly headers: IncomingMessage["headers"];
  readonly response: ServerResponse;
  answer(value: unknown, status?: number): void;
}

// deno-lint-ignore no-explicit-any -- messages, of which a test says what it expects
type Message = any;

interface Place {
  readonly house: House;
  readonly asked: Asked[];
  /** The next question. */
  next(): Promise<Asked>;
  /** What a client is told next, without the trace. */
  told(client: Client, count?: number): Promise<Message[]>;
}

/** A house whose service "orders" (and "other") is a server in the hands of the test. */
async function place(http: object, use: (place: Place) => Promise<void>, limits = "{}"): Promise<void> {
  const asked: Asked[] = [];
  const server = createServer((request, response) => {
    const chunks: Uint8Array[] = [];
    request.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    request.on("end", () => {
      const text = Buffer.concat(chunks).toString();
      asked.push({
        body: JSON.parse(text),
        text,
        headers: request.headers,
        response,
        answer: (value, status = 200) => {
          response.writeHead(status, { "content-type": "application/json" });
          response.end(typeof value === "string" ? value : JSON.stringify(value));
        },
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/orders`;
  const policy = OPEN_POLICY.replace('"t:*"', '"orders:*"');
  const house = await new House({
    tenant: [
      policy,
      `limits: ${limits}`,
      `services: [{ svc: chat, builtin: chat }, { svc: orders, http: ${
        JSON.stringify({ url, ...http })
      } }, ` +
      `{ svc: other, http: ${JSON.stringify({ url: url.replace("orders", "other") })} }]`,
    ],
  }).start();
  let seen = 0;
  try {
    await use({
      house,
      asked,
      next: async () => {
        await elsewhere(() => asked.length > seen);
        return asked[seen++]!;
      },
      told: async (client, count = 1) => {
        await elsewhere(() => {
          house.turn();
          return client.link.got.length >= count;
        });
        return (client.link.read() as Message[]).map(({ trace_id: _, ...message }) => message);
      },
    });
  } finally {
    await house.gateway.stop();
    server.closeAllConnections();
    server.close();
  }
}

test("A message is a signed POST with all that is known of its sender, and the reply answers it", async () => {
  await place({ keys: KEYS, headers: [{ name: "x-api-key", value: "k" }] }, async ({ house, next, told }) => {
    const ann = house.connect("ann", { sid: "tab" });
    ann.tell("orders", "buy", { seq: 7, room: "shop", flags: 4, data: { item: "ä" } });
    const { body, text, headers, answer } = await next();
    const { session, trace_id, ...known } = body;
    assert.deepEqual(known, {
      tenant: "acme",
      user: "ann",
      sid: "tab",
      svc: "orders",
      type: "buy",
      room: "shop",
      seq: 7,
      data: { item: "ä" },
      claims: {},
      time_ms: house.clock.unixMs(),
    });
    assert.match(session, /^\d{16}$/);
    assert.match(trace_id, /^\d{16}$/);
    assert.equal(headers["content-type"], "application/json");
    assert.equal(headers["x-api-key"], "k");
    assert.match(String(headers["idempotency-key"]), /^\d{16}$/);
    const signed = String(headers["wsprism-signature"]);
    for (const key of KEYS) {
      assert.ok(
        isSigned(text, signed, { keys: [key], unixMs: house.clock.unixMs(), toleranceMs: 1000 }),
        key.id,
      );
    }
    answer({ reply: { order: 1 } });
    assert.deepEqual(await told(ann, 2), [
      { v: 1, svc: "sys", type: "ack", seq: 7 },
      { v: 1, svc: "orders", type: "reply", seq: 7, data: { order: 1 } },
    ]);
    ann.tell("orders", "list");
    const second = await next();
    assert.deepEqual([second.body.data, "seq" in second.body, "room" in second.body], [null, false, false]);
    second.answer({});
    ann.tell("orders", "list", { seq: 8, flags: 4 });
    (await next()).response.writeHead(204).end();
    assert.deepEqual(await told(ann), [{ v: 1, svc: "sys", type: "ack", seq: 8 }], "no reply, but done");
  });
});

test("Actions are done before the reply goes out, in their order, within the tenant's limits", async () => {
  await place({}, async ({ house, next, told }) => {
    const [ann, bob] = [house.connect("ann"), house.connect("bob")];
    bob.join("shop");
    ann.tell("orders", "buy", { seq: 1 });
    const { answer, body } = await next();
    answer({
      reply: "done",
      actions: [
        { action: "join", room: "shop" },
        { action: "join", room: "second" },
        { action: "publish", room: "shop", type: "sold", data: 1, except: body.session },
        { action: "send", to: { user: "bob" }, type: "note", data: 2 },
      ],
    });
    const orders = (type: string, more: object) => ({ v: 1, svc: "orders", type, ...more });
    const joined = { v: 1, svc: "sys", type: "joined", room: "shop", data: { member: 2, count: 2 } };
    assert.deepEqual(await told(ann, 2), [joined, orders("reply", { seq: 1, data: "done" })]);
    assert.deepEqual(await told(bob, 2), [
      orders("sold", { room: "shop", data: 1 }),
      orders("note", { data: 2 }),
    ]);
    assert.deepEqual((await house.metric("backend_actions_total")).sort(), [
      '{tenant="acme",svc="orders",action="join",outcome="RESOURCE_EXHAUSTED"} 1',
      '{tenant="acme",svc="orders",action="join",outcome="ok"} 1',
      '{tenant="acme",svc="orders",action="publish",outcome="ok"} 1',
      '{tenant="acme",svc="orders",action="send",outcome="ok"} 1',
    ]);
  }, "{ max_rooms_per_user: 1 }");
});

test("A 4xx with a code of the table is the client's error, anything else is UNAVAILABLE with the seq", async () => {
  await place({ max_response_bytes: 1024 }, async ({ house, next, told }) => {
    const ann = house.connect("ann");
    const cases: readonly (readonly [value: unknown, status: number, code: string, msg?: string])[] = [
      [{ code: "NOT_FOUND", msg: "no such order", hint: "x" }, 404, "NOT_FOUND", "no such order"],
      [{ code: "RATE_LIMITED", msg: "slowly" }, 429, "RATE_LIMITED", "slowly"],
      [{ code: "TEAPOT", msg: "short and stout" }, 418, "UNAVAILABLE"],
      [{ code: "NOT_FOUND" }, 404, "UNAVAILABLE"],
      [{ code: "BAD_REQUEST", msg: "closed to you" }, 400, "BAD_REQUEST", "closed to you"],
      ["<html>", 404, "UNAVAILABLE"],
      [{ code: "NOT_FOUND", msg: "no such order" }, 500, "UNAVAILABLE"],
      [{ code: "BAD_REQUEST", msg: "x" }, 422, "BAD_REQUEST", "x"],
      ["", 302, "UNAVAILABLE"],
      ["nonsense", 200, "UNAVAILABLE"],
      [{ reply: 1 }, 200, ""],
      [[1], 200, "UNAVAILABLE"],
      [{ replay: 1 }, 200, "UNAVAILABLE"],
      [{ reply: 1, actions: [{ action: "join" }] }, 200, "UNAVAILABLE"],
      [{ reply: "x".repeat(1100) }, 200, "UNAVAILABLE"],
    ];
    for (const [i, [value, status, code, msg = "service did not answer"]] of cases.entries()) {
      ann.tell("orders", "buy", { seq: i });
      (await next()).answer(value, status);
      const [answer] = await told(ann);
      if (code === "") assert.equal(answer.type, "reply");
      else assert.deepEqual([answer.type, answer.seq, answer.data], ["error", i, { code, msg }], String(i));
    }
    assert.equal(ann.link.closed, null);
    assert.deepEqual((await house.metric("backend_messages_total")).sort(), [
      '{tenant="acme",svc="orders",outcome="bad_answer"} 5',
      '{tenant="acme",svc="orders",outcome="bad_status"} 5',
      '{tenant="acme",svc="orders",outcome="client_error"} 4',
      '{tenant="acme",svc="orders",outcome="ok"} 1',
    ]);
  });
});

test("A session's messages go one after the other, other sessions and other services do not wait", async () => {
  await place({}, async ({ house, asked, next, told }) => {
    const [ann, bob] = [house.connect("ann"), house.connect("bob")];
    for (const seq of [1, 2, 3]) ann.tell("orders", "buy", { seq });
    bob.tell("orders", "buy", { seq: 1 });
    ann.tell("other", "buy", { seq: 4 });
    await elsewhere(() => asked.length === 3);
    assert.deepEqual(asked.map(({ body: { user, svc, seq } }) => `${user} ${svc} ${seq}`).sort(), [
      "ann orders 1",
      "ann other 4",
      "bob orders 1",
    ]);
    for (const { answer } of asked) answer({ reply: null });
    for (let i = 0; i < 3; i++) await next();
    for (const seq of [2, 3]) {
      const { body, answer } = await next();
      assert.deepEqual([body.seq, asked.length], [seq, seq + 2]);
      answer({ reply: seq });
    }
    assert.deepEqual((await told(ann, 4)).filter(({ svc }) => svc === "orders").map(({ seq }) => seq), [
      1,
      2,
      3,
    ]);
  });
});

test("So many are under way, the next ones wait for their turn, and what is over is refused at once", async () => {
  await place({ max_concurrent: 2, max_queued: 1 }, async ({ house, asked, next, told }) => {
    const clients = ["a", "b", "c", "d"].map((user) => house.connect(user));
    for (const client of clients) client.tell("orders", "buy", { seq: 1 });
    const [refused] = await told(clients[3]!);
    assert.deepEqual(refused.data, { code: "UNAVAILABLE", msg: "service has too much to do" });
    const [first] = [await next(), await next()];
    assert.deepEqual(
      [await house.metric("backend_in_flight"), await house.metric("backend_queued"), asked.length],
      [
        ['{tenant="acme",svc="orders"} 2', '{tenant="acme",svc="other"} 0'],
        ['{tenant="acme",svc="orders"} 1', '{tenant="acme",svc="other"} 0'],
        2,
      ],
    );
    first.answer({ reply: 1 });
    assert.equal((await next()).body.user, "c");
    // Whoever waited as long as an answer may take is not sent any more.
    clients[3]!.tell("orders", "buy", { seq: 2 });
    house.clock.ms += 2000;
    asked[1]!.answer({ reply: 1 });
    assert.deepEqual((await told(clients[3]!))[0].data, {
      code: "UNAVAILABLE",
      msg: "service has too much to do",
    });
    assert.equal(asked.length, 3);
  });
});

test("After five failures nobody is asked for a second, others are not concerned, and one that works mends it", async () => {
  await place({}, async ({ house, asked, next, told }) => {
    const ann = house.connect("ann");
    for (let seq = 1; seq <= 5; seq++) {
      ann.tell("orders", "buy", { seq });
      (await next()).answer("", 500);
      assert.equal((await told(ann))[0].data.msg, "service did not answer");
    }
    ann.tell("orders", "buy", { seq: 6 });
    assert.deepEqual((await told(ann))[0], {
      v: 1,
      svc: "sys",
      type: "error",
      seq: 6,
      data: { code: "UNAVAILABLE", msg: "service is not available now" },
    });
    assert.equal(asked.length, 5);
    assert.deepEqual(await house.metric("backend_breaker_open"), [
      '{tenant="acme",svc="orders"} 1',
      '{tenant="acme",svc="other"} 0',
    ]);
    ann.tell("other", "buy");
    (await next()).answer({ reply: 1 });
    await told(ann);
    house.clock.ms += 1000;
    ann.tell("orders", "buy", { seq: 7 });
    (await next()).answer({ reply: 1 });
    assert.equal((await told(ann))[0].type, "reply");
    assert.deepEqual(await house.metric("backend_breaker_open"), [
      '{tenant="acme",svc="orders"} 0',
      '{tenant="acme",svc="other"} 0',
    ]);
    const failures = house.logged.filter(({ message, level }) =>
      (level === "warn" || level === "error") && message.startsWith("service")
    );
    assert.deepEqual(failures.map(({ message }) => message), [
      "service backend failed",
      "service backend is left alone for a while",
    ], "not a line for each");
  });
});

test("What failed is sent again as often as is wanted, with the same idempotency key", async () => {
  await place({ retry: { attempts: 2 } }, async ({ house, next, told }) => {
    const ann = house.connect("ann");
    ann.tell("orders", "buy", { seq: 1 });
    const first = await next();
    first.answer("", 503);
    const second = await next();
    second.answer("nonsense");
    const third = await next();
    assert.deepEqual([second.text, third.text], [first.text, first.text]);
    assert.equal(second.headers["idempotency-key"], first.headers["idempotency-key"]);
    third.answer({ reply: 1 });
    assert.equal((await told(ann))[0].type, "reply");
    ann.tell("orders", "buy", { seq: 2 });
    for (let i = 0; i < 3; i++) {
      const asked = await next();
      assert.notEqual(asked.headers["idempotency-key"], first.headers["idempotency-key"]);
      asked.answer("", 500);
    }
    assert.equal((await told(ann))[0].data.code, "UNAVAILABLE");
    ann.tell("orders", "buy", { seq: 3 });
    (await next()).answer({ code: "BAD_REQUEST", msg: "no" }, 400);
    assert.equal((await told(ann))[0].data.code, "BAD_REQUEST", "a refusal is an answer");
    assert.deepEqual((await house.metric("backend_retries_total"))[0], '{tenant="acme",svc="orders"} 4');
  });
});

test("A session that ends while its message is under way leaves nothing, and what was asked for is still done", async () => {
  await place({}, async ({ house, next, told }) => {
    const [ann, bob] = [house.connect("ann"), house.connect("bob")];
    ann.tell("orders", "buy", { seq: 1 });
    ann.tell("orders", "buy", { seq: 2 });
    const { answer } = await next();
    ann.gone();
    answer({
      reply: 1,
      actions: [{ action: "join", room: "a" }, { action: "send", to: { user: "bob" }, type: "note" }],
    });
    assert.equal((await told(bob))[0].type, "note");
    assert.deepEqual(house.census(), { sessions: 1, users: 1, rooms: 0, roomUsers: 0, timers: 1 });
    assert.deepEqual(ann.link.got, []);
  });
});

test("Data that is nested deeper than the runtime can write is the client's error, not ours", async () => {
  await place({}, async ({ house, asked, told }) => {
    const ann = house.connect("ann");
    const depth = 200_000;
    const data = `${"[".repeat(depth)}${"]".repeat(depth)}`;
    ann.handler.text(`{"v":1,"svc":"orders","type":"buy","seq":1,"data":${data}}`);
    await elsewhere(() => {
      house.turn();
      return asked.length + ann.link.got.length > 0;
    });
    // Deno can write it.
    if (asked.length > 0) return assert.ok(asked[0]!.text.includes(data));
    assert.equal((await told(ann))[0].data.code, "BAD_REQUEST");
  }, "{ max_frame_bytes: 16000000 }");
});
