// The vectors of tests/vectors through every door: a message means the same by whatever door it comes, and is refused alike.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import { within } from "../raw_client.ts";
import { SseClient } from "../sse_client.ts";
import extJson from "../vectors/ext_json.json" with { type: "json" };
import gatewaySays from "../vectors/gateway.json" with { type: "json" };
import hot from "../vectors/hot.json" with { type: "json" };
import { lastly, sharedGateway } from "./gateway_process.ts";
import { ALL_DOORS, type Dial, doorsOf, type Wire } from "./wires.ts";

const SERVICES = [0, 1, 7, 255];
const free = { rate_limit_rps: 100_000, rate_limit_burst: 100_000 };

const gateway = await sharedGateway({
  gateway: { drain_grace_ms: 0, handshake_limit: { enabled: false }, ...ALL_DOORS.gateway },
  tenants: [
    // Nobody may say anything: what is read is answered, with its number.
    { id: "closed", policy: { ...free, ext_allowlist: [] } },
    {
      id: "echoes",
      policy: {
        ...free,
        hot_allowlist: SERVICES.map((id) => `${id}:*`),
        hot_requires_active_room: false,
      },
      hot_services: SERVICES.map((id) => ({ id, kind: "echo" })),
    },
    {
      id: "relays",
      policy: { ...free, ext_allowlist: ["room:*"], hot_allowlist: ["1:*"] },
      hot_services: [{ id: 1, kind: "relay" }],
    },
  ],
}, ALL_DOORS.options);

interface Answer {
  readonly type: string;
  readonly seq?: number;
  readonly data: { readonly code?: string; readonly member?: number };
}

/** A client that takes what comes one after the other. */
class Talker {
  readonly wire: Wire;
  readonly closed: Promise<number>;
  #came: (Answer | Uint8Array)[] = [];
  #wake: () => void = () => {};

  private constructor(dial: Dial, tenant: string) {
    let ended: (code: number) => void;
    this.closed = new Promise((resolve) => ended = resolve);
    const came = (what: Answer | Uint8Array) => {
      this.#came.push(what);
      this.#wake();
    };
    this.wire = dial(gateway, new URLSearchParams({ tenant, ticket: "dev" }), {
      refused: (status, body) => assert.fail(`${status} ${body}`),
      message: (text) => came(JSON.parse(text)),
      bytes: (bytes) => came(Uint8Array.from(bytes)),
      closed: (code) => ended(code),
    });
  }

  static async open(dial: Dial, tenant: string): Promise<Talker> {
    const talker = new Talker(dial, tenant);
    await talker.hears("authed");
    return talker;
  }

  async #next(what: string): Promise<Answer | Uint8Array> {
    while (this.#came.length === 0) {
      await within(new Promise<void>((resolve) => this.#wake = resolve), what);
    }
    return this.#came.shift()!;
  }

  async hears(type: string, name = type): Promise<Answer> {
    const message = await this.#next(`${type} for ${name}`);
    assert.ok(!(message instanceof Uint8Array), name);
    assert.equal(message.type, type, `${name}: ${JSON.stringify(message)}`);
    return message;
  }

  /** Bytes, in hexadecimal. */
  async bytes(name: string): Promise<string> {
    const bytes = await this.#next(`bytes for ${name}`);
    assert.ok(bytes instanceof Uint8Array, `${name}: ${JSON.stringify(bytes)}`);
    return Buffer.from(bytes).toString("hex");
  }

  leave(): void {
    this.wire.close(1000);
  }
}

const unhex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));

