// Frames and hellos that are nearly right, on connections that send a few of them and leave.

import { Buffer } from "node:buffer";
import { randomInt } from "node:crypto";
import { within } from "../raw_client.ts";
import { tcpBytes, TcpClient } from "../transport/tcp_client.ts";
import type { GatewayProcess } from "./gateway_process.ts";

/** Few, as the first frame that is wrong ends a connection, and what follows it is not read. */
const PER_CONNECTION = 8;
/** Connections at a time. */
const AT_ONCE = 16;
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

/** A frame as it should be, or with another byte, cut off, or with more behind it. */
function mutated(good: Buffer): Buffer {
  const frame = Buffer.from(good);
  switch (randomInt(12)) {
    case 0:
    case 1:
      frame[randomInt(frame.length)] = randomInt(256);
      return frame;
    case 2:
      return frame.subarray(0, randomInt(frame.length));
    case 3:
      return Buffer.concat([frame, Buffer.from([randomInt(256), randomInt(256)])]);
    default:
      return frame;
  }
}

/** Sends so many; each connection ends. */
export async function fuzzTcp(gateway: GatewayProcess, count: number): Promise<void> {
  const { port } = await gateway.logged("listening for TCP");
  let sent = 0;
  const sendAll = async () => {
    while (sent < count) {
      sent += PER_CONNECTION;
      const client = await TcpClient.open(port as number);
      // Half of them are strangers, whose hello is mutated too.
      const hello = randomInt(2) === 0 ? HELLO : mutated(HELLO);
      const frames = Array.from({ length: PER_CONNECTION - 1 }, () => mutated(GOOD[randomInt(GOOD.length)]!));
      client.socket.write(Buffer.concat([hello, ...frames]));
      client.socket.end();
      await within(client.closed, "the end");
      client.socket.destroy();
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, sendAll));
}
