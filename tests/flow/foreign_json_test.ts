// Foreign JSON on its way through a real gateway: texts that a JavaScript program would change come out as they went in,
// or are refused by name. All of it is compared as text, for this program would change it too.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { WebSocket } from "ws";
import { unhex } from "../protocol/naive.ts";
import { within } from "../raw_client.ts";
import { Admin, adminConfig } from "./admin_client.ts";
import { CBOR, target } from "./client.ts";
import { Folder, sharedGateway, wsprism } from "./gateway_process.ts";

/** What doubles, and whoever reads and writes JSON anew, would change. */
const WILD =
  '{"id":9007199254740993,"big":1234567890123456789,"exact":12345678901234567890.123,"huge":1e400,' +
  '"zero":-0,"one":1.0,"twice":1,"twice":2,"__proto__":{"a":1},"caf\\u00e9":"\\/", "list":[ 1 ,2 ]}';

/** Answers what it was told to with the next text, and remembers bodies. */
const bodies: string[] = [];
let answer = "{}";
const backend = createServer((request: IncomingMessage, response) => {
  let body = "";
  request.setEncoding("utf8").on("data", (part: string) => body += part).on("end", () => {
    bodies.push(`${request.url} ${body}`);
    wake?.();
    response.setHeader("content-type", "application/json");
    response.end(request.url === "/hook" ? "{}" : answer);
  });
});
let wake: (() => void) | null = null;
await new Promise<void>((resolve) => backend.listen(0, "127.0.0.1", resolve));
after(() => void backend.close());
const origin = `http://127.0.0.1:${(backend.address() as AddressInfo).port}`;

/** The next body that was sent to this path. */
async function bodyOf(path: string): Promise<string> {
  for (;;) {
    const at = bodies.findIndex((body) => body.startsWith(`${path} `));
    if (at >= 0) return bodies.splice(at, 1)[0]!.slice(path.length + 1);
    await within(new Promise<void>((resolve) => wake = resolve), path);
  }
}

const SECRET = "0123456789abcdef0123456789abcdef";
const policy = {
  ext_allowlist: ["room:*", "chat:*", "shop:*", "script:*"],
  rate_limit_rps: 100_000,
  rate_limit_burst: 100_000,
};
const rule = (acct: string) => ({
  id: `of-${acct}`,
  match: { service: "chat:send", room: acct },
  require: [`claim:acct=${acct}`],
});
const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0 },
  admin: adminConfig({ ops: { tenants: ["*"], permissions: ["read", "publish"] } }),
  tenants: [
    {
      id: "acme",
      limits: { max_frame_bytes: 1_048_576 },
      services: [
        { svc: "chat", builtin: "chat" },
        { svc: "shop", http: { url: `${origin}/shop` } },
        { svc: "script", worker: "script.ts" },
      ],
      webhooks: [{
        id: "audit",
        url: `${origin}/hook`,
        events: ["message.ext"],
        durable: false,
        batch: { max_wait_ms: 0 },
      }],
      policy: {
        ...policy,
        rules: [
          { id: "shape", match: { lane: "ext", service: "shop:checked" }, schema: "shape.json" },
        ],
      },
    },
    {
      id: "paid",
      auth: { mode: "jwt", jwt: { algorithms: ["HS256"], keys: [{ secret: SECRET }] } },
      services: [{ svc: "chat", builtin: "chat" }, { svc: "shop", http: { url: `${origin}/shop` } }, {
        svc: "script",
        worker: "script.ts",
      }],
      policy: { ...policy, rules: [rule("9007199254740992"), rule("9007199254740993")] },
    },
    { id: "deep", limits: { max_json_depth: 100, max_frame_bytes: 1_048_576 }, policy },
  ],
}, {
  files: {
    "script.ts":
      "export default { onMessage({ type, data }, ctx) { return type === 'claims' ? ctx.session.claims : data; } };",
    "shape.json": '{"type":"object","properties":{"id":{"const":9007199254740992}}}',
  },
  mayComplain: true,
});
const ops = await Admin.of(gateway, "ops");

