// What a session of a load says: its handshake, its first messages, and its messages' shape.

import { clientFrame, OPCODE } from "./frames.ts";
import type { Load, MessageShape } from "./load_spec.ts";

const ENCODER = new TextEncoder();

function expand(text: string, number: number, groups: number): string {
  return text.replaceAll("%d", `${number}`).replaceAll("%g", `${number % groups}`);
}

export function upgradeRequest(load: Load, number: number, tickets: readonly string[] | null): Uint8Array {
  const lines = [
    `GET ${expand(load.path, number, load.groups)}${tickets?.[number] ?? ""} HTTP/1.1`,
    `Host: 127.0.0.1:${load.port}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
    "\r\n",
  ];
  return ENCODER.encode(lines.join("\r\n"));
}

export function textFrame({ groups }: Load, text: string, number: number): Uint8Array {
  return clientFrame(OPCODE.text, ENCODER.encode(expand(text, number, groups)));
}

/** What a session sends: a text names its session or group where it says `%d` or `%g`. */
export function messageOf({ message, groups }: Load, number: number): MessageShape {
  if (message.kind !== "text") return message;
  return { ...message, template: expand(message.template, number, groups) };
}
