// Every adapter that this runtime has, held to the promises that are no matter of its wire.

import { Buffer } from "node:buffer";
import { createBunTransport } from "../../src/transport/bun.ts";
import { createDenoTransport } from "../../src/transport/deno.ts";
import { runtimeName } from "../../src/transport/mod.ts";
import { createNodeTransport } from "../../src/transport/node.ts";
import type { LinkHandler, Transport, TransportOptions } from "../../src/transport/port.ts";
import { createRawTransport } from "../../src/transport/raw/raw.ts";
import { SseTransport } from "../../src/transport/sse/sse.ts";
import { createWebTransport } from "../../src/transport/quic/webtransport.ts";
import { createTcpTransport } from "../../src/transport/stream/tcp.ts";
import { makePair } from "../certificates.ts";
import { OP, RawClient } from "../raw_client.ts";
import { SseClient } from "../sse_client.ts";
import { type FarEnd, linkContract, type Serving } from "./link_contract.ts";
import { MemoryTransport } from "./memory.ts";
import { TcpClient } from "./tcp_client.ts";
import { HAS_WEBTRANSPORT, WebTransportClient } from "./webtransport_client.ts";

const OPTIONS: TransportOptions = {
  hostname: "127.0.0.1",
  port: 0,
  maxMessageBytes: 100_000,
  idleTimeoutMs: 60_000,
  maxHeaderBytes: 8192,
  headerTimeoutMs: 12_000,
  socketUnsentBytes: 65_536,
  reusePort: false,
  yields: true,
  tls: null,
};

linkContract("memory", async () => {
  const transport = new MemoryTransport();
  let handler!: LinkHandler;
  await transport.start({ connect: () => handler, accepting: () => {} });
  return {
    connect: (next) => {
      handler = next;
      return Promise.resolve(transport.connect());
    },
    stop: () => transport.stop(),
  };
});

linkContract("tcp", async () => {
  const transport = createTcpTransport(OPTIONS);
  let handler!: LinkHandler;
  const { port } = await transport.start({ connect: () => handler, accepting: () => {} });
  return {
    connect: async (next) => {
      handler = next;
      return tcpEnd(await TcpClient.open(port));
    },
    stop: () => transport.stop(),
  };
});

function tcpEnd(client: TcpClient): FarEnd {
  let code: number | null = null;
  return {
    say: (message) => client.send(typeof message === "string" ? 1 : 2, message),
    next: async () => {
      const frame = await client.next();
      if (frame === null || frame.kind > 2) throw new Error(`no message: ${JSON.stringify(frame)}`);
      return frame.kind === 1 ? frame.body.toString() : frame.body;
    },
    stall: () => void client.socket.pause(),
    read: () => void client.socket.resume(),
    leave: () => void client.socket.destroy(),
    closed: client.closed.then(async () => {
      for (let frame = await client.next(); frame !== null; frame = await client.next()) {
        if (frame.kind === 3) code = frame.body.readUInt16LE(0);
      }
      return code;
    }),
  };
}

if (HAS_WEBTRANSPORT) {
  const tls = makePair("localhost", { days: 10 });
  linkContract("webtransport", async () => {
    const transport = createWebTransport({ ...OPTIONS, tls });
    let handler!: LinkHandler;
    const { port } = await transport.start({
      request: () => new Response("no"),
      upgrade: () => ({ accept: handler, protocol: null }),
      accepting: () => {},
    });
    return {
      connect: async (next) => {
        handler = next;
        return webTransportEnd(await WebTransportClient.open(port, tls.cert));
      },
      stop: () => transport.stop(),
    };
  });
}

function webTransportEnd(client: WebTransportClient): FarEnd {
  let code: number | null = null;
  const messages: (string | Uint8Array)[] = [];
  let wake = () => {};
  // Who is told to close leaves, as a client does.
  void (async () => {
    for (let frame = await client.waits(); frame !== null; frame = await client.waits()) {
      if (frame.kind === 3) {
        code = frame.body.readUInt16LE(0);
        client.leave();
      } else if (frame.kind <= 2) messages.push(frame.kind === 1 ? frame.body.toString() : frame.body);
      wake();
    }
  })();
  return {
    say: (message) => client.send(typeof message === "string" ? 1 : 2, message),
    next: async () => {
      while (messages.length === 0) await new Promise<void>((resolve) => wake = resolve);
      return messages.shift()!;
    },
    stall: () => client.pause(),
    read: () => client.resume(),
    leave: () => client.leave(),
    closed: client.closed.then(() => code),
  };
}

