// Links that are WebSockets.

import type { Link, LinkHandler, LinkRequest, Transport } from "./transport.ts";

/** A constructor as browsers have it. */
export type WebSocketLike = new (url: string, protocols?: string[]) => WebSocket;

export interface WebSocketOptions {
  /** In the place of the runtime's own, such as the npm package `ws` where Node has none (before version 22). */
  readonly WebSocket?: WebSocketLike;
}

/** Whether the runtime's own WebSocket takes headers: all but browsers'. */
const takesHeaders = () => /^(Node|Bun|Deno)/.test(globalThis.navigator?.userAgent);

/**
 * WebSockets. A ticket goes into the header `Authorization` where the runtime's own WebSocket can set one, and into a
 * subprotocol elsewhere, never into the address, which proxies log.
 */
export function webSocket(options: WebSocketOptions = {}): Transport {
  return {
    open({ url, tenant, ticket, sid, resume, codec }: LinkRequest, handler: LinkHandler): Link {
      const Socket = options.WebSocket ?? globalThis.WebSocket;
      if (!Socket) throw new TypeError("no WebSocket: pass webSocket({ WebSocket })");
      const address = new URL(url);
      address.protocol = address.protocol.replace("http", "ws");
      if (address.pathname === "/") address.pathname = "/v1/ws";
      address.searchParams.set("tenant", tenant);
      if (sid) address.searchParams.set("sid", sid);
      const protocols = [
        codec.protocol,
        resume ? `wsprism.resume.${resume.token}.${resume.heard}` : "wsprism.resume",
      ];
      const asHeader = !options.WebSocket && takesHeaders();
      if (ticket && !asHeader) protocols.push(`wsprism.ticket.${base64url(ticket)}`);
      const headers = ticket ? { authorization: `Bearer ${ticket}` } : {};
      const socket = new Socket(address.href, (asHeader ? { protocols, headers } : protocols) as string[]);
      socket.binaryType = "arraybuffer";
      socket.onmessage = ({ data }) => handler.message(data);
      // Deno says 0 where a handshake was refused.
      socket.onclose = ({ code, reason }) => handler.close(code || 1006, reason);
      // A close always follows, and knows more. Without a handler, the package `ws` would throw.
      socket.onerror = () => {};
      return {
        send: (message) => socket.send(message as string),
        close: (code) => socket.close(code),
        get buffered() {
          return socket.bufferedAmount;
        },
      };
    },
  };
}

function base64url(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)))
    .replace(/[+/=]/g, (one) => one === "+" ? "-" : one === "/" ? "_" : "");
}
