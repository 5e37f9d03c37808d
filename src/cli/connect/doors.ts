// The doors that `wsprism connect` can come in by.

import { SseWire } from "./sse_wire.ts";
import { TcpWire } from "./tcp_wire.ts";
import { WebSocketWire } from "./websocket_wire.ts";
import { WebTransportWire } from "./webtransport_wire.ts";
import type { Target, Wire, WireEvents } from "./wire.ts";

/** Begins to connect. */
export function connectTo(target: Target, events: WireEvents): Wire {
  switch (target.door) {
    case "websocket":
      return new WebSocketWire(target, events);
    case "sse":
      return new SseWire(target, events);
    case "tcp":
      return new TcpWire(target, events);
    case "webtransport":
      return new WebTransportWire(target, events);
  }
}
