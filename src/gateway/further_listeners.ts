// The listeners beside the public one and the admin API's, as far as they are configured: plain TCP, and WebTransport.

import type { GatewayOptions } from "./gateway_options.ts";
import { TcpListener, type TcpListenerOptions } from "./tcp_listener.ts";
import { WebTransportListener } from "./webtransport_listener.ts";

/** What the gateway does with each of them. */
export interface FurtherListener {
  /** @throws when the address cannot be bound */
  start(): Promise<void>;
  boundMessages(maxBytes: number): void;
  stop(): Promise<void>;
}

export function furtherListeners(
  { tcp, webtransport }: Pick<GatewayOptions, "tcp" | "webtransport">,
  shared: Omit<TcpListenerOptions, "transport" | "certificate">,
): FurtherListener[] {
  return [
    ...(tcp === null ? [] : [new TcpListener({ ...tcp, ...shared })]),
    ...(webtransport === null ? [] : [new WebTransportListener({ ...webtransport, ...shared })]),
  ];
}