const HTTP = runtimeName() === "bun"
  ? { bun: createBunTransport, raw: createRawTransport }
  : { node: createNodeTransport, ...(runtimeName() === "deno" ? { deno: createDenoTransport } : {}) };

for (const [name, create] of Object.entries(HTTP)) {
  const pauses = name !== "deno";
  linkContract(`websocket on ${name}`, () => webSockets(create), { pauses });
  linkContract(`sse on ${name}`, () => streams(create));
}

async function webSockets(create: (options: TransportOptions) => Transport): Promise<Serving> {
  const transport = create(OPTIONS);
  let handler!: LinkHandler;
  const { port } = await transport.start({
    request: () => new Response("no"),
    upgrade: () => ({ accept: handler, protocol: null }),
    accepting: () => {},
  });
  return {
    connect: async (next) => {
      handler = next;
      return webSocketEnd(await RawClient.open(port));
    },
    stop: () => transport.stop(),
  };
}

function webSocketEnd(client: RawClient): FarEnd {
  let closed!: (code: number | null) => void;
  const messages: (string | Uint8Array)[] = [];
  let wake = () => {};
  // It answers a close, as a client does.
  void (async () => {
    try {
      for (;;) {
        const { opcode, payload } = await client.frame();
        if (opcode === OP.close) {
          client.sendFrame(OP.close, payload.subarray(0, 2));
          client.end();
          return closed(payload.readUInt16BE(0));
        }
        if (opcode <= OP.binary) messages.push(opcode === OP.text ? payload.toString() : payload);
        wake();
      }
    } catch {
      closed(null);
    }
  })();
  return {
    say: (message) => typeof message === "string" ? client.text(message) : client.binary(message),
    next: async () => {
      while (messages.length === 0) await new Promise<void>((resolve) => wake = resolve);
      return messages.shift()!;
    },
    stall: () => client.pause(),
    read: () => client.resume(),
    leave: () => client.destroy(),
    closed: new Promise((resolve) => closed = resolve),
  };
}

async function streams(create: (options: TransportOptions) => Transport): Promise<Serving> {
  const transport = create(OPTIONS);
  const sse = new SseTransport({
    maxMessageBytes: OPTIONS.maxMessageBytes,
    bodyTimeoutMs: 12_000,
    afterTurn: (task) => transport.afterTurn(task),
    now: () => performance.now(),
    random: Math.random,
  });
  let handler!: LinkHandler;
  const pages = { headers: () => ({}) };
  sse.start({
    open: () => ({ accept: handler, hot: true, pages, mayResume: () => false }),
    pages: () => pages,
    read: () => ({ key: null, seq: null }),
    refusedBy: () => null,
    stranger: () => 0,
  });
  const { port } = await transport.start({
    request: (request, address, drop) => sse.request(request, address, drop),
    upgrade: () => ({ refuse: { status: 404, headers: {}, body: "" } }),
    accepting: () => {},
  });
  return {
    connect: async (next) => {
      handler = next;
      return sseEnd(await SseClient.open({ port }));
    },
    stop: async () => {
      await sse.stop();
      await transport.stop();
    },
  };
}

function sseEnd(client: SseClient): FarEnd {
  return {
    say: async (message) => {
      const binary = { "content-type": "application/octet-stream" };
      const { status, body } = await client.say(message, typeof message === "string" ? {} : binary);
      if (status !== 202) throw new Error(`${status}: ${body}`);
    },
    next: async () => {
      const event = await client.take();
      if (event?.event === "hot") return Buffer.from(event.data, "base64");
      if (event?.event !== "message") throw new Error(`no message: ${JSON.stringify(event)}`);
      return event.data;
    },
    stall: () => void client.socket.pause(),
    read: () => void client.socket.resume(),
    leave: () => client.drop(),
    closed: client.ended.then(async () => {
      for (let event = await client.take(); event !== null; event = await client.take()) {
        if (event.event === "close") return (JSON.parse(event.data) as { code: number }).code;
      }
      return null;
    }),
  };
}
