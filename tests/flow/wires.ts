// How a client connects by each of the gateway's doors, and no more: messages in, messages out. What they mean is another's.

import { Buffer } from "node:buffer";
import { WebSocket } from "ws";
import { SseClient } from "../sse_client.ts";
import { makePair } from "../certificates.ts";
import { TcpClient, type TcpFrame } from "../transport/tcp_client.ts";
import { WebTransportClient } from "../transport/webtransport_client.ts";
import type { Door } from "./client.ts";
import { type GatewayProcess, type StartOptions, TARGET } from "./gateway_process.ts";

/** A connection, also while it is being made. */
export interface Wire {
  send(text: string): void;
  /** A hot message. */
  bytes(bytes: Uint8Array): void;
  /** Drops it without a word. */
  terminate(): void;
  /** Says goodbye with 1000; with another code it only leaves, where the wire knows no codes. */
  close(code: number): void;
}

export interface WireEvents {
  /** The handshake was refused. */
  refused(status: number, body: string): void;
  message(text: string): void;
  /** A hot message. */
  bytes?(bytes: Uint8Array): void;
  /** @param code 1006 where the gateway said none */
  closed(code: number): void;
}

/** @param query what a handshake says */
export type Dial = (door: Door, query: URLSearchParams, events: WireEvents) => Wire;

export const byWebSocket: Dial = ({ origin }, query, events) => {
  const socket = new WebSocket(`${origin.replace("http", "ws")}/v1/ws?${query}`);
  socket.on("unexpected-response", (_request, response) => {
    const chunks: Uint8Array[] = [];
    response.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    response.on("end", () => events.refused(response.statusCode ?? 0, Buffer.concat(chunks).toString()));
    response.on("error", () => events.closed(1006));
  });
  socket.on("error", () => {});
  socket.on("close", (code) => events.closed(code));
  socket.on(
    "message",
    (data, isBinary) => isBinary ? events.bytes?.(data as Buffer) : events.message(String(data)),
  );
  return {
    send: (text) => socket.send(text),
    bytes: (bytes) => socket.send(bytes),
    terminate: () => socket.terminate(),
    close: (code) => socket.close(code),
  };
};

/** Over a stream of events; it comes back by the id of its last event, as browsers do. */
const bySse: Dial = ({ origin }, query, events) => {
  const asked = { ...Object.fromEntries(query), hot: "1" };
  const { resume, heard, ...others } = asked as Record<string, string>;
  const back = heard === undefined ? {} : { "last-event-id": `${resume}.${heard}` };
  let client: SseClient | null = null;
  let left = false, last: Promise<unknown> = Promise.resolve();
  const leave = () => {
    left = true;
    client?.drop();
  };
  void (async () => {
    const answer = await SseClient.ask({ port: Number(new URL(origin).port) }, {
      query: heard === undefined ? asked : { ...others, resume: "1" },
      headers: back,
    });
    if (!(answer instanceof SseClient)) return events.refused(answer.status, answer.body);
    client = answer;
    if (left) leave();
    let code = 1006;
    for (let event = await client.take(); event !== null; event = await client.take()) {
      if (event.event === "open") Object.assign(client, JSON.parse(event.data));
      else if (event.event === "message") events.message(event.data);
      else if (event.event === "hot") events.bytes?.(Buffer.from(event.data, "base64"));
      else if (event.event === "close") code = JSON.parse(event.data).code;
    }
    events.closed(code);
  })();
  // One after the other, each when the one before is taken; what is lost with its stream is sent again anyway.
  const say = (what: string | Uint8Array, type?: Record<string, string>) =>
    void (last = last.then(() => client!.say(what, type)).catch(() => {}));
  return {
    send: (text) => say(text),
    bytes: (bytes) => say(bytes, { "content-type": "application/octet-stream" }),
    terminate: leave,
    close: (code) => {
      if (code !== 1000) return leave();
      void last.then(() => client!.goodbye()).catch(() => {}).finally(leave);
    },
  };
};