/** A client that sees texts and bytes as they come. */
class RawJson {
  readonly #socket: WebSocket;
  readonly #heard: (string | Uint8Array)[] = [];
  readonly closed: Promise<number>;
  #wake: (() => void) | null = null;

  static async open(path: string, offer: string[] = []): Promise<RawJson> {
    const socket = new WebSocket(`${gateway.origin.replace("http", "ws")}${path}`, offer);
    const client = new RawJson(socket);
    await client.hear(offer.length > 0 ? /authed/ : /"authed"/);
    return client;
  }

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data: Uint8Array, binary: boolean) => {
      this.#heard.push(binary ? new Uint8Array(data) : data.toString());
      this.#wake?.();
    });
    this.closed = new Promise((resolve) => socket.on("close", resolve));
  }

  say(text: string | Uint8Array): void {
    this.#socket.send(text);
  }

  /** The first of what has come and was not heard yet that is like this; bytes are looked at as Latin-1. */
  async hear(pattern: RegExp): Promise<string> {
    for (;;) {
      const at = this.#heard.findIndex((one) => pattern.test(textOf(one)));
      if (at >= 0) return textOf(this.#heard.splice(at, 1)[0]!);
      await within(new Promise<void>((resolve) => this.#wake = resolve), String(pattern));
    }
  }

  close(): void {
    this.#socket.close();
  }
}

function textOf(heard: string | Uint8Array): string {
  return typeof heard === "string" ? heard : Array.from(heard, (byte) => String.fromCharCode(byte)).join("");
}

const ann = await RawJson.open(target({ user: "ann" }));
after(() => ann.close());
const bob = await RawJson.open(target({ user: "bob" }), [CBOR]);
after(() => bob.close());

test("what nobody reads goes through byte for byte: pings, services' messages and replies, actions, webhooks", async () => {
  ann.say(`{"v":1,"svc":"sys","type":"ping","data":${WILD}}`);
  const pong = await ann.hear(/"pong"/);
  assert.ok(pong.includes(`"data":${WILD.slice(0, -1)},"time_ms":`), pong);

  answer = `{"reply":${WILD},"actions":[{"action":"send","to":{"user":"ann"},"type":"note","data":${WILD}}]}`;
  ann.say(`{"v":1,"svc":"shop","type":"buy","seq":1,"data":${WILD}}`);
  const asked = await bodyOf("/shop");
  assert.ok(asked.includes(`"data":${WILD},"claims"`), asked);
  assert.equal(await ann.hear(/"reply"/), `{"v":1,"svc":"shop","type":"reply","seq":1,"data":${WILD}}`);
  assert.equal(await ann.hear(/"note"/), `{"v":1,"svc":"shop","type":"note","data":${WILD}}`);
  const event = await bodyOf("/hook");
  assert.ok(event.includes(`"data":{"svc":"shop","type":"buy","seq":1,"data":${WILD}}`), event);
});

test("what an administrator publishes goes through byte for byte, alone and in a batch", async () => {
  const publish = async (body: string) => {
    const answer = await fetch(`${ops.origin}/v1/tenants/acme/publish`, {
      method: "POST",
      headers: { authorization: ops.authorization, "content-type": "application/json" },
      body,
    });
    return { status: answer.status, text: await answer.text() };
  };
  const message = `{"to":{"users":["ann"]},"svc":"n","type":"one","data":${WILD}}`;
  assert.equal((await publish(message)).status, 200);
  assert.equal(await ann.hear(/"one"/), `{"v":1,"svc":"n","type":"one","data":${WILD}}`);
  assert.equal((await publish(`{"messages":[${message},${message}]}`)).status, 200);
  for (let i = 0; i < 2; i++) assert.ok((await ann.hear(/"one"/)).endsWith(`"data":${WILD}}`));

  const twice = await publish('{"to":{"all":true},"svc":"a","svc":"b","type":"t"}');
  assert.deepEqual([twice.status, twice.text], [
    400,
    '{"code":"BAD_REQUEST","msg":"body has the key \\"svc\\" twice"}',
  ]);
  const deep = await publish(
    `{"to":{"all":true},"svc":"a","type":"t","data":${"[".repeat(63)}${"]".repeat(63)}}`,
  );
  assert.equal(deep.status, 200);
  const deeper = await publish(
    `{"to":{"all":true},"svc":"a","type":"t","data":${"[".repeat(64)}${"]".repeat(64)}}`,
  );
  assert.deepEqual([deeper.status, JSON.parse(deeper.text).msg], [
    400,
    "data is nested deeper than the tenant's max_json_depth",
  ]);
  const deepest = await publish(
    `{"to":{"all":true},"svc":"a","type":"t","data":${"[".repeat(200_000)}${"]".repeat(200_000)}}`,
  );
  assert.deepEqual([deepest.status, JSON.parse(deepest.text).msg], [400, "body is nested deeper than 516"]);
});

test("CBOR members get the same numbers", async () => {
  answer =
    `{"actions":[{"action":"send","to":{"user":"bob"},"type":"note","data":[9007199254740993,-9007199254740993,1e400,-0]}]}`;
  ann.say('{"v":1,"svc":"shop","type":"buy"}');
  const heard = await bob.hear(/note/);
  assert.ok(
    heard.endsWith(textOf(unhex("841b00200000000000013b0020000000000000c48219019001fb8000000000000000"))),
  );
});

test("what a script, a rule or a built-in service reads is refused where reading would change it", async () => {
  const refused = async (text: string, msg: string) => {
    ann.say(text);
    const error = JSON.parse(await ann.hear(/"error"/));
    assert.deepEqual([error.data.code, error.data.msg], ["BAD_REQUEST", msg], text);
  };
  await refused(
    '{"v":1,"svc":"script","type":"echo","data":{"id":9007199254740993}}',
    "data has a number that no double holds: 9007199254740993, which no extension can read",
  );
  await refused(
    '{"v":1,"svc":"script","type":"echo","data":{"a":1,"a":2}}',
    'data has the key "a" twice, which no extension can read',
  );
  await refused(
    '{"v":1,"svc":"shop","type":"checked","data":{"id":9007199254740993}}',
    "shape: data has a number that no double holds: 9007199254740993",
  );
  await refused(
    '{"v":1,"svc":"chat","type":"send","room":"r","data":{"msg":"a","msg":"b"}}',
    'data of chat.send has the key "msg" twice',
  );
  await refused(
    '{"v":1,"svc":"room","type":"join","room":"r","data":{"presence":true,"presence":false}}',
    'data of room.join has the key "presence" twice',
  );
  ann.say('{"v":1,"svc":"script","type":"echo","seq":9,"data":{"id":9007199254740992,"x":[0.1,1e300,"é"]}}');
  assert.equal(
    await ann.hear(/"reply"/),
    '{"v":1,"svc":"script","type":"reply","seq":9,"data":{"id":9007199254740992,"x":[0.1,1e+300,"é"]}}',
  );
});

function ticket(claims: string): string {
  const part = (text: string) => Buffer.from(text).toString("base64url");
  const body = `${part('{"alg":"HS256"}')}.${part(`{"sub":"ann","exp":9999999999,${claims}}`)}`;
  return `${body}.${createHmac("sha256", SECRET).update(body).digest("base64url")}`;
}

test("policy never decides by a changed number, and services get a claim as it is", async () => {
  const own = await RawJson.open(target({ tenant: "paid", ticket: ticket('"acct":9007199254740993') }));
  const verdict = async (room: string) => {
    own.say(`{"v":1,"svc":"chat","type":"send","room":"${room}","data":{"msg":"x"}}`);
    return JSON.parse(await own.hear(/"error"/)).data.msg as string;
  };
  assert.match(await verdict("9007199254740992"), /only with another acct/);
  assert.match(await verdict("9007199254740993"), /members of the room/);
  answer = "{}";
  bodies.length = 0;
  own.say('{"v":1,"svc":"shop","type":"buy"}');
  assert.ok((await bodyOf("/shop")).includes('"claims":{"acct":9007199254740993}'));
  own.say('{"v":1,"svc":"script","type":"claims"}');
  assert.ok((await own.hear(/"reply"/)).endsWith('"data":{"acct":"9007199254740993"}}'));
  own.close();

  const twice = target({ tenant: "paid", ticket: ticket('"acct":1,"acct":9007199254740993') });
  const socket = new WebSocket(`${gateway.origin.replace("http", "ws")}${twice}`);
  const status = await within(
    new Promise((resolve) => {
      socket.on("unexpected-response", (_, response) => resolve(response.statusCode));
      socket.on("error", () => resolve(401));
      socket.on("open", () => resolve(101));
    }),
    "the refusal",
  );
  assert.equal(status, 401);
});

test("a ticket from the command line keeps the digits of its claims", async () => {
  using folder = new Folder();
  folder.write(
    "wsprism.yaml",
    `{version: 1, tenants: [{id: paid, auth: {mode: jwt, jwt: {algorithms: [HS256], keys: [{secret: "${SECRET}"}]}}}]}`,
  );
  const run = (args: string[]) => wsprism(args, { folder: folder.path });
  const minted = await run([
    "token",
    "--tenant",
    "paid",
    "--user",
    "ann",
    "--claim",
    "acct=9007199254740993",
  ]);
  const [, payload] = minted.stdout.split(".");
  assert.match(Buffer.from(payload!, "base64url").toString(), /"acct":9007199254740993}/);
  const checked = await run(["check-token", "--tenant", "paid", minted.stdout.trim()]);
  assert.match(checked.stdout, /claims +{"acct":9007199254740993}/);
});

test("nesting is bounded before anything is built, by a key of limits", async () => {
  const nested = (levels: number) =>
    `{"v":1,"svc":"sys","type":"ping","data":${"[".repeat(levels)}${"]".repeat(levels)}}`;
  const deep = await RawJson.open(target({ tenant: "deep", user: "deb" }));
  deep.say(nested(99));
  await deep.hear(/pong/);
  deep.say(nested(100).replace('"data"', '"seq":3,"data"'));
  const error = JSON.parse(await deep.hear(/"error"/));
  const { code, msg } = error.data;
  assert.deepEqual([error.seq, code, msg], [
    3,
    "BAD_REQUEST",
    "message is nested deeper than limits.max_json_depth",
  ]);
  for (const levels of [64, 39_000]) {
    ann.say(nested(levels));
    assert.match(await ann.hear(/"error"/), /max_json_depth/);
  }
  ann.say(nested(63));
  await ann.hear(/pong/);

  answer = `{"reply":${"[".repeat(100)}${"]".repeat(100)}}`;
  ann.say('{"v":1,"svc":"shop","type":"buy"}');
  assert.match(await ann.hear(/"error"/), /INTERNAL/);
});

test("one session's keys change nothing of another's", async () => {
  ann.say('{"v":1,"svc":"script","type":"echo","data":{"price":1,"caf\\\\":1}}');
  await ann.hear(/"reply"/);
  for (const svc of ["script", "shop"]) {
    answer = '{"reply":{"price":1,"caf\\u00e9":1}}';
    ann.say(`{"v":1,"svc":"${svc}","type":"echo","data":{"price":1,"caf\\u00e9":1}}`);
    const { data } = JSON.parse((await ann.hear(/"reply"/)).replace("\\u00e9", "é")) as { data: object };
    assert.deepEqual(Object.keys(data), ["price", "café"]);
  }
});
