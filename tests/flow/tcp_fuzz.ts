// Frames and hellos that are nearly right, on connections that send a few hundred of them and leave.

import { Buffer } from "node:buffer";
import { randomInt } from "node:crypto";
import { within } from "../raw_client.ts";
import { tcpBytes, TcpClient } from "../transport/tcp_client.ts";
import type { GatewayProcess } from "./gateway_process.ts";

const PER_CONNECTION = 400;
const HELLO = tcpBytes(
  1,
  JSON.stringify({ v: 1, svc: "sys", type: "hello", data: { tenant: "acme", ticket: "dev" } }),
);
const GOOD = [
  HELLO,
  tcpBytes(1, '{"v":1,"svc":"room","type":"join","room":"r"}'),
  tcpBytes(2, Uint8Array.of(1, 1, 9, 0)),
  tcpBytes(4, "x"),
  tcpBytes(5, ""),
];

/** Sends so many; each connection ends. */
export async function fuzzTcp(gateway: GatewayProcess, count: number): Promise<void> {
  const { port } = await gateway.logged("listening for TCP");
  for (let sent = 0; sent < count; sent += PER_CONNECTION) {
    const client = await TcpClient.open(port as number);
    // Half of them as strangers, whose hello is what is mutated.
    if (sent % (2 * PER_CONNECTION) === 0) client.socket.write(HELLO);
    const frames = Array.from({ length: PER_CONNECTION }, () => {
      const frame = Buffer.from(GOOD[randomInt(GOOD.length)]!);
      if (randomInt(3) === 0) frame[randomInt(frame.length)] = randomInt(256);
      return frame;
    });
    client.socket.write(Buffer.concat(frames));
    client.socket.end();
    await within(client.closed, "the end");
    client.socket.destroy();
  }
}
