// A peer on a slow link reads a little at once and speaks all the while, so that its socket is written to when it may be, and
// when what it says was read. With small segments, as over Ethernet, the kernel takes some bytes before it says that it would:
// then all that waited can leave in the second way. Only a bare socket reads like that (Bun's own take half a megabyte).

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { SlowSocket } from "../../bench/generator/slow_socket.ts";
import { createBunTransport } from "../../src/transport/bun.ts";
import { runtimeName } from "../../src/transport/mod.ts";
import { createRawTransport } from "../../src/transport/raw/raw.ts";
import { frame, handshake, OP, within } from "../raw_client.ts";
import { wireFrame } from "./contract.ts";
import { Recorder } from "./recorder.ts";

const skip = runtimeName() !== "bun" || process.platform !== "linux" ? "of Bun's sockets, on Linux" : false;
const turn = () => new Promise((resolve) => setImmediate(resolve));

for (const [name, create] of [["bun", createBunTransport], ["raw", createRawTransport]] as const) {
  test(`${name}: every time that bytes waited, drain follows, whoever wrote them`, { skip }, async () => {
    const recorder = new Recorder();
    const transport = create({
      hostname: "127.0.0.1",
      port: 0,
      maxMessageBytes: 65_536,
      idleTimeoutMs: 0,
      maxHeaderBytes: 8192,
      headerTimeoutMs: 12_000,
      socketUnsentBytes: 65_536,
      yields: true,
      reusePort: false,
      tls: null,
    });
    const { port } = await transport.start({
      upgrade: () => ({ accept: recorder, protocol: null }),
      request: () => new Response(null, { status: 404 }),
      accepting: () => {},
    });
    const peer = await SlowSocket.connect(port, { segmentBytes: 1460, receiveBytes: 65_536 });
    peer.write(new TextEncoder().encode(handshake("/")));
    peer.write(frame(OP.text, "open"));
    await recorder.hears(1);
    const { link } = recorder;
    const kilobyte = wireFrame(new Uint8Array(1000));
    for (let times = 0; times < 50; times++) {
      while (link.write([kilobyte], 1) === 0) await turn();
      const drained = recorder.drained();
      while (link.bufferedBytes() > 0) {
        peer.read(4096);
        peer.write(frame(OP.text, "still here"));
        await turn();
      }
      await within(drained, `drain number ${times + 1}`);
      assert.equal(link.bufferedBytes(), 0);
    }
    peer.end();
    await transport.stop();
  });
}
