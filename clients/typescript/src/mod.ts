// The client library of wsPrism: what an application imports.

export { Client } from "./client.ts";
export type { AnyServices, ClientOptions, Receipt, RequestOptions, SendOptions } from "./client_types.ts";
export { type ClientErrorCode, type ErrorCode, type GatewayErrorCode, WsPrismError } from "./error.ts";
export type {
  AnyEvents,
  Cursor,
  Gap,
  History,
  JoinOptions,
  Member,
  Presence,
  Room,
  RoomMessage,
} from "./room_types.ts";
export type { Status } from "./status.ts";
export type { Readable } from "./store.ts";
export { webSocket, type WebSocketLike, type WebSocketOptions } from "./websocket.ts";
export type { Clock } from "./clock.ts";
export type { Page, PageHandler } from "./page.ts";
export type { Codec, Link, LinkHandler, LinkRequest, Transport } from "./transport.ts";
export type { Greeting, Incoming } from "./wire.ts";
