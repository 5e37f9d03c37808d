// A transport that answers each message with itself, as Autobahn's cases want it: `echo_server.ts KIND [deflate]`, a kind
// of src/transport/mod.ts. It prints its port, and ends when its stdin does.

import process from "node:process";
import { createTransport, type TransportKind } from "../../src/transport/mod.ts";
import type { Link, LinkHandler } from "../../src/transport/port.ts";

/** The cases' largest message, and no more. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

class Echo implements LinkHandler {
  #link: Link | null = null;

  open(link: Link): void {
    this.#link = link;
  }

  text(message: string): void {
    this.#send(message, new TextEncoder().encode(message).length);
  }

  binary(message: Uint8Array): void {
    this.#send(message.slice(), message.length);
  }

  #send(payload: string | Uint8Array, bytes: number): void {
    this.#link!.write([{
      payload,
      bytes,
      wire: null,
      tcpWire: null,
      datagram: null,
      sseWire: null,
      deflatedWire: null,
      isExt: true,
    }], 1);
  }

  pong(): void {}
  control(): void {}
  onDrain(): void {}
  onDatagramsDrain(): void {}
  onClose(): void {}
}

const COMPRESSION = process.argv[3] === "deflate"
  ? { minBytes: 1, maxInflatedBytes: MAX_MESSAGE_BYTES }
  : null;

const transport = createTransport(process.argv[2] as TransportKind, {
  hostname: "127.0.0.1",
  port: 0,
  maxMessageBytes: MAX_MESSAGE_BYTES,
  idleTimeoutMs: 60_000,
  maxHeaderBytes: 16_384,
  headerTimeoutMs: 12_000,
  socketUnsentBytes: 0,
  yields: true,
  reusePort: false,
  tls: null,
});
const { port } = await transport.start({
  request: () => new Response(null, { status: 404 }),
  upgrade: () => ({ accept: new Echo(), protocol: null, compression: COMPRESSION }),
  accepting: () => {},
});
process.stdout.write(`${port}\n`);
process.stdin.resume();
process.stdin.once("end", () => void transport.stop().then(() => process.exit(0)));
