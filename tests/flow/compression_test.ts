// Deflated messages on WebSockets, with a client that offers that by itself, and by the byte: who agrees, what travels, and what
// bombs do. It needs own framing, which `auto` takes on Bun where a tenant asks for it; elsewhere the key is refused.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, test } from "node:test";
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import WebSocket from "ws";
import { frame, OP, RawClient, within } from "../raw_client.ts";
import { Client, target } from "./client.ts";
import { configText, Folder, GatewayProcess, TARGET, until, wsprism } from "./gateway_process.ts";

const ON_BUN = TARGET === "bun" || TARGET === "executable";
const MB = 1024 * 1024;
const MAX_FRAME_BYTES = 65_536;
const RSV1 = 4;
const OFFER = { "sec-websocket-extensions": "permessage-deflate; client_max_window_bits" };
const flush = { finishFlush: constants.Z_SYNC_FLUSH };
const TAIL = Buffer.from([0, 0, 255, 255]);

function config(transport: string): object {
  const policy = {
    ext_allowlist: ["room:*", "chat:send"],
    rate_limit_rps: 1_000_000,
    rate_limit_burst: 1_000_000,
  };
  const limits = { max_frame_bytes: MAX_FRAME_BYTES };
  return {
    gateway: { drain_grace_ms: 0, transport },
    tenants: [
      { id: "acme", limits, policy, compression: { min_bytes: 1000 } },
      { id: "plain", limits, policy },
    ],
  };
}

const deflated = (message: string | Uint8Array) => deflateRawSync(message, flush).subarray(0, -4);
const story = (length: number) => "once upon a time ".repeat(Math.ceil(length / 17)).slice(0, length);
const said = (room: string, msg: string) =>
  JSON.stringify({ v: 1, svc: "chat", type: "send", room, data: { msg } });

/** What its end of the handshake says. */
function extensionsOf(gateway: GatewayProcess, tenant: string): Promise<string> {
  const socket = new WebSocket(`${gateway.origin.replace("http", "ws")}${target({ tenant })}`);
  return within(
    new Promise((resolve, reject) => {
      socket.on("error", reject);
      socket.on("open", () => {
        resolve(socket.extensions);
        socket.terminate();
      });
    }),
    "the handshake",
  );
}

if (!ON_BUN) {
  test("compression is refused at start where no transport has it", async () => {
    using folder = new Folder();
    const file = folder.write("wsprism.yaml", configText(config("auto")));
    const { code, stdout, stderr } = await wsprism(["start", "--config", file, "--dev"], {
      folder: folder.path,
    });
    assert.notEqual(code, 0);
    assert.match(stdout + stderr, /Cannot deflate messages with transport .* tenant \\?"acme/);
  });
} else {
  const gateway = await GatewayProcess.start(config("auto"));
  after(() => gateway.stop());

  test("with the runtime's own server the key is refused by its line", async () => {
    using folder = new Folder();
    const file = folder.write("wsprism.yaml", configText(config("native")));
    const { code, stdout, stderr } = await wsprism(["check", file, "--dev"], { folder: folder.path });
    assert.notEqual(code, 0);
    assert.match(
      stdout + stderr,
      /tenants\[0\]\.compression needs gateway\.transport "raw" or "auto", got "native" \(line/,
    );
  });

  test("who offers it has it of the tenant that says so, and all hear the same", async () => {
    assert.equal(await extensionsOf(gateway, "acme"), "permessage-deflate");
    assert.equal(await extensionsOf(gateway, "plain"), "");
    const offering = await Client.open(gateway, { kind: "ws" });
    const cbor = await Client.open(gateway, { kind: "ws", cbor: true });
    const plain = await RawClient.open(gateway.port, target());
    plain.text(JSON.stringify({ v: 1, svc: "room", type: "join", room: "all" }));
    while (!(await plain.nextText()).includes('"joined"'));
    await offering.join("all");
    await cbor.join("all");
    for (const length of [10, 2_000, 60_000]) {
      offering.send({ svc: "chat", type: "send", room: "all", data: { msg: story(length) } });
      for (const client of [offering, cbor]) {
        assert.equal((await client.next("chat.msg")).data.msg, story(length));
      }
      for (;;) {
        const { rsv, payload } = await plain.frame();
        assert.equal(rsv, 0);
        const { type, data } = JSON.parse(payload.toString());
        if (type !== "msg") continue;
        assert.equal(data.msg, story(length));
        break;
      }
    }
    plain.destroy();
    await offering.close();
    await cbor.close();
  });

  test("on the wire a long message is short, and a short one is as it was", async () => {
    const client = await RawClient.open(gateway.port, target(), OFFER);
    client.sendFrame(OP.text, deflated(JSON.stringify({ v: 1, svc: "room", type: "join", room: "wire" })), {
      rsv: RSV1,
    });
    while (!(await client.nextText()).includes('"joined"'));
    for (const length of [10, 20_000]) {
      client.sendFrame(OP.text, deflated(said("wire", story(length))), { rsv: RSV1 });
      const got = await client.frame();
      assert.equal(got.rsv, length < 1000 ? 0 : RSV1);
      const text = got.rsv === 0 ? got.payload : inflateRawSync(Buffer.concat([got.payload, TAIL]), flush);
      assert.equal(JSON.parse(text.toString()).data.msg, story(length));
      assert.ok(got.payload.length < 1000, `${got.payload.length} bytes`);
    }
    client.destroy();
  });

  test("a bomb ends its sender with 1009, at once and by the hundred, and costs nobody else anything", async () => {
    const bomb = deflateRawSync(Buffer.alloc(100 * MB), flush).subarray(0, -4);
    const largest = bomb.subarray(0, MAX_FRAME_BYTES);
    const witness = await Client.open(gateway);
    const before = gateway.residentBytes();
    for (let i = 0; i < 300; i++) {
      const client = await RawClient.open(gateway.port, target(), OFFER);
      assert.match(await client.nextText(), /"authed"/);
      client.send(frame(OP.text, largest, { rsv: RSV1 }));
      assert.equal((await client.nextClose()).code, 1009);
      client.destroy();
      if (i % 50 === 0) await witness.settled();
    }
    const grown = gateway.residentBytes() - before;
    assert.ok(grown < 96 * MB, `grown by ${Math.round(grown / MB)} MB`);
    const broken = await RawClient.open(gateway.port, target(), OFFER);
    broken.sendFrame(OP.text, Uint8Array.of(1, 2, 3, 4, 255), { rsv: RSV1 });
    assert.equal((await broken.nextClose()).code, 1007);
    broken.destroy();
    await witness.close();
  });

  test("a reload changes it for those who connect from then on", async () => {
    const next = config("auto") as { tenants: { compression?: object }[] };
    delete next.tenants[0]!.compression;
    next.tenants[1]!.compression = {};
    await gateway.reload(next);
    await until(
      "the other tenant to deflate",
      async () =>
        await extensionsOf(gateway, "plain") === "permessage-deflate" &&
        await extensionsOf(gateway, "acme") === "",
    );
  });
}
