// `ws://` and `wss://`, by the package `ws`: it can send headers, and shows how a handshake was refused.

import { Buffer } from "node:buffer";
import { WebSocket } from "ws";
import { WS_PATH } from "../../admission/upgrade.ts";
import { authorityOf, headersOf, queryOf, type Target, type Wire, type WireEvents } from "./wire.ts";

export class WebSocketWire implements Wire {
  readonly #socket: WebSocket;

  constructor(target: Target, events: WireEvents) {
    const url = `${target.tls ? "wss" : "ws"}://${authorityOf(target)}${target.prefix}${WS_PATH}?${
      queryOf(target)
    }`;
    const headers = headersOf(target);
    const socket = this.#socket = new WebSocket(url, {
      headers,
      perMessageDeflate: false,
      ...(target.ca === null ? {} : { ca: target.ca }),
    });
    let refused = false;
    socket.on("open", () => events.opened());
    socket.on("message", (data, isBinary) => {
      if (isBinary) events.bytes(data as Buffer);
      else events.text(String(data));
    });
    socket.on("unexpected-response", (_request, response) => {
      refused = true;
      const chunks: Uint8Array[] = [];
      response.on("data", (chunk: Uint8Array) => chunks.push(chunk));
      response.on("end", () => events.refused(response.statusCode ?? 0, Buffer.concat(chunks).toString()));
    });
    socket.on("error", (error) => refused || events.failed(error.message));
    socket.on("close", (code, reason) => refused || events.closed(code, reason.toString()));
  }

  text(message: string): void {
    this.#socket.send(message);
  }

  bytes(message: Uint8Array): void {
    this.#socket.send(message);
  }

  close(): void {
    this.#socket.close(1000);
  }
}