/** Tells what comes in frames of TCP's. A refusal comes as a close there, and is told as the status that it stands for. */
async function tell(next: () => Promise<TcpFrame | null>, events: WireEvents): Promise<void> {
  let why = "", code = 1006, isGreeted = false;
  for (let frame = await next(); frame !== null; frame = await next()) {
    const { kind, body } = frame;
    if (kind === 2) events.bytes?.(body);
    if (kind === 3) {
      code = body.readUInt16LE(0);
      if (code === 4500) events.refused(401, why);
    }
    if (kind !== 1) continue;
    const { type, data } = JSON.parse(body.toString());
    isGreeted ||= type !== "error";
    if (isGreeted) events.message(body.toString());
    else why = JSON.stringify(data);
  }
  events.closed(code);
}

function closeBody(code: number): Uint8Array {
  return Uint8Array.of(code & 255, code >>> 8);
}

/** Over plain TCP. */
const byTcp = (port: () => number): Dial => (_door, query, events) => {
  let client: TcpClient | null = null;
  let left = false;
  void (async () => {
    client = await TcpClient.open(port());
    if (left) client.socket.destroy();
    const { heard, ...said } = Object.fromEntries(query);
    client.ext("sys", "hello", {
      data: { ...said, ...(heard === undefined ? {} : { heard: Number(heard) }) },
    });
    await tell(() => client!.next(), events);
  })();
  return {
    send: (text) => client!.send(1, text),
    bytes: (bytes) => client!.send(2, bytes),
    terminate: () => {
      left = true;
      client?.socket.destroy();
    },
    close: (code) => {
      client!.send(3, closeBody(code));
      client!.socket.end();
    },
  };
};

/** Whether gateways of this run serve WebTransport. */
const SERVES_WEBTRANSPORT = TARGET === "deno" || TARGET === "deno-native";
const pair = makePair("localhost", { days: 10 });

/** Over QUIC, hot messages as datagrams. */
const byWebTransport = (port: () => number): Dial => (_door, query, events) => {
  let client: WebTransportClient | null = null;
  let left = false;
  void (async () => {
    client = await WebTransportClient.open(port(), pair.cert, `/v1/wt?${query}`);
    if (left) client.leave();
    void (async () => {
      for (let bytes = await client.hot.next(null); bytes !== null; bytes = await client.hot.next(null)) {
        events.bytes?.(bytes);
      }
    })();
    await tell(async () => {
      const frame = await client!.waits();
      // Who is told a close ends the session.
      if (frame?.kind === 3) client!.leave();
      return frame;
    }, events);
  })();
  return {
    send: (text) => client!.send(1, text),
    bytes: (bytes) => client!.datagram(...bytes),
    terminate: () => {
      left = true;
      client?.leave();
    },
    close: (code) => client!.send(3, closeBody(code)),
  };
};

/** What `gateway` says in a configuration for all doors that the target has, and the files that it takes. */
export const ALL_DOORS: { readonly gateway: object; readonly options: StartOptions } = {
  gateway: {
    tcp: { listen: "127.0.0.1:0" },
    ...(SERVES_WEBTRANSPORT
      ? { webtransport: { listen: "127.0.0.1:0", tls: { cert_file: "cert.pem", key_file: "key.pem" } } }
      : {}),
  },
  options: SERVES_WEBTRANSPORT ? { files: { "cert.pem": pair.cert, "key.pem": pair.key } } : {},
};

/** A gateway's doors, by the names that its transports have. */
export async function doorsOf(
  gateway: Pick<GatewayProcess, "logged">,
): Promise<Readonly<Record<string, Dial>>> {
  const tcpPort = (await gateway.logged("listening for TCP"))["port"] as number;
  const quicPort = SERVES_WEBTRANSPORT
    ? (await gateway.logged("listening for WebTransport"))["port"] as number
    : 0;
  return {
    websocket: byWebSocket,
    tcp: byTcp(() => tcpPort),
    sse: bySse,
    ...(SERVES_WEBTRANSPORT ? { webtransport: byWebTransport(() => quicPort) } : {}),
  };
}
