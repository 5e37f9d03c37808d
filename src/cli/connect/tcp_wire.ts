// `tcp://` and `tcps://`: the gateway's own framing, whose first message is the handshake.

import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { KIND, tcpClose, tcpControl, tcpFrame, TcpReader } from "../../transport/stream/tcp_frames.ts";
import type { Target, Wire, WireEvents } from "./wire.ts";

/** Longest message that is read. */
export const MESSAGE_BYTES_MAX = 33_554_432;

export class TcpWire implements Wire {
  readonly #socket: Socket;
  #code = 1006;
  #reason = "";
  #failed = "";

  constructor({ tls, hostname, port, tenant, ticket, sid, ca }: Target, events: WireEvents) {
    const where = { host: hostname, port };
    const socket = this.#socket = tls
      ? connectTls({ ...where, servername: hostname, ...(ca === null ? {} : { ca }) })
      : connect(where);
    socket.on(tls ? "secureConnect" : "connect", () => {
      const data = {
        ...(tenant === null ? {} : { tenant }),
        ...(ticket === null ? {} : { ticket }),
        ...(sid === null ? {} : { sid }),
      };
      this.text(JSON.stringify({ v: 1, svc: "sys", type: "hello", data }));
      events.opened();
    });
    const reader = new TcpReader({
      maxMessageBytes: () => MESSAGE_BYTES_MAX,
      events: {
        message: (kind, body) => {
          if (kind === KIND.ext) events.text(new TextDecoder().decode(body));
          else events.bytes(body);
        },
        ping: (body) => void socket.write(tcpControl(KIND.pong, body)),
        pong: () => {},
        closed: (code, reason) => {
          this.#code = code;
          this.#reason = reason;
          socket.end(tcpClose(code === 1005 ? 1000 : code, ""));
        },
        violated: (code, why) => {
          this.#failed = `the other end does not speak this framing: ${why}`;
          socket.end(tcpClose(code, why));
        },
      },
    });
    socket.on("data", (chunk: Uint8Array) => reader.read(chunk));
    socket.on("error", (error) => this.#failed = error.message);
    socket.on("close", () => {
      if (this.#failed !== "" && this.#code === 1006) events.failed(this.#failed);
      events.closed(this.#code, this.#reason);
    });
  }

  text(message: string): void {
    this.#socket.write(framed(message, KIND.ext));
  }

  bytes(message: Uint8Array): void {
    this.#socket.write(framed(message, KIND.hot));
  }

  close(): void {
    this.#socket.write(tcpClose(1000, ""));
  }
}

/** A message as a frame. */
export function framed(payload: string | Uint8Array, kind: typeof KIND.ext | typeof KIND.hot): Uint8Array {
  const bytes = typeof payload === "string" ? new TextEncoder().encode(payload).length : payload.length;
  const frame = {
    payload,
    bytes,
    wire: null,
    tcpWire: null,
    sseWire: null,
    deflatedWire: null,
    isExt: true,
    datagram: null,
  };
  return tcpFrame(frame, kind);
}