for (const [door, dial] of Object.entries(await doorsOf(gateway))) {
  test(`through ${door} every valid envelope is read, and answered with its number`, async () => {
    const talker = await Talker.open(dial, "closed");
    for (const { name, text, fields: { seq } } of extJson.valid) {
      talker.wire.send(text);
      const error = await talker.hears("error", name);
      assert.equal(error.data.code, "NOT_ALLOWED", name);
      assert.equal(error.seq ?? null, seq === null ? null : seq + 0, name);
    }
    talker.leave();
  });

  // A POST that cannot be read is refused as a request, and its stream lives on.
  if (door !== "sse") {
    test(`through ${door} every invalid envelope is refused as it says`, async () => {
      for (const { name, text, refused } of extJson.invalid) {
        const talker = await Talker.open(dial, "closed");
        talker.wire.send(text);
        const { data, seq } = await talker.hears("error", name);
        assert.equal(data.code, refused.code, name);
        assert.equal(seq, "seq" in refused ? refused.seq : undefined, name);
        assert.equal(await within(talker.closed, `the close for ${name}`), refused.close, name);
      }
    });
  }

  test(`through ${door} every valid hot frame is read: its payload comes back, if it has one, and an ack where it asks`, async () => {
    const talker = await Talker.open(dial, "echoes");
    const acks = new Map(
      gatewaySays.hot.filter((one) => one.sender === undefined).map((one) => [one.received, one.sent]),
    );
    for (const { name, hex, fields: { payload, ack } } of hot.valid) {
      // WebTransport's echo is a datagram and its ack is not: one may overtake the other.
      const expected = [...(payload === "" ? [] : [payload]), ...(ack ? [acks.get(hex)!] : [])].sort();
      talker.wire.bytes(unhex(hex));
      if (expected.length === 0) {
        talker.wire.send('{"v":1,"svc":"sys","type":"ping"}');
        await talker.hears("pong", name);
      }
      const came = [];
      for (let i = 0; i < expected.length; i++) came.push(await talker.bytes(name));
      assert.deepEqual(came.sort(), expected, name);
    }
    talker.leave();
  });

  test(`through ${door} every invalid hot frame is refused as it says`, async () => {
    for (const { name, hex, refused } of hot.invalid) {
      // An empty POST says nothing, and an empty datagram costs what a ping does.
      if (hex === "" && (door === "sse" || door === "webtransport")) continue;
      const talker = await Talker.open(dial, "echoes");
      talker.wire.bytes(unhex(hex));
      assert.equal((await talker.hears("error", name)).data.code, refused.code, name);
      assert.equal(await within(talker.closed, `the close for ${name}`), refused.close, name);
    }
  });

  test(`through ${door} what is relayed to a member is made of the frame as the vectors say`, async () => {
    const [speaker, listener] = [await Talker.open(dial, "relays"), await Talker.open(dial, "relays")];
    const members = [];
    for (const talker of [speaker, listener]) {
      talker.wire.send(JSON.stringify({ v: 1, svc: "room", type: "join", room: door }));
      members.push((await talker.hears("joined")).data.member!);
    }
    for (const { name, received, sender, sent, fields } of gatewaySays.hot) {
      if (sender === undefined) continue;
      const expected = Buffer.from(unhex(sent));
      expected.writeUInt32LE(members[0]!, fields.seq === null ? 4 : 8);
      speaker.wire.bytes(unhex(received));
      assert.equal(await listener.bytes(name), expected.toString("hex"), name);
    }
    for (const talker of [speaker, listener]) talker.leave();
  });
}

test("through sse every invalid envelope is refused as a request with its code, and the stream lives on", async () => {
  const client = await SseClient.open({ port: Number(new URL(gateway.origin).port) }, {
    query: { tenant: "closed", ticket: "dev" },
  });
  await client.message("sys.authed");
  for (const { name, text, refused } of extJson.invalid) {
    const { status, body } = await client.say(text);
    assert.deepEqual([status, JSON.parse(body).code], [400, refused.code], name);
  }
  assert.equal((await client.say({ svc: "sys", type: "ping" })).status, 202);
  await client.message("sys.pong");
  assert.equal(await client.goodbye().then(({ status }) => status), 204);
  client.drop();
});

lastly(gateway);
