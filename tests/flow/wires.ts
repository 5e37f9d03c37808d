// How a client connects by each of the gateway's doors, and no more: texts in, texts out. What they mean is another's.

import { Buffer } from "node:buffer";
import { WebSocket } from "ws";
import { SseClient } from "../sse_client.ts";
import { TcpClient } from "../transport/tcp_client.ts";
import type { Door } from "./client.ts";

/** A connection, also while it is being made. */
export interface Wire {
  send(text: string): void;
  /** Drops it without a word. */
  terminate(): void;
  /** Says goodbye with 1000; with another code it only leaves, where the wire knows no codes. */
  close(code: number): void;
}

export interface WireEvents {
  /** The handshake was refused. */
  refused(status: number, body: string): void;
  message(text: string): void;
  closed(): void;
}

/** @param query what a handshake says */
export type Dial = (door: Door, query: URLSearchParams, events: WireEvents) => Wire;

export const byWebSocket: Dial = ({ origin }, query, events) => {
  const socket = new WebSocket(`${origin.replace("http", "ws")}/v1/ws?${query}`);
  socket.on("unexpected-response", (_request, response) => {
    const chunks: Uint8Array[] = [];
    response.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    response.on("end", () => events.refused(response.statusCode ?? 0, Buffer.concat(chunks).toString()));
    response.on("error", () => events.closed());
  });
  socket.on("error", () => {});
  socket.on("close", () => events.closed());
  socket.on("message", (data, isBinary) => isBinary || events.message(String(data)));
  return {
    send: (text) => socket.send(text),
    terminate: () => socket.terminate(),
    close: (code) => socket.close(code),
  };
};

/** Over a stream of events; it comes back by the id of its last event, as browsers do. */
export const bySse: Dial = ({ origin }, query, events) => {
  const asked = Object.fromEntries(query);
  const { resume, heard, ...others } = asked;
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
    for (let event = await client.take(); event !== null; event = await client.take()) {
      if (event.event === "open") Object.assign(client, JSON.parse(event.data));
      else if (event.event === "message") events.message(event.data);
    }
    events.closed();
  })();
  return {
    // One after the other, each when the one before is taken; what is lost with its stream is sent again anyway.
    send: (text) => void (last = last.then(() => client!.say(text)).catch(() => {})),
    terminate: leave,
    close: (code) => {
      if (code !== 1000) return leave();
      void last.then(() => client!.goodbye()).catch(() => {}).finally(leave);
    },
  };
};

/** Over plain TCP. A refusal comes as a close there, and is told as the status that it stands for. */
export const byTcp = (port: () => number): Dial => (_door, query, events) => {
  let client: TcpClient | null = null;
  let left = false, why = "";
  void (async () => {
    client = await TcpClient.open(port());
    if (left) client.socket.destroy();
    const { heard, ...said } = Object.fromEntries(query);
    client.ext("sys", "hello", {
      data: { ...said, ...(heard === undefined ? {} : { heard: Number(heard) }) },
    });
    for (let frame = await client.next(); frame !== null; frame = await client.next()) {
      const body = frame.body.toString();
      if (frame.kind === 3 && frame.body.readUInt16LE(0) === 4500) events.refused(401, why);
      if (frame.kind !== 1) continue;
      const { type, data } = JSON.parse(body);
      if (type === "error") why = JSON.stringify(data);
      else events.message(body);
    }
    events.closed();
  })();
  return {
    send: (text) => client!.send(1, text),
    terminate: () => {
      left = true;
      client?.socket.destroy();
    },
    close: (code) => {
      client!.send(3, Buffer.from([code & 255, code >>> 8]));
      client!.socket.end();
    },
  };
};
